"""The options of every command are taken wherever they stand, up to ``--``."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfund.commands.everywhere import FLAGS, VALUED, GlobalOptions, declarations, take, wants_json
from qfund.errors import UsageError


@pytest.mark.parametrize(
    ("line", "options", "rest"),
    [
        ("data status", {}, "data status"),
        ("--json data status", {"json": True}, "data status"),
        ("data --json status", {"json": True}, "data status"),
        ("data status --json", {"json": True}, "data status"),
        ("-q data status -v", {"quiet": True, "verbose": True}, "data status"),
        ("data status -qv", {"quiet": True, "verbose": True}, "data status"),
        ("x --profile live y", {"profile": "live"}, "x y"),
        ("x --profile=live", {"profile": "live"}, "x"),
        ("x --profile live --profile=live", {"profile": "live"}, "x"),
        ("x --config a.toml y --config=b.toml", {"config": (Path("a.toml"), Path("b.toml"))}, "x y"),
        ("x --no-color", {"no_color": True}, "x"),
        ("x -- --json --profile", {}, "x -- --json --profile"),
        ("x --json -- --quiet", {"json": True}, "x -- --quiet"),
        ("x -p fast=-q --jsonish", {}, "x -p fast=-q --jsonish"),
    ],
)
def test_they_are_taken_wherever_they_stand(line, options, rest):
    assert take(line.split()) == (GlobalOptions(**options), rest.split())


@pytest.mark.parametrize("line", ["x --profile", "--profile= x", "x --config", "--config="])
def test_a_missing_value_is_told(line):
    with pytest.raises(UsageError, match="needs a value"):
        take(line.split())


def test_two_profiles_are_told():
    with pytest.raises(UsageError, match="given twice"):
        take(["--profile", "a", "--profile", "b"])


@given(st.lists(st.sampled_from(["data", "--since", "--", "--json", "-q", "-p", "a=1", ""])))
def test_the_rest_keeps_every_other_word_in_order(words):
    options, rest = take(words)
    until = words.index("--") if "--" in words else len(words)
    assert rest == [word for word in words[:until] if word not in FLAGS] + words[until:]
    assert options.json == wants_json(words) == ("--json" in words[:until])


def test_the_help_declares_exactly_what_is_taken():
    declared = {name for param in declarations() for name in param.opts}
    assert declared == {*FLAGS, *VALUED}
    assert all(param.help for param in declarations())

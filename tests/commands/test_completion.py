"""The Tab key offers what is there, and is silent about everything else."""

from __future__ import annotations

import subprocess
from datetime import date

import pytest

from qfund.commands import completion
from qfund.commands.completion import (
    complete_profiles,
    complete_runs,
    complete_settings,
    complete_strategies,
    complete_symbols,
    complete_templates,
    complete_universes,
    complete_vendors,
)
from qfund.store import universes
from tests.support.program import PROGRAM, environment


def tab(line: str, cwd, **variables: str) -> list[str]:
    """What bash is offered after this line."""
    words = line.split(" ")
    done = subprocess.run(
        PROGRAM,
        cwd=cwd,
        env=environment(
            _QFUND_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1), **variables
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("qfund conf", ["config"]),
        ("qfund config s", ["show"]),
        ("qfund config get backtest.c", ["backtest.cash", "backtest.costs", "backtest.calendar"]),
        ("qfund config show --or", ["--origin"]),
        ("qfund config show --js", ["--json"]),
        ("qfund --pro", ["--profile"]),
        ("qfund --json --profile x config va", ["validate"]),
        ("qfund no-such-command x", []),
    ],
)
def test_commands_options_and_settings(tmp_path, line, offered):
    assert tab(line, tmp_path) == offered


def test_the_script_of_each_shell_can_be_shown(tmp_path):
    done = subprocess.run(
        [*PROGRAM, "--show-completion"],
        cwd=tmp_path,
        env=environment(_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "--show-completion" in done.stdout + done.stderr


def test_strategy_files_come_first_from_the_strategies_folder(project):
    (project / "strategies").mkdir()
    for name in ("strategies/b.py", "strategies/a.py", "strategies/notes.txt", "top.py"):
        (project / name).touch()
    (project / ".hidden").mkdir()
    assert complete_strategies("") == ["strategies/a.py", "strategies/b.py"]
    assert complete_strategies("str") == ["strategies/"]
    assert complete_strategies("strategies/") == ["strategies/a.py", "strategies/b.py"]
    assert complete_strategies("strategies/b") == ["strategies/b.py"]
    assert complete_strategies("t") == ["top.py"]
    assert complete_strategies("none/") == []


def test_names_that_the_program_knows_itself(project):
    assert "sample" in complete_vendors("")
    assert complete_vendors("zz") == []
    assert "sma_cross" in complete_templates("sma")
    assert complete_settings("store") == ["store.url"]


def test_profiles_are_the_files_and_the_safe_one(project):
    for name in ("qfund.toml", "qfund.live.toml", "qfund.local.toml"):
        (project / name).touch()
    assert complete_profiles("") == ["live", "paper"]
    assert complete_profiles("l") == ["live"]


@pytest.mark.parametrize(
    "text", ["[broken", "[store]\nurl = 'env:NONE'", "[store]\nurl = 'postgresql://127.0.0.1:1/x'"]
)
def test_a_store_that_cannot_be_opened_offers_nothing_and_says_nothing(project, capsys, text):
    (project / "qfund.toml").write_text(text)
    assert complete_symbols("") == []
    assert complete_runs("") == []
    assert capsys.readouterr() == ("", "")


def test_no_database_is_made_for_a_tab(project):
    assert complete_symbols("A") == []
    assert list(project.iterdir()) == []


def test_a_store_with_nothing_in_it_offers_nothing(project, store_url):
    (project / "qfund.toml").write_text(f"[store]\nurl = '{store_url}'\n")
    assert complete_symbols("") == []
    assert complete_runs("") == []
    assert complete_universes("") == ["sp100"]
    assert [path.name for path in project.iterdir()] == ["qfund.toml"]


def test_universes_are_the_stored_ones_and_those_that_come_with_qfund(project, store_url, store):
    (project / "qfund.toml").write_text(f"[store]\nurl = '{store_url}'\n")
    members = [universes.Member("A")]
    universes.create(store, "mine", members, origin="symbols", dated_from=date(2024, 1, 2))
    assert complete_universes("") == ["mine", "sp100"]
    assert complete_universes("m") == ["mine"]


def test_the_module_needs_no_library_to_be_imported():
    assert not hasattr(completion, "pandas")

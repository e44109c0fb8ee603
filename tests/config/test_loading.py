"""The later source wins, every value knows its source, and a mistake names the place where it was made."""

from __future__ import annotations

from pathlib import Path

import pytest

from qfund.config import load
from qfund.errors import ConfigError


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_without_any_file_everything_has_its_safe_default(tmp_path):
    settings = load(tmp_path, environ={})
    assert settings.store.url is None
    assert settings.backtest.cash == 100_000.0
    assert settings.backtest.costs == "us-equities"
    assert settings.backtest.adjust == "all"
    assert settings.backtest.fractional is True
    assert settings.backtest.benchmark is None
    assert settings.backtest.calendar == "XNYS"
    assert settings.project == tmp_path
    assert settings.home == tmp_path / ".qfund"
    assert {origin.source for origin in settings.origins.values()} == {"default"}


def test_the_nearest_ancestor_with_a_file_is_the_project(tmp_path):
    write(tmp_path, "qfund.toml", "[backtest]\ncash = 1\n")
    write(tmp_path, "inner/qfund.toml", "[backtest]\ncash = 2\n")
    deep = tmp_path / "inner" / "a" / "b"
    deep.mkdir(parents=True)
    settings = load(deep, environ={})
    assert settings.backtest.cash == 2
    assert settings.project == tmp_path / "inner"
    assert settings.home == tmp_path / "inner" / ".qfund"
    assert load(tmp_path, environ={}).backtest.cash == 1


def test_a_folder_of_that_name_is_no_file(tmp_path):
    (tmp_path / "qfund.toml").mkdir()
    assert load(tmp_path, environ={}).files == ()


def test_each_source_beats_the_one_before(tmp_path):
    write(tmp_path, "qfund.toml", "[backtest]\ncash = 1\n")
    sources = ["qfund.toml:2"]

    def cash(**more):
        settings = load(tmp_path, **{"environ": {}, **more})
        origin = settings.origins["backtest.cash"]
        return settings.backtest.cash, [origin.source, *origin.overrides]

    assert cash() == (1, sources)
    write(tmp_path, "qfund.live.toml", "\n[backtest]\ncash = 2\n")
    sources.insert(0, "qfund.live.toml:3")
    assert cash(profile="live") == (2, sources)
    write(tmp_path, "qfund.local.toml", "backtest.cash = 3\n")
    sources.insert(0, "qfund.local.toml:1")
    assert cash(profile="live") == (3, sources)
    environ = {"QFUND__BACKTEST__CASH": "4"}
    sources.insert(0, "QFUND__BACKTEST__CASH")
    assert cash(profile="live", environ=environ) == (4, sources)
    extra = write(tmp_path, "more/extra.toml", "[backtest]\ncash = 5\n")
    sources.insert(0, "more/extra.toml:2")
    assert cash(profile="live", environ=environ, files=[extra]) == (5, sources)
    last = write(tmp_path, "last.toml", "[backtest]\ncash = 6\n")
    sources.insert(0, "last.toml:2")
    assert cash(profile="live", environ=environ, files=[extra, last]) == (6, sources)
    sources.insert(0, "flag")
    assert cash(profile="live", environ=environ, files=[extra, last], overrides={"backtest.cash": "7"}) == (
        7,
        sources,
    )


def test_the_profile_may_come_from_the_environment(tmp_path):
    write(tmp_path, "qfund.toml", "")
    write(tmp_path, "qfund.live.toml", "[backtest]\ncash = 2\n")
    settings = load(tmp_path, environ={"QFUND_PROFILE": "live"})
    assert (settings.profile, settings.backtest.cash) == ("live", 2)


def test_a_profile_without_a_file_is_a_typo_unless_it_is_the_safe_one(tmp_path):
    write(tmp_path, "qfund.live.toml", "")
    assert load(tmp_path, profile="paper", environ={}).profile == "paper"
    with pytest.raises(ConfigError, match=r"no profile 'liev': .* Did you mean live\?"):
        load(tmp_path, profile="liev", environ={})


@pytest.mark.parametrize("profile", ["../etc", "local", ".", "a/b"])
def test_a_profile_is_a_name_and_no_path(tmp_path, profile):
    write(tmp_path, "qfund.local.toml", "")
    with pytest.raises(ConfigError, match=r"no profile"):
        load(tmp_path, profile=profile, environ={})


@pytest.mark.parametrize("text", ["[backtest]\ncsh = 1", "[backtest]\ncash = 'x'"])
def test_a_mistake_is_mended_in_its_file_since_no_command_can_show_it_before(tmp_path, text):
    (tmp_path / "qfund.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, environ={})
    assert (caught.value.fix or "").endswith("qfund.toml:2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[backtest]\n\ncsh = 1",
            r"qfund.toml:3: there is no setting 'backtest.csh'. Did you mean backtest.cash",
        ),
        (
            "[bactest]\ncash = 1",
            r"qfund.toml:2: there is no setting 'bactest.cash'. Did you mean backtest.cash",
        ),
        ("[backtst]", r"qfund.toml:1: there is no setting 'backtst'. Did you mean backtest"),
        ("cash = 1", r"qfund.toml:1: there is no setting 'cash'."),
        ("store = 1", r"qfund.toml:1: 'store' is a section, not a value"),
        ("[backtest]\ncash = 'x'", r"qfund.toml:2: backtest.cash is 'x', but input should be a valid number"),
        ("[backtest]\ncash = '5'", r"qfund.toml:2: backtest.cash is '5', but input should be a valid number"),
        ("[backtest]\ncash = 0", r"qfund.toml:2: backtest.cash is 0, but input should be greater than 0"),
        (
            "[backtest]\ncash = inf",
            r"qfund.toml:2: backtest.cash is inf, but input should be a finite number",
        ),
        (
            "[backtest]\nfractional = 1",
            r"qfund.toml:2: backtest.fractional is 1, but input should be a valid boolean",
        ),
        (
            "[backtest]\nadjust = 'al'",
            r"qfund.toml:2: backtest.adjust is 'al', but input should be 'raw', 'split'",
        ),
        (
            "[backtest]\nbenchmark = ''",
            r"qfund.toml:2: backtest.benchmark is '', but string should have at least 1",
        ),
        ("[store]\nurl = 5", r"qfund.toml:2: store.url must be text"),
        ("[store]\nurl = ' '", r"qfund.toml:2: store.url must be text"),
    ],
)
def test_a_mistake_names_its_file_and_line(tmp_path, text, message):
    write(tmp_path, "qfund.toml", text)
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, environ={})
    assert caught.value.exit_code == 3


def test_a_mistake_in_a_file_does_not_hide_behind_a_stronger_source(tmp_path):
    write(tmp_path, "qfund.toml", "[backtest]\ncash = 'x'")
    with pytest.raises(ConfigError, match=r"qfund.toml:2"):
        load(tmp_path, environ={"QFUND__BACKTEST__CASH": "5"})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("QFUND__BACKTEST__CSH", "1", "QFUND__BACKTEST__CSH: there is no setting 'backtest.csh'"),
        ("QFUND__BACKTEST__CASH", "much", "QFUND__BACKTEST__CASH: backtest.cash is 'much'"),
        ("QFUND__X", "1", "QFUND__X: there is no setting 'x'"),
    ],
)
def test_a_mistake_in_a_variable_names_the_variable(tmp_path, name, text, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, environ={name: text})


@pytest.mark.parametrize(("text", "value"), [("false", False), ("0", False), ("no", False), ("true", True)])
def test_a_variable_is_text_and_read_as_its_type(tmp_path, text, value):
    settings = load(tmp_path, environ={"QFUND__BACKTEST__FRACTIONAL": text})
    assert settings.backtest.fractional is value


def test_an_empty_section_is_no_mistake(tmp_path):
    write(tmp_path, "qfund.toml", "[store]\n[backtest]\n")
    assert load(tmp_path, environ={}).store.url is None


def test_a_file_that_was_asked_for_must_be_there(tmp_path):
    with pytest.raises(ConfigError, match=r"none.toml cannot be read: No such file"):
        load(tmp_path, files=[Path("none.toml")], environ={})


def test_the_database_url_is_revealed_only_on_demand(tmp_path):
    write(tmp_path, "qfund.toml", "[store]\nurl = 'env:DB'")
    settings = load(tmp_path, environ={"DB": "postgresql://u:geheim@h/d"})
    assert settings.store.url is not None
    assert settings.store.url.reveal() == "postgresql://u:geheim@h/d"
    assert "geheim" not in repr(settings)
    assert settings.origins["store.url"].value_shown == "env:DB"


def test_a_literal_password_is_starred_in_what_is_shown(tmp_path):
    settings = load(tmp_path, environ={"QFUND__STORE__URL": "postgresql://u:geheim@h/d"})
    assert settings.origins["store.url"].value_shown == "postgresql://u:•••@h/d"
    assert "geheim" not in repr(settings)


def test_settings_are_frozen(tmp_path):
    settings = load(tmp_path, environ={})
    with pytest.raises(ValueError, match=r"frozen"):
        settings.backtest.cash = 5

"""What is set, where it was set, and whether it holds; never a password."""

from __future__ import annotations

import pytest

FILE = '[store]\nurl = "postgresql://fund:geheim@db/fund"\n\n[backtest]\ncash = 5000\n'


@pytest.fixture
def written(project):
    (project / "qfund.toml").write_text(FILE)
    return project


def test_show_prints_every_setting(qfund, written):
    ran = qfund("config", "show")
    assert ran.out.splitlines()[0].split() == ["SETTING", "VALUE"]
    assert "backtest.cash        5000\n" in ran.out
    assert "backtest.benchmark   (not set)\n" in ran.out


def test_show_says_where_each_value_was_set_and_what_it_overrides(qfund, written):
    ran = qfund("config", "show", "--origin", QFUND__BACKTEST__CASH="7000")
    line = next(line for line in ran.out.splitlines() if line.startswith("backtest.cash"))
    assert line.split(maxsplit=2) == [
        "backtest.cash",
        "7000",
        "QFUND__BACKTEST__CASH; overrides qfund.toml:5",
    ]
    assert "us-equities" in ran.out
    assert "default" in ran.out


@pytest.mark.parametrize("words", [("show",), ("show", "--origin"), ("show", "--json"), ("get", "store.url")])
def test_a_password_is_starred_in_every_output(qfund, written, words):
    ran = qfund("config", *words)
    assert "geheim" not in ran.out + ran.err
    assert "postgresql://fund:•••@db/fund" in ran.out


def test_get_prints_the_bare_value_for_scripts(qfund, written):
    assert qfund("config", "get", "backtest.cash").out == "5000\n"
    assert qfund("config", "get", "backtest.cash", "--json").document["data"] == {
        "key": "backtest.cash",
        "value": "5000",
        "source": "qfund.toml:5",
    }


def test_get_of_an_unknown_key_names_the_nearest(qfund):
    ran = qfund("config", "get", "backtest.csh")
    assert ran.code == 11
    assert "Did you mean backtest.cash" in ran.err


def test_validate_says_what_was_read(qfund, written):
    ran = qfund("config", "validate")
    assert ran.code == 0
    assert ran.out == f"The configuration holds.\nread {written / 'qfund.toml'}\n"


def test_validate_opens_the_references(qfund, project):
    (project / "qfund.toml").write_text('[store]\nurl = "env:NO_SUCH_DB"\n')
    assert qfund("config", "show").code == 0
    ran = qfund("config", "validate")
    assert ran.code == 3
    assert "NO_SUCH_DB, which is not set" in ran.err
    assert qfund("config", "validate", NO_SUCH_DB="postgresql:///x").code == 0


def test_a_mistake_is_told_with_file_and_line_and_the_file_is_left_alone(qfund, project):
    path = project / "qfund.toml"
    path.write_text("[backtest]\ncash = \n")
    ran = qfund("config", "validate", "--json")
    assert ran.code == 3
    (error,) = ran.document["errors"]
    assert error["message"].startswith("qfund.toml:2:8 is not valid TOML: ")
    assert (error["file"], error["line"], error["column"]) == ("qfund.toml", 2, 8)
    assert path.read_text() == "[backtest]\ncash = \n"


def test_path_names_the_folders_and_the_files_the_strongest_last(qfund, written):
    (written / "qfund.local.toml").touch()
    ran = qfund("config", "path", "--json")
    assert ran.document["data"] == {
        "project": str(written),
        "home": str(written / ".qfund"),
        "files": [str(written / "qfund.toml"), str(written / "qfund.local.toml")],
    }


def test_a_profile_and_further_files_are_read(qfund, written):
    (written / "qfund.live.toml").write_text("backtest.cash = 1\n")
    (written / "more.toml").write_text("backtest.calendar = 'XLON'\n")
    assert qfund("config", "get", "backtest.cash", "--profile", "live").out == "1\n"
    assert qfund("--config", "more.toml", "config", "get", "backtest.calendar").out == "XLON\n"

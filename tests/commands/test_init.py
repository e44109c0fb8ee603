"""A project is made once, and never made over."""

from __future__ import annotations

import os
import stat

import pytest

from qfund.commands.init import configuration
from qfund.config import load


def test_a_project_has_its_configuration_a_strategy_and_a_gitignore(qfund, project):
    ran = qfund("init")
    assert ran.code == 0
    assert ran.out == (
        "FILE                     STATE\n"
        "qfund.toml               made\n"
        "strategies/sma_cross.py  made\n"
        ".gitignore               made\n"
    )
    assert "Next: qfund ingest --vendor sample --since 2005-01-01" in ran.err
    assert "class SmaCross(Strategy)" in (project / "strategies" / "sma_cross.py").read_text()
    assert (project / ".gitignore").read_text() == ".qfund/\nqfund.local.toml\nreports/\n"
    assert not (project / ".qfund").exists()


def test_the_configuration_changes_nothing_and_names_every_setting(qfund, project):
    qfund("init")
    made = load(project, environ={})
    assert {origin.source for origin in made.origins.values()} == {"default"}
    text = configuration()
    for key in made.origins:
        assert f"# {key.partition('.')[2]} = " in text


def test_a_setting_is_changed_by_taking_its_mark_away(project):
    text = "\n".join(
        line.removeprefix("# ") if " = " in line else line for line in configuration().splitlines()
    )
    (project / "qfund.toml").write_text(text)
    made = load(project, environ={})
    assert made.backtest.benchmark == "SPY"
    assert str(made.store.url) == "env:DATABASE_URL"


def test_a_second_time_everything_is_kept(qfund, project):
    qfund("init")
    (project / "qfund.toml").write_text("# mine\n")
    (project / "strategies" / "sma_cross.py").write_text("# mine too\n")
    ran = qfund("init", "--json")
    assert [file["state"] for file in ran.document["data"]["files"]] == ["kept"] * 3
    assert (project / "qfund.toml").read_text() == "# mine\n"
    assert (project / "strategies" / "sma_cross.py").read_text() == "# mine too\n"


def test_a_gitignore_is_extended_not_replaced(qfund, project):
    (project / ".gitignore").write_text("*.pyc\n/reports")
    ran = qfund("init")
    assert (project / ".gitignore").read_text() == "*.pyc\n/reports\n.qfund/\nqfund.local.toml\n"
    assert ".gitignore               extended" in ran.out


def test_another_folder_is_made_and_the_way_there_is_shown(qfund, project):
    ran = qfund("init", "funds/first")
    assert (project / "funds" / "first" / "qfund.toml").is_file()
    assert "Next: cd funds/first\n" in ran.err


def test_a_file_in_the_way_is_told(qfund, project):
    (project / "taken").touch()
    ran = qfund("init", "taken")
    assert ran.code == 2
    assert "is a file where a folder has to be" in ran.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_told(qfund, project):
    project.chmod(stat.S_IRUSR | stat.S_IXUSR)
    ran = qfund("init", "inner")
    project.chmod(stat.S_IRWXU)
    assert ran.code == 3
    assert "Permission denied" in ran.err

"""A project is found by names alone, also when its files are broken."""

from __future__ import annotations

from pathlib import Path

from qfund.config import locate


def test_the_nearest_folder_above_with_a_file_is_the_project(tmp_path):
    (tmp_path / "qfund.toml").write_text("[broken")
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    found = locate(deep, {})
    assert (found.folder, found.home, found.has_file) == (tmp_path, tmp_path / ".qfund", True)


def test_without_a_file_the_current_folder_is_the_project(tmp_path):
    found = locate(tmp_path, {})
    assert (found.folder, found.home, found.has_file) == (tmp_path, tmp_path / ".qfund", False)


def test_the_state_folder_can_be_elsewhere(tmp_path):
    assert locate(tmp_path, {"QFUND_HOME": "/srv/q"}).home == Path("/srv/q")
    assert locate(tmp_path, {"QFUND_HOME": "state"}).home == tmp_path / "state"

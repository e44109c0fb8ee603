"""qfund in this process: quick enough for a test of every branch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qfund.cli import main
from tests.support.program import Ran

Program = Callable[..., Ran]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, entered, with no variable of qfund's set."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in [name for name in os.environ if name.startswith("QFUND")]:
        monkeypatch.delenv(name)
    return folder


@pytest.fixture
def qfund(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """Run a command line in the project; keyword arguments become variables."""

    def run(*words: str, **variables: str) -> Ran:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            code = main(words)
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run

"""What backtest, runs and demo show in common."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from qfund.commands import results
from qfund.errors import UsageError


def test_a_word_outside_the_choice_names_the_nearest() -> None:
    assert results.one_of("csv", ("csv", "parquet"), option="--format") == "csv"
    with pytest.raises(UsageError, match="Did you mean parquet"):
        results.one_of("parkett", ("csv", "parquet"), option="--format")


def test_the_commit_of_a_strategy_says_when_the_file_differs_from_it(tmp_path: Path) -> None:
    path = tmp_path / "idea.py"
    path.write_text("1\n")
    assert results.git_commit(path) is None
    settings = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    for words in (["init", "-q"], ["add", "."], [*settings, "commit", "-qm", "one"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    clean = results.git_commit(path)
    assert clean is not None
    assert len(clean) == 12
    path.write_text("2\n")
    assert results.git_commit(path) == f"{clean}-dirty"

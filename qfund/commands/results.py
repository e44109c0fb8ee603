"""How a backtest and a stored run are shown, and where a report goes; used by `backtest`, `runs` and `demo`.

Promises: the screen shows the metrics a quant asks for first, ``--full`` and ``--json`` show all of them; a
report replaces an older one of the same run in one step. Never opens the store.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from qfund.console import Block, Column, Facts, Heading, Outcome, Table, Text
from qfund.errors import ConfigError, UpstreamError, UsageError, did_you_mean

if TYPE_CHECKING:
    from qfund.backtest.run import Backtest
    from qfund.store.runs import RunRecord

Word = TypeVar("Word", bound=str)
NO_SPACE = 28  # errno.ENOSPC


def one_of(value: str, allowed: Sequence[Word], *, option: str) -> Word:
    """The value, when it is one of the allowed words.

    Raises:
        UsageError: it is not; the nearest is named.
    """
    for word in allowed:
        if value == word:
            return word
    raise UsageError(
        f"{option} '{value}' is not one of {', '.join(allowed)}.{did_you_mean(value, allowed)}",
        code="BAD_CHOICE",
    )


def report_path(project: Path, result: Backtest) -> Path:
    """Where a run's report goes unless the user says otherwise: ``reports/<strategy>-<run id>.html``."""
    return project / "reports" / f"{result.loaded.name}-{result.run_id}.html"


def write_report(result: Backtest, path: Path, *, command: str) -> None:
    """Write the report beside its final place and move it there, so that no half report is ever seen.

    Raises:
        ConfigError: the folder cannot be written.
        UpstreamError: the disk is full.
    """
    from qfund.backtest.record import report_input
    from qfund.backtest.report import render

    page = render(
        report_input(
            result, command=command, generated_at=datetime.now(UTC), git_commit=git_commit(result.loaded.path)
        )
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            file.write(page)
        os.chmod(file.name, 0o644)  # a report is for reading; the temporary file was 0600
        Path(file.name).replace(path)
    except OSError as error:
        kind = UpstreamError if error.errno == NO_SPACE else ConfigError
        raise kind(
            f"The report cannot be written to {path}: {error.strerror}.",
            fix="qfund backtest … --report FILE, or --no-report",
            code="REPORT",
        ) from error


def git_commit(path: Path) -> str | None:
    """The commit of the strategy's folder, with ``-dirty`` when the file differs from it; None outside git."""
    folder = str(path.resolve().parent)
    try:
        said = subprocess.run(
            ["git", "-C", folder, "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said.stdout.strip() or None if said.returncode == 0 else None


def stored(result: Backtest, *, report: Path | None) -> RunRecord:
    """The run as the store keeps it."""
    from qfund.backtest.record import run_record

    return run_record(result, report=report, git_commit=git_commit(result.loaded.path))

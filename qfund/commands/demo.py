"""`qfund demo`: the whole job on bundled real prices, by the same commands that a user types.

Promises: everything happens inside one folder, nothing needs a network, an account or a server, and running
it again changes nothing. Each step is a real command line, printed before it runs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from qfund.commands.session import Session
from qfund.console import Facts, Heading, Outcome
from qfund.errors import ConfigError, QfundError

STRATEGY = "strategies/sma_cross.py"
REPORT = "reports/demo.html"
STEPS: tuple[tuple[str, ...], ...] = (
    ("init",),
    ("ingest", "--vendor", "sample", "--since", "2005-01-01"),
    ("data", "status"),
    ("backtest", STRATEGY, "-p", "fast=10", "-p", "slow=30", "--report", REPORT),
)


def register(root: typer.Typer) -> None:
    """Add ``qfund demo`` to the command line."""
    root.command(name="demo", rich_help_panel="Start")(demo)


def demo(
    ctx: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="Where the demo lives; made when missing.")
    ] = Path("demo"),
) -> None:
    """Run the whole job on real prices: init, ingest, backtest, report.

    Example: qfund demo
    """
    session = Session.of(ctx)
    place = session.cwd / folder
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The demo cannot make {place}: {error.strerror}.", fix="qfund demo FOLDER"
        ) from error
    documents: list[object] = []
    for step in STEPS:
        session.console.note(f"\n$ qfund {' '.join(step)}")
        code, document = _run(step, place, as_json=session.options.json)
        documents.append(document)
        if code:
            session.console.show(_stopped(step, code, documents))
            return
    session.console.show(_finished(folder, place / REPORT, documents))


def _run(step: tuple[str, ...], place: Path, *, as_json: bool) -> tuple[int, object]:
    """One command in the demo's folder: its exit code, and with ``--json`` its document.

    Without ``--json`` its output is the demo's own.
    """
    finished = subprocess.run(
        [sys.executable, "-m", "qfund", *step, *(["--json"] if as_json else [])],
        cwd=place,
        check=False,
        text=True,
        stdout=subprocess.PIPE if as_json else None,
    )
    return finished.returncode, json.loads(finished.stdout) if as_json and finished.stdout else None


def _finished(folder: Path, report: Path, documents: Sequence[object]) -> Outcome:
    return Outcome(
        command="demo",
        data={"folder": folder, "report": report, "steps": documents},
        blocks=(Heading("Done"), Facts((("folder", str(folder)), ("report", str(report))))),
        next=(
            f"cd {folder}",
            "qfund strategy new my_idea --template momentum",
            "qfund backtest strategies/my_idea.py",
            "qfund runs list",
        ),
    )


def _stopped(step: tuple[str, ...], code: int, documents: Sequence[object]) -> Outcome:
    """The step has told its own error; the demo ends with the step's exit code."""
    error = QfundError(
        f"The demo stopped at 'qfund {' '.join(step)}', which ended with exit code {code}.",
        fix="qfund doctor",
        code="DEMO",
    )
    return Outcome(command="demo", data={"steps": documents}, errors=(error,), exit_code=code)

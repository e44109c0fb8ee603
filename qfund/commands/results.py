"""How a backtest and a stored run are shown, and where a report goes; used by `backtest`, `runs` and `demo`.

Promises: the screen shows the metrics a quant asks for first, ``--full`` and ``--json`` show all of them; a
report replaces an older one of the same run in one step. Never opens the store.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
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
        written = Path(file.name)
        written.chmod(0o644)  # a report is for reading; the temporary file was 0600
        written.replace(path)
    except OSError as error:
        kind = UpstreamError if error.errno == NO_SPACE else ConfigError
        raise kind(
            f"The report cannot be written to {path}: {error.strerror}.",
            fix="qfund backtest … --report FILE, or --no-report",
            code="REPORT",
        ) from error


def git_commit(path: Path) -> str | None:
    """The commit of the strategy's folder, ``-dirty`` when files differ from it; None outside git."""
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


def outcome(record: RunRecord, *, command: str, full: bool, next_steps: Sequence[str]) -> Outcome:
    """A run as its command's result.

    Args:
        record: the run.
        command: ``backtest`` or ``runs.show``; names the JSON schema.
        full: show every metric.
        next_steps: commands worth running now.
    """
    from qfund.backtest.wording import grouped

    title = " ".join([record.strategy, *(f"{name}={value}" for name, value in sorted(record.params.items()))])
    about = Facts(
        (
            ("run", record.run_id),
            ("data", f"{record.rules.get('source', '')} {record.timeframe}, {_symbols(record.symbols)}"),
            ("period", f"{record.since} to {record.until}"),
            ("compared with", str(record.rules.get("benchmark", "–"))),
            ("costs", str(record.costs.get("name", "–"))),
            ("report", record.report_path or "none written"),
        )
    )
    blocks: list[Block] = [Heading(title), about, *(_every_metric(record) if full else [_headlines(record)])]
    missing = [
        f"{term.label}: {record.metrics[name]['reason']}"
        for _, terms in grouped(record.metrics)
        for name, term in terms.items()
        if record.metrics[name]["value"] is None and record.metrics[name]["reason"]
        if full or name in HEADLINES
    ]
    if missing:
        blocks.append(Text(missing))
    return Outcome(
        command=command,
        data=as_data(record),
        blocks=blocks,
        warnings=record.warnings,
        next=next_steps,
    )


def as_data(record: RunRecord, *, frames: bool = False) -> dict[str, object]:
    """A run for ``--json``; with ``frames``, trades, positions and equity too."""
    data: dict[str, object] = {
        name: getattr(record, name)
        for name in (
            "run_id", "run_type", "strategy", "code_sha256", "params", "symbols", "timeframe", "adjust",
            "since", "until", "data_asof", "data_fingerprint", "costs", "rules", "engine", "git_commit",
            "started_at", "ended_at", "report_path", "orders", "metrics",
        )
    }  # fmt: skip
    if frames:
        data["trades"] = _rows(record.trades)
        data["positions"] = _rows(record.positions)
        data["equity"] = _rows(record.equity.rename_axis("time").reset_index())
    return data


HEADLINES = (
    "end_equity", "net_profit", "total_return", "benchmark_return", "cagr", "annual_volatility", "sharpe",
    "sortino", "calmar", "max_drawdown", "longest_drawdown_days", "psr", "dsr", "trials",
    "beta", "alpha", "correlation", "information_ratio", "trades", "win_rate", "profit_factor", "expectancy",
    "avg_holding", "max_gross", "avg_net", "turnover", "costs", "cost_drag_bps", "dividends",
)  # fmt: skip


def _headlines(record: RunRecord) -> Table:
    """The metrics that are asked for first, in two columns."""
    from qfund.backtest.wording import term_of

    names = [name for name in HEADLINES if name in record.metrics]
    rows = [(term_of(name).label, said(name, record.metrics[name]["value"])) for name in names]
    half = -(-len(rows) // 2)
    right = rows[half:] + [("", "")] * (2 * half - len(rows))
    paired = [(*one, *other) for one, other in zip(rows[:half], right, strict=True)]
    twice = ("metric", Column("value", "right"))
    return Table((*twice, *twice), paired)


def _every_metric(record: RunRecord) -> list[Block]:
    """All metrics with their conventions, in the report's groups: a stored run does not keep their order."""
    from qfund.backtest.wording import grouped

    blocks: list[Block] = []
    for title, terms in grouped(record.metrics):
        rows = [
            (term.label, said(name, record.metrics[name]["value"]), term.note) for name, term in terms.items()
        ]
        blocks += [Heading(title), Table(("metric", Column("value", "right"), "convention"), rows)]
    return blocks


def said(name: str, value: object) -> str:
    """A metric's value with its unit, as one says it: ``12.3%``, ``445 days``."""
    from qfund.backtest.wording import NIL, say, term_of

    unit = term_of(name).unit
    text = say(value, unit)
    return f"{text} {unit}" if unit in ("days", "sessions", "bars") and text != NIL else text


def _symbols(symbols: Sequence[str]) -> str:
    shown = " ".join(symbols[:8])
    return shown if len(symbols) <= 8 else f"{shown} and {len(symbols) - 8} more"


def _rows(frame: object) -> list[dict[str, object]]:
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise TypeError("expected a frame")
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]

"""`qfund runs`: the backtests that were stored: list, show, compare, export, delete.

Promises: a run is named by any unambiguous beginning of its id; comparing says which inputs differ before it
says which results do. Never runs a strategy. Deleting a run does not lower the count of trials.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from qfund.commands import results
from qfund.commands.completion import complete_runs
from qfund.commands.options import LimitOption, YesOption
from qfund.commands.session import Session
from qfund.console import Column, Facts, Heading, Outcome, Table, Text
from qfund.errors import ConfigError

if TYPE_CHECKING:
    from qfund.store.runs import RunRecord

app = typer.Typer(
    help="Stored backtests: list, show, compare, export.", no_args_is_help=True, rich_markup_mode=None
)

RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, or its beginning.", autocompletion=complete_runs)
]
FORMATS = ("csv", "parquet")


def register(root: typer.Typer) -> None:
    """Add ``qfund runs`` to the command line."""
    root.add_typer(app, name="runs", rich_help_panel="Research")


@app.command(name="list")
def list_runs(
    ctx: typer.Context,
    strategy: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only runs of this strategy (its class name).")
    ] = None,
    limit: LimitOption = 20,
) -> None:
    """List stored runs, the newest first.

    Example: qfund runs list --strategy SmaCross
    """
    from qfund.store import runs

    session = Session.of(ctx)
    with session.open_store() as store:
        found = runs.list_runs(store, strategy=strategy, limit=limit)
    columns = (
        "run", "strategy", "parameters", "period", Column("return", "right"), Column("sharpe", "right"),
        Column("drawdown", "right"), Column("trades", "right"), "ran",
    )  # fmt: skip
    session.console.show(
        Outcome(
            command="runs.list",
            data={"runs": [results.as_data(run) for run in found]},
            blocks=(Table(columns, [_line(run) for run in found]),)
            if found
            else (Text("No run is stored yet."),),
            next=(f"qfund runs show {found[0].run_id}",)
            if found
            else ("qfund backtest strategies/sma_cross.py",),
        )
    )


@app.command()
def show(
    ctx: typer.Context,
    run: RunArgument,
    full: Annotated[bool, typer.Option("--full", help="Every metric, and the trades.")] = False,
) -> None:
    """Show one run: what made it, its metrics, its report. With --json: trades and equity, too.

    Example: qfund runs show 3f9c
    """
    from dataclasses import replace

    from qfund.store import runs

    session = Session.of(ctx)
    with session.open_store() as store:
        record = runs.find_run(store, run)
    outcome = results.outcome(
        record, command="runs.show", full=full, next_steps=(f"qfund runs export {record.run_id}",)
    )
    blocks = list(outcome.blocks)
    if full and not record.trades.empty:
        blocks.append(_trades(record))
    session.console.show(replace(outcome, data=results.as_data(record, frames=True), blocks=blocks))


@app.command()
def compare(ctx: typer.Context, first: RunArgument, second: RunArgument) -> None:
    """Put two runs side by side: first what made them different, then how they differ.

    Example: qfund runs compare 3f9c a04d
    """
    from qfund.backtest.wording import term_of
    from qfund.store import runs

    session = Session.of(ctx)
    with session.open_store() as store:
        one, other = runs.find_run(store, first), runs.find_run(store, second)
    inputs = _different(_inputs(one), _inputs(other))
    names = [name for name in results.HEADLINES if name in one.metrics or name in other.metrics]
    values = {name: (_metric(one, name), _metric(other, name)) for name in names}
    shown = [
        (term_of(name).label, *(results.said(name, value) for value in pair)) for name, pair in values.items()
    ]
    session.console.show(
        Outcome(
            command="runs.compare",
            data={
                "runs": [one.run_id, other.run_id],
                "inputs": {name: list(pair) for name, pair in inputs.items()},
                "metrics": {name: list(pair) for name, pair in values.items()},
            },
            blocks=(
                Heading("What differs"),
                Table(("input", *_headed(one, other)), [(name, *pair) for name, pair in inputs.items()])
                if inputs
                else Text("Nothing: the inputs are equal, so it is the same run."),
                Heading("Results"),
                Table(("metric", *_headed(one, other, align="right")), shown),
            ),
        )
    )


@app.command()
def export(
    ctx: typer.Context,
    run: RunArgument,
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where the files go. [default: exports/RUN]")
    ] = None,
    form: Annotated[str, typer.Option("--format", metavar="csv|parquet", help="File format.")] = "csv",
) -> None:
    """Write a run's equity, trades and positions as files that any tool reads.

    Example: qfund runs export 3f9c --format parquet
    """
    from qfund.store import runs

    session = Session.of(ctx)
    chosen = results.one_of(form, FORMATS, option="--format")
    with session.open_store() as store:
        record = runs.find_run(store, run)
    folder = to or session.settings.project / "exports" / record.run_id
    files = _write(record, folder, chosen)
    session.console.show(
        Outcome(
            command="runs.export",
            data={"run_id": record.run_id, "files": files},
            blocks=(Facts([(path.stem, str(path)) for path in files]),),
        )
    )


@app.command()
def delete(
    ctx: typer.Context,
    run: RunArgument,
    yes: YesOption = False,
) -> None:
    """Delete a stored run. Its report stays, and so does its place in the count of trials.

    Example: qfund runs delete 3f9c --yes
    """
    from qfund.store import runs

    session = Session.of(ctx)
    with session.open_store() as store:
        record = runs.find_run(store, run)
        session.console.confirm(f"Delete run {record.run_id} of {record.strategy}?", yes=yes)
        runs.delete_run(store, record.run_id)
    session.console.show(
        Outcome(
            command="runs.delete",
            data={"run_id": record.run_id},
            blocks=(Text(f"Deleted run {record.run_id}."),),
        )
    )


def _line(run: RunRecord) -> tuple[object, ...]:
    from qfund.backtest.wording import say

    return (
        run.run_id,
        run.strategy,
        " ".join(f"{name}={value}" for name, value in run.params.items()),
        f"{run.since} to {run.until}",
        say(_metric(run, "total_return"), "percent"),
        say(_metric(run, "sharpe")),
        say(_metric(run, "max_drawdown"), "percent"),
        say(_metric(run, "trades"), "count"),
        run.started_at.strftime("%Y-%m-%d %H:%M"),
    )


def _metric(run: RunRecord, name: str) -> object:
    return run.metrics.get(name, {"value": None})["value"]


def _inputs(run: RunRecord) -> dict[str, object]:
    """Everything that decides a result, flat, under the names that people use for it."""
    flat: dict[str, object] = {
        "strategy": run.strategy,
        "code": run.code_sha256[:12],
        "symbols": " ".join(run.symbols),
        "timeframe": run.timeframe,
        "adjust": run.adjust,
        "since": str(run.since),
        "until": str(run.until),
        "data": run.data_fingerprint,
    }
    for prefix, group in (
        ("-p", run.params),
        ("costs", run.costs),
        ("rules", run.rules),
        ("engine", run.engine),
    ):
        flat |= {f"{prefix} {name}": value for name, value in group.items()}
    return flat


def _headed(*runs: RunRecord, align: Literal["left", "right"] = "left") -> tuple[Column, ...]:
    """A column for each run under its id, which is written as `qfund runs show` takes it."""
    return tuple(Column(run.run_id, align, verbatim=True) for run in runs)


def _different(one: Mapping[str, object], other: Mapping[str, object]) -> dict[str, tuple[object, object]]:
    names = dict.fromkeys([*one, *other])
    return {name: (one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)}


def _trades(record: RunRecord) -> Table:
    from qfund.backtest.wording import say

    columns = (
        "symbol", "direction", "entered", "exited", Column("price in", "right"), Column("price out", "right"),
        Column("shares", "right"), Column("profit", "right"), "status",
    )  # fmt: skip
    rows = [
        (
            trade.symbol, trade.direction, say(trade.entered_at), say(trade.exited_at),
            say(trade.price_in, "price"), say(trade.price_out, "price"), say(trade.shares),
            say(trade.pnl, "cash"), trade.status,
        )
        for trade in record.trades.itertuples()
    ]  # fmt: skip
    return Table(columns, rows, caption=f"{len(rows)} trades")


def _write(record: RunRecord, folder: Path, form: str) -> list[Path]:
    frames = {
        "equity": record.equity.rename_axis("time").reset_index(),
        "trades": record.trades,
        "positions": record.positions,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for name, frame in frames.items():
            path = folder / f"{name}.{form}"
            if form == "csv":
                frame.to_csv(path, index=False)
            else:
                frame.to_parquet(path, index=False)
            written.append(path)
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written: {error.strerror}.",
            fix="qfund runs export … --to FOLDER",
            code="EXPORT",
        ) from error
    return written

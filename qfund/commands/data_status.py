"""`qfund data status`: how far the stored bars reach, their holes, and which ingests run or were interrupted.

Promises: reads only; a hole is what `qfund data gaps` lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from qfund.commands.data_repair import stored_series
from qfund.commands.options import TimeframeOption, VendorOption
from qfund.commands.session import Session
from qfund.console import Column, Outcome, Table, Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qfund.ingest.ledger import Standing
    from qfund.store.claims import Unended
    from qfund.store.coverage import Status


def register(data: typer.Typer) -> None:
    """Add ``status`` to ``qfund data``."""
    data.command(name="status")(status)


def status(
    ctx: typer.Context,
    vendor: VendorOption = None,
    timeframe: TimeframeOption = None,
) -> None:
    """Show how far the stored bars reach, their holes, and which ingests run or were interrupted.

    Sessions are those that should have bars: from the first that anything is known of, to the last of
    any symbol of the series: answered, stored or in quarantine, while the symbol was listed.
    Asked are those of them that a vendor has answered for; holes are the gaps that `data gaps` lists.

    Example: qfund data status --vendor sample
    """
    from dataclasses import asdict

    from qfund.ingest import ledger
    from qfund.store import claims, coverage

    session = Session.of(ctx)
    standings: dict[tuple[int, str, int], ledger.Standing] = {}
    with session.open_store() as store:
        rows = coverage.status(store, vendor=vendor, timeframe=timeframe)
        for series in stored_series(store, vendor, timeframe) if rows else ():
            of_series = ledger.standings(store, series)
            standings |= {(series.source_id, series.timeframe, n): one for n, one in of_series.items()}
        runs = [one for one in claims.unended(store) if vendor in (None, one.vendor)]
    data: dict[str, object] = {"series": [], "runs": [_described_run(one) for one in runs]}
    going_on = [Text(_said_of_run(one)) for one in runs if one.alive]
    warnings = [_said_of_run(one) for one in runs if not one.alive]
    if not rows:
        session.console.show(
            Outcome(
                "data.status",
                data,
                (Text("Nothing is stored yet."), *going_on),
                warnings=warnings,
                next=("qfund ingest --vendor sample --since 2005-01-01",),
            )
        )
        return
    never = ledger.Standing(0, 0, 0)
    counted = [standings.get((row.source_id, row.timeframe, row.instrument_id), never) for row in rows]
    data["series"] = [asdict(row) | _counts(one) for row, one in zip(rows, counted, strict=True)]
    session.console.show(
        Outcome(
            "data.status",
            data,
            (_table(rows, counted), *going_on),
            warnings=warnings,
            next=(f"qfund data show {rows[0].symbol}",),
        )
    )


def _table(rows: Sequence[Status], counted: Sequence[Standing]) -> Table:
    """A line for each series of a symbol."""
    counts = ("bars", "sessions", "asked", "holes")
    columns: list[Column | str] = ["symbol", "vendor", "feed", "bars of", "first", "last"]
    columns += [*(Column(name, "right") for name in counts), "updated"]
    names = ["symbol", "vendor", "feed", "timeframe", "first", "last"]
    if len({(row.hours, row.price_kind) for row in rows}) > 1:  # series that differ in nothing else
        columns[3:3] = ["price", "hours"]
        names[3:3] = ["price_kind", "hours"]
    cells = [
        [*(getattr(row, name) for name in (*names, "bars")), *_counts(one).values(), row.updated_at]
        for row, one in zip(rows, counted, strict=True)
    ]
    holes = sum(one.missing for one in counted)
    caption = f"{len(rows)} series, {sum(row.bars for row in rows):,} bars, {holes:,} holes"
    return Table(columns, cells, caption=caption)


def _counts(one: Standing) -> dict[str, int]:
    """The sessions of a line."""
    return {"expected": one.expected, "covered": one.asked, "holes": one.missing}


def _described_run(one: Unended) -> dict[str, object]:
    """A run that has not come to its end, JSON-ready."""
    return {
        "ingest_run": one.ingest_run_id,
        "vendor": one.vendor,
        "dataset": one.dataset,
        "state": "running" if one.alive else "interrupted",
        "started_at": one.started_at,
    }


def _said_of_run(one: Unended) -> str:
    """The same as a sentence."""
    what = f"Run {one.ingest_run_id} ({one.vendor}, {one.dataset}, begun {one.started_at:%Y-%m-%d %H:%M} UTC)"
    if one.alive:
        return f"{what} is going on."
    return f"{what} was interrupted; what it had committed is kept, and the same command goes on from there."

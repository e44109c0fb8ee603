"""`qfund data pack|export|import`: minute bars into their packed form, bars out to files and back.

Promises: each may be stopped at any time and run again. An export reads only and never touches a folder
that is not its own; an import writes nothing when a file is not what was exported. No bar is ever deleted.
"""

from __future__ import annotations

import shlex
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from qfund.commands.options import (
    AsOfOption,
    DryRunOption,
    SinceOption,
    SymbolsOption,
    UntilOption,
    VendorOption,
    instant,
    period,
    symbols,
)
from qfund.commands.session import Session
from qfund.console import Column, Facts, Outcome, Table, Text
from qfund.errors import InterruptedRunError, NotFoundError, UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qfund.store import Store
    from qfund.store.export import Export, Selected
    from qfund.store.from_export import Import
    from qfund.store.manifest import BarFile, Manifest
    from qfund.store.packing import Waiting
    from qfund.store.sources import Series

FolderArgument = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="A folder of bars.", show_default=False)
]
TimeframeOption = Annotated[
    Literal["1d", "1m"], typer.Option("--timeframe", help="Bars of a day or of a minute.")
]
FeedOption = Annotated[
    str | None, typer.Option("--feed", metavar="NAME", help="Only this feed of the vendor.")
]

_SHARES = ("equity", "etf")  # what has corporate actions
_MOST_NAMED = 20  # symbols in a command that is proposed


def register(data: typer.Typer) -> None:
    """Add the commands to ``qfund data``."""
    data.command(name="pack")(pack)
    data.command(name="export")(export)
    data.command(name="import")(import_)


def pack(ctx: typer.Context, dry_run: DryRunOption = False) -> None:
    """Pack the minute bars of sessions that are over; for a nightly cron job.

    Bars of a running session are kept one by one and take four times the space. Packing changes no value and
    no as-of read, and the next ingest still asks for the finished session.

    Example: qfund data pack
    """
    from qfund.store import packing

    session = Session.of(ctx)
    now = datetime.now(UTC)
    rows: dict[tuple[str, str, date], list[int]] = {}
    with session.open_store() as store:
        waiting = packing.waiting(store, now)
        if dry_run:
            session.console.show(_to_pack(waiting))
            return
        total = sum(int(one.bars.sum()) for one in waiting)
        try:
            with session.console.progress(total, "Packing minute bars") as progress:
                for done in packing.pack(store, now):
                    progress.advance(done.bars, str(done.session))
                    row = rows.setdefault((done.series.vendor, done.series.feed, done.session), [0, 0])
                    row[0] += done.instruments
                    row[1] += done.bars
        except KeyboardInterrupt:
            kept = sum(bars for _, bars in rows.values())
            raise InterruptedRunError(f"Stopped: {kept:,} bars are packed.", fix="qfund data pack") from None
    session.console.show(_packed([(*key, *counts) for key, counts in rows.items()], deed=True))


def _to_pack(waiting: Sequence[Waiting]) -> Outcome:
    """What there is to pack; nothing is changed."""
    series = [(one.series.vendor, one.series.feed, one.session, len(one.ids)) for one in waiting]
    bars = [int(one.bars.sum()) for one in waiting]
    cells = [(*row, count) for row, count in zip(series, bars, strict=True)]
    return _packed(cells, caption=f"{sum(bars):,} bars to pack; nothing was changed")


def _packed(
    cells: Sequence[tuple[object, ...]], *, caption: str | None = None, deed: bool = False
) -> Outcome:
    """Sessions with their counts."""
    names = ("vendor", "feed", "session", "symbols", "bars")
    data = {"sessions": [dict(zip(names, row, strict=True)) for row in cells]}
    columns = (*names[:3], Column("symbols", "right"), Column("bars", "right"))
    block = Table(columns, cells, caption=caption) if cells else Text("Nothing to pack.")
    return Outcome("data.pack", data, (block,), deed=deed)


def export(
    ctx: typer.Context,
    folder: FolderArgument,
    vendor: VendorOption = None,
    feed: FeedOption = None,
    timeframe: TimeframeOption = "1d",
    symbol: SymbolsOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    adjust: Annotated[
        Literal["raw", "split", "all"],
        typer.Option("--adjust", help="As traded, carried across splits, or across dividends too."),
    ] = "raw",
    as_of: AsOfOption = None,
) -> None:
    """Write bars of one series to Parquet files, one for each symbol and year, with a manifest.

    All bars are those of one moment, and so are the corporate actions of the symbols, in a file of their
    own. An export that was stopped goes on where it was; run again, it brings the folder up to date. Only raw
    prices can be imported again.

    Example: qfund data export ~/bars --vendor sample
    """
    from qfund.store.export import Export, Selected

    session = Session.of(ctx)
    chosen, moment = symbols(symbol), instant(as_of)
    first, last = period(since, until, today=datetime.now(UTC).date())
    with session.open_store() as store:
        series = _series(store, timeframe, vendor, feed)
        selected = Selected(series, chosen, first, last, adjust, moment)
        work = Export(store, folder.expanduser(), selected)
        files = _exported(session, work, folder)
    session.console.show(_told(folder, selected, files))


def _exported(session: Session, work: Export, folder: Path) -> list[BarFile]:
    files: list[BarFile] = []
    try:
        with (
            session.console.progress(work.steps, f"Writing bars to {folder}") as progress,
            closing(work.run()) as steps,
        ):
            for file in steps:
                progress.advance(1, f"{file.symbol} {file.year}" if file else None)
                files += [file] if file else []
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"Stopped: {len(files):,} files are written.", fix="run the same command again"
        ) from None
    return files


def _told(folder: Path, selected: Selected, files: list[BarFile]) -> Outcome:
    from qfund.store import manifest
    from qfund.store.export import identity

    found = manifest.read(folder.expanduser())
    rows, size = found.rows, sum(file.bytes for file in files)
    acts = found.actions.rows if found.actions else 0
    data = {
        "folder": str(folder),
        "series": identity(selected.series),
        "adjust": selected.adjust,
        "as_of": found.as_of,
        "fingerprint": found.fingerprint,
        "symbols": len(found.symbols),
        "files": len(files),
        "bars": rows,
        "actions": acts,
        "bytes": size,
    }
    facts = Facts(
        (
            ("folder", str(folder)),
            ("series", " ".join(word for word in identity(selected.series).values() if word)),
            ("prices", selected.adjust),
            ("as of", found.as_of),
            ("symbols", len(found.symbols)),
            ("files", len(files)),
            ("bars", rows),
            ("actions", acts),
            ("bytes", size),
            ("fingerprint", found.fingerprint),
        )
    )
    again = (f"qfund data import {folder}",) if selected.adjust == selected.series.basis else ()
    return Outcome("data.export", data, (facts,), next=again, deed=True)


def import_(ctx: typer.Context, folder: FolderArgument) -> None:
    """Read an exported folder into the store, under the same series.

    Every file is compared with the manifest before anything is written. The corporate actions come first, so
    that adjusted prices are those of the store that was exported. What is stored already is not written
    again; what differs is kept as a revision.

    Example: qfund data import ~/bars
    """
    from qfund.store.bars import Written
    from qfund.store.from_export import Import

    session = Session.of(ctx)
    total, files = Written(), 0
    with session.open_store() as store:
        work = Import(store, folder.expanduser())
        try:
            label = f"Reading bars from {folder}"
            with (
                session.console.progress(work.manifest.rows, label) as progress,
                closing(work.run()) as steps,
            ):
                for taken in steps:
                    total, files = total + taken.written, files + 1
                    progress.advance(taken.file.rows, f"{taken.file.symbol} {taken.file.year}")
        except KeyboardInterrupt:
            raise InterruptedRunError(
                f"Stopped: {files:,} of {len(work.manifest.files):,} files are in the store.",
                fix=f"qfund data import {folder}",
            ) from None
    session.console.show(_taken(folder, work, files, total))


def _taken(folder: Path, work: Import, files: int, total: object) -> Outcome:
    counts = {name: getattr(total, name) for name in ("new", "changed", "same")}
    data = {
        "folder": str(folder),
        "series": dict(work.manifest.series),
        "fingerprint": work.manifest.fingerprint,
        "symbols": len(work.manifest.symbols),
        "files": files,
        **counts,
        "actions": work.new_actions,
    }
    facts = Facts(
        (
            ("series", " ".join(word for word in work.manifest.series.values() if word)),
            ("symbols", len(work.manifest.symbols)),
            ("files", files),
            *((name, count) for name, count in counts.items()),
            ("new actions", work.new_actions),
        )
    )
    warnings = _without_actions(work.manifest)
    return Outcome("data.import", data, (facts,), warnings=warnings, next=("qfund data status",), deed=True)


def _without_actions(found: Manifest) -> tuple[str, ...]:
    """What to say of shares that came without their corporate actions, from an older export."""
    shares = sorted(name for name, facts in found.symbols.items() if facts["kind"] in _SHARES)
    if found.actions is not None or found.series["basis"] != "raw" or not shares:
        return ()
    from qfund.commands.data_repair import ingest_of

    words = [*ingest_of(found.series["vendor"]), "--timeframe", found.series["timeframe"]]
    words += ["--feed", found.series["feed"]] if found.series["feed"] else []
    words += ["--symbols", ",".join(shares) if len(shares) <= _MOST_NAMED else "@FILE"]
    words += ["--since", found.since] if found.since else []
    words.append("--full-refresh")
    said = (
        "No corporate actions came with this export, since an older qfund made it: prices are not adjusted"
        f" for splits and dividends until you fetch them: {shlex.join(words)}"
    )
    return (said,)


def _series(store: Store, timeframe: Literal["1d", "1m"], vendor: str | None, feed: str | None) -> Series:
    """The one stored series that fits.

    Raises:
        NotFoundError: none does.
        UsageError: several do.
    """
    from qfund.store import sources

    known = sources.sources(store, timeframe)
    fitting = [one for one in known if vendor in (None, one.vendor) and feed in (None, one.feed)]
    if not fitting:
        near = did_you_mean(vendor, {one.vendor for one in known}) if vendor else ""
        raise NotFoundError(
            f"No such {timeframe} bars are stored.{near}", fix="qfund data status", code="NO_SERIES"
        )
    if len(fitting) > 1:
        said = ", ".join(sorted({f"{one.vendor} {one.feed}".strip() for one in fitting}))
        one = fitting[0]
        raise UsageError(
            f"Several series of {timeframe} bars are stored ({said}): say which.",
            fix=f"qfund data export FOLDER --timeframe {timeframe} --vendor {one.vendor}"
            + (f" --feed {one.feed}" if one.feed else ""),
            code="WHICH_SERIES",
        )
    return fitting[0]

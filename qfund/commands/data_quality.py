"""`qfund data gaps`: which bars are missing, and what fetches them.

Promises: reads only. What is found shows in the exit code when that is asked for.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from qfund.commands import data_check, data_repair
from qfund.commands.data_repair import Fetching, ThinOption, ingest_of, offers_of, stored_series
from qfund.commands.options import (
    SinceOption,
    SymbolsOption,
    TimeframeOption,
    UntilOption,
    VendorOption,
    period,
    symbols,
)
from qfund.commands.session import Session
from qfund.console import Block, Column, Outcome, Table, Text
from qfund.errors import DataQualityError

if TYPE_CHECKING:
    from qfund.ingest.ledger import Gap
    from qfund.store.sources import Series
    from qfund.store.unanswered import Unanswered

_MOST_ROWS = 200  # lines of a table; counts are always exact
_MOST_SYMBOLS = 20  # names in a suggested command


def register(app: typer.Typer, fetching: Fetching | None = None) -> None:
    """Add ``gaps``, ``check`` and ``repair`` to ``qfund data``.

    Args:
        app: the commands of ``qfund data``.
        fetching: see ``data_repair.Fetching``; None: an ingest of the other vendor's bars.
    """
    app.command()(gaps)
    app.command()(data_check.check)
    data_repair.register(app, fetching)


# ---------------------------------------------------------------- gaps


def gaps(
    ctx: typer.Context,
    vendor: VendorOption = None,
    symbol: SymbolsOption = None,
    timeframe: TimeframeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    thin: ThinOption = 50,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 5 when there is a gap.")] = False,
) -> None:
    """Show the sessions that should have bars and have none, with what is known of each.

    A session is expected when the exchange was open and the symbol was listed. It may never have been asked
    for, the vendor may have nothing, or its bars were not fit. A symbol that was asked for and never answered
    is told too, and so is one that you name and no run asked for; both count as gaps. Of minute bars sessions
    with few minutes are shown too; for quiet shares they are normal and count as no gap.

    Example: qfund data gaps --vendor sample --since 2012-01-01
    """
    from qfund.ingest import ledger
    from qfund.store.unanswered import unanswered

    session = Session.of(ctx)
    first, last = period(since, until, today=datetime.now(UTC).date())
    chosen = symbols(symbol)
    found: list[tuple[Series, Gap]] = []
    with session.open_store() as store:
        among = stored_series(store, vendor, timeframe)
        for series in among:
            some = ledger.gaps(store, series, symbols=chosen, since=first, until=last, thin=thin)
            found += [(series, gap) for gap in some]
        silent = unanswered(
            store, among, vendor=vendor, timeframe=timeframe, symbols=chosen, since=first, until=last
        )
    commands = [*_remedies(found), *_askings(silent, vendor, among, first, last)]
    session.console.show(_outcome(found, silent, commands, exit_code=exit_code))


def _outcome(
    found: Sequence[tuple[Series, Gap]], silent: Sequence[Unanswered], commands: list[str], *, exit_code: bool
) -> Outcome:
    """Gaps and symbols without an answer, and what asks for them again."""
    from dataclasses import asdict

    from qfund.ingest import ledger

    totals = Counter[str]()
    for _, gap in found:
        totals[gap.kind] += gap.sessions
    missing = sum(count for kind, count in totals.items() if kind != "thin")
    data = {
        "gaps": [
            {"vendor": series.vendor, "feed": series.feed, "timeframe": series.timeframe, **asdict(gap)}
            for series, gap in found
        ],
        "sessions": {kind: totals[kind] for kind in ledger.KINDS},
        "unanswered": [asdict(one) for one in silent],
        "remedies": commands,
    }
    days = "session has" if missing == 1 else "sessions have"
    told = [f"{missing:,} expected {days} no fit bars"] if missing else []
    mute = len({one.symbol for one in silent})
    told += [f"{mute:,} {'symbol was' if mute == 1 else 'symbols were'} never answered"] if silent else []
    error = DataQualityError(f"{' and '.join(told)}.", fix=commands[0] if commands else None, code="GAPS")
    return Outcome(
        "data.gaps",
        data,
        (*_gap_blocks(found, totals, whole=not silent), *_silences(silent)),
        errors=(error,) if exit_code and told else (),
        next=commands,
        deed=not (found or silent),  # that all is well is no news for --quiet
    )


def _silences(silent: Sequence[Unanswered]) -> tuple[Block, ...]:
    """A line for each symbol without any answer."""
    lines = [
        f"{one.symbol}: asked of {one.vendor} for {one.timeframe} bars from {one.since} to {one.until},"
        " and never answered."
        if one.vendor
        else f"{one.symbol}: never answered, no run asked for it."
        for one in silent[:_MOST_ROWS]
    ]
    lines += [f"{len(silent) - len(lines):,} more with --json"] if len(silent) > len(lines) else []
    return (Text(lines),) if lines else ()


def _askings(
    silent: Sequence[Unanswered],
    vendor: str | None,
    among: Sequence[Series],
    since: date | None,
    until: date | None,
) -> list[str]:
    """The ingests that ask again for what was never answered, one for each vendor and length of bars."""
    vendors = {one.vendor for one in among}
    nobody = vendor or (next(iter(vendors)) if len(vendors) == 1 else "NAME")
    groups: dict[tuple[str, str | None, str], list[Unanswered]] = {}
    for one in silent:
        key = (one.vendor or nobody, one.feed, one.timeframe or "1d")
        groups.setdefault(key, []).append(one)
    commands = []
    for (name, feed, timeframe), some in groups.items():
        words = [*ingest_of(name), *(["--feed", feed] if feed and len(offers_of(name)) > 1 else [])]
        words += ["--timeframe", timeframe] if timeframe != "1d" else []
        words += ["--symbols", ",".join(sorted(one.symbol for one in some)[:_MOST_SYMBOLS])]
        first = min((one.since for one in some if one.since), default=since)
        last = max((one.until for one in some if one.until), default=until)
        words += [*(["--since", str(first)] if first else []), *(["--until", str(last)] if last else [])]
        commands.append(shlex.join(words))
    return commands


def _gap_blocks(
    found: Sequence[tuple[Series, Gap]], totals: Counter[str], *, whole: bool
) -> tuple[Block, ...]:
    from qfund.ingest.ledger import KINDS

    if not found:
        return () if not whole else (Text("No gap: every expected session has bars."),)
    columns: list[Column | str] = ["symbol", "vendor", "feed", "bars of", "since", "until"]
    columns += [Column("sessions", "right"), Column("bars", "right"), Column("expected", "right"), "what"]
    rows = [
        (
            gap.symbol,
            series.vendor,
            series.feed,
            series.timeframe,
            gap.since,
            gap.until,
            gap.sessions,
            gap.bars,
            gap.expected,
            KINDS[gap.kind],
        )
        for series, gap in found[:_MOST_ROWS]
    ]
    more = f"; {len(found) - len(rows):,} more lines with --json" if len(found) > len(rows) else ""
    said = ", ".join(f"{totals[kind]:,} {words}" for kind, words in KINDS.items() if totals[kind])
    return (Table(columns, rows, caption=f"sessions: {said}{more}"),)


def _remedies(found: Sequence[tuple[Series, Gap]]) -> list[str]:
    """The commands that mend them.

    What was never asked, or came unfit, is asked for by an ingest; what the vendor has not, by one that asks
    for everything again, or of another vendor.
    """
    asked: dict[Series, list[Gap]] = {}
    empty: dict[Series, list[Gap]] = {}
    for series, gap in found:
        if gap.kind in ("not_asked", "quarantined"):
            asked.setdefault(series, []).append(gap)
        elif gap.kind == "empty":
            empty.setdefault(series, []).append(gap)
    commands = [_ingest(series, some) for series, some in asked.items()]
    for series, some in empty.items():
        commands += [
            f"{_ingest(series, some)} --full-refresh",
            _command(
                ["qfund", "data", "repair", "--vendor", "OTHER", "--of", series.vendor],
                series.timeframe,
                some,
            ),
        ]
    return commands


def _ingest(series: Series, some: Sequence[Gap]) -> str:
    """The ingest of these gaps, with the options that tell the series from others of its vendor."""
    rivals = [
        offer
        for offer in offers_of(series.vendor)
        if (offer.timeframe, offer.calendar) == (series.timeframe, series.calendar)
    ]
    words = ingest_of(series.vendor)
    for flag, name in (("--feed", "feed"), ("--price", "price_kind"), ("--hours", "hours")):
        mine = getattr(series, name)
        if rivals and mine != getattr(rivals[0], name):  # the first is what is meant when nothing is said
            words += [flag, mine]
    return _command(words, series.timeframe, some)


def _command(words: list[str], timeframe: str, some: Sequence[Gap]) -> str:
    names = sorted({gap.symbol for gap in some})
    words = [*words, *(["--timeframe", timeframe] if timeframe != "1d" else [])]
    if len(names) <= _MOST_SYMBOLS:
        words += ["--symbols", ",".join(names)]
    words += ["--since", str(min(gap.since for gap in some)), "--until", str(max(gap.until for gap in some))]
    return shlex.join(words)

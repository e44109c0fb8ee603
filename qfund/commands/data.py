"""`qfund data`: what is stored, what is missing, and who has more.

Promises: reads only. Never fetches anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from qfund.commands import data_actions, data_files, data_quality, data_status
from qfund.commands.completion import complete_symbols
from qfund.commands.options import (
    AsOfOption,
    FeedOption,
    HoursOption,
    PriceOption,
    SinceOption,
    UntilOption,
    VendorOption,
    day,
    instant,
    period,
)
from qfund.commands.session import Session
from qfund.commands.spans import check_early, is_last
from qfund.console import Column, Outcome, Table, Text
from qfund.errors import NotFoundError, QfundError, UsageError, did_you_mean

if TYPE_CHECKING:
    from qfund.market.bars import Bars
    from qfund.store import Store
    from qfund.store.sources import Series
    from qfund.vendors.contract import Capabilities

app = typer.Typer(help="What is stored, what is missing, and who has more.", no_args_is_help=True)
data_status.register(app)  # the first in the help

_FIELDS = ("open", "high", "low", "close", "volume")


def register(root: typer.Typer) -> None:
    """Add ``qfund data`` to the command line."""
    root.add_typer(app, name="data", rich_help_panel="Data")


@app.command()
def show(
    ctx: typer.Context,
    symbol: Annotated[
        str,
        typer.Argument(metavar="SYMBOL", help="Whose bars.", autocompletion=complete_symbols),
    ],
    timeframe: Annotated[
        Literal["1d", "1m"], typer.Option("--timeframe", help="Bars of a day or of a minute.")
    ] = "1d",
    since: SinceOption = None,
    until: UntilOption = None,
    adjust: Annotated[
        Literal["raw", "split", "all"],
        typer.Option("--adjust", help="As traded, carried across splits, or across dividends too."),
    ] = "raw",
    as_of: AsOfOption = None,
    vendor: VendorOption = None,
    feed: FeedOption = None,
    price: PriceOption = None,
    hours: HoursOption = None,
    lines: Annotated[
        int, typer.Option("--lines", "-n", metavar="N", min=1, help="The last N bars of the span.")
    ] = 20,
) -> None:
    """Show stored bars of one symbol.

    A symbol means who bore it last by --until: an old name shows the share it became, and a ticker that was
    used again its bearer of then. The time of a minute bar is its end, in UTC.

    Example: qfund data show IBM --since 2012-07-02 --until 2012-07-06 --adjust all
    """
    from qfund.store.bars import read_bars

    session = Session.of(ctx)
    name = symbol.upper()
    moment = instant(as_of)
    today = datetime.now(UTC).date()
    check_early(since, until, today=today)
    with session.open_store() as store:
        which = {"feed": feed, "price_kind": price, "hours": hours}
        by = None if is_last(until) else day(until, option="--until", today=today)
        series, number, first, last = _stored(store, name, timeframe, vendor, which, by=by)
        begin, end = period(since, until, today=today, last=last)
        if begin is None:  # minutes of a single session suffice for the default
            begin = first if timeframe == "1d" else (end or last)
        bars = read_bars(
            store, [name], series=series, since=begin, until=end or last, adjust=adjust, as_of=moment
        )
        origins = _repaired(store, bars, series, number, (begin, end or last))
        notes = _namesakes(store, series.vendor, name, number)
    if not len(bars) and moment is not None:
        raise NotFoundError(
            f"As of {as_of} nothing was known of {name} from {begin} to {end or last}.",
            fix="give a later --as-of, or none",
            code="NO_BARS",
        )
    if not len(bars):
        raise NotFoundError(
            f"{name} has no {timeframe} bars from {begin} to {end or last}; stored are {first} to {last}.",
            fix=f"qfund data show {name} --since {first} --until {last}",
            code="NO_BARS",
        )
    session.console.show(_shown(bars, series, lines, origins, notes))


@app.command()
def vendors(
    ctx: typer.Context,
    settings: Annotated[
        bool, typer.Option("--settings", help="What can be set for each, and what --with takes.")
    ] = False,
) -> None:
    """Show the installed vendors: what they offer, since when, and whether they need a key.

    Example: qfund data vendors
    """
    from qfund import plugins

    session = Session.of(ctx)
    found: dict[str, Capabilities] = {}
    warnings = []
    for name in plugins.names("qfund.vendors"):
        try:
            found[name] = plugins.load("qfund.vendors", name).capabilities
        except QfundError as error:
            warnings.append(error.message)
    blocks = (_settable(found),) if settings else (_offered(found), Text(_titles(found)))
    data = {"vendors": [_described(name, one) for name, one in found.items()]}
    hints = ("qfund ingest --vendor sample --dry-run",) if "sample" in found else ()
    session.console.show(Outcome("data.vendors", data, blocks, warnings=warnings, next=hints))


def _offered(found: Mapping[str, Capabilities]) -> Table:
    """A line for each series that a vendor has."""
    columns = ("vendor", "market", "bars of", "feed", "price", "hours", "first", "last")
    rows = [
        (name, o.market, o.timeframe, o.feed, o.price_kind, o.hours, o.first, o.last or "today")
        for name, one in found.items()
        for o in one.offers
    ]
    return Table(columns, rows)


def _titles(found: Mapping[str, Capabilities]) -> list[str]:
    """A line for each vendor: what it is, and whether it needs a key."""
    width = max(map(len, found), default=0)
    return [
        f"{name:<{width}}  {one.title}{' (needs a key)' if one.needs_key else ''}"
        for name, one in found.items()
    ]


def _settable(found: Mapping[str, Capabilities]) -> Table:
    """A line for each setting and option of a vendor."""
    rows = [
        (f"vendors.{name}.{s.name}", s.default or "(not set)", s.meaning)
        for name, one in found.items()
        for s in one.settings
    ]
    rows += [
        (f"--vendor {name} --with {s.name}=…", s.default or "(not set)", s.meaning)
        for name, one in found.items()
        for s in one.options
    ]
    return Table(("setting", "default", "meaning"), rows)


def _described(name: str, one: Capabilities) -> dict[str, object]:
    """A vendor's capabilities, JSON-ready."""
    return {
        "name": name,
        "title": one.title,
        "terms": one.terms,
        "needs_key": one.needs_key,
        "symbols_per_request": one.symbols_per_request,
        "requests_per_minute": one.rate and 60 * one.rate.requests / one.rate.seconds,
        "settings": [setting.name for setting in one.settings],
        "options": [option.name for option in one.options],
        "offers": [
            {
                "timeframe": offer.timeframe,
                "market": offer.market,
                "calendar": offer.calendar,
                "reread": offer.reread,
                "feed": offer.feed,
                "basis": offer.basis,
                "hours": offer.hours,
                "price_kind": offer.price_kind,
                "first": offer.first,
                "last": offer.last,
                "sessions_per_request": offer.sessions_per_request,
                "settle_seconds": offer.settle.total_seconds(),
            }
            for offer in one.offers
        ],
    }


def _stored(
    store: Store,
    symbol: str,
    timeframe: Literal["1d", "1m"],
    vendor: str | None,
    which: Mapping[str, Any],
    *,
    by: date | None,
) -> tuple[Series, int, date, date]:
    """The series that holds a symbol's bars, whose they are, and their first and last session.

    The symbol means who bore it last by a day, None for today.

    Raises:
        NotFoundError: no such bars are stored; the message names the nearest symbols.
        UsageError: several vendors or several series of one have them.
    """
    from qfund.store import coverage, sources, symbols

    rows = coverage.status(store, vendor=vendor, timeframe=timeframe)
    meant = {
        name: symbols.bearer_by(symbols.bearers(store, name, [symbol]), symbol, by)
        for name in {row.vendor for row in rows}
    }
    mine = [
        (row, row.first, row.last)
        for row in rows
        if row.instrument_id == meant[row.vendor] and row.first and row.last
    ]
    if not mine:
        known = {row.symbol for row in rows if row.bars}
        of = f" of {vendor}" if vendor else ""
        raise NotFoundError(
            f"No {timeframe} bars{of} are stored for '{symbol}'.{did_you_mean(symbol, known)}",
            fix="qfund data status",
            code="UNKNOWN_SYMBOL",
            details={"symbols": [symbol]},
        )
    names = sorted({row.vendor for row, _, _ in mine})
    if len(names) > 1:
        raise UsageError(
            f"{', '.join(names)} all have {timeframe} bars of {symbol}: say which to show.",
            fix=f"qfund data show {symbol} --vendor {names[0]}",
            code="WHICH_VENDOR",
        )
    held = {_key(row): (first, last) for row, first, last in mine}
    among = [one for one in sources.asked(store, timeframe) if _key(one) in held]
    series = sources.only(among, **which)
    return series, meant[series.vendor] or 0, *held[_key(series)]


def _namesakes(store: Store, vendor: str, symbol: str, number: int) -> list[str]:
    """What else the instrument is called, and who else bore the symbol."""
    from qfund.store import symbols

    notes = []
    names = symbols.dated_names(store, vendor, [number]).get(number, [])
    if names and names[-1].symbol != symbol:
        notes.append(f"{symbol} is {names[-1].symbol} since {names[-1].since}.")
    for other, naming in symbols.bearers(store, vendor, [symbol]).get(symbol, ()):
        if other != number and naming.last is not None:
            then = f"qfund data show {symbol} --until {naming.last}"
            notes.append(f"Until {naming.last} {symbol} was another share: {then}")
        elif other != number:
            notes.append(f"From {naming.since} on {symbol} is another share: qfund data show {symbol}")
    return notes


def _key(one: Any) -> tuple[str, ...]:
    """What tells a series from others."""
    return (one.vendor, one.feed, one.basis, one.hours, one.price_kind)


def _repaired(
    store: Store, bars: Bars, series: Series, number: int, span: tuple[date, date]
) -> dict[object, str]:
    """Time of a row → vendor and feed of a bar that another series had."""
    from datetime import timedelta

    from qfund.market.sessions import opens_and_closes
    from qfund.store import repairs

    found: dict[object, str] = {}
    for one in repairs.provenance(store, series, number, *span):
        source = f"{one.vendor}/{one.feed}"
        if one.minutes is None:
            found[one.session] = source
        else:
            opened = opens_and_closes(bars.calendar, one.session, one.session)[0][0].to_pydatetime()
            found |= {opened + timedelta(minutes=start + 1): source for start in one.minutes}
    return found


def _shown(
    bars: Bars, series: Series, lines: int, origins: Mapping[object, str], notes: Sequence[str]
) -> Outcome:
    """The last bars as a table and as JSON rows."""
    part = bars.rows(max(0, len(bars) - lines), None)
    key = "session" if bars.timeframe == "1d" else "time"
    values = [getattr(part, name).iloc[:, 0].tolist() for name in _FIELDS]
    times = [stamp.date() if bars.timeframe == "1d" else stamp.to_pydatetime() for stamp in part.index]
    rows = [dict(zip((key, *_FIELDS), row, strict=True)) for row in zip(times, *values, strict=True)]
    cells: list[list[object]] = [
        [row[key], *(f"{row[name]:,.4f}" for name in _FIELDS[:4]), f"{row['volume']:,.0f}"] for row in rows
    ]
    (symbol,) = bars.symbols
    columns: list[Column | str] = [key, *(Column(name, "right") for name in _FIELDS)]
    if any(row[key] in origins for row in rows):  # bars that another vendor had
        columns.append("from")
        for row, shown in zip(rows, cells, strict=True):
            row["from"] = origins.get(row[key])
            shown.append(row["from"] or "")
    caption = (
        f"{symbol}, {series.vendor} {series.feed}, {bars.timeframe}, prices {bars.adjust}: "
        f"{len(rows):,} of {len(bars):,} bars"
    )
    data = {
        "symbol": symbol,
        "vendor": series.vendor,
        "feed": series.feed,
        "timeframe": bars.timeframe,
        "adjust": bars.adjust,
        "as_of": bars.as_of,
        "bars": len(bars),
        "rows": rows,
    }
    return Outcome("data.show", data, (Table(columns, cells, caption=caption),), warnings=notes)


for _part in (data_actions, data_files, data_quality):  # once, however often a command line is built
    _part.register(app)

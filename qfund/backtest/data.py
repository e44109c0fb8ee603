"""What a backtest reads from the store: bars twice, corporate actions, delistings.

Promises: signals and money come from the same stored series and the same moment; nothing is read beyond the
period's end, and before its start only what the strategy needs to warm up. It only reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

import pandas as pd

from qfund.backtest.actions import in_money, untold
from qfund.backtest.membership import Membership, membership
from qfund.errors import DataQualityError, NotFoundError, UsageError, did_you_mean, nearest
from qfund.market.actions import CorporateAction
from qfund.market.bars import FIELDS, Adjust, Bars, Timeframe
from qfund.market.sessions import sessions
from qfund.store import Store, actions, bars, coverage, securities, sources
from qfund.store.sources import Hours, PriceKind, Series

FIRST_DAY = date(1900, 1, 1)
LAST_DAY = date(9999, 12, 31)
SPARE = 10  # sessions read beyond the warm-up, for holes


@dataclass(frozen=True)
class Data:
    """What is known of the market over the whole history that was read, warm-up included.

    Attributes:
        signals: bars adjusted as the strategy wants them.
        raw: the same rows and symbols, as traded.
        actions: splits, dividends and spin-offs of these symbols; a spin-off has its ``price_factor``.
        delisted: symbol → last session it could trade, for those that are gone.
        source: vendor and feed, for people: ``sample/wiki``.
        vendor: the vendor alone.
        benchmark: raw bars of one symbol to compare with, on the same rows, when it is not among the symbols.
        untold: sentences on stored actions that the money is without.
        membership: when each symbol may be held; None: always.
    """

    signals: Bars
    raw: Bars
    actions: tuple[CorporateAction, ...] = ()
    delisted: Mapping[str, date] = field(default_factory=dict)
    source: str = ""
    vendor: str = ""
    benchmark: Bars | None = None
    untold: tuple[str, ...] = ()
    membership: Membership | None = None

    def fingerprint(self) -> str:
        """16 hexadecimal digits over raw bars, actions and delistings: what decides the money."""
        digest = hashlib.sha256(self.raw.fingerprint().encode())
        ordered = sorted(self.actions, key=lambda a: (a.symbol, a.ex_date, a.kind))
        for action in ordered:
            numbers = [action.new_rate, action.old_rate, action.cash_amount]
            text = "/".join("" if n is None else format(n.normalize(), "f") for n in numbers)
            text += f"/{action.price_factor!r}" if action.kind == "spinoff" else ""
            digest.update(f"{action.symbol}|{action.kind}|{action.ex_date}|{text}".encode())
        for symbol, day in sorted(self.delisted.items()):
            digest.update(f"{symbol}|gone|{day}".encode())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Query:
    """Which bars a backtest wants.

    Attributes:
        symbols: in this order; None for every symbol of the series.
        vendor: whose data; None when only one vendor has bars of the timeframe.
        feed: which of its series; None when only one has bars of the symbols. Likewise ``price_kind`` and
            ``hours``.
        timeframe: ``"1d"`` or ``"1m"``.
        since: first session that may hold a position; None for the first stored one.
        until: last session; None for the last stored one.
        warmup: bars that the strategy needs for its first decision, the deciding one counted.
        adjust: what the strategy sees.
        as_of: UTC instant; only what was known then. None for all that is stored.
        calendar: sessions are counted on it to find where the warm-up begins.
        benchmark: one more symbol, only to compare with; it may be among the others.
        universe: a stored universe instead of symbols: its members of the period, each while it is one.
    """

    symbols: tuple[str, ...] | None = None
    vendor: str | None = None
    feed: str | None = None
    price_kind: PriceKind | None = None
    hours: Hours | None = None
    timeframe: Timeframe = "1d"
    since: date | None = None
    until: date | None = None
    warmup: int = 0
    adjust: Adjust = "all"
    as_of: datetime | None = None
    calendar: str = "XNYS"
    benchmark: str | None = None
    universe: str | None = None


def read(store: Store, query: Query) -> Data:
    """The data of one backtest.

    Raises:
        NotFoundError: nothing is stored of that timeframe or vendor, or a symbol is unknown (exit 11).
        UsageError: several vendors have such bars and none was named.
        DataQualityError: no bar lies in the period (``NO_BARS``); the message says which are stored.
    """
    series = _series(store, query)
    members = _members(store, series, query)
    symbols = members.symbols if members else query.symbols or tuple(sorted(_with_bars(store, series)))
    beside = (query.benchmark,) if query.benchmark and query.benchmark not in symbols else ()
    since, until = _first_needed(query), query.until or LAST_DAY
    ids = securities.instruments(store, (*symbols, *beside), vendor=series.vendor, by=until)

    def bars_of(wanted: tuple[str, ...], adjust: Adjust) -> Bars:
        read = bars.read_bars(
            store, wanted, series=series, since=since, until=until, adjust=adjust, as_of=query.as_of
        )
        return _warmed_up(read, query)

    raw = bars_of(symbols, "raw")
    if len(raw) == 0:
        raise _nothing(store, series, symbols, query)
    first = raw.sessions[0].date()
    known = actions.read_applied(
        store,
        (*symbols, *beside),
        since=since,
        until=raw.sessions[-1].date(),
        as_of=query.as_of,
        vendor=series.vendor,
        by=until,
    )
    listed = securities.listings(store, vendor=series.vendor, as_of=query.as_of)
    gone = {symbol: listed[key].delisted_on for symbol, key in ids.items()}
    return Data(
        signals=bars_of(symbols, query.adjust),
        raw=raw,
        actions=in_money(known, first),
        untold=untold(known, first),
        membership=members,
        delisted={symbol: day for symbol, day in gone.items() if day is not None},
        source=f"{series.vendor}/{series.feed}" if series.feed else series.vendor,
        vendor=series.vendor,
        benchmark=_on_rows(bars_of(beside, "raw"), raw) if beside else None,
    )


def _nothing(store: Store, series: Series, symbols: Sequence[str], query: Query) -> DataQualityError:
    """Why there is no bar in the period: it lies outside what is stored, or nothing was known yet."""
    rows = coverage.status(store, vendor=series.vendor, timeframe=series.timeframe)
    stored = [row for row in rows if row.feed == series.feed and row.symbol in symbols and row.bars]
    firsts = [row.first for row in stored if row.first is not None]
    lasts = [row.last for row in stored if row.last is not None]
    names = ", ".join(symbols[:8]) + (f" and {len(symbols) - 8} more" if len(symbols) > 8 else "")
    if not firsts:
        return DataQualityError(
            f"No {query.timeframe} bars of {names} are stored.", fix="qfund data status", code="NO_BARS"
        )
    first, last = min(firsts), max(lasts)
    held = f"the stored {query.timeframe} bars of {names} run from {first} to {last}"
    if (query.until is None or query.until >= first) and (query.since is None or query.since <= last):
        if query.as_of is not None:
            return DataQualityError(
                f"As of {query.as_of:%Y-%m-%dT%H:%M:%SZ} no bar of the period was known: {held}.",
                fix="give a later --as-of, or leave it away",
                code="NO_BARS",
            )
        asked = f"{query.since or first} to {query.until or last}"
        return DataQualityError(
            f"There are no bars in {asked}: {held}.", fix="qfund data status", code="NO_BARS"
        )
    before = query.until is not None and query.until < first
    asked = f"until {query.until}" if before else f"since {query.since}"
    return DataQualityError(
        f"There are no bars {asked}: {held}.",
        fix=f"--since {first} --until {last}, or ingest what is missing",
        code="NO_BARS",
    )


def _on_rows(bars: Bars, like: Bars) -> Bars:
    """The bars on another's rows; a row that they do not have is NaN."""
    frames = {name: getattr(bars, name).reindex(like.index) for name in FIELDS}
    return replace(bars, **frames, session_of_row=like.session_of_row)


def _series(store: Store, query: Query) -> Series:
    stored = securities.sources(store, query.timeframe)
    if query.vendor is not None:
        matching = [series for series in stored if series.vendor == query.vendor]
        if not matching:
            raise NotFoundError(
                f"No {query.timeframe} bars of vendor '{query.vendor}' are stored."
                f"{did_you_mean(query.vendor, {series.vendor for series in stored})}",
                fix=f"--vendor {close[0]}"
                if (close := nearest(query.vendor, {series.vendor for series in stored}))
                else f"qfund ingest --vendor {query.vendor} --since 2005-01-01 --timeframe {query.timeframe}",
                code="NO_BARS",
            )
        stored = matching
    if not stored:
        raise NotFoundError(
            f"No {query.timeframe} bars are stored yet.",
            fix=f"qfund ingest --vendor sample --since 2005-01-01 --timeframe {query.timeframe}",
            code="NO_BARS",
        )
    vendors = sorted({series.vendor for series in stored})
    if len(vendors) > 1:
        raise UsageError(
            f"{', '.join(vendors)} all have {query.timeframe} bars: say which to use.",
            fix=f"add --vendor {vendors[0]}",
            code="WHICH_VENDOR",
        )
    rows = coverage.status(store, vendor=vendors[0], timeframe=query.timeframe)
    wanted = set(query.symbols or ())
    held = {_key(row) for row in rows if row.bars and (not wanted or row.symbol in wanted)}
    among = [series for series in stored if _key(series) in held] or stored
    return sources.only(among, feed=query.feed, price_kind=query.price_kind, hours=query.hours)


def _key(one: Series | coverage.Status) -> tuple[str, ...]:
    """What tells a series from others."""
    return (one.vendor, one.feed, one.basis, one.hours, one.price_kind)


def _with_bars(store: Store, series: Series) -> set[str]:
    rows = coverage.status(store, vendor=series.vendor, timeframe=series.timeframe)
    return {row.symbol for row in rows if _key(row) == _key(series) and row.bars}


def _members(store: Store, series: Series, query: Query) -> Membership | None:
    if query.universe is None:
        return None
    return membership(
        store,
        query.universe,
        vendor=series.vendor,
        with_bars=_with_bars(store, series),
        since=query.since,
        until=query.until,
    )


def _first_needed(query: Query) -> date:
    """A session early enough for the warm-up, also when a few sessions have no bars."""
    if query.since is None:
        return FIRST_DAY
    per_session = 1 if query.timeframe == "1d" else 200  # the shortest half day is longer
    needed = -(-_before(query) // per_session)
    if needed == 0:
        return query.since
    needed += SPARE
    before = sessions(
        query.calendar, query.since - timedelta(days=20 + 2 * needed), query.since - timedelta(days=1)
    )
    return before[-needed].date() if needed <= len(before) else FIRST_DAY


def _before(query: Query) -> int:
    """The bars of the warm-up before ``since``: the deciding bar itself is one of them."""
    return max(query.warmup - 1, 0)


def _warmed_up(bars: Bars, query: Query) -> Bars:
    """The bars from exactly the warm-up before ``since`` on, so that the first decision falls on it."""
    if query.since is None:
        return bars
    first = int(bars.sessions.searchsorted(pd.Timestamp(query.since), "left"))
    return bars.rows(max(first - _before(query), 0))

"""Holes of one series filled from another: found, compared around, copied bar by bar with their provenance.

Promises: only times at which the series has no bar are filled; nothing is overwritten. Where the two series
do not agree around a hole, or cannot be compared, nothing is copied and the reason is told. What the first
vendor sends later replaces what was copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Protocol

import numpy as np
import pyarrow as pa
from pyarrow import compute

from qfund.errors import RefusedError
from qfund.ingest import ledger
from qfund.market.hours import Windows, windows
from qfund.store import Store, claims, coverage, nearby, repairs, securities
from qfund.store.accounts import Account, accounts, holders
from qfund.store.sources import Series
from qfund.vendors.contract import Offer

AROUND = 10
"""Sessions on each side of a hole that are compared."""

LEAST_OVERLAP = 3
"""Sessions that both series must have around a hole."""

MOST_APART = 0.01
"""The median distance of their closes, on each side, at the most."""

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Hole:
    """Sessions of one symbol that lack bars, near enough to each other to be judged together.

    Attributes:
        symbol: whose.
        instrument_id: its number in the series with the hole.
        sessions: which, increasing.
        since: first session to compare.
        until: last session to compare.
    """

    symbol: str
    instrument_id: int
    sessions: tuple[date, ...]
    since: date
    until: date


@dataclass(frozen=True)
class Fetched:
    """What a fetch made sure of.

    Attributes:
        series: the second series, None when nothing is stored of it.
        failed: symbol → why its sessions could not be had.
    """

    series: Series | None
    failed: Mapping[str, str] = field(default_factory=dict)


class Fetch(Protocol):
    """Makes sure that the second series has some sessions of some symbols, as far as its vendor has them."""

    def __call__(self, symbols: Sequence[str], since: date, until: date, /) -> Fetched:
        """Ask for what is not covered; a symbol that fails is told, not raised."""
        ...


@dataclass(frozen=True)
class Filled:
    """A hole after the attempt.

    Attributes:
        hole: which.
        bars: bars that were copied.
        sessions: sessions that have bars now which had none, or more than before.
        refused: why nothing was copied; None when something was, or when the second series has nothing.
        failed: whether the second vendor could not be asked.
    """

    hole: Hole
    bars: int = 0
    sessions: int = 0
    refused: str | None = None
    failed: bool = False


def find(
    store: Store,
    series: Series,
    *,
    symbols: Sequence[str] | None = None,
    since: date | None = None,
    until: date | None = None,
    thin: float = ledger.THIN,
) -> list[Hole]:
    """The holes of a series between its first and its last bar, or in the span that is given.

    Args:
        store: where to look.
        series: which series.
        symbols: only these; None for all.
        since: first session; None: the instrument's first session with a bar.
        until: last session; None: its last session with a bar.
        thin: per cent of a session's minutes below which minute bars are filled up.
    """
    wanted = holders(store, series, symbols)
    days = [day for one in wanted if one.reach for day in one.reach]
    first, last = since or min(days, default=None), until or max(days, default=None)
    if first is None or last is None or first > last:
        return []
    hours = windows(series.calendar, series.hours, first, last)
    found: list[Hole] = []
    for account in accounts(store, series, wanted, first, last):
        found += _holes(account, series, hours, (since, until), thin)
    return found


def _holes(
    account: Account, series: Series, hours: Windows, span: tuple[date | None, date | None], thin: float
) -> Iterator[Hole]:
    held = account.sessions
    since = span[0] or (_date(held[0]) if len(held) else None)
    until = span[1] or (_date(held[-1]) if len(held) else None)
    if since is None or until is None:
        return
    places = ledger.holes(account, hours, since, thin=thin, minutes=series.timeframe == "1m")
    places = places[hours.days[places] <= (until - _EPOCH).days]
    if not len(places):
        return
    # Holes whose surroundings overlap are judged together.
    for part in np.split(places, np.flatnonzero(np.diff(places) > AROUND) + 1):
        near = np.clip([part[0] - AROUND, part[-1] + AROUND], 0, len(hours.days) - 1)
        first, last = (_date(hours.days[at]) for at in near)
        margin = timedelta(days=2 * AROUND)
        yield Hole(
            account.holder.symbol,
            account.holder.instrument_id,
            tuple(_date(hours.days[at]) for at in part),
            min(first, _date(hours.days[part[0]]) - margin),
            max(last, _date(hours.days[part[-1]]) + margin),
        )


def fill(store: Store, series: Series, holes: Sequence[Hole], fetch: Fetch) -> Iterator[Filled]:
    """Fill holes; each is yielded once it is committed or given up.

    Args:
        store: where everything is kept.
        series: with the holes.
        holes: see :func:`find`.
        fetch: makes sure that the second series has the sessions.

    Raises:
        RefusedError: the second series is of another kind: adjusted otherwise, other hours, quotes.
    """
    by_span: dict[tuple[date, date], list[Hole]] = {}
    for hole in holes:
        by_span.setdefault((hole.since, hole.until), []).append(hole)
    run: int | None = None
    bars = 0
    status: coverage.RunStatus = "failed"
    alive = ExitStack()
    try:
        for (since, until), some in by_span.items():
            fetched = fetch([hole.symbol for hole in some], since, until)
            if fetched.series is not None:
                refuse_other_kind(series, fetched.series.vendor, fetched.series)
            if run is None:
                params = {"holes": len(holes), "from": fetched.series and fetched.series.vendor}
                run = coverage.start_run(store, series.vendor, f"repair {series.timeframe}", params)
                alive.enter_context(claims.living(store, run))
            for hole in some:
                done = _filled(store, series, hole, fetched, run)
                bars += done.bars
                yield done
        status = "ok"
    finally:
        if run is not None:
            coverage.finish_run(store, run, status, {"bars": bars, "holes": len(holes)})
        alive.close()


def refuse_other_kind(series: Series, vendor: str, other: Series | Offer) -> None:
    """Refuse a second series, stored or only offered, whose bars mean something else.

    Args:
        series: with the holes.
        vendor: the second vendor.
        other: its series.

    Raises:
        RefusedError: it is adjusted otherwise, of other hours or sessions, or of quotes.
    """
    for name in ("basis", "price_kind", "hours", "calendar"):
        own, its = getattr(series, name), getattr(other, name)
        if own != its:
            raise RefusedError(
                f"{vendor} {other.feed} cannot fill {series.vendor} {series.feed}: "
                f"its {name.replace('_', ' ')} is {its}, not {own}.",
                fix="choose a vendor whose bars are of the same kind: qfund data vendors",
                code="OTHER_KIND",
            )


def _filled(store: Store, series: Series, hole: Hole, fetched: Fetched, run: int) -> Filled:
    """One hole, in one transaction."""
    if hole.symbol in fetched.failed:
        return Filled(hole, refused=fetched.failed[hole.symbol], failed=True)
    other = fetched.series
    known = {} if other is None else securities.listings(store, [hole.symbol], other.vendor)
    if other is None or not known:
        return Filled(hole, refused="the other vendor does not know it", failed=True)
    number = max(known)  # the newest bearer of the symbol
    with closing(store.dbapi()) as connection:
        own = nearby.within(connection, series, {hole.symbol: hole.instrument_id}, hole.since, hole.until)
        theirs = nearby.within(connection, other, {hole.symbol: number}, hole.since, hole.until)
    wanted = theirs.filter(compute.is_in(theirs["session"], value_set=pa.array(hole.sessions, pa.date32())))
    if not len(wanted):
        return Filled(hole)
    doubt = disagreement(own, theirs, hole.sessions)
    if doubt is not None:
        return Filled(hole, refused=doubt)
    with store.transaction() as connection:
        ids = {hole.symbol: (hole.instrument_id, number)}
        copied = repairs.fill(connection, series, other, wanted, ids, run_id=run)
    return Filled(hole, len(copied), len(copied["session"].unique()))


def disagreement(own: pa.Table, theirs: pa.Table, hole: Sequence[date]) -> str | None:
    """Why two series of one symbol cannot stand for each other around a hole; None when they can.

    Args:
        own: bars of the series with the hole, in the columns in which bars arrive.
        theirs: bars of the other one.
        hole: its sessions.
    """
    one, two = _closes(own), _closes(theirs)
    common = [day for day in sorted(one.keys() & two.keys()) if day not in set(hole)]
    sides = ([day for day in common if day < hole[0]][-AROUND:], [day for day in common if day > hole[-1]])
    sides = (sides[0], sides[1][:AROUND])
    inner = [day for day in common if hole[0] < day < hole[-1]]
    if sum(map(len, (*sides, inner))) < LEAST_OVERLAP:
        return f"fewer than {LEAST_OVERLAP} sessions around it are in both series, so they cannot be compared"
    for side, words in ((sides[0], "before it"), (inner, "within it"), (sides[1], "after it")):
        if not side:
            continue
        apart = float(np.median([abs(two[day] / one[day] - 1) for day in side]))
        if not apart <= MOST_APART:
            return f"the closes {words} are {apart:.1%} apart, more than {MOST_APART:.0%}"
    return None


def _closes(bars: pa.Table) -> dict[date, float]:
    """Session → its last close; bars come by time."""
    return dict(zip(bars["session"].to_pylist(), bars["close"].to_pylist(), strict=True))


def _date(day: int) -> date:
    return _EPOCH + timedelta(days=int(day))

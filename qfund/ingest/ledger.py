"""The ledger of gaps: the sessions that a series should have and has not, each with what is known of it.

Promises: reads only. A gap is a session of the calendar, while the instrument was listed; never guessed from
the bars themselves, but for what began or ended on a day that nobody tells. Every such session is in the
ledger at most once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import numpy as np

from qfund.market.hours import MINUTE, Windows, windows
from qfund.store import Store
from qfund.store.accounts import Account, Holder, accounts, holders
from qfund.store.sources import Series

Kind = Literal["not_asked", "empty", "quarantined", "thin"]

KINDS: dict[Kind, str] = {
    "not_asked": "never asked, or not answered whole",
    "empty": "asked, and the vendor has nothing",
    "quarantined": "bars came that are not fit",
    "thin": "fewer minutes than expected",
}
"""What a gap can be: code → words. Thin sessions are normal for quiet shares and count as no gap."""

THIN = 50
"""Per cent of the session's minutes, below which it is thin."""

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Gap:
    """Neighbouring sessions of one instrument that lack bars for the same reason.

    Attributes:
        symbol: its newest symbol.
        instrument_id: its number.
        kind: a key of :data:`KINDS`.
        since: first session.
        until: last session.
        sessions: how many sessions that is.
        bars: how many bars they have (thin and quarantined minutes).
        expected: how many they could have at the most.
    """

    symbol: str
    instrument_id: int
    kind: Kind
    since: date
    until: date
    sessions: int
    bars: int
    expected: int


@dataclass(frozen=True)
class Standing:
    """How many sessions an instrument should have, and what is known of them.

    Attributes:
        expected: from the first that anything is known of to the last of any in the series, while it was
            listed.
        asked: those of them that were asked, answered and fit.
        missing: those of them that are gaps, whatever is known of each; thin ones are none.
    """

    expected: int
    asked: int
    missing: int


def standings(store: Store, series: Series, *, now: datetime | None = None) -> dict[int, Standing]:
    """Instrument number → what `gaps` would tell, counted; nothing for one that was never asked for."""
    found = {}
    for account, hours, start in _looked_at(store, series, None, (None, None), now):
        expected = _expected(account.holder, hours, start)
        lacking = np.zeros(len(expected), dtype=bool)
        for mask in _kinds(account, series, hours, start, thin=0).values():
            lacking |= mask
        found[account.holder.instrument_id] = Standing(
            expected=int(expected.sum()),
            asked=int((expected & _covered(account.holder, hours)).sum()),
            missing=int(lacking.sum()),
        )
    return found


def gaps(
    store: Store,
    series: Series,
    *,
    symbols: Sequence[str] | None = None,
    since: date | None = None,
    until: date | None = None,
    thin: float = THIN,
    now: datetime | None = None,
) -> Iterator[Gap]:
    """The gaps of a series, by instrument and session.

    Args:
        store: where to look.
        series: which series.
        symbols: only these; None for all that were ever asked for.
        since: first session; None: of each instrument the first that anything is known of.
        until: last session; None: the last that anything is known of, of any instrument of the series:
            asked, stored or in quarantine.
        thin: per cent of a session's minutes below which minute bars are thin; 0 for never.
        now: UTC; a session that is not over by then is not expected yet. None: the present.
    """
    for account, hours, start in _looked_at(store, series, symbols, (since, until), now):
        yield from _gaps(account, series, hours, start, thin)


def _looked_at(
    store: Store,
    series: Series,
    symbols: Sequence[str] | None,
    span: tuple[date | None, date | None],
    now: datetime | None,
) -> Iterator[tuple[Account, Windows, date]]:
    """The account of each instrument, the hours of the sessions that count, and the first of them."""
    since, until = span
    everyone = holders(store, series)
    wanted = [one for one in everyone if symbols is None or one.symbol in symbols]
    last = until or max((one.reach[1] for one in everyone if one.reach), default=None)
    starts = {one.instrument_id: since or (one.reach[0] if one.reach else None) for one in wanted}
    first = min((day for day in starts.values() if day is not None), default=None)
    if first is None or last is None or first > last:
        return
    hours = windows(series.calendar, series.hours, first, last)
    present = int((now or datetime.now(UTC)).timestamp() * 1_000_000)
    if len(hours.ends) and hours.ends[-1] > present:
        over = hours.days[hours.ends <= present]
        if not len(over):
            return
        last = _date(over[-1])
        hours = windows(series.calendar, series.hours, first, last)
    for account in accounts(store, series, wanted, first, last):
        start = starts[account.holder.instrument_id]
        if start is not None:
            yield account, hours, start


def holes(account: Account, hours: Windows, since: date, *, thin: float, minutes: bool) -> np.ndarray:
    """The sessions without a bar, or with few, while the instrument was listed: positions in ``hours``."""
    expected = _expected(account.holder, hours, since)
    bars = _bars(account, hours)
    lacking = bars == 0
    if minutes:
        lacking |= bars < thin / 100 * _most(hours)
    return np.flatnonzero(expected & lacking)


def _gaps(account: Account, series: Series, hours: Windows, since: date, thin: float) -> Iterator[Gap]:
    holder = account.holder
    bars = _bars(account, hours)
    most = _possible(series, hours)
    found = []
    for kind, chosen in _kinds(account, series, hours, since, thin).items():
        edges = np.flatnonzero(np.diff(chosen.astype(np.int8), prepend=0, append=0))
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            first, last = _date(hours.days[start]), _date(hours.days[stop - 1])
            count, here = int(stop - start), slice(start, stop)
            there, could = int(bars[here].sum()), int(most[here].sum())
            found.append(Gap(holder.symbol, holder.instrument_id, kind, first, last, count, there, could))
    yield from sorted(found, key=lambda one: one.since)


def _kinds(
    account: Account, series: Series, hours: Windows, since: date, thin: float
) -> dict[Kind, np.ndarray]:
    """What each session lacks, no session twice: kind → bool, one for each session."""
    holder = account.holder
    expected = _expected(holder, hours, since)
    bars = _bars(account, hours)
    covered = _covered(holder, hours)
    doubtful = np.isin(hours.days, holder.doubtful)
    minutes = series.timeframe == "1m"
    unasked = ~covered if minutes else ~covered & (bars == 0)
    few = bars < thin / 100 * _possible(series, hours)
    return {
        "quarantined": expected & doubtful,
        "not_asked": expected & unasked & ~doubtful,
        "empty": expected & covered & (bars == 0) & ~doubtful,
        "thin": expected & covered & ~doubtful & (bars > 0) & few & minutes,
    }


def _possible(series: Series, hours: Windows) -> np.ndarray:
    """The most bars of each session."""
    return _most(hours) if series.timeframe == "1m" else np.ones(len(hours.days), dtype=np.int64)


def _expected(holder: Holder, hours: Windows, since: date) -> np.ndarray:
    """The sessions while the instrument was listed, from ``since`` on.

    Where it began or ended on a day that nobody tells, what was asked before its first bar or after its last
    one, and is empty, was not its time.
    """
    first = max(since, holder.listed_on or since)
    inside = hours.days >= (first - _EPOCH).days
    if holder.delisted_on is not None:
        inside &= hours.days <= (holder.delisted_on - _EPOCH).days
    asked = _covered(holder, hours)
    if holder.first_bar is not None:
        inside &= (hours.days >= (holder.first_bar - _EPOCH).days) | ~asked
    if holder.last_bar is not None:
        inside &= (hours.days <= (holder.last_bar - _EPOCH).days) | ~asked
    return np.asarray(inside)


def _covered(holder: Holder, hours: Windows) -> np.ndarray:
    inside = np.zeros(len(hours.days), dtype=bool)
    for first, last in holder.covered:
        start, stop = np.searchsorted(hours.days, [(first - _EPOCH).days, (last - _EPOCH).days + 1])
        inside[start:stop] = True
    return inside


def _bars(account: Account, hours: Windows) -> np.ndarray:
    """How many bars each session has; bars of no session count nowhere."""
    found = np.zeros(len(hours.days), dtype=np.int64)
    place = hours.place_of_days(account.sessions)
    found[place[place >= 0]] = account.bars[place >= 0]
    return found


def _most(hours: Windows) -> np.ndarray:
    """The minutes from open to close of each session."""
    return np.asarray((hours.closes - hours.opens) // MINUTE)


def _date(day: int) -> date:
    return _EPOCH + timedelta(days=int(day))

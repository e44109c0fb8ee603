"""Minute bars on their way in: into packed sessions, or one by one while their session is not over.

Promises: bars that arrive for a session that is stored in part are merged into it by their minute; a session
that does not change is not written; one in which a bar changes leaves its old bars in
``sec.session_revision``, one that only grows keeps since when each bar is held. A session is packed or hot,
never both: once a session is packed, what still arrives for it goes there. Runs in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from datetime import date, datetime
from typing import Any

import numpy as np

from qfund.errors import DataQualityError
from qfund.market.bars import FIELDS
from qfund.market.sessions import opens_and_closes, sessions
from qfund.store import hot, packed, partitions
from qfund.store.arriving import Arriving
from qfund.store.daily import begin
from qfund.store.packed import MINUTE, Minutes, joined
from qfund.store.sources import Series

_DAY_MINUTES = 1440
_DAY = "datetime64[D]"

Counts = tuple[np.ndarray, np.ndarray]
"""The instruments of the bars that were new, and of those that changed: one entry for each bar."""

_NOBODY = np.empty(0, dtype=np.int32)


def write(cursor: Any, series: Series, rows: Arriving, run: int, unfinished: Container[date] = ()) -> Counts:
    """Store sorted, unique rows; returns whose bars were new, and whose changed.

    Args:
        cursor: ADBC, in the caller's transaction.
        series: of which series.
        rows: the bars.
        run: the ingest run that brought them.
        unfinished: sessions that are not over, whose bars stay one by one.

    Raises:
        DataQualityError: a bar is impossible, starts off the minute or lies days away from its session.
    """
    days = _distinct(rows.days)
    known = opens(series.calendar, days)
    _check(rows, days, known)
    moment = begin(cursor, series, _distinct(rows.ids))
    fresh = _minutes(rows, run, moment)
    later = [day for day in days.tolist() if _date(day) in unfinished]
    if not later:
        return settle(cursor, series, fresh, known, run=run, moment=moment)
    open_ones = np.isin(fresh.days, later)
    open_ones[open_ones] = ~hot.is_packed(cursor, series, fresh.take(open_ones))
    counted = hot.write(cursor, series, fresh.take(open_ones), run, moment)
    more = settle(cursor, series, fresh.take(~open_ones), known, run=run, moment=moment)
    return np.concatenate([counted[0], more[0]]), np.concatenate([counted[1], more[1]])


def _date(day: int) -> date:
    found: date = np.int64(day).astype(_DAY).item()
    return found


def _distinct(values: np.ndarray) -> np.ndarray:
    """The distinct values, increasing; quick where equal ones stand together."""
    return np.unique(values[np.concatenate([[True], values[1:] != values[:-1]])])


def _minutes(rows: Arriving, run: int, moment: datetime) -> Minutes:
    since = int(np.datetime64(moment.replace(tzinfo=None), "us").astype(np.int64))
    return Minutes(
        ids=rows.ids,
        days=rows.days,
        minutes=rows.times // MINUTE,
        values=np.vstack([rows.values[name] for name in FIELDS]),
        held=np.full(len(rows), since, dtype=np.int64),
        runs=np.full(len(rows), run, dtype=np.int32),
    )


def opens(calendar: str, days: np.ndarray) -> dict[int, int]:
    """Session → its open, in minutes since 1970-01-01; midnight UTC of a day that is no session."""
    first, last = _date(days[0]), _date(days[-1])
    listed = sessions(calendar, first, last).to_numpy().astype(_DAY).astype(np.int64)
    at = opens_and_closes(calendar, first, last)[0].as_unit("us").asi8 // MINUTE
    known = dict(zip(listed.tolist(), at.tolist(), strict=True))
    return {day: known.get(day, day * _DAY_MINUTES) for day in days.tolist()}


def _check(rows: Arriving, days: np.ndarray, known: Mapping[int, int]) -> None:
    if (rows.times % MINUTE).any():
        raise DataQualityError("A minute bar does not start on a full minute.", code="BAR_TIME")
    open_of_day = np.array([known[day] for day in days.tolist()], dtype=np.int64)
    after = rows.times // MINUTE - open_of_day[np.searchsorted(days, rows.days)]
    if (after < -_DAY_MINUTES).any() or (after >= 2 * _DAY_MINUTES).any():
        raise DataQualityError("A minute bar lies days away from its session.", code="BAR_TIME")
    opened, high, low, close, volume = (np.asarray(rows.values[name]) for name in FIELDS)
    fits = (high >= low) & (high >= opened) & (high >= close) & (low <= opened) & (low <= close)
    fits &= volume >= 0
    if not fits.all():
        row = int(np.argmin(fits))
        told = ", ".join(f"{name} {np.asarray(rows.values[name])[row]}" for name in FIELDS)
        when = f"{np.datetime64(int(rows.times[row]), 'us')}Z"
        raise DataQualityError(f"The minute bar at {when} is impossible: {told}.", code="BAR_VALUE")


def settle(
    cursor: Any, series: Series, fresh: Minutes, known: Mapping[int, int], *, run: int, moment: datetime
) -> Counts:
    """Bring bars of finished sessions into the packed form, together with all that is stored of them.

    Args:
        cursor: ADBC, in a transaction that holds the series' lock.
        series: of which series.
        fresh: what arrives, sorted.
        known: session → its open, in minutes since 1970-01-01; a stored session keeps its own.
        run: who brings it.
        moment: the database's time.

    Returns:
        Whose bars were new, and whose changed.
    """
    if not len(fresh):
        return _NOBODY, _NOBODY
    partitions.ensure_years(cursor, _date(fresh.days.min()), _date(fresh.days.max()))
    groups = fresh.groups[fresh.starts]
    there, stored_opens = packed.stored(cursor, series, groups)
    waiting = hot.stored(cursor, series, groups)
    if not len(there) and not len(waiting):
        packed.copy(cursor, series, fresh, known)
        return fresh.ids, _NOBODY
    before = joined(there, waiting)
    if len(there) and len(waiting):
        before = before.take(np.lexsort((before.minutes, before.groups)))
    merged, grown, changed, counted = merge(before, fresh)
    known = {**known, **stored_opens}
    rewritten = np.union1d(np.union1d(grown, changed), waiting.groups)
    if not len(rewritten):
        return counted
    if len(changed):
        old = before.take(np.isin(before.groups, changed))
        packed.keep(cursor, series, old, known, run=run, moment=moment)
    if len(there):
        packed.delete(cursor, series, rewritten)
    if len(waiting):
        hot.delete(cursor, series, rewritten)
    packed.copy(cursor, series, merged.take(np.isin(merged.groups, rewritten)), known)
    return counted


def merge(before: Minutes, fresh: Minutes) -> tuple[Minutes, np.ndarray, np.ndarray, Counts]:
    """Both together, what arrives winning.

    Args:
        before: what is stored; sorted, each bar once.
        fresh: what arrives; sorted, each bar once.

    Returns:
        The bars, sorted; the groups that only grow and those in which a bar has other values, both
        increasing; whose bars were new and whose changed. A bar that does not change stays held since it
        was; in a group with a changed bar all are held since the first, for its history is kept as a
        revision.
    """
    if _is_again(before, fresh):
        nothing = np.empty(0, dtype=np.int64)
        return before, nothing, nothing, (_NOBODY, _NOBODY)
    both = joined(before, fresh)
    arrived = np.repeat([False, True], [len(before), len(fresh)])
    order = np.lexsort((arrived, both.minutes, both.groups))
    both, arrived = both.take(order), arrived[order]
    groups = both.groups
    again = (groups[1:] == groups[:-1]) & (both.minutes[1:] == both.minutes[:-1])
    replaced = np.append(again, False)  # the stored one of a pair comes first
    replacing = np.insert(again, 0, False)
    differs = np.zeros(len(groups), dtype=bool)
    differs[1:] = again & (both.values[:, 1:] != both.values[:, :-1]).any(axis=0)
    new = arrived & ~replacing
    changed = np.unique(groups[differs])
    grown = np.setdiff1d(groups[new], changed)
    known, same = np.flatnonzero(replacing), np.flatnonzero(replacing & ~differs)
    both.held[known] = both.held[known - 1]
    both.runs[same] = both.runs[same - 1]
    merged = both.take(~replaced)
    told = np.isin(merged.groups, changed)
    if told.any():
        merged.held[told] = merged.take(told).since_their_first().held
    return merged, grown, changed, (both.ids[new], both.ids[differs])


def _is_again(before: Minutes, fresh: Minutes) -> bool:
    """Whether just what is stored has come again, as it does when the last sessions are read again."""
    return (
        len(before) == len(fresh)
        and np.array_equal(before.minutes, fresh.minutes)
        and np.array_equal(before.groups, fresh.groups)
        and np.array_equal(before.values, fresh.values)
    )

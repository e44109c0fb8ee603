"""Minute bars whose clock is wrong by whole hours.

Promises: whole sessions of a symbol are judged, never single bars: a session is said to be shifted when
moving it by the zone's offset puts nearly all of its bars between open and close, while as they are most lie
outside. Pure.
"""

from __future__ import annotations

import numpy as np

from qfund.ingest.bartable import BarTable
from qfund.market.hours import HOUR, MINUTE, Windows

LEAST_INSIDE, MOST_INSIDE = 0.9, 0.6
"""Shares of a session's bars between open and close: after the shift at least, as they are at the most."""

LEAST_BARS = 5
"""A session with fewer bars proves nothing."""

LEAST_BARS_OF_A_DAY, LEAST_SPAN = 30, 0.8
"""Where bars before the open and after the close are normal, the shifted bars must fill the session: so many
of them, over such a share of it."""


def shifted(rows: BarTable, hours: Windows, *, whole_days: bool, now: int) -> np.ndarray:
    """The bars of sessions whose clock is wrong: bool, one for each row.

    Args:
        rows: minute bars in any order.
        hours: the sessions asked for.
        whole_days: whether bars before the open and after the close are normal.
        now: the present, microseconds since 1970-01-01 UTC; where bars before the open are normal, a session
            that is not over is not judged.
    """
    found = np.zeros(len(rows), dtype=bool)
    on = hours.place_of_days(rows.days)
    some = np.flatnonzero((on >= 0) & ~rows.no_time)
    if not len(some):
        return found
    at, times = on[some], rows.times[some]
    group = np.unique(rows.symbols[some].astype(np.int64) << 32 | at, return_inverse=True)[1]
    size = np.bincount(group)
    inside = np.bincount(group, _within(times, at, hours)) / size
    suspect = (inside < MOST_INSIDE) & (size >= (LEAST_BARS_OF_A_DAY if whole_days else LEAST_BARS))
    if whole_days:
        suspect[group[hours.closes[at] > now]] = False
    if not suspect.any():
        return found
    chosen = suspect[group]
    some, at, times, group = some[chosen], at[chosen], times[chosen], group[chosen]
    wrong = np.zeros(len(size), dtype=bool)
    for hour in _shifts(hours):
        moved = times + hour
        fits = np.bincount(group, _within(moved, at, hours), len(size)) / size >= LEAST_INSIDE
        wrong |= fits & _fills(moved, at, group, hours, len(size)) if whole_days else fits
    found[some[wrong[group]]] = True
    return found


def _shifts(hours: Windows) -> list[int]:
    """The shifts to try, microseconds: New York's two offsets, and the zone's own."""
    apart = {4 * HOUR, 5 * HOUR, *(abs(one) for one in hours.offsets())} - {0}
    return sorted(apart | {-one for one in apart})


def _within(times: np.ndarray, at: np.ndarray, hours: Windows) -> np.ndarray:
    """Which bars lie between open and close of their session."""
    return np.asarray((times >= hours.opens[at]) & (times + MINUTE <= hours.closes[at]))


def _fills(times: np.ndarray, at: np.ndarray, group: np.ndarray, hours: Windows, count: int) -> np.ndarray:
    """Which groups' bars reach over most of their session."""
    inside = _within(times, at, hours)
    first = np.full(count, np.iinfo(np.int64).max)
    last = np.full(count, np.iinfo(np.int64).min)
    length = np.ones(count, dtype=np.int64)
    np.minimum.at(first, group[inside], times[inside])
    np.maximum.at(last, group[inside], times[inside])
    length[group] = hours.closes[at] - hours.opens[at]
    return np.asarray((last >= first) & (last - first >= LEAST_SPAN * length))

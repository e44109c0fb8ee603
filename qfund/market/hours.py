"""Hours: from when to when a series has bars on each session, and which day a moment belongs to.

Promises: plain integer arrays, so that a hundred thousand bars are placed in a few milliseconds; both
switches of the clock and half days are the calendar's. Pure: never reads a clock, never guesses a session for
a moment that no session holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal

import numpy as np

from qfund.market import sessions

Hours = Literal["regular", "extended", "always"]

MINUTE = 60_000_000
"""Microseconds."""

HOUR = 60 * MINUTE

EXTENDED = {"XNYS": (time(4), time(20))}
"""Local times at which a session's bars begin and end where trading goes on around it (Nasdaq and NYSE Arca,
"Trading hours"); half days too, since what is quiet is only empty. Elsewhere extended hours are the
calendar's own."""

_EPOCH = date(1970, 1, 1)
_MARGIN = 20  # days around a span whose local dates are known exactly
_WHOLE_DAY = 23 * HOUR  # FX and 24/7, also on the day that loses an hour


@dataclass(frozen=True, eq=False)
class Windows:
    """The sessions of a span, each with its hours.

    Attributes:
        days: sessions, int32 days since 1970-01-01, increasing.
        begins: int64 microseconds since 1970-01-01 UTC at which a session's first bar may start.
        ends: at which its last bar must end.
        opens: of the session itself; the same as ``begins`` unless the hours are extended.
        closes: of the session itself.
        first: the span's first date, days since 1970-01-01.
        last: the span's last date.
        midnights: starts of the local dates around the span, int64 microseconds UTC, increasing.
        first_midnight: the date that begins at ``midnights[0]``, days since 1970-01-01.
    """

    days: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    opens: np.ndarray
    closes: np.ndarray
    first: int
    last: int
    midnights: np.ndarray
    first_midnight: int

    def place_of_days(self, days: np.ndarray) -> np.ndarray:
        """The position of each day among the sessions, -1 where it is none; int64."""
        return _position(self.days, days)

    def place_of_times(self, times: np.ndarray) -> np.ndarray:
        """The position of the session whose hours hold a minute that starts then, -1 where none does.

        Args:
            times: int64 microseconds since 1970-01-01 UTC.
        """
        if not len(self.days):
            return np.full(len(times), -1, dtype=np.int64)
        at = np.searchsorted(self.begins, times, "right") - 1
        held = (at >= 0) & (times + MINUTE <= self.ends[at])
        return np.asarray(np.where(held, at, -1))

    def local_days(self, times: np.ndarray) -> np.ndarray:
        """The date at the exchange of each moment, int32 days since 1970-01-01.

        Exact within twenty days of the span; farther away it may be a day off.
        """
        at = np.searchsorted(self.midnights, times, "right") - 1
        near = np.clip(at, 0, len(self.midnights) - 1)
        apart = (times - self.midnights[near]) // (24 * HOUR)
        return np.asarray(self.first_midnight + near + apart, dtype=np.int32)

    @property
    def round_the_clock(self) -> bool:
        """Whether sessions fill the whole day, so that no time of day is outside."""
        return bool(len(self.days) and (self.closes - self.opens).max() >= _WHOLE_DAY)

    def offsets(self) -> tuple[int, ...]:
        """The zone's distances from UTC over the span, microseconds, each once; east is positive."""
        days = np.arange(self.first_midnight, self.first_midnight + len(self.midnights))
        apart = np.unique(days.astype(np.int64) * 24 * HOUR - self.midnights)
        return tuple(int(one) for one in apart)


@lru_cache(maxsize=256)
def windows(calendar: str, hours: Hours, since: date, until: date) -> Windows:
    """The hours of the sessions in ``[since, until]``.

    Args:
        calendar: name of the sessions' calendar, see ``qfund.market.sessions``.
        hours: ``regular``: open to close; ``extended``: see :data:`EXTENDED`; ``always``: the calendar's own.
        since: first date.
        until: last date.

    Raises:
        NotFoundError: no calendar of that name.
    """
    days = sessions.sessions(calendar, since, until).to_numpy().astype("datetime64[D]").astype(np.int32)
    opened, closed = sessions.opens_and_closes(calendar, since, until)
    opens, closes = opened.as_unit("us").asi8, closed.as_unit("us").asi8
    begins, ends = opens, closes
    if hours == "extended" and calendar in EXTENDED:
        begins, ends = (_local(calendar, days, at) for at in EXTENDED[calendar])
    first, last = (since - _EPOCH).days, (until - _EPOCH).days
    around = np.arange(first - _MARGIN, last + _MARGIN + 1, dtype=np.int32)
    return Windows(
        days, begins, ends, opens, closes, first, last, _local(calendar, around, time()), int(around[0])
    )


def _local(calendar: str, days: np.ndarray, at: time) -> np.ndarray:
    """A time of day at the exchange on each date, int64 microseconds since 1970-01-01 UTC."""
    zone = sessions.zone(calendar)
    start = datetime(1970, 1, 1, tzinfo=UTC)
    moments = (datetime.combine(_EPOCH + timedelta(days=int(day)), at, zone) for day in days)
    return np.array([(moment - start) // timedelta(microseconds=1) for moment in moments], dtype=np.int64)


def _position(known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each wanted value is among the known, increasing ones; -1 where it is not."""
    if not len(known):
        return np.full(len(wanted), -1, dtype=np.int64)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[at] == wanted, at, -1)

"""Sessions: days, opens and closes of exchanges, as ``exchange_calendars`` knows them, and of the FX market.

Promises: a session is a naive midnight date of the exchange's calendar, never a truncated UTC instant; opens
and closes are timezone-aware UTC; half days have their own close. Nothing here knows what day today is.
"""

from __future__ import annotations

from datetime import date, timedelta, tzinfo
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from qfund.errors import NotFoundError, did_you_mean

FIRST_SESSION = "1990-01-01"
DAYS_PER_YEAR = 365.25  # ACT/365.25, see docs/guides/conventions.md


FX = "FX"
"""Foreign exchange, 24 hours on 5 days: session D runs from 17:00 New York on the day before to 17:00 on D,
so that Monday's opens on Sunday. It has no holidays: a quiet day is a session without bars (OANDA, "Hours of
operation"; 17:00 New York is the market's customary change of the value date)."""


@lru_cache(maxsize=8)
def _calendar(name: str, end: str) -> Any:
    import exchange_calendars

    if name == FX:
        return _fx(end)
    known = [*exchange_calendars.get_calendar_names(include_aliases=True), FX]
    if name not in known:
        raise NotFoundError(
            f"There is no exchange calendar named '{name}'.{did_you_mean(name, known)}",
            code="UNKNOWN_CALENDAR",
        )
    return exchange_calendars.get_calendar(name, start=FIRST_SESSION, end=end, side="left")


def _fx(end: str) -> Any:
    """The calendar of foreign exchange."""
    from datetime import time
    from zoneinfo import ZoneInfo

    from exchange_calendars import ExchangeCalendar

    class ForeignExchange(ExchangeCalendar):  # type: ignore[misc]  # an untyped library's class
        name = FX
        tz = ZoneInfo("America/New_York")
        open_times = ((None, time(17)),)
        open_offset = -1
        close_times = ((None, time(17)),)

    return ForeignExchange(start=FIRST_SESSION, end=end, side="left")


def _covering(name: str, until: date) -> Any:
    """The calendar up to at least the end of the year of ``until`` (few distinct ends, so few builds)."""
    return _calendar(name, f"{max(until.year, 2026)}-12-31")


def zone(calendar: str) -> tzinfo:
    """The time zone that the calendar's dates are of.

    Raises:
        NotFoundError: no calendar of that name.
    """
    found: tzinfo = _covering(calendar, date(2026, 1, 1)).tz
    return found


def sessions(calendar: str, since: date, until: date) -> pd.DatetimeIndex:
    """The sessions in ``[since, until]``: naive midnights, increasing, name ``session``; may be empty.

    Raises:
        NotFoundError: no calendar of that name.
    """
    if until < since:
        return pd.DatetimeIndex([], name="session")
    book = _covering(calendar, until)
    found = book.sessions[_rows(book, since, until)]
    return pd.DatetimeIndex(found.as_unit("us").to_numpy(), name="session")


def _rows(book: Any, since: date, until: date) -> slice:
    """Where the sessions of ``[since, until]`` lie in a calendar."""
    first = book.sessions.searchsorted(pd.Timestamp(since), "left")
    return slice(first, max(first, book.sessions.searchsorted(pd.Timestamp(until), "right")))


def opens_and_closes(calendar: str, since: date, until: date) -> tuple[pd.DatetimeIndex, pd.DatetimeIndex]:
    """Opens and closes of the sessions in ``[since, until]``, timezone-aware UTC, one each per session."""
    book = _covering(calendar, until)
    rows = _rows(book, since, until)
    opens, closes = (pd.DatetimeIndex(one.iloc[rows]).as_unit("us") for one in (book.opens, book.closes))
    return (
        opens if opens.tz is not None else opens.tz_localize("UTC"),
        closes if closes.tz is not None else closes.tz_localize("UTC"),
    )


def minutes_in_session(calendar: str, since: date, until: date) -> np.ndarray:
    """Trading minutes of each session in ``[since, until]`` (XNYS: 390, or 210 on most half days); int64."""
    opens, closes = opens_and_closes(calendar, since, until)
    return np.asarray((closes - opens) // pd.Timedelta(minutes=1), dtype=np.int64)


def sessions_per_year(calendar: str, since: date, until: date) -> float:
    """Sessions a year over ``[since, until]``, counted on the calendar; at least one year is looked at.

    Used to annualise, so that a period's own holidays count and no constant 252 is assumed.
    """
    start = min(since, until - timedelta(days=364))
    years = ((until - start).days + 1) / DAYS_PER_YEAR
    return len(sessions(calendar, start, until)) / years

"""Stored bars into arrays: what is wanted, and the one snapshot it is read in.

Promises: bars are placed as they stream in (``daily_reading``, ``minute_reading``), no long table is ever
built. A block is laid out symbol by symbol in memory, so that columns of the frames made from it are
contiguous.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qfund.market.bars import FIELDS
from qfund.market.sessions import opens_and_closes, sessions
from qfund.store.sources import Series

if TYPE_CHECKING:
    from qfund.store.database import Store


@dataclass
class Block:
    """Bars being put together.

    Attributes:
        numbers: instrument numbers, one per column.
        days: the session of each row, int32 days since 1970-01-01, not decreasing.
        index: the time of each row, as ``Bars`` wants it.
        fields: field → float64 array of shape (symbols, rows).
        calendar: the calendar of the sessions.
        daily: whether a row is a session.
        hides: whether what was stored after the moment of the read is left out.
    """

    numbers: np.ndarray
    days: np.ndarray
    index: pd.DatetimeIndex
    fields: dict[str, np.ndarray]
    calendar: str
    daily: bool
    hides: bool

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.days)

    @property
    def session_of_row(self) -> pd.DatetimeIndex | None:
        """The sessions of minute bars; None for daily bars, whose index holds them."""
        return None if self.daily else session_index(self.days, name=None)

    def frames(self) -> dict[str, np.ndarray]:
        """The fields as (rows, symbols), without a copy."""
        return {name: values.T for name, values in self.fields.items()}


def session_index(days: np.ndarray, *, name: str | None = "session") -> pd.DatetimeIndex:
    """Naive midnights of days since 1970-01-01."""
    stamps = days.astype("datetime64[D]").astype("datetime64[us]")
    return pd.DatetimeIndex(stamps, name=name)


@dataclass(frozen=True)
class Selection:
    """Which stored rows a read wants.

    Attributes:
        series: of which series.
        numbers: of which instruments, in the order of the columns.
        since: first session.
        until: last session.
        as_of: moment to read as of, None for the present.
        hides: whether bars stored after ``as_of`` are left out.
    """

    series: Series
    numbers: np.ndarray
    since: date
    until: date
    as_of: datetime | None
    hides: bool

    def where(self, row: str) -> str:
        """The condition on a table of bars under the alias ``row``."""
        said = self.among(row)
        if self.hides:
            said += f" AND {row}.stored_at <= {self.moment}"
        return said

    def among(self, row: str) -> str:
        """The condition on a table that does not say when a bar was stored, such as the revisions."""
        lowest, highest = int(self.numbers.min()), int(self.numbers.max())
        if highest - lowest + 1 == len(self.numbers):
            chosen = (
                f"BETWEEN {lowest} AND {highest}"  # a vendor's whole list: cheaper than a look-up per row
            )
        else:
            chosen = f"= ANY ('{{{','.join(map(str, self.numbers.tolist()))}}}'::integer[])"
        return (
            f"{row}.source_id = {self.series.source_id} AND {row}.instrument_id {chosen}"
            f" AND {row}.session BETWEEN '{self.since}' AND '{self.until}'"
        )

    @property
    def moment(self) -> str:
        """``as_of`` as an SQL literal."""
        if self.as_of is None:
            raise ValueError("a read of the present has no moment")
        return f"'{self.as_of.astimezone(UTC).isoformat()}'::timestamptz"


def read(
    store: Store,
    series: Series,
    numbers: Sequence[int],
    since: date,
    until: date,
    *,
    as_of: datetime | None,
) -> Block:
    """The raw bars of some instruments, as one block.

    Args:
        store: where from.
        series: which series.
        numbers: instruments, one column each.
        since: first session, inclusive.
        until: last session, inclusive.
        as_of: timezone-aware moment, None for the present; see ``bars``.
    """
    from qfund.store import daily_reading, minute_reading

    ids = np.array(numbers, dtype=np.int32)
    connected = store.borrowed() if series.timeframe == "1m" else closing(store.pooled())
    with connected as connection, connection.cursor() as cursor:
        # One snapshot for all queries of the read.
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        calendar = series.calendar
        hides = False
        if as_of is not None:
            hides = knew(cursor, series, as_of)
            if not hides:
                until = min(until, _last_closed(calendar, as_of))
        wanted = Selection(series, ids, since, until, as_of, hides)
        if series.timeframe == "1m":
            return minute_reading.read(cursor, wanted, calendar)
        span = _span(cursor, wanted)
        if span is None:
            return _empty(wanted, calendar)
        wanted = Selection(series, ids, *span, as_of, hides)
        return daily_reading.read(store, cursor, wanted, calendar)


def knew(cursor: Any, series: Series, as_of: datetime) -> bool:
    """Whether the store held anything of the series' vendor at that moment, or could have."""
    cursor.execute(
        "SELECT v.created_at FROM sec.source s JOIN sec.vendor v USING (vendor_id)"  # noqa: S608
        f" WHERE s.source_id = {series.source_id}"
    )
    (since,) = cursor.fetchone()
    return bool(since <= as_of)


def _last_closed(calendar: str, as_of: datetime) -> date:
    """The last session that was over at a moment."""
    day = as_of.astimezone(UTC).date()
    first = date(day.year - 1, 1, 1)
    closes = opens_and_closes(calendar, first, day)[1]
    over = int(closes.searchsorted(pd.Timestamp(as_of).tz_convert("UTC"), "right"))
    return sessions(calendar, first, day)[over - 1].date() if over else date(1, 1, 1)


def _span(cursor: Any, wanted: Selection) -> tuple[date, date] | None:
    """First and last stored session of the selection: two index probes per instrument."""
    numbers = ",".join(map(str, wanted.numbers.tolist()))
    probe = (
        f"(SELECT session FROM sec.bar_1d b WHERE b.instrument_id = k.id"  # noqa: S608 - our own names
        f" AND b.source_id = {wanted.series.source_id}"
        f" AND b.session BETWEEN '{wanted.since}' AND '{wanted.until}' ORDER BY session"
    )
    cursor.execute(
        f"SELECT min({probe} LIMIT 1)), max({probe} DESC LIMIT 1))"  # noqa: S608 - numbers only
        f" FROM unnest('{{{numbers}}}'::integer[]) AS k (id)"
    )
    first, last = cursor.fetchone()
    return None if first is None else (first, last)


def _empty(wanted: Selection, calendar: str) -> Block:
    daily = wanted.series.timeframe == "1d"
    days = np.empty(0, np.int32)
    index = session_index(days) if daily else time_index(np.empty(0, np.int64))
    fields = {name: np.empty((len(wanted.numbers), 0)) for name in FIELDS}
    return Block(wanted.numbers, days, index, fields, calendar, daily, wanted.hides)


def time_index(minutes: np.ndarray) -> pd.DatetimeIndex:
    """Timezone-aware UTC times of minutes since 1970-01-01."""
    stamps = minutes.astype("datetime64[m]").astype("datetime64[us]")
    return pd.DatetimeIndex(stamps, name="time").tz_localize("UTC")

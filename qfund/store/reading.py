"""Stored bars into arrays: record batches are placed as they stream in, no long table is ever built.

Promises: the peak of memory is the five arrays plus a few record batches. A block is laid out symbol by
symbol in memory, so that columns of the frames made from it are contiguous.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from qfund.market.bars import FIELDS
from qfund.market.sessions import opens_and_closes, sessions
from qfund.store.sources import Series

if TYPE_CHECKING:
    from qfund.store.database import Store

_EPOCH = date(1970, 1, 1)


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
    from qfund.store import minute_reading

    ids = np.array(numbers, dtype=np.int32)
    with store.borrowed() as connection, connection.cursor() as cursor:
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
        return _daily(cursor, wanted, calendar)


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


# ---------------------------------------------------------------- daily bars


class Grid:
    """Columns by instrument number, rows by day, and the arrays they lead into."""

    def __init__(self, numbers: np.ndarray, days: np.ndarray) -> None:
        self.days = days
        self.shape = (len(numbers), len(days))
        self.fields = {name: np.empty(self.shape) for name in FIELDS}
        self._placed = np.zeros(len(numbers), dtype=bool)
        self._first = int(days[0])
        self._row = np.full(int(days[-1]) - self._first + 1, -1, dtype=np.int64)
        self._row[days - self._first] = np.arange(len(days))
        self._column = np.zeros(int(numbers.max()) + 1, dtype=np.int64)
        self._column[numbers] = np.arange(len(numbers))

    def unknown(self, days: np.ndarray) -> np.ndarray:
        """The days without a row."""
        return np.unique(days[self._row[days - self._first] < 0])

    def place(self, number: int, days: np.ndarray, values: dict[str, np.ndarray]) -> None:
        """Put the bars of one instrument, in any order of days, where they belong."""
        rows: Any = self._row[days - self._first]
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and bool((np.diff(rows) == 1).all()):
            rows = slice(rows[0], rows[-1] + 1)  # no holes: one block copy instead of a scatter
        column = self._column[number]
        self._placed[column] = True
        for name, found in values.items():
            if len(found) < self.shape[1]:
                self.fields[name][column] = np.nan
            self.fields[name][column, rows] = found

    def close(self) -> None:
        """Empty the columns of instruments that no bar came for; call it once, at the end."""
        for values in self.fields.values():
            values[~self._placed] = np.nan

    def widened(self, numbers: np.ndarray, strange: np.ndarray) -> Grid:
        """A grid with more rows: the data have sessions that the calendar has not."""
        wider = Grid(numbers, np.union1d(self.days, strange).astype(np.int32))
        rows = np.searchsorted(wider.days, self.days)
        for name, values in self.fields.items():
            wider.fields[name].fill(np.nan)
            wider.fields[name][:, rows] = values
        wider._placed[:] = self._placed
        return wider


def _daily(cursor: Any, wanted: Selection, calendar: str) -> Block:
    """A row for every session of the calendar, then without those on which nothing was traded."""
    planned = _days_of(calendar, wanted.since, wanted.until)
    grid = Grid(wanted.numbers, planned)
    for some in _parts(wanted.numbers, len(planned)):
        cursor.execute(_daily_query(replace(wanted, numbers=some)))
        for batch in cursor.fetch_record_batch():
            for number, days, values in _instruments(batch):
                strange = grid.unknown(days)
                if len(strange):
                    grid = grid.widened(wanted.numbers, strange)
                grid.place(number, days, values)
    grid.close()
    seen = ~np.isnan(grid.fields["close"]).all(axis=0)
    fields, days = grid.fields, grid.days
    if not seen.all():
        days = days[seen]
        for name in FIELDS:
            fields[name] = fields[name][:, seen]
    return Block(wanted.numbers, days, session_index(days), fields, calendar, daily=True, hides=wanted.hides)


def _days_of(calendar: str, since: date, until: date) -> np.ndarray:
    """The calendar's sessions and both ends, as days since 1970-01-01."""
    found = sessions(calendar, since, until).to_numpy().astype("datetime64[D]").astype(np.int32)
    ends = np.array([(day - _EPOCH).days for day in (since, until)], dtype=np.int32)
    return np.union1d(found, ends).astype(np.int32)


# The server sends one row per instrument: its bars packed into three byte strings, in the form in which
# Postgres puts numbers on the wire. One row per bar costs both sides a call and a header for every value.
_ROWS_AT_ONCE = 1_500_000  # bars packed by one query: about 70 MB of the server's memory
_EPOCH_OF_POSTGRES = 10_957  # days from 1970-01-01 to 2000-01-01, from which it counts
_PACKED = (
    "string_agg(date_send(x.session), ''),"
    " string_agg(lseg_send(lseg(point(x.open, x.high), point(x.low, x.close))), ''),"
    " string_agg(float8send(x.volume), '')"
)
_PRICES = ("open", "high", "low", "close")


def _parts(numbers: np.ndarray, days: int) -> list[np.ndarray]:
    """The instruments, in parts whose bars fit one query; sorted, so that a whole list stays a range."""
    parts = -(-len(numbers) * days // _ROWS_AT_ONCE)
    return [part for part in np.array_split(np.sort(numbers), max(parts, 1)) if len(part)]


def _instruments(batch: pa.RecordBatch) -> Iterator[tuple[int, np.ndarray, dict[str, np.ndarray]]]:
    """Each instrument of a batch: its number, its days since 1970-01-01, its five fields."""
    numbers = batch.column(0).to_numpy()
    packed = [_bytes(batch.column(place)) for place in (1, 2, 3)]
    for place, number in enumerate(numbers):
        session, prices, volume = (pieces[place] for pieces in packed)
        days = np.frombuffer(session, dtype=">i4").astype(np.int32) + _EPOCH_OF_POSTGRES
        quoted = np.frombuffer(prices, dtype=">f8").reshape(-1, len(_PRICES))
        values = {name: quoted[:, at] for at, name in enumerate(_PRICES)}
        yield int(number), days, values | {"volume": np.frombuffer(volume, dtype=">f8")}


def _bytes(column: pa.Array) -> list[memoryview]:
    """The byte strings of a column, without copies."""
    data = memoryview(column.buffers()[2])
    last = column.offset + len(column)
    ends = np.frombuffer(column.buffers()[1], dtype=np.int32, count=last + 1)
    return [data[ends[at] : ends[at + 1]] for at in range(column.offset, last)]


def _daily_query(wanted: Selection) -> str:
    chosen = "b.instrument_id, b.session"
    if wanted.as_of is None:
        bars = (
            f"SELECT {chosen}, {', '.join(f'b.{name}' for name in FIELDS)}"  # noqa: S608 - our own names
            f" FROM sec.bar_1d b WHERE {wanted.where('b')}"
        )
    else:
        fields = ", ".join(f"coalesce(r.{name}, b.{name}) AS {name}" for name in FIELDS)
        bars = (
            f"SELECT {chosen}, {fields} FROM sec.bar_1d b"  # noqa: S608
            " LEFT JOIN (SELECT DISTINCT ON (v.instrument_id, v.session) v.* FROM sec.bar_revision v"
            f" WHERE v.source_id = {wanted.series.source_id} AND v.replaced_at > {wanted.moment}"
            " ORDER BY v.instrument_id, v.session, v.replaced_at) r USING (instrument_id, session)"
            f" WHERE {wanted.where('b')}"
        )
    return f"SELECT x.instrument_id, {_PACKED} FROM ({bars}) x GROUP BY x.instrument_id"  # noqa: S608

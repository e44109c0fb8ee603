"""Daily bars out of their table: one row per instrument, packed by the server, placed as it arrives.

Promises: the peak of memory is the five arrays and one row for each reader. All readers see the snapshot of
the caller's transaction.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from qfund.market.bars import FIELDS
from qfund.market.sessions import sessions
from qfund.store.reading import Block, Selection, session_index

if TYPE_CHECKING:
    from qfund.store.database import Store

_EPOCH = date(1970, 1, 1)
_EPOCH_OF_POSTGRES = 10_957  # days from 1970-01-01 to 2000-01-01, from which it counts

# Several readers keep several cores of the server packing. That beats its own parallel workers, which pack
# parts of every instrument and copy them once more to one of them.
_MOST_READERS = 4
_WORTH_A_READER = 100_000  # bars
_ROWS_AT_ONCE = 1_000_000  # bars packed by one query: about 50 MB of the server's memory when it must hash

# One row per bar would cost both sides a call and a header for every value; the bars of an instrument go
# into three byte strings, in the form in which Postgres puts numbers on the wire.
_PACKED = (
    "string_agg(date_send(x.session), ''),"
    " string_agg(lseg_send(lseg(point(x.open, x.high), point(x.low, x.close))), ''),"
    " string_agg(float8send(x.volume), '')"
)
_PRICES = ("open", "high", "low", "close")
_SIGNATURE = b"PGCOPY\n\xff\r\n\0"


def read(store: Store, cursor: Any, wanted: Selection, calendar: str) -> Block:
    """A row for every session of the calendar, then without those on which nothing was traded.

    Args:
        store: where more connections come from.
        cursor: of psycopg2, in a transaction that sees one snapshot.
        wanted: which bars.
        calendar: their calendar.
    """
    planned = _days_of(calendar, wanted.since, wanted.until)
    sink = _Sink(Grid(wanted.numbers, planned))
    shares = _shares(wanted.numbers, len(planned))
    cursor.execute("SELECT pg_export_snapshot()")
    (snapshot,) = cursor.fetchone()
    with ThreadPoolExecutor() as readers:
        joined = [readers.submit(_join, store, snapshot, wanted, share, sink) for share in shares[1:]]
        _fetch(cursor, wanted, shares[0], sink)
        for reader in joined:
            reader.result()
    return _block(sink.filled(), wanted, calendar)


def _shares(numbers: np.ndarray, days: int) -> list[list[np.ndarray]]:
    """For each reader the instruments of its queries; sorted, so that a whole list stays a range."""
    bars = len(numbers) * days
    readers = max(1, min(_MOST_READERS, os.cpu_count() or 1, bars // _WORTH_A_READER))
    queries = readers * max(1, -(-bars // (readers * _ROWS_AT_ONCE)))
    parts = [part for part in np.array_split(np.sort(numbers), queries) if len(part)]
    return [share for share in (parts[reader::readers] for reader in range(readers)) if share]


def _join(store: Store, snapshot: str, wanted: Selection, share: list[np.ndarray], sink: _Sink) -> None:
    """Fetch a share over a connection of its own, in somebody else's snapshot."""
    with closing(store.pooled()) as connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        _fetch(cursor, wanted, share, sink)


def _fetch(cursor: Any, wanted: Selection, share: list[np.ndarray], sink: _Sink) -> None:
    # Along the key an instrument is packed at a time, in a few kilobytes that stay in the cache. The default
    # price of a random page, that of a turning disk, would have the server sort the table in memory instead.
    cursor.execute("SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL random_page_cost = 1.1")
    for numbers in share:
        query = _query(replace(wanted, numbers=numbers))
        cursor.copy_expert(f"COPY ({query}) TO STDOUT (FORMAT binary)", sink)


class _Sink:
    """The file that binary COPYs are written to: places each row, possibly several at the same time."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._aside: list[tuple[int, np.ndarray, dict[str, np.ndarray]]] = []

    def write(self, row: bytes) -> int:
        """Take one message of the server, which is one row; the first has the header before it."""
        at = 0
        if row.startswith(_SIGNATURE):
            (extension,) = struct.unpack_from(">i", row, len(_SIGNATURE) + 4)
            at = len(_SIGNATURE) + 8 + extension
        if len(row) - at > 2:  # else the trailer
            number, days, values = _instrument(row, at)
            if self._grid.knows(days):
                self._grid.place(number, days, values)
            else:
                self._aside.append((number, days, values))
        return len(row)

    def filled(self) -> Grid:
        """The grid with everything in it; call it once, at the end."""
        if self._aside:
            self._grid = self._grid.widened(np.concatenate([days for _, days, _ in self._aside]))
        for number, days, values in self._aside:
            self._grid.place(number, days, values)
        self._grid.close()
        return self._grid


def _instrument(row: bytes, at: int) -> tuple[int, np.ndarray, dict[str, np.ndarray]]:
    """A row of the query from byte ``at``: number, days since 1970-01-01, the five fields; no copies."""
    number, session, prices, volume = _columns(row, at)
    days = np.frombuffer(session, dtype=">i4").astype(np.int32) + _EPOCH_OF_POSTGRES
    quoted = np.frombuffer(prices, dtype=">f8").reshape(-1, len(_PRICES))
    values = {name: quoted[:, place] for place, name in enumerate(_PRICES)}
    values["volume"] = np.frombuffer(volume, dtype=">f8")
    return int.from_bytes(number), days, values


def _columns(row: bytes, at: int) -> Iterator[memoryview]:
    """The values of a row of a binary COPY: their count, then each after its length."""
    whole = memoryview(row)
    (count,) = struct.unpack_from(">h", row, at)
    at += 2
    for _ in range(count):
        (size,) = struct.unpack_from(">i", row, at)
        yield whole[at + 4 : at + 4 + size]
        at += 4 + size


def _block(grid: Grid, wanted: Selection, calendar: str) -> Block:
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


def _query(wanted: Selection) -> str:
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


class Grid:
    """Columns by instrument number, rows by day, and the arrays they lead into."""

    def __init__(self, numbers: np.ndarray, days: np.ndarray) -> None:
        self.numbers = numbers
        self.days = days
        self.shape = (len(numbers), len(days))
        self.fields = {name: np.empty(self.shape) for name in FIELDS}
        self._placed = np.zeros(len(numbers), dtype=bool)
        self._first = int(days[0])
        self._row = np.full(int(days[-1]) - self._first + 1, -1, dtype=np.int64)
        self._row[days - self._first] = np.arange(len(days))
        self._column = np.zeros(int(numbers.max()) + 1, dtype=np.int64)
        self._column[numbers] = np.arange(len(numbers))

    def knows(self, days: np.ndarray) -> bool:
        """Whether each of the days has a row."""
        return bool((self._row[days - self._first] >= 0).all())

    def place(self, number: int, days: np.ndarray, values: dict[str, np.ndarray]) -> None:
        """Put the bars of one instrument, in any order of days, where they belong.

        Different instruments may be placed at the same time.
        """
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

    def widened(self, strange: np.ndarray) -> Grid:
        """A grid with more rows: the data have sessions that the calendar has not."""
        wider = Grid(self.numbers, np.union1d(self.days, strange).astype(np.int32))
        rows = np.searchsorted(wider.days, self.days)
        for name, values in self.fields.items():
            wider.fields[name].fill(np.nan)
            wider.fields[name][:, rows] = values
        wider._placed[:] = self._placed
        return wider

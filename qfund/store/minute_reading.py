"""Minute bars on their way out: packed and hot ones together, as of any moment, placed as they stream.

Promises: the peak of memory is the five arrays plus a few record batches. A read as of a moment shows the
bars that were held then, with the values that they had then. Reads in the caller's snapshot.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from qfund.market.bars import FIELDS
from qfund.store import hot, packed
from qfund.store.packed import ARRAYS, MINUTE, SENT, Minutes, plain
from qfund.store.reading import Block, Selection, time_index

_INSTANT = pa.timestamp("us", tz="UTC")


class _Board:
    """A row for every minute between the first and the last bar of each session, a column per instrument."""

    def __init__(self, numbers: np.ndarray, days: np.ndarray, first: np.ndarray, last: np.ndarray) -> None:
        sizes = last - first + 1
        self._days = days
        self._offsets = np.concatenate([[0], np.cumsum(sizes)])
        self._first, self._last = first, last
        self.rows = int(self._offsets[-1])
        within = np.arange(self.rows) - np.repeat(self._offsets[:-1], sizes)
        self.minutes = np.repeat(first, sizes) + within
        self.days = np.repeat(days, sizes)
        self.fields = {name: np.full((len(numbers), self.rows), np.nan) for name in FIELDS}
        self._column = np.zeros(int(numbers.max()) + 1, dtype=np.int64)
        self._column[numbers] = np.arange(len(numbers))

    def places(self, bars: Minutes) -> np.ndarray:
        """Where bars lie in the flattened fields."""
        at = np.searchsorted(self._days, bars.days)
        row = self._offsets[at] - self._first[at] + bars.minutes
        return np.asarray(self._column[bars.ids] * self.rows + row)

    def spans(self, bars: Minutes) -> np.ndarray:
        """Which bars lie between the first and the last of their session."""
        at = np.minimum(np.searchsorted(self._days, bars.days), len(self._days) - 1)
        within = (self._first[at] <= bars.minutes) & (bars.minutes <= self._last[at])
        return np.asarray((self._days[at] == bars.days) & within)

    def put(self, bars: Minutes) -> None:
        """Place bars."""
        places = self.places(bars)
        for name, values in zip(FIELDS, bars.values, strict=True):
            self.fields[name].reshape(-1)[places] = values

    def close(self) -> None:
        """Take out the minutes in which no instrument has a bar."""
        seen = ~np.isnan(self.fields["close"]).all(axis=0)
        if not seen.all():
            self.minutes, self.days = self.minutes[seen], self.days[seen]
            for name in FIELDS:
                self.fields[name] = self.fields[name][:, seen]


def read(cursor: Any, wanted: Selection, calendar: str) -> Block:
    """The bars of a selection as a block; a bar is named by its end."""
    board = _board(cursor, wanted)
    if board.rows:
        limit = _limit(wanted)
        cursor.execute(_packed_query(wanted))
        for batch in cursor.fetch_record_batch():
            if batch.num_rows:
                bars, _ = packed.unpacked(batch)
                board.put(bars if limit is None else bars.take(bars.held <= limit))
        cursor.execute(f"SELECT {hot.COLUMNS} FROM sec.bar_1m_hot b WHERE {wanted.where('b')}")  # noqa: S608
        for batch in cursor.fetch_record_batch():
            if batch.num_rows:
                board.put(hot.bars_of(batch))
        if wanted.as_of is not None:
            _put_back(cursor, wanted, board)
        board.close()
    index = time_index(board.minutes + 1)
    return Block(wanted.numbers, board.days, index, board.fields, calendar, daily=False, hides=wanted.hides)


def _limit(wanted: Selection) -> int | None:
    """The last moment at which a bar may have come, in microseconds since 1970-01-01; None for any."""
    if wanted.as_of is None or not wanted.hides:
        return None
    naive: datetime = wanted.as_of.astimezone(UTC).replace(tzinfo=None)
    return int(np.datetime64(naive, "us").astype(np.int64))


def _board(cursor: Any, wanted: Selection) -> _Board:
    """The board over all that is stored of a selection."""
    cursor.execute(
        "SELECT x.session, min(x.first), max(x.last) FROM ("  # noqa: S608 - our own names
        "SELECT b.session, b.session_open + b.minute[1] * interval '1 minute' AS first,"
        " b.session_open + b.minute[cardinality(b.minute)] * interval '1 minute' AS last"
        f" FROM sec.bar_1m_day b WHERE {wanted.where('b')}"
        f" UNION ALL SELECT b.session, b.ts, b.ts FROM sec.bar_1m_hot b WHERE {wanted.where('b')}"
        ") x GROUP BY 1 ORDER BY 1"
    )
    spans = cursor.fetch_arrow_table()
    days = plain(spans.column(0).cast(pa.int32()))
    first, last = (plain(spans.column(k).cast(_INSTANT).cast(pa.int64())) // MINUTE for k in (1, 2))
    return _Board(wanted.numbers, days, first, last)


def _packed_query(wanted: Selection) -> str:
    if wanted.as_of is None:
        return (
            f"SELECT b.instrument_id, b.session, b.session_open, {SENT}"  # noqa: S608 - our own names
            f" FROM sec.bar_1m_day b WHERE {wanted.where('b')}"
        )
    # Revisions hold plain values only.
    old = {"stored_at": "b.stored_at"}
    for name in ("session_open", "minute", "held", *FIELDS):
        old[name] = f"CASE WHEN r.replaced_at IS NULL THEN b.{name} ELSE r.{name} END"
    for name in ARRAYS:
        old.setdefault(name, f"CASE WHEN r.replaced_at IS NULL THEN b.{name} END")
    chosen = ", ".join(f"{said} AS {name}" for name, said in old.items())
    return (
        f"SELECT b.instrument_id, b.session, {chosen} FROM sec.bar_1m_day b"  # noqa: S608 - our own names
        " LEFT JOIN (SELECT DISTINCT ON (v.instrument_id, v.session) v.* FROM sec.session_revision v"
        f" WHERE v.source_id = {wanted.series.source_id} AND v.replaced_at > {wanted.moment}"
        " ORDER BY v.instrument_id, v.session, v.replaced_at) r"
        " ON r.instrument_id = b.instrument_id AND r.session = b.session"
        f" WHERE {wanted.where('b')}"
    )


def _put_back(cursor: Any, wanted: Selection, board: _Board) -> None:
    """Give bars that were changed while hot, after the moment of the read, the values of that moment."""
    cursor.execute(
        "SELECT DISTINCT ON (b.instrument_id, b.session, b.ts) b.instrument_id, b.session, b.ts,"  # noqa: S608
        f" {', '.join(f'b.{name}' for name in FIELDS)}, b.replaced_at AS stored_at,"
        " b.old_run_id AS ingest_run_id"
        f" FROM sec.bar_1m_revision b WHERE {wanted.among('b')} AND b.replaced_at > {wanted.moment}"
        " ORDER BY b.instrument_id, b.session, b.ts, b.replaced_at"
    )
    bars = hot.bars_of(cursor.fetch_arrow_table())
    bars = bars.take(board.spans(bars))
    if len(bars):
        held = ~np.isnan(board.fields["close"].reshape(-1)[board.places(bars)])
        board.put(bars.take(held))

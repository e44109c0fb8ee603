"""Minute bars, packed: one row per instrument and session, holding arrays.

Promises: bars that arrive for a session that is stored in part are merged into it by their minute; a
session that does not change is not written; one that does leaves its old arrays in
``sec.session_revision``. The yearly partition is made when the first session of a year arrives. Runs in the
caller's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from qfund.errors import DataQualityError
from qfund.market.bars import FIELDS
from qfund.market.sessions import opens_and_closes, sessions
from qfund.store.arriving import Arriving, group_keys
from qfund.store.daily import begin, pg_array
from qfund.store.reading import Block, Selection, time_index
from qfund.store.sources import Series

_PARTITION_LOCK = 0x7166_7061_7274
_MINUTE = 60_000_000  # microseconds
_DAY_MINUTES = 1440


@dataclass(frozen=True, eq=False)
class _Flat:
    """Minute bars in columns, sorted by instrument, session and minute.

    Attributes:
        ids: instrument numbers, int32.
        days: sessions, int32 days since 1970-01-01.
        minutes: starts of the bars, int64 minutes since 1970-01-01 UTC.
        values: float64 of shape (5, bars), in the order of ``FIELDS``.
    """

    ids: np.ndarray
    days: np.ndarray
    minutes: np.ndarray
    values: np.ndarray

    @property
    def groups(self) -> np.ndarray:
        """One int64 for each instrument and session, increasing."""
        return group_keys(self.ids, self.days)

    def take(self, rows: np.ndarray) -> _Flat:
        """The rows of a mask or of positions."""
        return _Flat(self.ids[rows], self.days[rows], self.minutes[rows], self.values[:, rows])


def write(cursor: Any, series: Series, rows: Arriving, run: int) -> tuple[int, int, int]:
    """Store sorted, unique rows; returns how many bars were new, changed, and the same."""
    numbers = np.unique(rows.ids)
    moment = begin(cursor, series, numbers)
    _ensure_partitions(cursor, rows)
    opens = _opens(series.calendar, rows)
    fresh = _flat(rows)
    stored, since = _stored(cursor, series, rows, fresh.groups)
    if not len(stored.ids):
        _copy(cursor, series, fresh, opens, run=run, stored_at=lambda groups: _constant(moment, len(groups)))
        return len(rows), 0, 0
    merged, touched, counted = _merge(stored, fresh)
    if not len(touched):
        return counted
    _keep_old(cursor, series, touched, run, moment)
    changed = merged.take(np.isin(merged.groups, touched))
    _copy(cursor, series, changed, opens, run=run, stored_at=lambda groups: _stored_at(groups, since, moment))
    return counted


def _constant(moment: Any, size: int) -> pa.Array:
    return pa.repeat(pa.scalar(moment, pa.timestamp("us", tz="UTC")), size)


def _stored_at(groups: np.ndarray, since: dict[int, Any], moment: Any) -> pa.Array:
    """When each session was first held; a session that is new is held from now on."""
    kind = pa.timestamp("us", tz="UTC")
    return pa.array([since.get(int(group), moment) for group in groups], kind)


def _flat(rows: Arriving) -> _Flat:
    values = np.vstack([rows.values[name] for name in FIELDS])
    return _Flat(rows.ids, rows.days, rows.times // _MINUTE, values)


def _opens(calendar: str, rows: Arriving) -> dict[int, int]:
    """Session → its open, in minutes since 1970-01-01; midnight UTC where the calendar has no such session.

    Raises:
        DataQualityError: a bar does not start on a full minute, or lies days away from its session.
    """
    if (rows.times % _MINUTE).any():
        raise DataQualityError("A minute bar does not start on a full minute.", code="BAR_TIME")
    if (np.abs(rows.times // _MINUTE - rows.days.astype(np.int64) * _DAY_MINUTES) > 3 * _DAY_MINUTES).any():
        raise DataQualityError("A minute bar lies days away from its session.", code="BAR_TIME")
    first, last = date.fromisoformat(rows.first), date.fromisoformat(rows.last)
    days = sessions(calendar, first, last).to_numpy().astype("datetime64[D]").astype(np.int64)
    opens = opens_and_closes(calendar, first, last)[0]
    known = dict(zip(days.tolist(), (opens.as_unit("us").asi8 // _MINUTE).tolist(), strict=True))
    return {int(day): known.get(int(day), int(day) * _DAY_MINUTES) for day in np.unique(rows.days)}


def _ensure_partitions(cursor: Any, rows: Arriving) -> None:
    first, last = int(rows.first[:4]), int(rows.last[:4])
    cursor.execute(
        f"SELECT y FROM generate_series({first}, {last}) y"  # noqa: S608 - numbers only
        " WHERE to_regclass('sec.bar_1m_day_' || y) IS NULL"
    )
    missing = [int(row[0]) for row in cursor.fetchall()]
    if not missing:
        return
    cursor.execute(f"SELECT pg_advisory_xact_lock({_PARTITION_LOCK}) IS NULL")
    cursor.fetchall()
    for year in missing:
        cursor.execute(
            f"CREATE TABLE IF NOT EXISTS sec.bar_1m_day_{year} PARTITION OF sec.bar_1m_day"
            f" FOR VALUES FROM ('{year}-01-01') TO ('{year + 1}-01-01')"
        )


# ---------------------------------------------------------------- merging


def _stored(cursor: Any, series: Series, rows: Arriving, groups: np.ndarray) -> tuple[_Flat, dict[int, Any]]:
    """The stored bars of the sessions that arrive, and since when each session is held."""
    numbers = pg_array(np.unique(rows.ids))
    arrays = ", ".join(FIELDS)
    cursor.execute(
        f"SELECT instrument_id, session, session_open, stored_at, minute, {arrays} FROM sec.bar_1m_day"  # noqa: S608
        f" WHERE source_id = {series.source_id} AND instrument_id = ANY ('{numbers}'::integer[])"
        f" AND session BETWEEN '{rows.first}' AND '{rows.last}' ORDER BY instrument_id, session"
    )
    table = cursor.fetch_arrow_table().combine_chunks()
    ids, days, starts, lengths, values = _unpacked(table)
    keys = group_keys(ids, days)
    since = dict(zip(keys.tolist(), table.column("stored_at").to_pylist(), strict=True))
    flat = _Flat(np.repeat(ids, lengths), np.repeat(days, lengths), starts, values)
    return flat.take(np.isin(flat.groups, groups)), since


def _unpacked(
    table: pa.Table | pa.RecordBatch,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Packed rows: ids, days, starts of the bars (minutes since 1970), bars per row, values (5, bars)."""
    ids = _plain(table.column("instrument_id"))
    days = _plain(table.column("session").cast(pa.int32()))
    opens = _plain(table.column("session_open").cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()))
    packed = _one(table.column("minute"))
    lengths = _plain(packed.value_lengths())
    starts = np.repeat(opens // _MINUTE, lengths) + _plain(packed.flatten())
    values = np.vstack([_plain(_one(table.column(name)).flatten()) for name in FIELDS])
    return ids, days, starts, lengths, values


def _one(column: Any) -> Any:
    """A column as one array, whether it comes from a table or from a record batch."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _plain(column: Any) -> np.ndarray:
    return np.asarray(_one(column).to_numpy(zero_copy_only=False))


def _merge(stored: _Flat, fresh: _Flat) -> tuple[_Flat, np.ndarray, tuple[int, int, int]]:
    """Both together, what arrives winning; the sessions that differ from what is stored; the counts."""
    arrived = np.repeat([False, True], [len(stored.ids), len(fresh.ids)])
    both = _Flat(
        np.concatenate([stored.ids, fresh.ids]),
        np.concatenate([stored.days, fresh.days]),
        np.concatenate([stored.minutes, fresh.minutes]),
        np.hstack([stored.values, fresh.values]),
    )
    order = np.lexsort((arrived, both.minutes, both.groups))
    both, arrived = both.take(order), arrived[order]
    groups = both.groups
    again = (groups[1:] == groups[:-1]) & (both.minutes[1:] == both.minutes[:-1])
    replaced = np.append(again, False)  # the stored one of a pair comes first
    replacing = np.insert(again, 0, False)
    differs = np.zeros(len(groups), dtype=bool)
    differs[1:] = again & (both.values[:, 1:] != both.values[:, :-1]).any(axis=0)
    new = arrived & ~replacing
    touched = np.unique(groups[new | differs])
    counts = int(new.sum()), int(differs.sum()), int((replacing & ~differs).sum())
    return both.take(~replaced), touched, counts


def _keep_old(cursor: Any, series: Series, touched: np.ndarray, run: int, moment: Any) -> None:
    """Move the rows that will be replaced into the revisions."""
    ids, days = touched >> 32, (touched & 0xFFFF_FFFF) - (1 << 24)
    keys = (
        f"source_id = {series.source_id} AND (instrument_id, session) IN"  # noqa: S608 - numbers only
        " (SELECT k.id, date '1970-01-01' + k.day"
        f" FROM unnest('{pg_array(ids)}'::integer[], '{pg_array(days)}'::integer[]) AS k (id, day))"
    )
    columns = f"session_open, instrument_id, session, source_id, minute, {', '.join(FIELDS)}"
    cursor.execute(
        f"INSERT INTO sec.session_revision ({columns}, replaced_at, old_run_id, new_run_id)"  # noqa: S608
        f" SELECT {columns}, '{moment.isoformat()}', ingest_run_id, {run} FROM sec.bar_1m_day WHERE {keys}"
    )
    cursor.execute(f"DELETE FROM sec.bar_1m_day WHERE {keys}")  # noqa: S608 - our own names and numbers


def _copy(
    cursor: Any, series: Series, bars: _Flat, opens: dict[int, int], *, run: int, stored_at: Any
) -> None:
    """COPY the bars as packed rows; ``stored_at`` gives the sessions' moments."""
    groups, starts = np.unique(bars.groups, return_index=True)
    offsets = pa.array(np.append(starts, len(bars.ids)).astype(np.int32))
    days = bars.days[starts]
    open_of_row = np.array([opens[int(day)] for day in days], dtype=np.int64)
    lengths = np.diff(np.append(starts, len(bars.ids)))
    minute = (bars.minutes - np.repeat(open_of_row, lengths)).astype(np.int16)
    columns = {
        "session_open": pa.array(open_of_row * _MINUTE).cast(pa.timestamp("us", tz="UTC")),
        "stored_at": stored_at(groups),
        "instrument_id": pa.array(bars.ids[starts], pa.int32()),
        "session": pa.array(days, pa.int32()).cast(pa.date32()),
        "ingest_run_id": pa.repeat(pa.scalar(run, pa.int32()), len(groups)),
        "source_id": pa.repeat(pa.scalar(series.source_id, pa.int16()), len(groups)),
        "minute": pa.ListArray.from_arrays(offsets, pa.array(minute)),
    }
    for name, values in zip(FIELDS, bars.values, strict=True):
        columns[name] = pa.ListArray.from_arrays(offsets, pa.array(values))
    cursor.adbc_ingest("bar_1m_day", pa.table(columns), mode="append", db_schema_name="sec")


# ---------------------------------------------------------------- reading


def read(cursor: Any, wanted: Selection, calendar: str) -> Block:
    """A row for every minute between the first and the last bar of each session, then without empty ones."""
    cursor.execute(
        "SELECT b.session, min(b.session_open + b.minute[1] * interval '1 minute'),"  # noqa: S608
        " max(b.session_open + b.minute[cardinality(b.minute)] * interval '1 minute')"
        f" FROM sec.bar_1m_day b WHERE {wanted.where('b')} GROUP BY 1 ORDER BY 1"
    )
    spans = cursor.fetch_arrow_table()
    session = _plain(spans.column(0).cast(pa.int32()))
    first, last = (
        _plain(spans.column(k).cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())) // _MINUTE for k in (1, 2)
    )
    sizes = last - first + 1
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    rows = int(offsets[-1])
    within = np.arange(rows) - np.repeat(offsets[:-1], sizes)
    minutes = np.repeat(first, sizes) + within
    days = np.repeat(session, sizes)
    fields = {name: np.full((len(wanted.numbers), rows), np.nan) for name in FIELDS}
    column = np.zeros(int(wanted.numbers.max()) + 1, dtype=np.int64)
    column[wanted.numbers] = np.arange(len(wanted.numbers))
    cursor.execute(_query(wanted))
    for batch in cursor.fetch_record_batch():
        if batch.num_rows == 0:
            continue
        ids, day, starts, lengths, values = _unpacked(batch)
        at = np.searchsorted(session, day)
        row = np.repeat(offsets[at] - first[at], lengths) + starts
        flat = np.repeat(column[ids] * rows, lengths) + row
        for name, one in zip(FIELDS, values, strict=True):
            fields[name].reshape(-1)[flat] = one
    seen = ~np.isnan(fields["close"]).all(axis=0)
    if not seen.all():
        minutes, days = minutes[seen], days[seen]
        for name in FIELDS:
            fields[name] = fields[name][:, seen]
    index = time_index(minutes + 1)  # a bar is named by its end
    return Block(wanted.numbers, days, index, fields, calendar, daily=False, hides=wanted.hides)


def _query(wanted: Selection) -> str:
    if wanted.as_of is None:
        arrays = ", ".join(f"b.{name}" for name in ("session_open", "minute", *FIELDS))
        return f"SELECT b.instrument_id, b.session, {arrays} FROM sec.bar_1m_day b WHERE {wanted.where('b')}"  # noqa: S608
    arrays = ", ".join(
        f"coalesce(r.{name}, b.{name}) AS {name}" for name in ("session_open", "minute", *FIELDS)
    )
    return (
        f"SELECT b.instrument_id, b.session, {arrays} FROM sec.bar_1m_day b"  # noqa: S608 - our own names
        " LEFT JOIN (SELECT DISTINCT ON (v.instrument_id, v.session) v.* FROM sec.session_revision v"
        f" WHERE v.source_id = {wanted.series.source_id} AND v.replaced_at > {wanted.moment}"
        " ORDER BY v.instrument_id, v.session, v.replaced_at) r USING (instrument_id, session)"
        f" WHERE {wanted.where('b')}"
    )

"""Minute bars of sessions that are not over, one row each.

Promises: an unchanged bar is not written again; a changed one leaves its old values in
``sec.bar_1m_revision``. Runs in the caller's transaction. Never touches a packed session.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from qfund.market.bars import FIELDS
from qfund.store import packed, partitions
from qfund.store.arriving import group_keys
from qfund.store.packed import MINUTE, Minutes
from qfund.store.sources import Series

_STAGE = "qfund_arriving_minutes"
_INSTANT = pa.timestamp("us", tz="UTC")
_VALUES = ", ".join(f"b.{name}" for name in FIELDS)
COLUMNS = f"b.instrument_id, b.session, b.ts, {_VALUES}, b.stored_at, b.ingest_run_id"
"""What :func:`bars_of` wants, of a table under the alias ``b``."""


def stored(cursor: Any, series: Series, groups: np.ndarray) -> Minutes:
    """The hot bars of some instruments' sessions, sorted."""
    cursor.execute(
        f"SELECT {COLUMNS} FROM sec.bar_1m_hot b"  # noqa: S608 - our own names and numbers
        f" WHERE {packed.matching(series, groups)} ORDER BY 1, 2, 3"
    )
    return bars_of(cursor.fetch_arrow_table())


def bars_of(table: pa.Table | pa.RecordBatch) -> Minutes:
    """Rows of :data:`COLUMNS` as bars, in their order."""
    if not table.num_rows:
        return packed.NO_BARS
    return Minutes(
        ids=packed.plain(table.column("instrument_id")),
        days=packed.plain(table.column("session").cast(pa.int32())),
        minutes=_micros(table.column("ts")) // MINUTE,
        values=np.vstack([packed.plain(table.column(name)) for name in FIELDS]),
        held=_micros(table.column("stored_at")),
        runs=packed.plain(table.column("ingest_run_id")),
    )


def _micros(column: Any) -> np.ndarray:
    return packed.plain(column.cast(_INSTANT).cast(pa.int64()))


def is_packed(cursor: Any, series: Series, bars: Minutes) -> np.ndarray:
    """For each bar whether its session is packed already."""
    if not len(bars):
        return np.empty(0, dtype=bool)
    groups = bars.groups
    cursor.execute(
        "SELECT b.instrument_id, b.session FROM sec.bar_1m_day b"  # noqa: S608 - numbers only
        f" WHERE {packed.matching(series, groups[bars.starts])}"
    )
    table = cursor.fetch_arrow_table()
    ids = packed.plain(table.column("instrument_id"))
    days = packed.plain(table.column("session").cast(pa.int32()))
    return np.isin(groups, group_keys(ids, days))


def write(
    cursor: Any, series: Series, fresh: Minutes, run: int, moment: datetime
) -> tuple[np.ndarray, np.ndarray]:
    """Store sorted bars of sessions that are not packed; returns whose were new, and whose changed."""
    if not len(fresh):
        return fresh.ids, fresh.ids
    first, last = (_date(day) for day in (fresh.days.min(), fresh.days.max()))
    partitions.ensure_weeks(cursor, first, last)
    before = stored(cursor, series, fresh.groups[fresh.starts])
    present, differs = _compared(before, fresh)
    new = fresh.take(~present)
    if len(new):
        _copy(cursor, series, new)
    changed = fresh.take(differs)
    if len(changed):
        _replace(cursor, series, changed, run, moment)
    return new.ids, changed.ids


def _date(day: int) -> date:
    found: date = np.int64(day).astype("datetime64[D]").item()
    return found


def _compared(before: Minutes, fresh: Minutes) -> tuple[np.ndarray, np.ndarray]:
    """Which of the bars are stored already, and which of those with other values."""
    both = packed.joined(before, fresh)
    arrived = np.repeat([False, True], [len(before), len(fresh)])
    order = np.lexsort((arrived, both.minutes, both.groups))
    groups, minutes, values = both.groups[order], both.minutes[order], both.values[:, order]
    again = np.flatnonzero((groups[1:] == groups[:-1]) & (minutes[1:] == minutes[:-1]))
    where = order[again + 1] - len(before)
    present, differs = np.zeros(len(fresh), dtype=bool), np.zeros(len(fresh), dtype=bool)
    present[where] = True
    differs[where] = (values[:, again + 1] != values[:, again]).any(axis=0)
    return present, differs


def _table(series: Series, bars: Minutes) -> pa.Table:
    columns = {
        "ts": pa.array(bars.minutes * MINUTE).cast(_INSTANT),
        "stored_at": pa.array(bars.held).cast(_INSTANT),
        "instrument_id": pa.array(bars.ids, pa.int32()),
        "session": pa.array(bars.days, pa.int32()).cast(pa.date32()),
        "ingest_run_id": pa.array(bars.runs, pa.int32()),
        "source_id": pa.repeat(pa.scalar(series.source_id, pa.int16()), len(bars)),
    }
    return pa.table(columns | {name: pa.array(row) for name, row in zip(FIELDS, bars.values, strict=True)})


def _copy(cursor: Any, series: Series, bars: Minutes) -> None:
    cursor.adbc_ingest("bar_1m_hot", _table(series, bars), mode="append", db_schema_name="sec")


def _replace(cursor: Any, series: Series, bars: Minutes, run: int, moment: datetime) -> None:
    """Move the old values of changed bars to the revisions, and put in the new."""
    cursor.adbc_ingest(_STAGE, _table(series, bars), mode="create", temporary=True)
    match = (
        f"b.source_id = {series.source_id} AND b.instrument_id = s.instrument_id AND b.session = s.session"
        f" AND b.ts = s.ts AND b.session BETWEEN '{_date(bars.days.min())}' AND '{_date(bars.days.max())}'"
    )
    cursor.execute(
        "INSERT INTO sec.bar_1m_revision (instrument_id, source_id, session, ts, replaced_at, old_run_id,"  # noqa: S608
        f" new_run_id, {', '.join(FIELDS)})"
        f" SELECT b.instrument_id, b.source_id, b.session, b.ts, '{moment.isoformat()}', b.ingest_run_id,"
        f" {run}, {_VALUES} FROM pg_temp.{_STAGE} s JOIN sec.bar_1m_hot b ON {match}"
    )
    fields = ", ".join(f"{name} = s.{name}" for name in FIELDS)
    cursor.execute(
        f"UPDATE sec.bar_1m_hot b SET {fields}, ingest_run_id = {run} FROM pg_temp.{_STAGE} s WHERE {match}"  # noqa: S608
    )
    cursor.execute(f"DROP TABLE pg_temp.{_STAGE}")  # a failure rolls its creation back


def delete(cursor: Any, series: Series, groups: np.ndarray) -> None:
    """Take out the hot bars of some instruments' sessions, which the caller has packed."""
    cursor.execute(f"DELETE FROM sec.bar_1m_hot b WHERE {packed.matching(series, groups)}")  # noqa: S608

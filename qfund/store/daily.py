"""Daily bars into their table: one row each.

Promises: an unchanged row is not written again, whatever arrives; a changed one leaves its old values in
``sec.bar_revision``. Runs in the caller's transaction.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from qfund.market.bars import FIELDS
from qfund.store.arriving import Arriving
from qfund.store.sources import Series

_STAGE = "qfund_arriving"
_BATCH = 4000  # rows
_KEPT = ", ".join((*FIELDS, "vwap", "trades"))
_KEPT_OF_B = ", ".join(f"b.{name}" for name in (*FIELDS, "vwap", "trades"))


def write(cursor: Any, series: Series, rows: Arriving, run: int) -> tuple[int, int, int]:
    """Store sorted, unique rows; returns how many were new, changed, and the same."""
    numbers = np.unique(rows.ids)
    moment = begin(cursor, series, numbers)
    values = [*FIELDS, *(name for name in ("vwap", "trades") if name in rows.values)]
    keyed = _table(rows, values)
    if not _any_stored(cursor, series, rows, numbers):
        _copy(cursor, series, keyed, run, moment)
        return len(rows), 0, 0
    cursor.adbc_ingest(_STAGE, keyed, mode="create", temporary=True)
    counted = _upsert(cursor, series, rows, values, run=run, moment=moment)
    cursor.execute(f"DROP TABLE pg_temp.{_STAGE}")  # a failure rolls its creation back
    return counted


def begin(cursor: Any, series: Series, numbers: np.ndarray) -> Any:
    """Wait for other writers of the series; returns the database's time, timezone-aware."""
    kind = 0 if series.timeframe == "1d" else 1
    cursor.execute(
        f"SELECT pg_advisory_xact_lock({series.source_id}, {kind}) IS NULL"  # keys of two int4: ours
    )
    cursor.fetchall()
    cursor.execute(
        "INSERT INTO ops.coverage (source_id, timeframe, instrument_id)"
        f" SELECT {series.source_id}, '{series.timeframe}', unnest('{pg_array(numbers)}'::integer[])"
        " ON CONFLICT DO NOTHING"
    )
    cursor.execute("SELECT clock_timestamp()")
    (moment,) = cursor.fetchone()
    return moment


def pg_array(numbers: np.ndarray) -> str:
    """A Postgres array literal of integers."""
    return "{" + ",".join(map(str, numbers.tolist())) + "}"


def _table(rows: Arriving, values: list[str]) -> pa.Table:
    days = pa.array(rows.days, pa.int32()).cast(pa.date32())
    columns = {name: pa.array(rows.values[name]) for name in values}
    return pa.table({"instrument_id": pa.array(rows.ids, pa.int32()), "session": days, **columns})


def _any_stored(cursor: Any, series: Series, rows: Arriving, numbers: np.ndarray) -> bool:
    """Whether a bar may be there already: one index probe per instrument, over its own span of sessions."""
    starts = np.searchsorted(rows.ids, numbers, "left")
    ends = np.searchsorted(rows.ids, numbers, "right") - 1
    cursor.execute(
        "SELECT EXISTS (SELECT 1 FROM"  # noqa: S608 - numbers only
        f" unnest('{pg_array(numbers)}'::integer[], '{pg_array(rows.days[starts])}'::integer[],"
        f" '{pg_array(rows.days[ends])}'::integer[]) AS k (id, first, last)"
        " CROSS JOIN LATERAL (SELECT 1 FROM sec.bar_1d b WHERE b.instrument_id = k.id"
        f" AND b.source_id = {series.source_id}"
        " AND b.session BETWEEN date '1970-01-01' + k.first AND date '1970-01-01' + k.last LIMIT 1) s)"
    )
    return bool(cursor.fetchone()[0])


def _copy(cursor: Any, series: Series, keyed: pa.Table, run: int, moment: Any) -> None:
    """COPY straight into the table: nothing there is in the way, and no writer comes between."""
    size = keyed.num_rows
    full = keyed
    for name, value, kind in (
        ("stored_at", moment, pa.timestamp("us", tz="UTC")),
        ("ingest_run_id", run, pa.int32()),
        ("source_id", series.source_id, pa.int16()),
    ):
        full = full.append_column(name, pa.repeat(pa.scalar(value, kind), size))
    # Small batches: the server works on one while the next is encoded.
    batches = full.combine_chunks().to_batches(max_chunksize=_BATCH)
    reader = pa.RecordBatchReader.from_batches(full.schema, batches)
    cursor.adbc_ingest("bar_1d", reader, mode="append", db_schema_name="sec")


def _upsert(
    cursor: Any, series: Series, rows: Arriving, values: list[str], *, run: int, moment: Any
) -> tuple[int, int, int]:
    cursor.execute(f"ANALYZE pg_temp.{_STAGE}")
    match = (
        f"b.source_id = {series.source_id} AND b.instrument_id = s.instrument_id AND b.session = s.session"
        f" AND b.session BETWEEN '{rows.first}' AND '{rows.last}'"
    )
    old = ", ".join(f"b.{name}" for name in values)
    new = ", ".join(f"s.{name}" for name in values)
    differs, at = f"({old}) IS DISTINCT FROM ({new})", moment.isoformat()
    cursor.execute(
        "SELECT count(*) FILTER (WHERE b.session IS NULL),"  # noqa: S608 - our own names and numbers
        f" count(*) FILTER (WHERE b.session IS NOT NULL AND {differs})"
        f" FROM pg_temp.{_STAGE} s LEFT JOIN sec.bar_1d b ON {match}"
    )
    fresh, changed = map(int, cursor.fetchone())
    if changed:
        cursor.execute(
            "INSERT INTO sec.bar_revision"  # noqa: S608 - our own names and numbers
            f" (instrument_id, source_id, session, replaced_at, old_run_id, new_run_id, {_KEPT})"
            f" SELECT b.instrument_id, b.source_id, b.session, '{at}', b.ingest_run_id, {run}, {_KEPT_OF_B}"
            f" FROM pg_temp.{_STAGE} s JOIN sec.bar_1d b ON {match} WHERE {differs}"
        )
        taken = ", ".join(f"{name} = s.{name}" for name in values)
        cursor.execute(
            f"UPDATE sec.bar_1d b SET {taken}, ingest_run_id = {run}"  # noqa: S608
            f" FROM pg_temp.{_STAGE} s WHERE {match} AND {differs}"
        )
    if fresh:
        names = ", ".join(values)
        cursor.execute(
            "INSERT INTO sec.bar_1d"  # noqa: S608 - our own names and numbers
            f" (instrument_id, session, {names}, stored_at, ingest_run_id, source_id)"
            f" SELECT s.instrument_id, s.session, {new}, '{at}', {run}, {series.source_id}"
            f" FROM pg_temp.{_STAGE} s LEFT JOIN sec.bar_1d b ON {match} WHERE b.session IS NULL"
            " ORDER BY s.instrument_id, s.session"
        )
    return fresh, changed, len(rows) - fresh - changed

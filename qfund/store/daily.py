"""Daily bars into their table: one row each.

Promises: an unchanged row is not written again, whatever arrives; a changed one leaves its old values in
``sec.bar_revision``. Runs in the caller's transaction.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from qfund.market.bars import FIELDS
from qfund.store.arriving import Arriving, comparable, group_keys, taken
from qfund.store.sources import Series

_STAGE = "qfund_arriving"
_BATCH = 4000  # rows
_KEPT = ", ".join((*FIELDS, "vwap", "trades"))
_KEPT_OF_B = ", ".join(f"b.{name}" for name in (*FIELDS, "vwap", "trades"))


def write(cursor: Any, series: Series, rows: Arriving, run: int) -> tuple[np.ndarray, np.ndarray]:
    """Store sorted, unique rows; returns whose were new, and whose changed: an instrument for each row.

    What is stored of the same keys is streamed through first and compared here, which costs a fraction of
    sending everything to the server to be compared there. No other writer of the series comes between.
    """
    numbers = np.unique(rows.ids)
    moment = begin(cursor, series, numbers)
    present, differs = _compared(cursor, series, rows, numbers)
    fresh, changed = int((~present).sum()), int(differs.sum())
    if changed:
        _replace(cursor, series, taken(rows, differs), run, moment)
    if fresh:
        _copy(cursor, series, rows if fresh == len(rows) else taken(rows, ~present), run, moment)
    return rows.ids[~present], rows.ids[differs]


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


def _compared(
    cursor: Any, series: Series, rows: Arriving, numbers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which rows are stored already, and which of those with other values.

    Each instrument's own span of sessions is looked at, through the index.
    """
    keys = group_keys(rows.ids, rows.days)
    present, differs = np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
    starts = np.searchsorted(rows.ids, numbers, "left")
    ends = np.searchsorted(rows.ids, numbers, "right") - 1
    cursor.execute(
        f"SELECT k.id, b.session, {', '.join(f'b.{name}' for name in rows.values)} FROM"  # noqa: S608 - our own names
        f" unnest('{pg_array(numbers)}'::integer[], '{pg_array(rows.days[starts])}'::integer[],"
        f" '{pg_array(rows.days[ends])}'::integer[]) AS k (id, first, last)"
        " JOIN sec.bar_1d b ON b.instrument_id = k.id"
        " AND b.session BETWEEN date '1970-01-01' + k.first AND date '1970-01-01' + k.last"
        f" WHERE b.source_id = {series.source_id} AND b.session BETWEEN '{rows.first}' AND '{rows.last}'"
    )
    arrived = [comparable(values) for values in rows.values.values()]
    for batch in cursor.fetch_record_batch():
        found = group_keys(batch.column(0).to_numpy(), batch.column(1).cast(pa.int32()).to_numpy())
        at = np.minimum(np.searchsorted(keys, found), len(keys) - 1)
        known = keys[at] == found
        at = at[known]
        present[at] = True
        for place, values in enumerate(arrived, 2):
            differs[at] |= values[at] != comparable(batch.column(place))[known]
    return present, differs


def _table(rows: Arriving) -> pa.Table:
    days = pa.array(rows.days, pa.int32()).cast(pa.date32())
    columns = {name: pa.array(values) for name, values in rows.values.items()}
    return pa.table({"instrument_id": pa.array(rows.ids, pa.int32()), "session": days, **columns})


def _copy(cursor: Any, series: Series, rows: Arriving, run: int, moment: Any) -> None:
    """COPY new rows straight into the table: nothing there is in the way."""
    full = _table(rows)
    for name, value, kind in (
        ("stored_at", moment, pa.timestamp("us", tz="UTC")),
        ("ingest_run_id", run, pa.int32()),
        ("source_id", series.source_id, pa.int16()),
    ):
        full = full.append_column(name, pa.repeat(pa.scalar(value, kind), len(rows)))
    # Small batches: the server works on one while the next is encoded.
    batches = full.combine_chunks().to_batches(max_chunksize=_BATCH)
    reader = pa.RecordBatchReader.from_batches(full.schema, batches)
    cursor.adbc_ingest("bar_1d", reader, mode="append", db_schema_name="sec")


def _replace(cursor: Any, series: Series, rows: Arriving, run: int, moment: Any) -> None:
    """COPY changed rows into a temporary table, move the old values to the revisions, put in the new."""
    cursor.adbc_ingest(_STAGE, _table(rows), mode="create", temporary=True)
    cursor.execute(f"ANALYZE pg_temp.{_STAGE}")
    match = (
        f"b.source_id = {series.source_id} AND b.instrument_id = s.instrument_id AND b.session = s.session"
        f" AND b.session BETWEEN '{rows.first}' AND '{rows.last}'"
    )
    cursor.execute(
        "INSERT INTO sec.bar_revision"  # noqa: S608 - our own names and numbers
        f" (instrument_id, source_id, session, replaced_at, old_run_id, new_run_id, {_KEPT})"
        f" SELECT b.instrument_id, b.source_id, b.session, '{moment.isoformat()}', b.ingest_run_id, {run},"
        f" {_KEPT_OF_B} FROM pg_temp.{_STAGE} s JOIN sec.bar_1d b ON {match}"
    )
    fields = ", ".join(f"{name} = s.{name}" for name in rows.values)
    cursor.execute(
        f"UPDATE sec.bar_1d b SET {fields}, ingest_run_id = {run} FROM pg_temp.{_STAGE} s WHERE {match}"  # noqa: S608
    )
    cursor.execute(f"DROP TABLE pg_temp.{_STAGE}")  # a failure rolls its creation back

"""Stored bars as long tables: those of a span, and the last and first ones around it.

Promises: reads only, in the caller's transaction; what is read around a span touches one session on each
side of each instrument. The columns are those in which bars arrive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from qfund.market.bars import FIELDS, Timeframe
from qfund.store import hot, packed
from qfund.store.faults import translated
from qfund.store.sources import Series

AROUND = 4
"""Bars on each side of a span that are enough to judge its first and its last."""

LONGEST_SILENCE = 30
"""Days; bars farther away say nothing about a span."""

_INSTANT = pa.timestamp("us", tz="UTC")


def columns(timeframe: Timeframe) -> pa.Schema:
    """``symbol session open high low close volume``; minutes: ``ts``, their start, before ``session``."""
    time = [("ts", _INSTANT)] if timeframe == "1m" else []
    values = [(name, pa.float64()) for name in FIELDS]
    return pa.schema([("symbol", pa.string()), *time, ("session", pa.date32()), *values])


def within(conn: Any, series: Series, ids: Mapping[str, int], since: date, until: date) -> pa.Table:
    """The bars stored in ``[since, until]``, by symbol and time.

    Args:
        conn: an ADBC connection, see ``Store.transaction`` and ``Store.dbapi``.
        series: of which series.
        ids: symbol → instrument number.
        since: first session, inclusive.
        until: last session, inclusive.
    """
    if series.timeframe == "1m":
        return _minutes_within(conn, series, ids, since, until)
    parts = list(batches(conn, series, ids, since, until))
    return pa.concat_tables([columns(series.timeframe).empty_table(), *parts]).combine_chunks()


def _minutes_within(conn: Any, series: Series, ids: Mapping[str, int], since: date, until: date) -> pa.Table:
    """Minute bars, unpacked here: several times as fast as row by row in the server."""
    if not ids:
        return columns("1m").empty_table()
    where = (
        f"WHERE b.source_id = {series.source_id} AND b.instrument_id = ANY ('{_array(ids)}'::integer[])"
        f" AND b.session BETWEEN '{since}' AND '{until}'"
    )
    with translated(), conn.cursor() as cursor:
        cursor.execute(
            f"SELECT b.instrument_id, b.session, b.session_open, {packed.SENT}"  # noqa: S608 - our own names
            f" FROM sec.bar_1m_day b {where}"
            " ORDER BY b.instrument_id, b.session"
        )
        found, _ = packed.unpacked(cursor.fetch_arrow_table())
        cursor.execute(
            f"SELECT {hot.COLUMNS} FROM sec.bar_1m_hot b {where} ORDER BY 1, 2, 3"  # noqa: S608
        )
        waiting = hot.bars_of(cursor.fetch_arrow_table())
    return _minutes(packed.joined(found, waiting), ids)


def _minutes(found: packed.Minutes, ids: Mapping[str, int]) -> pa.Table:
    """Bars as a table, in order."""
    found = found.take(np.lexsort((found.minutes, found.ids)))
    rows = {
        "instrument_id": pa.array(found.ids),
        "ts": pa.array(found.minutes * packed.MINUTE).cast(_INSTANT),
        "session": pa.array(found.days).cast(pa.date32()),
    }
    values = {name: pa.array(row) for name, row in zip(FIELDS, found.values, strict=True)}
    return _named(pa.table(rows | values), "1m", ids)


def batches(
    conn: Any, series: Series, ids: Mapping[str, int], since: date, until: date
) -> Iterator[pa.Table]:
    """The same in parts that follow each other, so that memory stays small; read them to the end or close."""
    if not ids:
        return
    table = "bar_1d" if series.timeframe == "1d" else "bar_1m"
    time = "b.session" if series.timeframe == "1d" else "b.session, b.ts"
    with translated(), conn.cursor() as cursor:
        cursor.execute(
            f"SELECT b.instrument_id, {_selected(series.timeframe)} FROM sec.{table} b"  # noqa: S608 - our own names
            f" WHERE b.source_id = {series.source_id} AND b.instrument_id = ANY ('{_array(ids)}'::integer[])"
            f" AND b.session BETWEEN '{since}' AND '{until}' ORDER BY b.instrument_id, {time}"
        )
        for batch in cursor.fetch_record_batch():
            if batch.num_rows:
                yield _named(pa.Table.from_batches([batch]), series.timeframe, ids)


def around(
    conn: Any, series: Series, ids: Mapping[str, int], since: date, until: date, *, count: int = AROUND
) -> pa.Table:
    """The last bars before ``since`` and the first after ``until`` of each instrument, by symbol and time.

    Args:
        conn: an ADBC connection.
        series: of which series.
        ids: symbol → instrument number.
        since: first session of the span.
        until: last session of the span.
        count: at most so many on each side; of minute bars only those of the nearest session.
    """
    schema = columns(series.timeframe)
    if not ids:
        return schema.empty_table()
    parts = [_side(conn, series, ids, span, count) for span in ((None, since), (until, None))]
    return pa.concat_tables([schema.empty_table(), *parts]).combine_chunks()


def _side(
    conn: Any, series: Series, ids: Mapping[str, int], span: tuple[date | None, date | None], count: int
) -> pa.Table:
    """The bars nearest to one border: before its second day or after its first."""
    after, before = span
    direction = "" if before is None else "DESC"
    reach = (
        f"b.session > '{after}' AND b.session <= date '{after}' + {LONGEST_SILENCE}"
        if before is None
        else f"b.session < '{before}' AND b.session >= date '{before}' - {LONGEST_SILENCE}"
    )
    own = f"b.instrument_id = k.id AND b.source_id = {series.source_id}"
    keys = f"unnest('{_array(ids)}'::integer[]) AS k (id)"
    if series.timeframe == "1m":
        found = _nearest_minutes(conn, keys, f"{own} AND {reach}", direction, count)
        return _minutes(found, ids)
    with translated(), conn.cursor() as cursor:
        cursor.execute(
            f"SELECT x.instrument_id, {_selected('1d', 'x')} FROM {keys} CROSS JOIN LATERAL ("  # noqa: S608
            f"SELECT b.* FROM sec.bar_1d b WHERE {own} AND {reach}"
            f" ORDER BY b.session {direction} LIMIT {count}) x ORDER BY 1, 2"
        )
        return _named(cursor.fetch_arrow_table(), series.timeframe, ids)


def _nearest_minutes(conn: Any, keys: str, where: str, direction: str, count: int) -> packed.Minutes:
    """The minute bars of each instrument's nearest session, packed or hot, that lie nearest."""
    ends = f"cardinality(b.minute) - {count - 1}:cardinality(b.minute)" if direction else f"1:{count}"
    arrays = ", ".join(
        f"b.{name}" if name == "decimals" else f"b.{name}[{ends}] AS {name}" for name in packed.ARRAYS
    )
    nearest = f"WHERE {where} ORDER BY b.session {direction} LIMIT 1"
    with translated(), conn.cursor() as cursor:
        cursor.execute(
            f"SELECT x.* FROM {keys} CROSS JOIN LATERAL ("  # noqa: S608
            f"SELECT b.instrument_id, b.session, b.session_open, {arrays} FROM sec.bar_1m_day b {nearest}) x"
        )
        found, _ = packed.unpacked(cursor.fetch_arrow_table())
        cursor.execute(
            f"SELECT x.* FROM {keys} CROSS JOIN LATERAL ("  # noqa: S608
            f"SELECT b.session FROM sec.bar_1m_hot b {nearest}) n CROSS JOIN LATERAL ("
            f"SELECT {hot.COLUMNS} FROM sec.bar_1m_hot b WHERE {where} AND b.session = n.session"
            f" ORDER BY b.ts {direction} LIMIT {count}) x"
        )
        waiting = hot.bars_of(cursor.fetch_arrow_table())
    if not len(waiting):
        return found
    found = packed.joined(found, waiting)
    away = -found.days if direction else found.days
    _, whose = np.unique(found.ids, return_inverse=True)
    least = np.full(int(whose.max()) + 1, np.iinfo(np.int32).max)
    np.minimum.at(least, whose, away)
    return found.take(away == least[whose])


def _selected(timeframe: Timeframe, row: str = "b") -> str:
    time = (f"{row}.ts",) if timeframe == "1m" else ()
    return ", ".join((*time, f"{row}.session", *(f"{row}.{name}" for name in FIELDS)))


def _named(table: pa.Table, timeframe: Timeframe, ids: Mapping[str, int]) -> pa.Table:
    """Instrument numbers back into symbols."""
    numbers, names = pa.array(list(ids.values()), pa.int32()), pa.array(list(ids), pa.string())
    places = compute.index_in(table.column(0).combine_chunks(), value_set=numbers)
    wanted = columns(timeframe)
    found = table.drop_columns([table.column_names[0]]).add_column(0, "symbol", names.take(places))
    return found.select(wanted.names).cast(wanted)


def _array(ids: Mapping[str, int]) -> str:
    """A Postgres array literal of the numbers."""
    return "{" + ",".join(str(int(number)) for number in ids.values()) + "}"

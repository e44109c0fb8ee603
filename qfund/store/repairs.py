"""Bars of a series that another series had: which ones, from where, since when.

Promises: every bar that was copied has its mark, and a bar of the series' own vendor never has one: the mark
goes in the transaction in which that bar is stored. Nothing here writes or deletes a bar.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from qfund.market.sessions import opens_and_closes, sessions
from qfund.store import nearby
from qfund.store.bars import write_bars
from qfund.store.daily import begin
from qfund.store.faults import translated
from qfund.store.sources import Series

if TYPE_CHECKING:
    from qfund.store.database import Store

_MINUTE = 60_000_000
_STAGE = "qfund_repair"


@dataclass(frozen=True)
class Repair:
    """The bars of one session that are another series'.

    Attributes:
        session: which.
        minutes: starts of the bars, minutes after the session's open; None: the daily bar.
        vendor: whose bars they are; likewise ``feed``.
        ingest_run_id: the run that copied them.
        repaired_at: UTC.
    """

    session: date
    minutes: tuple[int, ...] | None
    vendor: str
    feed: str
    ingest_run_id: int
    repaired_at: datetime


def fill(
    conn: Any,
    series: Series,
    source: Series,
    bars: pa.Table,
    ids: Mapping[str, tuple[int, int]],
    *,
    run_id: int,
) -> pa.Table:
    """Copy bars of another series to times at which a series has none, and mark them; does not commit.

    Other writers of the series wait; what they have stored meanwhile is never overwritten.

    Args:
        conn: an ADBC connection, see ``Store.transaction``.
        series: where the bars go.
        source: where they come from.
        bars: in the columns in which bars arrive.
        ids: symbol → instrument number in ``series`` and in ``source``.
        run_id: the run that copies them.

    Returns:
        The bars that were copied.
    """
    if not len(bars):
        return bars
    own = {symbol: pair[0] for symbol, pair in ids.items()}
    first, last = (compute.min_max(bars["session"])[side].as_py() for side in ("min", "max"))
    with translated(), conn.cursor() as cursor:
        begin(cursor, series, np.array(sorted(own.values())))
    held = nearby.within(conn, series, own, first, last)
    fresh = bars.filter(compute.invert(compute.is_in(_times(bars), value_set=_times(held))))
    if len(fresh):
        write_bars(conn, series, fresh, own, ingest_run_id=run_id)
        mark(conn, series, source, fresh, ids, run_id=run_id)
    return fresh


def _times(bars: pa.Table) -> pa.Array:
    """One text for each symbol and time."""
    time = bars["ts"].cast(pa.int64()) if "ts" in bars.column_names else bars["session"]
    return compute.binary_join_element_wise(bars["symbol"], time.cast(pa.string()), "\x1f").combine_chunks()


def mark(
    conn: Any,
    series: Series,
    source: Series,
    bars: pa.Table,
    ids: Mapping[str, tuple[int, int]],
    *,
    run_id: int,
) -> None:
    """Say of bars that are being stored that another series had them; does not commit.

    Args:
        conn: an ADBC connection, in the transaction that stores the bars.
        series: where they go.
        source: where they come from.
        bars: ``symbol``, ``session``, and ``ts`` of minute bars.
        ids: symbol → instrument number in ``series`` and in ``source``.
        run_id: the run that copies them.
    """
    if not len(bars):
        return
    with translated(), conn.cursor() as cursor:
        cursor.adbc_ingest(_STAGE, _marks(bars, series, ids), mode="create", temporary=True)
        cursor.execute(
            "INSERT INTO sec.repair AS r (instrument_id, source_id, timeframe, session, minute,"  # noqa: S608
            " from_source_id, from_instrument_id, ingest_run_id)"
            f" SELECT s.instrument_id, {series.source_id}, '{series.timeframe}', s.session,"
            " array_agg(s.minute ORDER BY s.minute) FILTER (WHERE s.minute IS NOT NULL),"
            f" {source.source_id}, s.from_instrument_id, {int(run_id)}"
            f" FROM pg_temp.{_STAGE} s GROUP BY 1, 4, 7"
            " ON CONFLICT (instrument_id, source_id, timeframe, session, from_source_id) DO UPDATE SET"
            " minute = (SELECT array_agg(DISTINCT m ORDER BY m) FROM unnest(r.minute || excluded.minute) m),"
            " from_instrument_id = excluded.from_instrument_id, ingest_run_id = excluded.ingest_run_id,"
            " repaired_at = clock_timestamp()"
        )
        cursor.execute(f"DROP TABLE pg_temp.{_STAGE}")


def _marks(bars: pa.Table, series: Series, ids: Mapping[str, tuple[int, int]]) -> pa.Table:
    names = pa.array(list(ids), pa.string())
    place = compute.index_in(bars["symbol"], value_set=names)
    own, other = (pa.array([pair[side] for pair in ids.values()], pa.int32()) for side in (0, 1))
    minutes = pa.nulls(len(bars), pa.int16())
    if series.timeframe == "1m":
        minutes = pa.array(_minutes(bars, series.calendar).astype(np.int16))
    return pa.table(
        {
            "instrument_id": own.take(place),
            "from_instrument_id": other.take(place),
            "session": bars["session"],
            "minute": minutes,
        }
    )


def _minutes(bars: pa.Table, calendar: str) -> np.ndarray:
    """Starts of minute bars in minutes after their session's open; of no session: after midnight UTC."""
    days = np.asarray(bars["session"].cast(pa.int32()).to_numpy()).astype(np.int64)
    starts = np.asarray(bars["ts"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy())
    first, last = (np.int64(one).astype("datetime64[D]").item() for one in (days.min(), days.max()))
    opens, _ = opens_and_closes(calendar, first, last)
    known = sessions(calendar, first, last).to_numpy().astype("datetime64[D]").astype(np.int64)
    table = dict(zip(known.tolist(), opens.as_unit("us").asi8.tolist(), strict=True))
    opened = np.array([table.get(int(day), int(day) * 1440 * _MINUTE) for day in days], dtype=np.int64)
    return np.asarray((starts - opened) // _MINUTE)


def superseded(conn: Any, series: Series, ids: Mapping[str, int], bars: pa.Table) -> int:
    """Take the marks off bars that the series' own vendor has sent now; does not commit.

    Call it in the transaction that stores them; it costs one look at an index where nothing was repaired.

    Args:
        conn: an ADBC connection.
        series: which series.
        ids: symbol → instrument number.
        bars: the bars that are being stored, in the columns in which they arrive.

    Returns:
        Of how many bars the mark was taken off.
    """
    if not len(bars):
        return 0
    first, last = (compute.min_max(bars["session"])[side].as_py() for side in ("min", "max"))
    listed = ",".join(str(int(number)) for number in ids.values())
    own = f"r.source_id = {series.source_id} AND r.timeframe = '{series.timeframe}'"
    with translated(), conn.cursor() as cursor:
        cursor.execute(
            "SELECT r.instrument_id, r.session FROM sec.repair r"  # noqa: S608 - numbers and dates
            f" WHERE {own} AND r.instrument_id = ANY ('{{{listed}}}'::integer[])"
            f" AND r.session BETWEEN '{first}' AND '{last}' FOR UPDATE"
        )
        marked = {(int(number), day) for number, day in cursor.fetchall()}
        if not marked:
            return 0
        arrived = _arrived(bars, ids, marked)
        if not len(arrived):
            return 0
        both = {symbol: (number, number) for symbol, number in ids.items()}
        cursor.adbc_ingest(_STAGE, _marks(arrived, series, both), mode="create", temporary=True)
        same = ", ".join(f"{{row}}.{name}" for name in ("instrument_id", "session", "from_source_id"))
        same = f"({same.format(row='r')}) = ({same.format(row='h')})"
        match = f"{own} AND r.instrument_id = s.instrument_id AND r.session = s.session"
        cursor.execute(
            "WITH hit AS (SELECT r.instrument_id, r.session, r.from_source_id, r.minute AS before,"  # noqa: S608 - our own names
            " (SELECT array_agg(m ORDER BY m) FROM unnest(r.minute) m WHERE m <> ALL (s.came)) AS after"
            " FROM (SELECT instrument_id, session,"
            f" coalesce(array_agg(minute) FILTER (WHERE minute IS NOT NULL), '{{}}') AS came"
            f" FROM pg_temp.{_STAGE} GROUP BY 1, 2) s JOIN sec.repair r ON {match}),"
            f" gone AS (DELETE FROM sec.repair r USING hit h WHERE {own} AND h.after IS NULL"
            f" AND {same}),"
            f" cut AS (UPDATE sec.repair r SET minute = h.after FROM hit h WHERE {own}"
            f" AND h.after IS NOT NULL AND {same})"
            " SELECT coalesce(sum(CASE WHEN before IS NULL THEN 1"
            " ELSE cardinality(before) - coalesce(cardinality(after), 0) END), 0) FROM hit"
        )
        count = int(cursor.fetchone()[0])
        cursor.execute(f"DROP TABLE pg_temp.{_STAGE}")
    return count


def _arrived(bars: pa.Table, ids: Mapping[str, int], marked: set[tuple[int, date]]) -> pa.Table:
    """The bars of marked sessions."""
    names = {number: symbol for symbol, number in ids.items()}
    keys = pa.array([f"{names[number]}\x1f{day}" for number, day in marked if number in names], pa.string())
    own = compute.binary_join_element_wise(bars["symbol"], bars["session"].cast(pa.string()), "\x1f")
    return bars.filter(compute.is_in(own, value_set=keys))


def provenance(store: Store, series: Series, instrument_id: int, since: date, until: date) -> list[Repair]:
    """Which bars of a span came from another series, by session; what is not named is the series' own."""
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT r.session, r.minute, v.name, s.feed, r.ingest_run_id, r.repaired_at FROM sec.repair r"
            " JOIN sec.source s ON s.source_id = r.from_source_id JOIN sec.vendor v USING (vendor_id)"
            " WHERE r.instrument_id = %s AND r.source_id = %s AND r.timeframe = %s"
            " AND r.session BETWEEN %s AND %s ORDER BY r.session",
            (instrument_id, series.source_id, series.timeframe, since, until),
        ).all()
    return [
        Repair(row[0], None if row[1] is None else tuple(row[1]), row[2], row[3], row[4], row[5])
        for row in rows
    ]

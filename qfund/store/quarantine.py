"""The quarantine: bars that were not fit to be stored, until a later answer or a person decides.

Promises: a bad bar that comes again is the same row, seen once more; a run adds or renews at most
:data:`MOST_ROWS` rows. A row leaves the quarantine in four ways only: a later answer for its session was
fit, a person accepted it as it came or another bar of its time, or a person dismissed it. Nothing is ever
deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from qfund.market.bars import FIELDS, Timeframe
from qfund.store.faults import translated
from qfund.store.nearby import columns
from qfund.store.sources import Series

if TYPE_CHECKING:
    from qfund.store.database import Store

Span = tuple[date, date]

MOST_ROWS = 10_000
"""Rows of the quarantine that one run writes; what it rejects beyond them is counted with the run only."""

_STAGE = "qfund_quarantine"
_SEVERAL = "'conflict', 'bad_time', 'no_symbol'"
"""Reasons of which one place holds several rows that differ, each a row of its own."""

_ONCE = (
    "source_id, timeframe, coalesce(instrument_id, 0), coalesce(session, '-infinity'::date),"
    " coalesce(ts, '-infinity'::timestamptz), coalesce(symbol, ''), reason, variant"
)


@dataclass(frozen=True)
class Entry:
    """One bar in quarantine.

    Attributes:
        quarantine_id: its number, for ``accept``.
        vendor: who sent it; likewise ``feed``.
        timeframe: length of the bar.
        symbol: as the vendor called it, None when it had none.
        instrument_id: None for a symbol that was not asked for.
        session: None when it had no time.
        ts: start of a minute bar, timezone-aware UTC; None for daily bars.
        reason: a key of ``qfund.ingest.check.REASONS``.
        bar: ``open high low close volume`` as they came last; a number, None, or ``"NaN"`` and the like.
        times_seen: how many runs brought it.
        first_seen_at: UTC.
        seen_at: UTC.
    """

    quarantine_id: int
    vendor: str
    feed: str
    timeframe: Timeframe
    symbol: str | None
    instrument_id: int | None
    session: date | None
    ts: datetime | None
    reason: str
    bar: Mapping[str, float | str | None]
    times_seen: int
    first_seen_at: datetime
    seen_at: datetime


def write(conn: Any, series: Series, run_id: int, ids: Mapping[str, int], rejected: pa.Table) -> int:
    """Keep rejected rows, in the caller's transaction; does not commit.

    Args:
        conn: an ADBC connection, see ``Store.transaction``.
        series: of which series they would have been.
        run_id: the run that brought them.
        ids: symbol → instrument number, of the symbols that were asked for.
        rejected: ``symbol session``, ``ts`` (minute bars), ``open high low close volume``, ``reason``.

    Returns:
        How many rows are kept, new or seen again: all, unless the run has reached :data:`MOST_ROWS`.
    """
    if not len(rejected):
        return 0
    with translated(), conn.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM sec.quarantine WHERE last_run_id = $1", (int(run_id),))
        room = max(0, MOST_ROWS - int(cursor.fetchone()[0]))
        staged = _staged(rejected, series.timeframe, ids, room)
        if not len(staged):
            return 0
        cursor.adbc_ingest(_STAGE, staged, mode="create", temporary=True)
        values = ", ".join(f"'{name}', to_jsonb(s.{name})" for name in FIELDS)
        digest = f"md5(concat_ws(' ', {', '.join(f's.{name}' for name in FIELDS)}))"
        cursor.execute(
            "INSERT INTO sec.quarantine AS q (ingest_run_id, last_run_id, source_id,"  # noqa: S608
            " timeframe, instrument_id, symbol, session, ts, reason, variant, whole, bar)"
            f" SELECT DISTINCT ON ({_ONCE}) {int(run_id)}, {int(run_id)}, x.* FROM ("  # the first of equals
            f" SELECT {series.source_id}::smallint AS source_id, '{series.timeframe}' AS timeframe,"
            " s.instrument_id, s.symbol, s.session, s.ts, s.reason,"
            f" CASE WHEN s.reason IN ({_SEVERAL}) THEN {digest} ELSE '' END AS variant, s.whole,"
            f" jsonb_build_object({values}) AS bar FROM pg_temp.{_STAGE} s) x"
            f" ON CONFLICT ({_ONCE}) WHERE released_at IS NULL DO UPDATE SET"
            " last_run_id = excluded.last_run_id, bar = excluded.bar, whole = excluded.whole,"
            " seen_at = clock_timestamp(), times_seen = q.times_seen"
            " + (q.last_run_id <> excluded.last_run_id)::integer"
        )
        cursor.execute(f"DROP TABLE pg_temp.{_STAGE}")
    return len(staged)


def _staged(rejected: pa.Table, timeframe: Timeframe, ids: Mapping[str, int], room: int) -> pa.Table:
    """The rows that there is room for, with instrument numbers, and whether their session is kept whole."""
    numbers = pa.array([*ids.values(), None], pa.int32())
    place = compute.index_in(rejected["symbol"], value_set=pa.array(list(ids), pa.string()))
    instruments = numbers.take(compute.fill_null(place, len(ids)))
    ts = rejected["ts"] if timeframe == "1m" else pa.nulls(len(rejected), pa.timestamp("us", tz="UTC"))
    whole = np.ones(len(rejected), dtype=bool)
    if room < len(rejected):
        keys = pa.table({"symbol": rejected["symbol"], "session": rejected["session"]})
        lost = keys.slice(room).group_by(["symbol", "session"]).aggregate([])
        names, days = keys["symbol"].to_pylist()[:room], keys["session"].to_pylist()[:room]
        cut = set(zip(lost["symbol"].to_pylist(), lost["session"].to_pylist(), strict=True))
        whole[:room] = [pair not in cut for pair in zip(names, days, strict=True)]
    columns = {"instrument_id": instruments, "symbol": rejected["symbol"], "session": rejected["session"]}
    columns |= {"ts": ts, "reason": rejected["reason"], "whole": pa.array(whole)}
    columns |= {name: rejected[name] for name in FIELDS}
    return pa.table(columns).slice(0, room).combine_chunks()


def release(conn: Any, series: Series, run_id: int, fit: Mapping[int, Iterable[Span]]) -> int:
    """Let go what a later answer has made good, in the caller's transaction; does not commit.

    Args:
        conn: an ADBC connection.
        series: of which series.
        run_id: the run whose answer was fit; rows that it wrote itself stay.
        fit: instrument number → inclusive spans of sessions that were asked, answered and fit: what the
            caller adds to coverage.

    Returns:
        How many rows were released. Rows without a session go with any span of their instrument, rows without
        an instrument when their session, or without one any, was asked again and they did not come.
    """
    values = [
        f"({int(number)}, '{{{','.join(f'[{first},{last}]' for first, last in listed)}}}'::datemultirange)"
        for number, listed in ((one, list(spans)) for one, spans in sorted(fit.items()))
        if listed
    ]
    if not values:
        return 0
    with translated(), conn.cursor() as cursor:
        cursor.execute(
            f"WITH fit (id, sessions) AS (VALUES {', '.join(values)}), gone AS ("  # noqa: S608 - our numbers
            " UPDATE sec.quarantine q SET released_at = clock_timestamp(), released_by = 'answer'"
            f" WHERE q.source_id = {series.source_id} AND q.timeframe = '{series.timeframe}'"
            f" AND q.released_at IS NULL AND q.last_run_id <> {int(run_id)} AND EXISTS ("
            " SELECT 1 FROM fit WHERE (fit.id = q.instrument_id OR q.instrument_id IS NULL)"
            " AND (q.session <@ fit.sessions OR q.session IS NULL))"
            " RETURNING 1) SELECT count(*) FROM gone"
        )
        return int(cursor.fetchone()[0])


_OPEN = """
SELECT q.quarantine_id, v.name, s.feed, q.timeframe, q.symbol, q.instrument_id, q.session, q.ts, q.reason,
       q.bar, q.times_seen, q.first_seen_at, q.seen_at
  FROM sec.quarantine q JOIN sec.source s USING (source_id) JOIN sec.vendor v USING (vendor_id)
 WHERE q.released_at IS NULL
"""


def entries(
    store: Store,
    *,
    vendor: str | None = None,
    timeframe: Timeframe | None = None,
    symbols: Sequence[str] | None = None,
    since: date | None = None,
    until: date | None = None,
    most: int | None = None,
) -> list[Entry]:
    """What is in quarantine now, by vendor, symbol and time; ``most`` limits how many."""
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            _OPEN + " AND (%(vendor)s::text IS NULL OR v.name = %(vendor)s)"
            " AND (%(timeframe)s::text IS NULL OR q.timeframe = %(timeframe)s)"
            " AND (%(symbols)s::text[] IS NULL OR q.symbol = ANY (%(symbols)s))"
            " AND (%(since)s::date IS NULL OR q.session IS NULL OR q.session >= %(since)s)"
            " AND (%(until)s::date IS NULL OR q.session IS NULL OR q.session <= %(until)s)"
            " ORDER BY v.name, s.feed, q.timeframe, q.symbol, q.session, q.ts, q.quarantine_id"
            " LIMIT %(most)s",
            {
                "vendor": vendor,
                "timeframe": timeframe,
                "symbols": None if symbols is None else list(symbols),
                "since": since,
                "until": until,
                "most": most,
            },
        ).all()
    return [Entry(*row) for row in rows]


def counts(store: Store, *, vendor: str | None = None, timeframe: Timeframe | None = None) -> dict[str, int]:
    """Reason → how many bars are in quarantine for it."""
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT q.reason, count(*) FROM sec.quarantine q JOIN sec.source s USING (source_id)"
            " JOIN sec.vendor v USING (vendor_id) WHERE q.released_at IS NULL"
            " AND (%(vendor)s::text IS NULL OR v.name = %(vendor)s)"
            " AND (%(timeframe)s::text IS NULL OR q.timeframe = %(timeframe)s) GROUP BY 1 ORDER BY 1",
            {"vendor": vendor, "timeframe": timeframe},
        ).all()
    return {row[0]: int(row[1]) for row in rows}


def accepted(conn: Any, series: Series, ids: Mapping[str, int], since: date, until: date) -> pa.Table:
    """The bars in ``[since, until]`` that a person accepted, as they came; see ``check.pardoned``.

    Args:
        conn: an ADBC connection.
        series: of which series.
        ids: symbol → instrument number.
        since: first session.
        until: last session.

    Returns:
        The columns in which bars arrive; nearly always without a row.
    """
    wanted = columns(series.timeframe)
    names = {number: symbol for symbol, number in ids.items()}
    listed = ",".join(str(int(number)) for number in names)
    with translated(), conn.cursor() as cursor:
        cursor.execute(
            "SELECT q.instrument_id, q.ts, q.session, "  # noqa: S608 - our own names, numbers and dates
            + ", ".join(f"(q.bar->>'{name}')::float8 AS {name}" for name in FIELDS)
            + f" FROM sec.quarantine q WHERE q.released_by = 'person' AND q.source_id = {series.source_id}"
            f" AND q.timeframe = '{series.timeframe}' AND q.instrument_id = ANY ('{{{listed}}}'::integer[])"
            f" AND q.session BETWEEN '{since}' AND '{until}'"
        )
        rows = cursor.fetch_arrow_table()
    if not len(rows):
        return wanted.empty_table()
    symbols = pa.array([names[number] for number in rows["instrument_id"].to_pylist()], pa.string())
    return rows.append_column("symbol", symbols).select(wanted.names).cast(wanted)

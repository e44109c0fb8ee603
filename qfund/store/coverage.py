"""Coverage: what has been asked of a vendor and is final; and the runs that asked.

Promises: a gap is calendar minus coverage, so that "asked, and there was none" is never asked again. Coverage
grows, and shrinks only where a later answer was not fit. An ingest run's row tells what it did even when it
was killed.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from qfund.market.bars import Timeframe
from qfund.store.faults import translated

if TYPE_CHECKING:
    from qfund.store.database import Store
    from qfund.store.sources import Series

Span = tuple[date, date]
RunStatus = Literal["running", "ok", "partial", "failed", "abandoned"]


def covered(store: Store, series: Series | None, ids: Sequence[int]) -> dict[int, list[Span]]:
    """The inclusive spans of sessions that are final, per instrument, increasing; {} without a series."""
    if series is None or not ids:
        return {}
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT c.instrument_id, lower(r), upper(r) - 1 FROM ops.coverage c, unnest(c.sessions) r"
            " WHERE c.source_id = %s AND c.timeframe = %s AND c.instrument_id = ANY (%s) ORDER BY 1, 2",
            (series.source_id, series.timeframe, list(ids)),
        ).all()
    found: dict[int, list[Span]] = {}
    for number, first, last in rows:
        found.setdefault(number, []).append((first, last))
    return found


def add_coverage(conn: Any, series: Series, spans: Mapping[int, Iterable[Span]]) -> None:
    """Add inclusive spans per instrument, in the caller's transaction; does not commit."""
    values = [
        f"({number}, '{{{','.join(f'[{first},{last}]' for first, last in listed)}}}'::datemultirange)"
        for number, listed in ((int(number), list(some)) for number, some in sorted(spans.items()))
        if listed
    ]
    if not values:
        return
    with translated(), conn.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ops.coverage AS c (source_id, timeframe, instrument_id, sessions)"  # noqa: S608 - dates only
            f" SELECT {series.source_id}, '{series.timeframe}', v.id, v.sessions"
            f" FROM (VALUES {', '.join(values)}) AS v (id, sessions)"
            " ON CONFLICT (instrument_id, source_id, timeframe)"
            " DO UPDATE SET sessions = c.sessions + excluded.sessions, updated_at = now()"
        )


def reopen(conn: Any, series: Series, days: Mapping[int, Iterable[date]]) -> None:
    """Take sessions out of the coverage whose answer was not fit, so that they are asked again; no commit."""
    values = [
        f"({int(number)}, '{{{','.join(f'[{day},{day}]' for day in listed)}}}'::datemultirange)"
        for number, listed in ((one, sorted(some)) for one, some in sorted(days.items()))
        if listed
    ]
    if not values:
        return
    with translated(), conn.cursor() as cursor:
        cursor.execute(
            "UPDATE ops.coverage c SET sessions = c.sessions - v.sessions, updated_at = now()"  # noqa: S608
            f" FROM (VALUES {', '.join(values)}) AS v (id, sessions) WHERE c.instrument_id = v.id"
            f" AND c.source_id = {series.source_id} AND c.timeframe = '{series.timeframe}'"
        )


# ---------------------------------------------------------------- what is there


@dataclass(frozen=True)
class Status:
    """What is stored of one instrument in one series.

    Attributes:
        instrument_id: its number.
        source_id: number of the series' source.
        symbol: its newest symbol.
        vendor: whose bars.
        feed: from which feed.
        basis: ``raw``, or what they are adjusted for.
        hours: which hours.
        price_kind: trades or quotes.
        timeframe: length of a bar.
        first: first session with a bar, None without any.
        last: last session with a bar.
        bars: bars stored.
        updated_at: when coverage last changed; without any, when a bar was last rejected, None without.
    """

    instrument_id: int
    source_id: int
    symbol: str
    vendor: str
    feed: str
    basis: str
    hours: str
    timeframe: Timeframe
    first: date | None
    last: date | None
    bars: int
    updated_at: datetime | None
    price_kind: str = "trade"


_STATUS = """
WITH b AS (
  SELECT '1d' AS timeframe, d.instrument_id, d.source_id, min(d.session) AS first, max(d.session) AS last,
         count(*) AS bars
    FROM sec.bar_1d d GROUP BY 2, 3
   UNION ALL
  SELECT '1m', m.instrument_id, m.source_id, min(m.session), max(m.session), sum(m.bars)
    FROM (SELECT p.instrument_id, p.source_id, p.session, cardinality(p.minute) AS bars
            FROM sec.bar_1m_day p
           UNION ALL
          SELECT h.instrument_id, h.source_id, h.session, count(*)
            FROM sec.bar_1m_hot h GROUP BY 1, 2, 3) m GROUP BY 2, 3),
q AS (
  SELECT timeframe, instrument_id, source_id, max(seen_at) AS seen_at
    FROM sec.quarantine WHERE instrument_id IS NOT NULL GROUP BY 1, 2, 3)
SELECT instrument_id, source_id, n.symbol, v.name AS vendor, s.feed, s.basis, s.hours, s.price_kind,
       timeframe, b.first, b.last, coalesce(b.bars, 0) AS bars,
       coalesce(c.updated_at, q.seen_at) AS updated_at
  FROM ops.coverage c
  FULL JOIN q USING (timeframe, instrument_id, source_id)
  FULL JOIN b USING (timeframe, instrument_id, source_id)
  JOIN sec.source s USING (source_id)
  JOIN sec.vendor v USING (vendor_id)
  JOIN LATERAL (SELECT x.symbol FROM sec.instrument_symbol x
                 WHERE x.instrument_id = coalesce(c.instrument_id, q.instrument_id, b.instrument_id)
                   AND x.vendor_id = s.vendor_id
                 ORDER BY upper(x.valid) DESC NULLS FIRST LIMIT 1) n ON true
 WHERE (%(vendor)s::text IS NULL OR v.name = %(vendor)s)
   AND (%(timeframe)s::text IS NULL OR timeframe = %(timeframe)s)
 ORDER BY v.name, s.feed, timeframe, n.symbol
"""


def status(store: Store, vendor: str | None = None, timeframe: Timeframe | None = None) -> list[Status]:
    """What is stored, one row for each instrument and series that ever got an answer, fit or not."""
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(_STATUS, {"vendor": vendor, "timeframe": timeframe})
        found = rows.mappings().all()
    return [Status(**{**row, "bars": int(row["bars"])}) for row in found]


# ---------------------------------------------------------------- ingest runs


@dataclass(frozen=True)
class IngestRun:
    """One run of an ingest.

    Attributes:
        ingest_run_id: its number.
        vendor: who was asked.
        dataset: for what.
        params: how it was called.
        status: how it ended; ``running`` also when it was killed.
        counters: what it did.
        error: why it failed, None when it did not.
        started_at: UTC.
        finished_at: UTC, None while running or when killed.
    """

    ingest_run_id: int
    vendor: str
    dataset: str
    params: dict[str, Any]
    status: RunStatus
    counters: dict[str, Any]
    error: str | None
    started_at: datetime
    finished_at: datetime | None


def start_run(store: Store, vendor: str, dataset: str, params: Mapping[str, object]) -> int:
    """Note that an ingest begins; committed at once. Returns its number."""
    from qfund.store.sources import vendor_id

    with translated(), store.sql.begin() as connection:
        number = vendor_id(connection, vendor)
        return int(
            connection.exec_driver_sql(
                "INSERT INTO ops.ingest_run (vendor_id, dataset, params, code_version, host)"
                " VALUES (%s, %s, %s, %s, %s) RETURNING ingest_run_id",
                (number, dataset, _json(params), version("qfund"), socket.gethostname()),
            ).scalar_one()
        )


def count_run(conn: Any, ingest_run_id: int, counters: Mapping[str, object]) -> None:
    """Note what a running ingest has done so far, in the transaction that does it; does not commit."""
    with translated(), conn.cursor() as cursor:
        cursor.execute(
            "UPDATE ops.ingest_run SET counters = $1::text::jsonb WHERE ingest_run_id = $2",
            (_json(counters), ingest_run_id),
        )


def finish_run(
    store: Store,
    ingest_run_id: int,
    status: RunStatus,
    counters: Mapping[str, object],
    error: str | None = None,
) -> None:
    """Note how an ingest ended; committed at once."""
    with translated(), store.sql.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE ops.ingest_run SET status = %s, counters = %s, error = %s,"
            " finished_at = clock_timestamp() WHERE ingest_run_id = %s",
            (status, _json(counters), error, ingest_run_id),
        )


def recent_runs(store: Store, n: int = 20) -> list[IngestRun]:
    """The newest ingest runs, newest first."""
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT r.ingest_run_id, v.name, r.dataset, r.params, r.status, r.counters, r.error,"
            " r.started_at, r.finished_at FROM ops.ingest_run r JOIN sec.vendor v USING (vendor_id)"
            " ORDER BY r.ingest_run_id DESC LIMIT %s",
            (n,),
        ).all()
    return [IngestRun(*row) for row in rows]


def _json(values: Mapping[str, object]) -> str:
    return json.dumps(dict(values), allow_nan=False, default=str)

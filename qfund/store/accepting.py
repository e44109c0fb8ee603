"""Bars that a person takes out of the quarantine: accepts as they came, or dismisses.

Promises: all of them are stored or none; each is stored as it came, never altered; its session counts as
answered as soon as nothing else of it is in quarantine. A bar that cannot be one (no price, high below low)
is never accepted, nor one of a day without a session. What is dismissed is not stored; its session stays as
open as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from qfund.errors import DataQualityError, NotFoundError
from qfund.market.bars import FIELDS, Timeframe
from qfund.market.sessions import sessions
from qfund.store import claims, coverage, nearby
from qfund.store.bars import Written, write_bars
from qfund.store.faults import translated
from qfund.store.nearby import columns
from qfund.store.sources import Series, by_number

if TYPE_CHECKING:
    from qfund.store.database import Store

ACCEPTABLE = frozenset(
    {
        "outside_span",
        "not_a_session",
        "outside_hours",
        "impossible_volume",
        "zero_volume",
        "conflict",
        "stale",
        "spike",
        "adjusted",
    }
)
"""Reasons that may be wrong: the others say that there is no bar to store, or no time to store it at."""


@dataclass(frozen=True)
class Accepted:
    """What was accepted.

    Attributes:
        bars: how many bars are new, changed or the same.
        sessions: how many sessions count as answered now.
        others: how many other bars of the same times were given up.
    """

    bars: Written
    sessions: int
    others: int


def accept(store: Store, ids: Sequence[int]) -> Accepted:
    """Store bars that are in quarantine, and let them go.

    Args:
        store: where they are.
        ids: their numbers, see ``quarantine.Entry.quarantine_id``.

    Raises:
        NotFoundError: no such bar is in quarantine.
        DataQualityError: one of them cannot be stored, or two of them are of one time.
    """
    wanted = sorted(set(ids))
    rows = _rows(store, wanted)
    by_series: dict[tuple[int, Timeframe], list[Any]] = {}
    for row in rows:
        by_series.setdefault((row.source_id, row.timeframe), []).append(row)
    total = Accepted(Written(), 0, 0)
    runs = []
    for (number, timeframe), some in by_series.items():
        series = by_number(store, number, timeframe)
        params = {"quarantine": [row.quarantine_id for row in some]}
        runs.append((series, some, coverage.start_run(store, series.vendor, f"accept {timeframe}", params)))
    status: coverage.RunStatus = "failed"
    try:
        with ExitStack() as alive, store.transaction() as conn:
            for _, _, run in runs:
                alive.enter_context(claims.living(store, run))
            for series, some, run in runs:
                done = _accepted(conn, series, some, run)
                bars = total.bars + done.bars
                total = Accepted(bars, total.sessions + done.sessions, total.others + done.others)
        status = "ok"
    finally:
        for _, some, run in runs:
            coverage.finish_run(store, run, status, {"bars": len(some) if status == "ok" else 0})
    return total


def dismiss(store: Store, ids: Sequence[int]) -> int:
    """Let rows of the quarantine go without storing them; they stay there as history.

    Args:
        store: where they are.
        ids: their numbers, see ``quarantine.Entry.quarantine_id``.

    Returns:
        How many rows that are.

    Raises:
        NotFoundError: no such row is in quarantine; then none is dismissed.
    """
    with translated(), store.sql.begin() as connection:
        rows = connection.exec_driver_sql(
            "UPDATE sec.quarantine SET released_at = clock_timestamp(), released_by = 'dismissed'"
            " WHERE released_at IS NULL AND quarantine_id = ANY (%s) RETURNING quarantine_id",
            (list(ids),),
        ).all()
        _all_there(ids, {row[0] for row in rows})
    return len(rows)


@dataclass(frozen=True)
class Stored:
    """A stored bar that a check doubts.

    Attributes:
        series: of which series.
        symbol: its symbol.
        instrument_id: its number.
        session: its session.
        ts: start of a minute bar, timezone-aware UTC; None for a daily one.
        reason: the rule that doubts it.
    """

    series: Series
    symbol: str
    instrument_id: int
    session: date
    ts: datetime | None
    reason: str


def vouch(store: Store, bars: Sequence[Stored]) -> None:
    """Note of stored bars that a person finds them right as they are: no check names them again.

    They are written down like bars that came, were rejected and were accepted; the bars themselves stay.

    Raises:
        DataQualityError: one of them cannot be right.
    """
    for one in bars:
        if one.reason not in ACCEPTABLE:
            raise _unacceptable(f"The stored bar {one.symbol}@{one.ts or one.session}", one.reason, {})
    with ExitStack() as alive:
        for one in bars:
            run = coverage.start_run(store, one.series.vendor, f"accept {one.series.timeframe}", {})
            alive.enter_context(claims.living(store, run))
            with store.transaction() as conn:
                _vouched(conn, one, run)
            coverage.finish_run(store, run, "ok", {"bars": 1})


def _vouched(conn: Any, one: Stored, run: int) -> None:
    """One bar as it stands, in the caller's transaction."""
    rows = nearby.within(conn, one.series, {one.symbol: one.instrument_id}, one.session, one.session)
    (row,) = [row for row in rows.to_pylist() if one.ts is None or row["ts"] == one.ts]
    bar = json.dumps({name: row[name] for name in FIELDS})
    ts = "NULL" if one.ts is None else f"'{one.ts.isoformat()}'"
    with conn.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sec.quarantine (ingest_run_id, last_run_id, source_id, timeframe, instrument_id,"  # noqa: S608
            " symbol, session, ts, reason, bar, released_at, released_by)"
            f" VALUES ({run}, {run}, {one.series.source_id}, '{one.series.timeframe}', {one.instrument_id},"
            f" $1, '{one.session}', {ts}, $2, $3::text::jsonb, clock_timestamp(), 'person')",
            (one.symbol, one.reason, bar),
        )


def _unacceptable(what: str, reason: str, details: Mapping[str, object]) -> DataQualityError:
    return DataQualityError(
        f"{what} ({reason}) cannot be right as it is.",
        fix=(
            f"qfund data check --dismiss {details['id']}"
            if "id" in details
            else "let the vendor correct it, or: qfund data repair --vendor OTHER"
        ),
        code="NOT_ACCEPTABLE",
        details={**details, "reason": reason},
    )


def _called(row: Any) -> str:
    """A row in words, which need not be a bar."""
    return f"Bar {row.quarantine_id} of {row.symbol}" if row.symbol else f"Row {row.quarantine_id}"


def _sessionless(row: Any, calendar: str) -> DataQualityError:
    return DataQualityError(
        f"{_called(row)} is of {row.session}, on which {calendar} has no session: it cannot be stored.",
        fix=f"qfund data check --dismiss {row.quarantine_id}",
        code="NO_SESSION",
        details={"id": row.quarantine_id, "session": str(row.session), "calendar": calendar},
    )


def _all_there(ids: Sequence[int], there: set[int]) -> None:
    """Raises NotFoundError when not every number is there."""
    absent = sorted(set(ids) - there)
    if absent:
        raise NotFoundError(
            f"Nothing in quarantine has the number {', '.join(map(str, absent))}.",
            fix="qfund data check",
            code="NOT_IN_QUARANTINE",
            details={"ids": absent},
        )


def _rows(store: Store, ids: Sequence[int]) -> list[Any]:
    """The bars by number, all of them fit to be accepted."""
    with translated(), store.sql.connect() as connection:
        rows = list(
            connection.exec_driver_sql(
                "SELECT quarantine_id, source_id, timeframe, instrument_id, symbol, session, ts, reason, bar"
                " FROM sec.quarantine WHERE released_at IS NULL AND quarantine_id = ANY (%s) ORDER BY 1",
                (list(ids),),
            ).all()
        )
    _all_there(ids, {row.quarantine_id for row in rows})
    for row in rows:
        sessionless = row.reason == "not_a_session"  # said below in better words
        if (
            (row.reason not in ACCEPTABLE and not sessionless)
            or row.instrument_id is None
            or row.session is None
        ):
            raise _unacceptable(_called(row), row.reason, {"id": row.quarantine_id})
        calendar = by_number(store, row.source_id, row.timeframe).calendar
        if not len(sessions(calendar, row.session, row.session)):
            raise _sessionless(row, calendar)
    times = [(row.source_id, row.timeframe, row.instrument_id, row.session, row.ts) for row in rows]
    if len(set(times)) < len(times):
        raise DataQualityError("Two of these bars are of one time: accept one of them.", code="TWO_BARS")
    return rows


def _accepted(conn: Any, series: Series, rows: Sequence[Any], run: int) -> Accepted:
    """The bars of one series, in the caller's transaction."""
    wanted = columns(series.timeframe)
    made: dict[str, list[object]] = {
        "symbol": [str(row.instrument_id) for row in rows],
        "session": [row.session for row in rows],
        "ts": [row.ts for row in rows],
        **{name: [float(row.bar[name]) for row in rows] for name in FIELDS},
    }
    table = pa.table({name: pa.array(made[name], wanted.field(name).type) for name in wanted.names})
    ids = {str(row.instrument_id): int(row.instrument_id) for row in rows}
    written = write_bars(conn, series, table, ids, ingest_run_id=run)
    numbers = ",".join(str(row.quarantine_id) for row in rows)
    with conn.cursor() as cursor:
        cursor.execute(
            "UPDATE sec.quarantine SET released_at = clock_timestamp(), released_by = 'person',"  # noqa: S608
            f" last_run_id = {run} WHERE quarantine_id = ANY ('{{{numbers}}}'::bigint[])"
        )
        same_time = (
            "q.source_id = a.source_id AND q.timeframe = a.timeframe AND q.instrument_id = a.instrument_id"
            " AND q.session = a.session AND q.ts IS NOT DISTINCT FROM a.ts"
        )
        cursor.execute(
            "WITH gone AS (UPDATE sec.quarantine q SET released_at = clock_timestamp(), released_by = 'other'"  # noqa: S608
            f" FROM sec.quarantine a WHERE a.quarantine_id = ANY ('{{{numbers}}}'::bigint[]) AND {same_time}"
            " AND q.released_at IS NULL RETURNING 1) SELECT count(*) FROM gone"
        )
        others = int(cursor.fetchone()[0])
        cursor.execute(
            "SELECT DISTINCT a.instrument_id, a.session FROM sec.quarantine a"  # noqa: S608
            f" WHERE a.quarantine_id = ANY ('{{{numbers}}}'::bigint[]) AND a.whole AND NOT EXISTS ("
            " SELECT 1 FROM sec.quarantine q WHERE q.released_at IS NULL AND q.source_id = a.source_id"
            " AND q.timeframe = a.timeframe AND q.instrument_id = a.instrument_id"
            " AND (q.session = a.session OR q.session IS NULL))"
        )
        answered = cursor.fetchall()
    spans: dict[int, list[coverage.Span]] = {}
    for number, day in answered:
        spans.setdefault(int(number), []).append((day, day))
    coverage.add_coverage(conn, series, spans)
    return Accepted(written, len(answered), others)

"""Packing: minute bars of sessions that are over go from one row each into arrays.

Promises: done in whole transactions of some instruments' sessions each: killed anywhere it loses nothing and
shows nothing twice, and the next run does the rest; two at once wait for each other. When each bar came stays
known. It sets no coverage, so that the next ingest still asks for the finished session. It never drops a bar
that is not packed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from qfund.market.sessions import opens_and_closes, sessions
from qfund.store import hot, minutes, partitions
from qfund.store.arriving import group_keys
from qfund.store.daily import begin
from qfund.store.faults import translated
from qfund.store.sources import Series, sources

if TYPE_CHECKING:
    from qfund.store.database import Store

_EPOCH = date(1970, 1, 1)
_BARS_AT_ONCE = 200_000
_AFTER_HOURS = timedelta(hours=4)  # Nasdaq and NYSE Arca trade until 20:00 New York
_ELSEWHERE = timedelta(days=2)  # a session that the calendar has not is over by then in any zone


@dataclass(frozen=True)
class Packed:
    """Some of one session, packed and committed.

    Attributes:
        series: whose bars.
        session: of which session.
        instruments: how many instruments.
        bars: how many bars.
    """

    series: Series
    session: date
    instruments: int
    bars: int


@dataclass(frozen=True)
class Waiting:
    """Hot bars of one session that is over.

    Attributes:
        series: whose bars.
        session: of which session.
        ids: the instruments, increasing.
        bars: bars of each.
    """

    series: Series
    session: date
    ids: np.ndarray
    bars: np.ndarray


def waiting(store: Store, now: datetime) -> list[Waiting]:
    """What there is to pack: hot bars of sessions that are over at ``now`` (timezone-aware)."""
    by_source = {one.source_id: one for one in sources(store, "1m")}
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT source_id, session, array_agg(instrument_id ORDER BY instrument_id),"
            "       array_agg(bars ORDER BY instrument_id)"
            "  FROM (SELECT source_id, session, instrument_id, count(*) AS bars FROM sec.bar_1m_hot"
            "         GROUP BY 1, 2, 3) x GROUP BY 1, 2 ORDER BY 1, 2"
        ).all()
    return [
        Waiting(by_source[source], session, np.array(ids, np.int32), np.array(counts, np.int64))
        for source, session, ids, counts in rows
        if over(by_source[source], session) <= now
    ]


def over(series: Series, session: date) -> datetime:
    """When a session is over, timezone-aware UTC; extended hours end four hours after the close."""
    if not len(sessions(series.calendar, session, session)):
        return datetime(session.year, session.month, session.day, tzinfo=UTC) + _ELSEWHERE
    close: datetime = opens_and_closes(series.calendar, session, session)[1][0].to_pydatetime()
    return close + _AFTER_HOURS if series.hours == "extended" else close


def pack(store: Store, now: datetime) -> Iterator[Packed]:
    """Pack all sessions that are over, and drop the weeks that are empty then.

    Args:
        store: where.
        now: the present, timezone-aware.

    Yields:
        What has been committed, step by step.

    Raises:
        UpstreamError: the database is gone; what was yielded is kept.
    """
    for work in waiting(store, now):
        steps = np.cumsum(work.bars) // _BARS_AT_ONCE
        for step in np.unique(steps):
            done = _packed(store, work, work.ids[steps == step])
            if done.bars:
                yield done
    partitions.drop_empty_weeks(store, (now - _ELSEWHERE).astimezone(UTC).date())


def _packed(store: Store, work: Waiting, ids: np.ndarray) -> Packed:
    """Pack one session of some instruments, in one transaction."""
    series, day = work.series, (work.session - _EPOCH).days
    groups = group_keys(ids, np.full(len(ids), day, dtype=np.int32))
    with store.transaction() as connection, connection.cursor() as cursor:
        moment = begin(cursor, series, ids)  # from here on no other writer of the series
        bars = hot.stored(cursor, series, groups)
        if len(bars):
            opens = minutes.opens(series.calendar, np.array([day]))
            minutes.settle(cursor, series, bars, opens, run=int(bars.runs.max()), moment=moment)
        found: Any = bars.starts
    return Packed(series, work.session, len(found), len(bars))

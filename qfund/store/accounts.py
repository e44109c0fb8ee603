"""The account of each instrument of a series: what was asked, what is there, what is in quarantine.

Promises: reads only, one instrument after the other, so that memory stays small whatever is stored; the
sessions come as arrays of days.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from qfund.market.bars import Timeframe
from qfund.store.endings import endings, held, inactive
from qfund.store.faults import translated
from qfund.store.sources import Series

if TYPE_CHECKING:
    from qfund.store.database import Store

Span = tuple[date, date]


@dataclass(frozen=True)
class Holder:
    """An instrument that a series was asked for.

    Attributes:
        instrument_id: its number.
        symbol: its newest symbol.
        listed_on: first session it could trade, None when unknown; where the vendor does not say it, the
            first day of its name, if that was another's before.
        delisted_on: last session it could trade, None while listed; where the vendor does not say it, the day
            of the merger or removal that ended it, or the last day of its last name.
        covered: inclusive spans of sessions that were asked, answered and fit, increasing.
        doubtful: sessions with bars in quarantine, int32 days since 1970-01-01, increasing.
        reach: the first and the last session that anything is known of: answered, stored, or brought by a bar
            that was rejected; None when only bars of no fit day came. What lies between is expected.
        first_bar: where it began on a day that nobody tells, its first session with a bar in any series.
        last_bar: where it ended on a day that nobody tells, its last one.
    """

    instrument_id: int
    symbol: str
    listed_on: date | None
    delisted_on: date | None
    covered: tuple[Span, ...]
    doubtful: np.ndarray
    reach: Span | None
    first_bar: date | None = None
    last_bar: date | None = None


@dataclass(frozen=True, eq=False)
class Account:
    """What is there of one instrument.

    Attributes:
        holder: whose.
        sessions: sessions with a bar, int32 days since 1970-01-01, increasing.
        bars: how many bars each of them has, int64.
    """

    holder: Holder
    sessions: np.ndarray
    bars: np.ndarray


_DAYLESS = "'before_calendar', 'future', 'not_a_session', 'outside_span', 'symbol'"
"""Reasons of bars whose day says nothing of what should be there."""

_TABLES: dict[Timeframe, tuple[str, ...]] = {"1d": ("bar_1d",), "1m": ("bar_1m_day", "bar_1m_hot")}

_PROBE = """(SELECT b.session FROM sec.{table} b
           WHERE b.instrument_id = k.instrument_id AND b.source_id = %(source)s ORDER BY 1 {order} LIMIT 1)"""

_HOLDERS = """
SELECT k.instrument_id, n.symbol, i.listed_on, i.delisted_on,
       (SELECT array_agg(lower(r) ORDER BY r) FROM unnest(k.sessions) r),
       (SELECT array_agg(upper(r) - 1 ORDER BY r) FROM unnest(k.sessions) r),
       (SELECT array_agg(DISTINCT q.session - date '1970-01-01') FROM sec.quarantine q
         WHERE q.source_id = %(source)s AND q.timeframe = %(timeframe)s AND q.released_at IS NULL
           AND q.instrument_id = k.instrument_id AND q.session IS NOT NULL),
       upper(n.valid) - 1,
       (SELECT lower(x.valid) FROM sec.instrument_symbol x
         WHERE x.instrument_id = k.instrument_id AND x.vendor_id = s.vendor_id
         ORDER BY lower(x.valid) NULLS FIRST LIMIT 1),
       least(lower(k.sessions), d.first, {first}), greatest(upper(k.sessions) - 1, d.last, {last})
  FROM (SELECT coalesce(c.instrument_id, o.instrument_id) AS instrument_id, c.sessions
          FROM (SELECT * FROM ops.coverage WHERE source_id = %(source)s AND timeframe = %(timeframe)s) c
          FULL JOIN (SELECT q.instrument_id FROM sec.quarantine q
                      WHERE q.source_id = %(source)s AND q.timeframe = %(timeframe)s
                        AND q.instrument_id IS NOT NULL
                      UNION
                     SELECT k.instrument_id FROM sec.instrument_symbol k
                       JOIN sec.source s ON s.source_id = %(source)s AND s.vendor_id = k.vendor_id
                      WHERE {first} IS NOT NULL) o USING (instrument_id)) k
  LEFT JOIN (SELECT q.instrument_id, min(q.session) AS first, max(q.session) AS last FROM sec.quarantine q
              WHERE q.source_id = %(source)s AND q.timeframe = %(timeframe)s
                AND q.reason NOT IN ({dayless}) GROUP BY 1) d USING (instrument_id)
  JOIN sec.instrument i USING (instrument_id)
  JOIN sec.source s ON s.source_id = %(source)s
  JOIN LATERAL (SELECT x.symbol, x.valid FROM sec.instrument_symbol x
                 WHERE x.instrument_id = k.instrument_id AND x.vendor_id = s.vendor_id
                 ORDER BY upper(x.valid) DESC NULLS FIRST LIMIT 1) n ON true
 WHERE %(symbols)s::text[] IS NULL OR n.symbol = ANY (%(symbols)s)
 ORDER BY k.instrument_id
"""


def _query(timeframe: Timeframe) -> str:
    """The question for the holders of a series, with the tables of its bars."""
    probes = {
        name: f"{choose}({', '.join(_PROBE.format(table=one, order=order) for one in _TABLES[timeframe])})"
        for name, choose, order in (("first", "least", "ASC"), ("last", "greatest", "DESC"))
    }
    return _HOLDERS.format(**probes, dayless=_DAYLESS)


def holders(store: Store, series: Series, symbols: Sequence[str] | None = None) -> list[Holder]:
    """The instruments that a series was ever asked for, by number; only these symbols when some are named."""
    wanted = None if symbols is None else list(symbols)
    values = {"source": series.source_id, "timeframe": series.timeframe, "symbols": wanted}
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(_query(series.timeframe), values).all()
        ended = endings(connection, series.vendor)
        dead = inactive(connection, [row[0] for row in rows]) | set(ended)
        began = {row[0] for row in rows if row[2] is None and row[8] is not None}
        gone = {row[0] for row in rows if row[3] is None and (row[7] is not None or row[0] in dead)}
        bars = held(connection, began | gone)
    return [
        Holder(
            instrument_id=int(row[0]),
            symbol=row[1],
            listed_on=row[2] or row[8],
            delisted_on=row[3] or ended.get(row[0]) or row[7],
            covered=tuple(zip(row[4] or (), row[5] or (), strict=True)),
            doubtful=np.array(sorted(row[6] or ()), dtype=np.int32),
            reach=None if row[9] is None else (row[9], row[10]),
            first_bar=bars[row[0]][0] if row[0] in began & bars.keys() else None,
            last_bar=bars[row[0]][1] if row[0] in gone & bars.keys() else None,
        )
        for row in rows
    ]


def accounts(
    store: Store, series: Series, wanted: Sequence[Holder], since: date, until: date
) -> Iterator[Account]:
    """What is there of each instrument in ``[since, until]``, in the order of their numbers."""
    if not wanted:
        return
    rest = sorted(wanted, key=lambda one: one.instrument_id)
    listed = ",".join(str(one.instrument_id) for one in rest)
    own = (
        f"source_id = {series.source_id} AND instrument_id = ANY ('{{{listed}}}'::integer[])"
        f" AND session BETWEEN '{since}' AND '{until}'"
    )
    query = f"SELECT instrument_id, session, 1::bigint AS bars FROM sec.bar_1d WHERE {own}"  # noqa: S608
    if series.timeframe == "1m":
        query = (
            "SELECT instrument_id, session, sum(bars)::bigint AS bars FROM ("  # noqa: S608 - numbers and dates
            f"SELECT instrument_id, session, cardinality(minute) AS bars FROM sec.bar_1m_day WHERE {own}"
            " UNION ALL SELECT instrument_id, session, count(*) FROM sec.bar_1m_hot"
            f" WHERE {own} GROUP BY 1, 2) b GROUP BY 1, 2"
        )
    with translated(), closing(store.dbapi()) as connection, connection.cursor() as cursor:
        cursor.execute(f"{query} ORDER BY 1, 2")
        yield from _by_instrument(cursor.fetch_record_batch(), rest)


def _by_instrument(batches: Iterator[pa.RecordBatch], wanted: Sequence[Holder]) -> Iterator[Account]:
    """The rows of each instrument together; instruments without any row too."""
    place = 0
    parts: list[tuple[np.ndarray, np.ndarray]] = []

    def account() -> Account:
        empty = (np.empty(0, np.int32), np.empty(0, np.int64))
        days, bars = (np.concatenate(one) for one in zip(empty, *parts, strict=True))
        parts.clear()
        return Account(wanted[place], days, bars)

    for batch in batches:
        ids = batch.column(0).to_numpy()
        days, bars = batch.column(1).cast(pa.int32()).to_numpy(), batch.column(2).to_numpy()
        starts = [0, *(np.flatnonzero(np.diff(ids)) + 1), len(ids)] if len(ids) else [0]
        for start, stop in pairwise(starts):
            while wanted[place].instrument_id != ids[start]:
                yield account()
                place += 1
            parts.append((days[start:stop], bars[start:stop]))
    while place < len(wanted):
        yield account()
        place += 1

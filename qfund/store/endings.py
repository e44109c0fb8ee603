"""Endings: when an instrument ended that its vendor's listings do not date.

Promises: nothing of it is stored; it follows from the corporate actions that stand at a moment, so that one
that is taken back leaves no trace. An action ends an instrument only where its bars agree: none comes later,
and they reach the action's day, or the vendor says that it is inactive. Else the action was meant for an
earlier bearer of the ticker, or the bars in between are still to be asked for.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime
from typing import TYPE_CHECKING

from qfund.market.actions import ENDING
from qfund.store.factors import LONGEST_CLOSURE

if TYPE_CHECKING:
    from sqlalchemy import Connection

_ENDING = """
SELECT c.instrument_id, c.ex_date FROM sec.corporate_action c JOIN sec.vendor v USING (vendor_id)
 WHERE c.kind = ANY (%(kinds)s) AND (%(vendor)s::text IS NULL OR v.name = %(vendor)s)
   AND c.other_symbol IS DISTINCT FROM c.symbol
   AND (%(at)s::timestamptz IS NULL OR (c.known_at <= %(at)s
        AND (c.stored_at <= %(at)s OR v.created_at > %(at)s)))
   AND (c.withdrawn_at IS NULL OR c.withdrawn_at > %(at)s)
 ORDER BY c.ex_date
"""
_PROBE = """
       (SELECT b.session FROM sec.{table} b
         WHERE b.instrument_id = k.id AND b.source_id = s.source_id ORDER BY 1 {order} LIMIT 1)
"""
_HELD = (
    "SELECT k.id, min(x.session), max(x.session)"  # noqa: S608 - our own names
    "  FROM unnest(%s::integer[]) AS k (id) CROSS JOIN sec.source s CROSS JOIN LATERAL ("
    + " UNION ALL ".join(
        _PROBE.format(table=table, order=order)
        for table in ("bar_1d", "bar_1m_day", "bar_1m_hot")
        for order in ("ASC", "DESC")
    )
    + ") x GROUP BY k.id"
)
_INACTIVE = """
SELECT x.instrument_id
  FROM (SELECT DISTINCT ON (t.instrument_id) t.instrument_id, t.status FROM sec.instrument_status t
         WHERE t.instrument_id = ANY (%s) ORDER BY t.instrument_id, t.seen_at DESC) x
 WHERE x.status = 'inactive'
"""


def endings(
    connection: Connection, vendor: str | None = None, as_of: datetime | None = None
) -> dict[int, date]:
    """Instrument → the day on which a merger or a removal ended it, the last on which it could trade.

    Args:
        connection: where to look.
        vendor: whose instruments; None for all.
        as_of: timezone-aware moment: only by what was known then; None for what stands now.
    """
    values = {"kinds": list(ENDING), "vendor": vendor, "at": as_of}
    told = [(row[0], row[1]) for row in connection.exec_driver_sql(_ENDING, values)]
    numbers = {number for number, _ in told}
    spans, dead = held(connection, numbers), inactive(connection, numbers)
    found = {}
    for number, day in told:
        last = spans[number][1] if number in spans else date.max
        if last <= day and (number in dead or (day - last).days <= LONGEST_CLOSURE):
            found[number] = day
    return found


def held(connection: Connection, instruments: Collection[int]) -> dict[int, tuple[date, date]]:
    """Instrument → its first and last session with a bar, in any series; those without one are left out."""
    if not instruments:
        return {}
    rows = connection.exec_driver_sql(_HELD, (list(instruments),))
    return {row[0]: (row[1], row[2]) for row in rows}


def inactive(connection: Connection, instruments: Collection[int]) -> set[int]:
    """Those of the instruments whose vendor said last that they are inactive."""
    if not instruments:
        return set()
    return {row[0] for row in connection.exec_driver_sql(_INACTIVE, (list(instruments),))}

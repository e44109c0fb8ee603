"""What may be done with an instrument, dated: a row only when something changed.

Promises: the past stays as it was seen; a status that comes again writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from datetime import datetime
from typing import TYPE_CHECKING

from qfund.market.instruments import Status
from qfund.store.faults import translated

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from qfund.store.database import Store

_NAMES = tuple(field.name for field in fields(Status))
_COLUMNS = ", ".join(f"t.{name}" for name in _NAMES)


def write_statuses(connection: Connection, vendor_id: int, found: Mapping[int, Status]) -> int:
    """Keep what a vendor says now, where it says something else than last time; does not commit.

    Args:
        connection: in a transaction.
        vendor_id: who says it.
        found: instrument number → status.

    Returns:
        How many had changed.
    """
    if not found:
        return 0
    rows = connection.exec_driver_sql(
        f"SELECT DISTINCT ON (t.instrument_id) t.instrument_id, {_COLUMNS} FROM sec.instrument_status t"  # noqa: S608
        " WHERE t.vendor_id = %s AND t.instrument_id = ANY (%s) ORDER BY t.instrument_id, t.seen_at DESC",
        (vendor_id, list(found)),
    )
    last = {row[0]: Status(*row[1:]) for row in rows}
    changed = [(number, status) for number, status in found.items() if last.get(number) != status]
    if changed:
        places = ", ".join(["%s"] * len(_NAMES))
        connection.exec_driver_sql(
            "INSERT INTO sec.instrument_status (instrument_id, vendor_id, seen_at, "  # noqa: S608 - our own names
            f"{', '.join(_NAMES)}) VALUES (%s, %s, clock_timestamp(), {places})",
            [(number, vendor_id, *astuple(status)) for number, status in changed],
        )
    return len(changed)


def statuses(
    store: Store, vendor: str, instruments: Sequence[int] | None = None, *, as_of: datetime | None = None
) -> dict[int, Status]:
    """Instrument → what its vendor said last of what may be done with it.

    Args:
        store: where to look.
        vendor: whose word.
        instruments: only these; None for all.
        as_of: timezone-aware moment: what was said last by then; None for the latest.

    Returns:
        Instruments of which nothing was said are left out.
    """
    wanted = None if instruments is None else list(instruments)
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            f"SELECT DISTINCT ON (t.instrument_id) t.instrument_id, {_COLUMNS}"  # noqa: S608 - our own names
            "  FROM sec.instrument_status t JOIN sec.vendor v USING (vendor_id)"
            " WHERE v.name = %s AND (%s::integer[] IS NULL OR t.instrument_id = ANY (%s))"
            "   AND (%s::timestamptz IS NULL OR t.seen_at <= %s)"
            " ORDER BY t.instrument_id, t.seen_at DESC",
            (vendor, wanted, wanted, as_of, as_of),
        ).all()
    return {row[0]: Status(*row[1:]) for row in rows}

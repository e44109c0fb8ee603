"""The securities master: instruments under dated symbols, per vendor; and the series that bars belong to.

Promises: an instrument keeps its number for ever; a symbol names at most one instrument of a vendor on any
day (the database refuses the second). Instruments are known per vendor. Nothing here deletes anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING

from qfund.errors import NotFoundError, did_you_mean
from qfund.market.instruments import Listing
from qfund.store.endings import endings
from qfund.store.faults import translated
from qfund.store.registering import LISTED, listing_of, register
from qfund.store.sources import Described, Series, find_series, series, sources
from qfund.store.statuses import statuses
from qfund.store.symbols import SymbolSpan, symbol_spans, symbols_on

if TYPE_CHECKING:
    from qfund.store.database import Store

__all__ = [
    "Described",
    "Series",
    "SymbolSpan",
    "find_series",
    "instruments",
    "listings",
    "register",
    "series",
    "sources",
    "statuses",
    "symbol_spans",
    "symbols_on",
]


def listings(
    store: Store,
    symbols: Sequence[str] | None = None,
    vendor: str | None = None,
    *,
    as_of: datetime | None = None,
) -> dict[int, Listing]:
    """Stored instruments by number, under their newest symbol, or under the one that was asked for.

    What a merger or a removal ended was delisted on its day, unless the vendor says another.

    Args:
        store: where to look.
        symbols: only these; None for all. Unknown ones are left out.
        vendor: only this vendor's; None for all.
        as_of: timezone-aware moment: ended by what was known then; None for what stands now.
    """
    wanted = None if symbols is None else list(symbols)
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            LISTED
            + " WHERE (%s::text[] IS NULL OR s.symbol = ANY (%s)) AND (%s::text IS NULL OR v.name = %s)"
            " ORDER BY upper(s.valid) NULLS LAST, s.instrument_id",
            (wanted, wanted, vendor, vendor),
        ).all()
        ended = endings(connection, vendor, as_of)
    found = {row[0]: listing_of(row) for row in rows}
    return {
        number: replace(one, delisted_on=one.delisted_on or ended.get(number)) if number in ended else one
        for number, one in found.items()
    }


def instruments(
    store: Store,
    symbols: Sequence[str],
    *,
    vendor: str | None = None,
    on: date | None = None,
    by: date | None = None,
) -> dict[str, int]:
    """The instruments that symbols name, in the order asked.

    Args:
        store: where to look.
        symbols: what to look for.
        vendor: whose symbols; None: of the vendor that was stored first.
        on: the day on which the symbol is meant, by its bearer of that day and no other; None for any day.
        by: the end of a period in which the symbol is meant: the last instrument that bore it by then, else
            the first one that bore it after; None for the latest.

    Raises:
        NotFoundError: a symbol is unknown; the message names the nearest ones.
    """
    names = list(symbols)
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT s.symbol, s.instrument_id, coalesce(lower(s.valid) > %s::date, false) AS later"
            "  FROM sec.instrument_symbol s JOIN sec.vendor v USING (vendor_id)"
            " WHERE s.symbol = ANY (%s) AND (%s::text IS NULL OR v.name = %s)"
            "   AND (%s::date IS NULL OR s.valid @> %s::date)"
            " ORDER BY s.vendor_id DESC, later DESC,"
            "          CASE WHEN lower(s.valid) > %s::date THEN lower(s.valid) END DESC,"
            "          upper(s.valid) NULLS LAST",
            (by, names, vendor, vendor, on, on, by),
        ).all()
    found = {row[0]: int(row[1]) for row in rows}
    missing = [name for name in names if name not in found]
    if missing:
        raise _unknown(missing, (one.symbol for one in listings(store, vendor=vendor).values()), vendor)
    return {name: found[name] for name in names}


def _unknown(missing: list[str], known: Iterable[str], vendor: str | None) -> NotFoundError:
    stored = sorted(set(known))
    told = ". ".join(f"'{name}' is not stored.{did_you_mean(name, stored)}" for name in missing[:5])
    more = f" And {len(missing) - 5} more." if len(missing) > 5 else ""
    return NotFoundError(
        f"{told}{more}",
        fix=f"qfund ingest --vendor {vendor or 'sample'} --symbols {','.join(missing[:5])}",
        code="UNKNOWN_SYMBOL",
        details={"symbols": missing},
    )

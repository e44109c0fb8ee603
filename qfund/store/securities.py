"""The securities master: instruments under dated symbols, per vendor; and the series that bars belong to.

Promises: an instrument keeps its number for ever; a symbol names at most one instrument of a vendor on any
day (the database refuses the second). Instruments are known per vendor. Nothing here deletes anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from qfund.errors import DataQualityError, NotFoundError, did_you_mean
from qfund.market.instruments import Listing
from qfund.store.faults import translated
from qfund.store.sources import Described, Series, find_series, series, sources, vendor_id

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from qfund.store.database import Store

__all__ = [
    "Described",
    "Series",
    "find_series",
    "instruments",
    "listings",
    "register",
    "series",
    "sources",
]

_REGISTER_LOCK = 0x7166_7365_63  # one registration at a time


# ---------------------------------------------------------------- instruments


@dataclass(frozen=True)
class _Known:
    """A stored symbol with its instrument's facts."""

    instrument_id: int
    listing: Listing
    since: date | None
    until: date | None  # exclusive


_LISTED = """
SELECT s.instrument_id, s.symbol, i.name, i.kind, i.currency, i.mic, i.listed_on, i.delisted_on, s.vendor_ref,
       lower(s.valid), upper(s.valid), v.name
  FROM sec.instrument_symbol s
  JOIN sec.instrument i USING (instrument_id)
  JOIN sec.vendor v USING (vendor_id)
"""


def register(
    store: Store, vendor: str, listings: Sequence[Listing], *, terms: str | None = None
) -> dict[str, int]:
    """Make a vendor's instruments known, or bring what is known of them up to date.

    An instrument is recognised by the vendor's own reference, else by its symbol on overlapping dates. A
    symbol that was used by another, delisted instrument names a new one. When a known reference comes with
    another symbol, the old symbol ends yesterday and the new one starts today.

    Args:
        store: where to.
        vendor: whose symbols these are.
        listings: what the vendor says.
        terms: licence or terms of the vendor's data, kept when given.

    Returns:
        symbol → instrument number, for the listings given.

    Raises:
        DataQualityError: two instruments would share a symbol on the same day, or a venue is unknown.
    """
    with translated(), store.sql.begin() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_REGISTER_LOCK})")
        number = vendor_id(connection, vendor)
        if terms is not None:
            connection.exec_driver_sql(
                "UPDATE sec.vendor SET terms = %s, updated_at = now()"
                " WHERE vendor_id = %s AND terms IS DISTINCT FROM %s",
                (terms, number, terms),
            )
        _ensure_venues(connection, {one.mic for one in listings if one.mic is not None})
        known = _known(connection, vendor)
        return {
            one.symbol: _registered(connection, number, one, known.get(_key(one)))
            for one in _with_keys(listings, known)
        }


def _key(listing: Listing) -> tuple[str, str]:
    if listing.vendor_ref is not None:
        return ("ref", listing.vendor_ref)
    return ("symbol", listing.symbol)


def _known(connection: Connection, vendor: str) -> dict[tuple[str, str], list[_Known]]:
    """A vendor's stored symbols by reference and by symbol, oldest first."""
    rows = connection.exec_driver_sql(
        _LISTED + " WHERE v.name = %s ORDER BY lower(s.valid) NULLS FIRST, s.instrument_id", (vendor,)
    )
    found: dict[tuple[str, str], list[_Known]] = {}
    for row in rows:
        one = _Known(row[0], _listing(row), row[9], row[10])
        found.setdefault(("symbol", one.listing.symbol), []).append(one)
        if one.listing.vendor_ref is not None:
            found.setdefault(("ref", one.listing.vendor_ref), []).append(one)
    return found


def _listing(row: Sequence[Any]) -> Listing:
    return Listing(
        symbol=row[1],
        name=row[2],
        kind=row[3],
        currency=row[4],
        mic=row[5],
        listed_on=row[6],
        delisted_on=row[7],
        vendor_ref=row[8],
    )


def _with_keys(listings: Sequence[Listing], known: dict[tuple[str, str], list[_Known]]) -> Iterable[Listing]:
    """The listings; one named for the first time with a reference takes over its symbol's instrument."""
    for one in listings:
        if _key(one) not in known:
            same = [k for k in known.get(("symbol", one.symbol), []) if k.listing.vendor_ref is None]
            if same:
                known[_key(one)] = same
        yield one


def _registered(
    connection: Connection, vendor_number: int, one: Listing, candidates: list[_Known] | None
) -> int:
    match = next((k for k in reversed(candidates or []) if _overlap(k, one)), None)
    if match is None:
        return _insert(connection, vendor_number, one)
    if match.listing.symbol != one.symbol:
        _rename(connection, vendor_number, match, one)
    elif match.listing != one:
        _update(connection, vendor_number, match, one)
    return match.instrument_id


def _overlap(known: _Known, one: Listing) -> bool:
    """Whether a stored symbol and a listing can be the same instrument."""
    ends_before = known.until is not None and one.listed_on is not None and known.until <= one.listed_on
    starts_after = known.since is not None and one.delisted_on is not None and known.since > one.delisted_on
    return not (ends_before or starts_after)


def _facts(one: Listing) -> tuple[object, ...]:
    return (one.kind, one.name, one.currency, one.mic, one.listed_on, one.delisted_on)


def _insert(connection: Connection, vendor_number: int, one: Listing) -> int:
    created = connection.exec_driver_sql(
        "INSERT INTO sec.instrument (kind, name, currency, mic, listed_on, delisted_on)"
        " VALUES (%s, %s, %s, %s, %s, %s) RETURNING instrument_id",
        _facts(one),
    ).scalar_one()
    connection.exec_driver_sql(
        "INSERT INTO sec.instrument_symbol (instrument_id, vendor_id, symbol, vendor_ref, valid)"
        " VALUES (%s, %s, %s, %s, daterange(%s, %s))",
        (created, vendor_number, one.symbol, one.vendor_ref, one.listed_on, _after(one.delisted_on)),
    )
    return int(created)


def _after(day: date | None) -> date | None:
    return None if day is None else day + timedelta(days=1)


def _update(connection: Connection, vendor_number: int, match: _Known, one: Listing) -> None:
    """Take over changed facts; a symbol that was not renamed is valid from listing to delisting."""
    connection.exec_driver_sql(
        "UPDATE sec.instrument SET kind = %s, name = %s, currency = %s, mic = %s, listed_on = %s,"
        " delisted_on = %s, updated_at = now() WHERE instrument_id = %s",
        (*_facts(one), match.instrument_id),
    )
    connection.exec_driver_sql(
        "UPDATE sec.instrument_symbol s SET vendor_ref = coalesce(%s, s.vendor_ref), valid = daterange("
        "   CASE WHEN EXISTS (SELECT 1 FROM sec.instrument_symbol o WHERE o.instrument_id = s.instrument_id"
        "     AND o.vendor_id = s.vendor_id AND upper(o.valid) = lower(s.valid))"
        "   THEN lower(s.valid) ELSE %s END, %s)"
        " WHERE s.instrument_id = %s AND s.vendor_id = %s AND s.symbol = %s"
        "   AND lower(s.valid) IS NOT DISTINCT FROM %s",
        (
            one.vendor_ref,
            one.listed_on,
            _after(one.delisted_on),
            match.instrument_id,
            vendor_number,
            one.symbol,
            match.since,
        ),
    )


def _rename(connection: Connection, vendor_number: int, match: _Known, one: Listing) -> None:
    connection.exec_driver_sql(
        "UPDATE sec.instrument_symbol SET valid = valid * daterange(NULL, current_date)"
        " WHERE instrument_id = %s AND vendor_id = %s AND valid @> current_date",
        (match.instrument_id, vendor_number),
    )
    connection.exec_driver_sql(
        "INSERT INTO sec.instrument_symbol (instrument_id, vendor_id, symbol, vendor_ref, valid)"
        " VALUES (%s, %s, %s, %s, daterange(current_date, %s))",
        (match.instrument_id, vendor_number, one.symbol, one.vendor_ref, _after(one.delisted_on)),
    )


def _ensure_venues(connection: Connection, mics: set[str]) -> None:
    """Venues that the schema does not bring along, with their calendar.

    Raises:
        DataQualityError: no calendar is known for a venue.
    """
    rows = connection.exec_driver_sql("SELECT mic FROM sec.venue")
    missing = mics - {row[0] for row in rows}
    if not missing:
        return
    import exchange_calendars

    names = exchange_calendars.get_calendar_names(include_aliases=True)
    for mic in sorted(missing):
        if mic not in names:
            raise DataQualityError(
                f"The venue '{mic}' has no exchange calendar.{did_you_mean(mic, names)}",
                code="UNKNOWN_VENUE",
            )
        calendar = exchange_calendars.resolve_alias(mic)
        zone = exchange_calendars.get_calendar(calendar).tz
        connection.exec_driver_sql(
            "INSERT INTO sec.venue (mic, abbrev, name, currency, timezone, calendar)"
            " VALUES (%s, %s, %s, '', %s, %s)",
            (mic, mic, mic, str(zone), calendar),
        )


def listings(
    store: Store, symbols: Sequence[str] | None = None, vendor: str | None = None
) -> dict[int, Listing]:
    """Stored instruments by number, under their newest symbol, or under the one that was asked for.

    Args:
        store: where to look.
        symbols: only these; None for all. Unknown ones are left out.
        vendor: only this vendor's; None for all.
    """
    wanted = None if symbols is None else list(symbols)
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            _LISTED
            + " WHERE (%s::text[] IS NULL OR s.symbol = ANY (%s)) AND (%s::text IS NULL OR v.name = %s)"
            " ORDER BY upper(s.valid) NULLS LAST, s.instrument_id",
            (wanted, wanted, vendor, vendor),
        ).all()
    return {row[0]: _listing(row) for row in rows}


def instruments(
    store: Store, symbols: Sequence[str], *, vendor: str | None = None, on: date | None = None
) -> dict[str, int]:
    """The instruments that symbols name, in the order asked.

    Args:
        store: where to look.
        symbols: what to look for.
        vendor: whose symbols; None: of the vendor that was stored first.
        on: the day on which the symbol is meant; None for the latest instrument that bore it.

    Raises:
        NotFoundError: a symbol is unknown; the message names the nearest ones.
    """
    names = list(symbols)
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT s.symbol, s.instrument_id"
            "  FROM sec.instrument_symbol s JOIN sec.vendor v USING (vendor_id)"
            " WHERE s.symbol = ANY (%s) AND (%s::text IS NULL OR v.name = %s)"
            "   AND (%s::date IS NULL OR s.valid @> %s::date)"
            " ORDER BY s.vendor_id DESC, upper(s.valid) NULLS LAST",
            (names, vendor, vendor, on, on),
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

"""Registering: what a vendor says of its instruments becomes, or finds, their rows in the securities master.

Promises: an instrument keeps its number through a change of its symbol; a ticker that is used again is
another instrument; a delisted one stays. Where a vendor gives no dates, the day of a change is the one of a
known corporate action, else today. It never deletes an instrument.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from qfund.errors import DataQualityError, did_you_mean
from qfund.market.instruments import Listing
from qfund.store.endings import held
from qfund.store.faults import translated
from qfund.store.sources import vendor_id
from qfund.store.statuses import write_statuses
from qfund.store.symbols import REGISTER_LOCK

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from qfund.store.database import Store


@dataclass(frozen=True)
class _Known:
    """A stored symbol with its instrument's facts."""

    instrument_id: int
    listing: Listing
    since: date | None
    until: date | None  # exclusive


LISTED = """
SELECT s.instrument_id, s.symbol, i.name, i.kind, i.currency, i.mic, i.listed_on, i.delisted_on, s.vendor_ref,
       lower(s.valid), upper(s.valid), v.name
  FROM sec.instrument_symbol s
  JOIN sec.instrument i USING (instrument_id)
  JOIN sec.vendor v USING (vendor_id)
"""
"""The columns of `listing_of`."""

Directory = dict[tuple[str, str], list[_Known]]  # by ("ref", …) and ("symbol", …), oldest first


def register(
    store: Store, vendor: str, listings: Sequence[Listing], *, terms: str | None = None
) -> dict[str, int]:
    """Make a vendor's instruments known, or bring what is known of them up to date.

    An instrument is recognised by the vendor's own reference, else by its symbol on overlapping dates. A
    symbol that was used by another, delisted instrument names a new one. When a known reference comes with a
    symbol that it never had, the old symbol ends and the new one starts on the day of the change of name
    that is stored as a corporate action, else today.

    When a new reference comes with a symbol that another instrument bears without an end, the ticker was used
    again: the old bearer ends where the new one is listed, else after its last bar, else today. A delisted
    instrument without dates whose symbol another one bears is left out, since nobody can say when it was
    meant.

    Args:
        store: where to.
        vendor: whose symbols these are.
        listings: what the vendor says; a status is kept with its date when it changed.
        terms: licence or terms of the vendor's data, kept when given.

    Returns:
        symbol → instrument number, for the listings given; of two with one symbol the one not delisted.

    Raises:
        DataQualityError: two instruments would share a symbol on the same day, or a venue is unknown.
    """
    with translated(), store.sql.begin() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({REGISTER_LOCK})")
        number = vendor_id(connection, vendor)
        if terms is not None:
            connection.exec_driver_sql(
                "UPDATE sec.vendor SET terms = %s, updated_at = now()"
                " WHERE vendor_id = %s AND terms IS DISTINCT FROM %s",
                (terms, number, terms),
            )
        _ensure_venues(connection, {one.mic for one in listings if one.mic is not None})
        known = _known(connection, vendor)
        today = connection.exec_driver_sql("SELECT current_date").scalar_one()
        desk = _Desk(connection, number, known, today)
        ids: dict[str, int] = {}
        found = []
        for one in sorted(
            listings, key=lambda one: one.gone
        ):  # those that can be traded take their symbols first
            instrument = desk.registered(one)
            found.append((instrument, one.status))
            ids.setdefault(one.symbol, instrument)
        write_statuses(connection, number, {i: status for i, status in reversed(found) if status is not None})
        return {one.symbol: ids[one.symbol] for one in listings}


def _key(listing: Listing) -> tuple[str, str]:
    if listing.vendor_ref is not None:
        return ("ref", listing.vendor_ref)
    return ("symbol", listing.symbol)


def _known(connection: Connection, vendor: str) -> Directory:
    """A vendor's stored symbols by reference and by symbol, oldest first."""
    rows = connection.exec_driver_sql(
        LISTED + " WHERE v.name = %s ORDER BY lower(s.valid) NULLS FIRST, s.instrument_id", (vendor,)
    )
    found: Directory = {}
    for row in rows:
        _remember(found, _Known(row[0], listing_of(row), row[9], row[10]))
    return found


def _remember(known: Directory, one: _Known) -> None:
    known.setdefault(("symbol", one.listing.symbol), []).append(one)
    if one.listing.vendor_ref is not None:
        known.setdefault(("ref", one.listing.vendor_ref), []).append(one)


def listing_of(row: Sequence[Any]) -> Listing:
    """A row of `LISTED` as a listing."""
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


def _overlap(known: _Known, one: Listing) -> bool:
    """Whether a stored symbol and a listing can be the same instrument."""
    ends_before = known.until is not None and one.listed_on is not None and known.until <= one.listed_on
    starts_after = known.since is not None and one.delisted_on is not None and known.since > one.delisted_on
    return not (ends_before or starts_after)


def _facts(one: Listing) -> tuple[object, ...]:
    return (one.kind, one.name, one.currency, one.mic, one.listed_on, one.delisted_on)


def _after(day: date | None) -> date | None:
    return None if day is None else day + timedelta(days=1)


class _Desk:
    """Where one vendor's listings are taken in, within one transaction."""

    def __init__(self, connection: Connection, vendor_number: int, known: Directory, today: date) -> None:
        self._connection = connection
        self._vendor = vendor_number
        self._known = known
        self._today = today

    def registered(self, one: Listing) -> int:
        """The number of a listing's instrument: found, renamed, changed or new."""
        candidates = [known for known in self._candidates(one) if _overlap(known, one)]
        same = [known for known in candidates if known.listing.symbol == one.symbol]
        if same:  # a name it had once is no new one
            if same[-1].listing != one:
                self._update(same[-1], one)
            return same[-1].instrument_id
        if candidates:
            self._rename(candidates[-1], one)
            return candidates[-1].instrument_id
        return self._new(one)

    def _candidates(self, one: Listing) -> list[_Known]:
        """What a listing can be; with a reference for the first time, its symbol's instrument without one."""
        found = self._known.get(_key(one))
        if found is not None:
            return found
        bearers = self._known.get(("symbol", one.symbol), [])
        return [known for known in bearers if known.listing.vendor_ref is None]

    def _new(self, one: Listing) -> int:
        since, until = one.listed_on, _after(one.delisted_on)
        for other in self._known.get(("symbol", one.symbol), []):
            if other.until is not None and one.listed_on is None and not one.gone:
                since = max(since or other.until, other.until)  # it gave the ticker up
            if other.until is not None or not _overlap(other, one):
                continue
            if not one.gone:
                since = since or self._taken_over(other)
                self._bound(other, until=since)
            elif one.delisted_on is None:
                return other.instrument_id
            elif other.since is None:
                self._bound(other, since=until)
        created = self._connection.exec_driver_sql(
            "INSERT INTO sec.instrument (kind, name, currency, mic, listed_on, delisted_on)"
            " VALUES (%s, %s, %s, %s, %s, %s) RETURNING instrument_id",
            _facts(one),
        ).scalar_one()
        self._name(int(created), one, since, until)
        return int(created)

    def _taken_over(self, other: _Known) -> date:
        """The day on which a ticker changed hands: after the last bar of its old bearer, else today."""
        held_of = held(self._connection, [other.instrument_id])
        last = held_of[other.instrument_id][1] if held_of else self._today - timedelta(days=1)
        return _after_start(other, last + timedelta(days=1))

    def _name(
        self,
        instrument: int,
        one: Listing,
        since: date | None,
        until: date | None,
        *,
        told: date | None = None,
    ) -> None:
        """Give an instrument a symbol on some days.

        The listings alone gave it from ``told`` on; None for the same day.
        """
        self._connection.exec_driver_sql(
            "INSERT INTO sec.instrument_symbol (instrument_id, vendor_id, symbol, vendor_ref, valid, told)"
            " VALUES (%s, %s, %s, %s, daterange(%s, %s), daterange(%s, %s))",
            (instrument, self._vendor, one.symbol, one.vendor_ref, since, until, told or since, until),
        )
        _remember(self._known, _Known(instrument, one, since, until))

    def _bound(self, known: _Known, *, since: date | None = None, until: date | None = None) -> None:
        """Let a symbol's days begin or end where another instrument's end or begin."""
        self._connection.exec_driver_sql(
            "UPDATE sec.instrument_symbol"
            "   SET valid = valid * daterange(%s, %s), told = nullif(told * daterange(%s, %s), 'empty')"
            " WHERE instrument_id = %s AND vendor_id = %s AND symbol = %s"
            "   AND lower(valid) IS NOT DISTINCT FROM %s",
            (*(since, until) * 2, known.instrument_id, self._vendor, known.listing.symbol, known.since),
        )

    def _update(self, match: _Known, one: Listing) -> None:
        """Take over changed facts; a symbol without neighbours is valid from listing to delisting."""
        self._connection.exec_driver_sql(
            "UPDATE sec.instrument SET kind = %s, name = %s, currency = %s, mic = %s, listed_on = %s,"
            " delisted_on = %s, updated_at = now() WHERE instrument_id = %s",
            (*_facts(one), match.instrument_id),
        )
        first, end = one.listed_on, _after(one.delisted_on)
        self._connection.exec_driver_sql(
            "UPDATE sec.instrument_symbol s SET vendor_ref = coalesce(%s, s.vendor_ref),"  # noqa: S608
            f" valid = {_between_neighbours('valid')}, told = {_between_neighbours('told')}"
            " WHERE s.instrument_id = %s AND s.vendor_id = %s AND s.symbol = %s"
            "   AND lower(s.valid) IS NOT DISTINCT FROM %s",
            (
                one.vendor_ref,
                *(first, end, first, end),
                match.instrument_id,
                self._vendor,
                one.symbol,
                match.since,
            ),
        )

    def _rename(self, match: _Known, one: Listing) -> None:
        """End the symbol that an instrument bears now where its new one begins."""
        told = self._connection.exec_driver_sql(
            "SELECT ex_date FROM sec.corporate_action WHERE vendor_id = %s AND instrument_id = %s"
            "   AND kind = 'name_change' AND other_symbol = %s AND withdrawn_at IS NULL"
            " ORDER BY ex_date DESC LIMIT 1",
            (self._vendor, match.instrument_id, one.symbol),
        ).scalar_one_or_none()
        day, seen = (_after_start(match, first) for first in (told or self._today, self._today))
        if one.delisted_on is not None and seen > one.delisted_on:  # a name that is first seen after its end
            seen = day
        self._connection.exec_driver_sql(
            "UPDATE sec.instrument_symbol SET valid = valid * daterange(NULL, %s)"
            " WHERE instrument_id = %s AND vendor_id = %s AND valid @> %s::date",
            (day, match.instrument_id, self._vendor, day),
        )
        self._connection.exec_driver_sql(
            "UPDATE sec.instrument_symbol SET told = told * daterange(NULL, %s)"
            " WHERE instrument_id = %s AND vendor_id = %s AND told @> %s::date",
            (seen, match.instrument_id, self._vendor, seen),
        )
        self._name(match.instrument_id, one, day, _after(one.delisted_on), told=seen)


def _after_start(known: _Known, day: date) -> date:
    """The day, or the second one of a symbol that begins later."""
    return day if known.since is None or day > known.since else known.since + timedelta(days=1)


def _between_neighbours(days: str) -> str:
    """The days of a symbol ``s``: from listing to delisting, but where it meets a neighbour.

    That is another name of its instrument, or another bearer of the ticker. A name that no listing tells of
    stays untold.
    """

    def end(which: str, meeting: str) -> str:
        return (
            "CASE WHEN EXISTS (SELECT 1 FROM sec.instrument_symbol o WHERE o.vendor_id = s.vendor_id"  # noqa: S608
            f" AND (o.instrument_id = s.instrument_id OR o.symbol = s.symbol) AND {meeting})"
            f" THEN {which}(s.{days}) ELSE %s END"
        )

    first = end("lower", f"upper(o.{days}) = lower(s.{days})")
    last = end("upper", f"lower(o.{days}) = upper(s.{days})")
    return f"CASE WHEN s.{days} IS NOT NULL THEN daterange({first}, {last}) END"


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

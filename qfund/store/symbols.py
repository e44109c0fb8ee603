"""Symbols through time: which name an instrument bore on which day, and what a change of name does to that.

Promises: a question about a range is answered span by span, so that each session can be asked for under the
symbol that was valid on it. Names are always what the listings told, dated by the changes of name that stand:
one that is learned late moves the boundary back to its own day, never an instrument; one that is taken back
leaves no trace. What would give one symbol two bearers on a day is left as it is and told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from qfund.store.faults import translated

if TYPE_CHECKING:
    from qfund.store.database import Store

REGISTER_LOCK = 0x7166_7365_63  # one change of names at a time


@dataclass(frozen=True)
class SymbolSpan:
    """An instrument's symbol over an inclusive span of days."""

    instrument_id: int
    symbol: str
    since: date
    until: date


@dataclass(frozen=True)
class Naming:
    """A symbol from ``since`` (None: always) to the day before ``until`` (None: still).

    Attributes:
        symbol: the vendor's symbol.
        since: its first day.
        until: the day after its last.
        vendor_ref: the vendor's own identity of the instrument.
        told: the same two days as the listings told them; None where only a change of name tells of it.
    """

    symbol: str
    since: date | None
    until: date | None
    vendor_ref: str | None = None
    told: tuple[date | None, date | None] | None = None

    def within(self, since: date | None, until: date | None) -> bool:
        """Whether it was borne on a day of a span (inclusive, None for no bound)."""
        return _first(self) <= (until or date.max) and (since or date.min) <= _last(self)

    @property
    def last(self) -> date | None:
        """Its last day."""
        return self.until and self.until - timedelta(days=1)


def symbol_spans(
    store: Store, vendor: str, instruments: Sequence[int], since: date, until: date
) -> list[SymbolSpan]:
    """The symbols of some instruments over a range of days, as a vendor called them.

    Args:
        store: where to look.
        vendor: whose symbols.
        instruments: their numbers.
        since: first day.
        until: last day, inclusive.

    Returns:
        By instrument, then day, cut to the range; days on which an instrument had no symbol are in no span.
    """
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT s.instrument_id, s.symbol, greatest(lower(s.valid), %(since)s) AS since,"
            "       least(upper(s.valid) - 1, %(until)s) AS until"
            "  FROM sec.instrument_symbol s JOIN sec.vendor v USING (vendor_id)"
            " WHERE v.name = %(vendor)s AND s.instrument_id = ANY (%(ids)s)"
            "   AND s.valid && daterange(%(since)s, %(until)s, '[]')"
            " ORDER BY s.instrument_id, lower(s.valid) NULLS FIRST",
            {"vendor": vendor, "ids": list(instruments), "since": since, "until": until},
        ).all()
    return [SymbolSpan(*row) for row in rows]


def dated_names(store: Store, vendor: str, instruments: Sequence[int]) -> dict[int, list[Naming]]:
    """Instrument → its names, oldest first, of those that did not bear a single one for ever: hardly any."""
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT s.instrument_id, s.symbol, lower(s.valid), upper(s.valid), s.vendor_ref"
            "  FROM sec.instrument_symbol s JOIN sec.vendor v USING (vendor_id)"
            " WHERE v.name = %s AND s.instrument_id = ANY (%s) AND NOT s.valid @> '(,)'::daterange"
            " ORDER BY s.instrument_id, lower(s.valid) NULLS FIRST",
            (vendor, list(instruments)),
        ).all()
    found: dict[int, list[Naming]] = {}
    for number, *rest in rows:
        found.setdefault(number, []).append(Naming(*rest))
    return found


def symbols_on(store: Store, vendor: str, instruments: Sequence[int], day: date) -> dict[int, str]:
    """Instrument → the symbol it bore on a day; those without one are left out."""
    return {one.instrument_id: one.symbol for one in symbol_spans(store, vendor, instruments, day, day)}


Bearers = Mapping[str, Sequence[tuple[int, Naming]]]
"""Symbol → the instruments that bore it, and when; by day."""


def bearers(store: Store, vendor: str, symbols: Sequence[str]) -> Bearers:
    """Who bore some symbols of a vendor, and when; without those that nobody bore."""
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT s.instrument_id, s.symbol, lower(s.valid), upper(s.valid), s.vendor_ref"
            "  FROM sec.instrument_symbol s JOIN sec.vendor v USING (vendor_id)"
            " WHERE v.name = %s AND s.symbol = ANY (%s)"
            " ORDER BY s.symbol, lower(s.valid) NULLS FIRST",
            (vendor, list(symbols)),
        ).all()
    found: dict[str, list[tuple[int, Naming]]] = defaultdict(list)
    for row in rows:
        found[row[1]].append((row[0], Naming(*row[1:])))
    return found


def bearer_during(known: Bearers, symbol: str, since: date | None, until: date | None) -> int | None:
    """The last instrument that bore a symbol within a span of days (inclusive, None for no bound)."""
    fitting = [number for number, one in known.get(symbol, ()) if one.within(since, until)]
    return fitting[-1] if fitting else None


def bearer_by(known: Bearers, symbol: str, day: date | None) -> int | None:
    """The last instrument that bore a symbol by a day (None: by now), else the first one that bore it after.

    Args:
        known: see `bearers`.
        symbol: the symbol.
        day: the day.
    """
    bore = known.get(symbol, ())
    by_then = [number for number, one in bore if _first(one) <= (day or date.max)]
    return by_then[-1] if by_then else bore[0][0] if bore else None


# ---------------------------------------------------------------- changes of name


def renamed(names: Sequence[Naming], day: date, before: str, after: str) -> list[Naming]:
    """An instrument's names, once it is known that it changed its symbol on a day.

    Args:
        names: its symbols, without overlaps.
        day: the first day of the new symbol.
        before: the old symbol.
        after: the new one.

    Returns:
        The names, oldest first, without overlaps; unchanged where they contradict the change, or hold it.
    """
    found = sorted(names, key=_first)
    place = next((k for k, one in enumerate(found) if one.symbol == after and _last(one) >= day), None)
    if place is None:
        for k, one in enumerate(found):
            if one.symbol == before and _first(one) < day <= _last(one):
                found[k : k + 1] = [replace(one, until=day), replace(one, symbol=after, since=day, told=None)]
        return found
    new = found[place]
    old = found[place - 1] if place else None
    if old is not None and _first(old) < day and old.symbol == before and old.until == new.since:
        found[place - 1 : place + 1] = [replace(old, until=day), replace(new, since=day)]
    elif _first(new) < day:
        found[place : place + 1] = [
            replace(new, symbol=before, until=day, told=None),
            replace(new, since=day),
        ]
    elif old is None or _last(old) < day:
        found[place] = replace(new, since=day)
    return found


def dated(told: Sequence[Naming], changes: Sequence[tuple[date, str, str]]) -> list[Naming]:
    """An instrument's names by all of its changes of name.

    The newest change is looked at first, since the listings tell the newest name: what an earlier bearer of
    it did contradicts it then. Where the listings lag behind, the newest change fits once the older ones did.

    Args:
        told: its names as the listings told them.
        changes: first day of the new symbol, the old symbol, the new one; by day.
    """
    names = list(told)
    for _ in range(len(changes) + 1):
        before = names
        for change in reversed(changes):
            names = renamed(names, *change)
        if names == before:
            break
    return names


def _first(one: Naming) -> date:
    return one.since or date.min


def _last(one: Naming) -> date:
    return date.max if one.until is None else one.until - timedelta(days=1)


def apply_renames(cursor: Any, vendor_id: int, instruments: Sequence[int]) -> None:
    """Date the symbols of some instruments by the changes of name that stand; does not commit.

    Args:
        cursor: of an ADBC connection.
        vendor_id: whose symbols.
        instruments: their numbers.
    """
    if not _pending(cursor, vendor_id, instruments):
        return
    cursor.execute(f"SELECT pg_advisory_xact_lock({REGISTER_LOCK}) IS NULL")
    cursor.fetchall()
    for number, names in _pending(cursor, vendor_id, instruments).items():
        if _taken(cursor, vendor_id, number, names):
            continue
        cursor.execute(
            "DELETE FROM sec.instrument_symbol"  # noqa: S608 - numbers only
            f" WHERE vendor_id = {vendor_id} AND instrument_id = {number}"
        )
        rows = ", ".join(
            f"({number}, {vendor_id}, {literal(one.symbol)}, {literal(one.vendor_ref)},"
            f" {_range(one.since, one.until)}, {'NULL' if one.told is None else _range(*one.told)})"
            for one in names
        )
        cursor.execute(
            "INSERT INTO sec.instrument_symbol"  # noqa: S608 - quoted above
            f" (instrument_id, vendor_id, symbol, vendor_ref, valid, told) VALUES {rows}"
        )


def refused_renames(cursor: Any, vendor_id: int, instruments: Sequence[int]) -> set[int]:
    """Which instruments have changes of name that cannot be dated: another one bore the symbol then."""
    waiting = _pending(cursor, vendor_id, instruments)
    return {number for number, names in waiting.items() if _taken(cursor, vendor_id, number, names)}


def _pending(cursor: Any, vendor_id: int, instruments: Sequence[int]) -> dict[int, list[Naming]]:
    """The names that instruments should have, where they have others."""
    listed = ",".join(map(str, instruments))
    cursor.execute(
        "SELECT c.instrument_id, c.ex_date, c.symbol, c.other_symbol, c.withdrawn_at IS NULL"  # noqa: S608
        f" FROM sec.corporate_action c WHERE c.vendor_id = {vendor_id}"
        f" AND c.instrument_id = ANY ('{{{listed}}}'::integer[])"
        " AND c.kind = 'name_change' AND c.symbol <> c.other_symbol ORDER BY c.ex_date, c.ca_id"
    )
    changes: dict[int, list[tuple[date, str, str]]] = {}
    for number, day, before, after, stands in cursor.fetchall():
        changes.setdefault(number, []).extend([(day, before, after)] if stands else [])
    if not changes:
        return {}
    stored = _stored_names(cursor, vendor_id, list(changes))
    wanted = {}
    for number, names in stored.items():
        told = [replace(one, since=one.told[0], until=one.told[1]) for one in names if one.told is not None]
        wanted[number] = dated(sorted(told, key=_first), changes[number])
    return {number: names for number, names in wanted.items() if names != stored[number]}


def _stored_names(cursor: Any, vendor_id: int, instruments: Sequence[int]) -> dict[int, list[Naming]]:
    """The names of some instruments, oldest first."""
    listed = ",".join(map(str, instruments))
    cursor.execute(
        "SELECT instrument_id, symbol, lower(valid), upper(valid), vendor_ref, told IS NOT NULL, lower(told),"  # noqa: S608
        " upper(told) FROM sec.instrument_symbol"
        f" WHERE vendor_id = {vendor_id} AND instrument_id = ANY ('{{{listed}}}'::integer[])"
        " ORDER BY lower(valid) NULLS FIRST"
    )
    stored: dict[int, list[Naming]] = {}
    for number, symbol, since, until, ref, is_told, first, end in cursor.fetchall():
        told = (first, end) if is_told else None
        stored.setdefault(number, []).append(Naming(symbol, since, until, ref, told))
    return stored


def _taken(cursor: Any, vendor_id: int, number: int, names: Sequence[Naming]) -> bool:
    """Whether another instrument of the vendor bears one of the names on one of its days."""
    ours = " OR ".join(
        f"(symbol = {literal(one.symbol)} AND valid && {_range(one.since, one.until)})" for one in names
    )
    cursor.execute(
        "SELECT EXISTS (SELECT 1 FROM sec.instrument_symbol"  # noqa: S608 - quoted above
        f" WHERE vendor_id = {vendor_id} AND instrument_id <> {number} AND ({ours}))"
    )
    return bool(cursor.fetchone()[0])


def _range(since: date | None, until: date | None) -> str:
    return f"daterange({literal(since)}, {literal(until)})"


def literal(value: str | date | None) -> str:
    """A text or date as an SQL literal."""
    if value is None:
        return "NULL"
    if isinstance(value, date):
        return f"'{value}'::date"
    quoted = value.replace("'", "''").replace("\\", "\\\\")
    return f"E'{quoted}'"

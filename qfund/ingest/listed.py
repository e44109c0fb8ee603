"""Who is meant by the symbols of a wish: instruments of the store, or listings of the vendor.

Promises: a symbol means who bore it last by its day, under whatever name the vendor lists that share today.
Who bears it now is not taken for who bore it then, as far as the vendor's changes of name tell. Reads only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from qfund.errors import NotFoundError, UsageError, did_you_mean
from qfund.ingest.plan import Renamed, Span
from qfund.market.instruments import Listing
from qfund.store import Store, securities
from qfund.store.symbols import bearer_by, bearers

if TYPE_CHECKING:
    from qfund.ingest.look import Wish
    from qfund.vendors.contract import Vendor

_AHEAD = timedelta(days=15)
"""A name that is new since today has no finished session yet."""


@dataclass(frozen=True)
class Listed:
    """Who is meant by some symbols.

    Attributes:
        listings: in the order of the symbols, each instrument once.
        unknown: symbols that the vendor does not know.
        numbers: symbol of a listing → instrument number, of those that the store knows.
        renamed: symbols that the vendor lists under another name today.
    """

    listings: Sequence[Listing]
    unknown: tuple[str, ...]
    numbers: Mapping[str, int]
    renamed: tuple[Renamed, ...] = ()


def listed(
    store: Store, vendor: Vendor, wish: Wish, *, asked: Span | None = None, closely: bool = False
) -> Listed:
    """The listings of the symbols, or of all that a small vendor has.

    From the store, or of the vendor where the store has none. A symbol means who bore it last by its day, see
    `Wish`: where the vendor tells that this share is called something else today, that name is followed.

    Args:
        store: where to look first.
        vendor: whom to ask.
        wish: which symbols, and by which days they are meant.
        asked: first day asked for, and the last session there is: between them changes of name are looked
            for; None for not at all.
        closely: see `look`.

    Raises:
        NotFoundError: the vendor knows none of the symbols; the message names the nearest.
        UsageError: no symbols were named and the vendor is too large to be taken whole.
    """
    symbols = wish.symbols
    if symbols is None:
        if not vendor.capabilities.small:
            raise UsageError(
                f"{vendor.name} is too large to be ingested whole: name the symbols.",
                fix=f"qfund ingest --vendor {vendor.name} --symbols A,B",
                code="SYMBOLS_REQUIRED",
            )
        listings = vendor.listings()
        found = securities.listings(store, [one.symbol for one in listings], vendor.name)
        return Listed(listings, (), {one.symbol: number for number, one in found.items()})
    known, numbers = _stored(store, vendor, symbols, wish)
    fresh = [symbol for symbol in symbols if symbol not in known]
    told = {one.symbol: one for one in vendor.listings(fresh)} if fresh else {}
    known |= told
    renamed = _renamed(vendor, told, fresh, wish, asked, closely=closely) if asked else ()
    if renamed:
        later, more = _stored(store, vendor, [one.after for one in renamed], wish)
        absent = [one.after for one in renamed if one.after not in later]
        later |= {one.symbol: one for one in vendor.listings(absent)} if absent else {}
        renamed = tuple(one for one in renamed if _is_another(told.get(one.before), later.get(one.after)))
        known |= {one.before: later[one.after] for one in renamed}
        numbers |= more
    strange = tuple(symbol for symbol in symbols if symbol not in known)
    if len(strange) == len(symbols):
        raise unknown_symbols(vendor, strange)
    chosen = {known[symbol].symbol: known[symbol] for symbol in symbols if symbol in known}
    return Listed(list(chosen.values()), strange, numbers, renamed)


def _stored(
    store: Store, vendor: Vendor, symbols: Sequence[str], wish: Wish
) -> tuple[dict[str, Listing], dict[str, int]]:
    """Symbol → listing, of those that the store knows; symbol of a listing → instrument number."""
    found = securities.listings(store, symbols, vendor.name)
    bore = bearers(store, vendor.name, symbols) if found else {}
    known, numbers = {}, {}
    for symbol in symbols:
        number = bearer_by(bore, symbol, wish.day_of(symbol))
        if number is not None:
            known[symbol] = found[number]
            numbers[found[number].symbol] = number
    return known, numbers


def _renamed(
    vendor: Vendor,
    told: Mapping[str, Listing],
    fresh: Sequence[str],
    wish: Wish,
    asked: Span,
    *,
    closely: bool,
) -> tuple[Renamed, ...]:
    """The first change of name of each symbol that a vendor does not list, or that is meant by a past day."""
    days = {symbol: asked[0] for symbol in fresh if symbol not in told}
    if closely:
        days |= {one: day for one in told if (day := wish.day_of(one)) is not None and day < asked[1]}
    if vendor.capabilities.small or not days:
        return ()
    until = asked[1] + _AHEAD
    changes = [one for one in vendor.actions(list(days), min(days.values()), until) if one.other_symbol]
    found = {}
    for one in sorted(changes, key=lambda one: one.ex_date, reverse=True):
        before = one.former_symbol or one.symbol
        if one.kind == "name_change" and before in days and one.ex_date > days[before]:
            found[before] = Renamed(before, str(one.other_symbol), one.ex_date)
    return tuple(one for one in found.values() if one.after != one.before)


def _is_another(listing: Listing | None, heir: Listing | None) -> bool:
    """Whether a symbol's present bearer, if any, is another share than the one that gave the symbol up."""
    if heir is None or listing is None:
        return heir is not None
    return None not in (listing.vendor_ref, heir.vendor_ref) and listing.vendor_ref != heir.vendor_ref


def unknown_symbols(vendor: Vendor, strange: Sequence[str]) -> NotFoundError:
    """What to say of symbols that the vendor does not know."""
    names = [one.symbol for one in vendor.listings()] if vendor.capabilities.small else []
    told = "; ".join(f"'{one}'.{did_you_mean(one, names)}" for one in strange[:5])
    more = f" And {len(strange) - 5} more." if len(strange) > 5 else ""
    return NotFoundError(
        f"{vendor.name} has no symbol {told}{more}",
        fix="qfund data vendors",
        code="UNKNOWN_SYMBOL",
        details={"symbols": list(strange)},
    )

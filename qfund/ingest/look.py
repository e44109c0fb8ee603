"""What an ingest finds before it plans: what is asked, what the vendor has, what is covered.

Promises: reads only. Symbols that the store knows are not asked of the vendor again. A wish that no data
can fulfil (unknown symbols, dates outside the vendor's span or before a listing) is refused here, with the
reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from qfund.errors import DataQualityError, NotFoundError, UsageError, did_you_mean
from qfund.ingest.plan import Facts, Span, SymbolFacts, expected
from qfund.market import sessions
from qfund.market.bars import Timeframe
from qfund.market.instruments import Listing
from qfund.store import Store, coverage, securities
from qfund.vendors.contract import Offer, Vendor

LONGEST_CLOSURE = timedelta(days=15)
"""No exchange was closed longer since 1990."""


@dataclass(frozen=True)
class Wish:
    """What an operator asks for.

    Attributes:
        timeframe: length of the bars.
        symbols: the vendor's symbols; None for all that a small vendor has.
        since: first date; None for the vendor's first session, if the vendor is small.
        until: last date; None for the vendor's last finished session.
    """

    timeframe: Timeframe = "1d"
    symbols: tuple[str, ...] | None = None
    since: date | None = None
    until: date | None = None


def look(store: Store, vendor: Vendor, wish: Wish, *, now: datetime) -> Facts:
    """The facts that a plan is made from.

    Args:
        store: where bars and coverage are.
        vendor: whom to ask.
        wish: what for.
        now: the present, timezone-aware UTC; sessions that are not over yet are not expected.

    Raises:
        NotFoundError: the vendor does not know a symbol.
        UsageError: it has no such timeframe, or the dates lie outside what it has.
        DataQualityError: none of the symbols was listed in the span.
    """
    offer = offered(vendor, wish.timeframe)
    span = (offer.first, offer.last or _last_finished(vendor, offer, now))
    asked = _asked(vendor, offer, wish, span)
    listings = listed(store, vendor, wish.symbols)
    covered = _covered(store, vendor, offer, [listing.symbol for listing in listings])
    first, last = max(asked[0], span[0]), min(asked[1], span[1])
    days = sessions.sessions(vendor.capabilities.calendar, first, last)
    facts = Facts(
        vendor=vendor.name,
        timeframe=wish.timeframe,
        feed=offer.feed,
        asked=asked,
        offered=span,
        sessions=tuple(day.date() for day in days),
        symbols=tuple(
            SymbolFacts(one.symbol, one.listed_on, one.delisted_on, covered.get(one.symbol, ()))
            for one in listings
        ),
        symbols_per_request=vendor.capabilities.symbols_per_request,
        sessions_per_request=offer.sessions_per_request,
    )
    _refuse_hopeless(facts)
    return facts


def offered(vendor: Vendor, timeframe: Timeframe) -> Offer:
    """The vendor's offer of a timeframe, or a UsageError that names the ones it has."""
    offer = vendor.capabilities.offer(timeframe)
    if offer is None:
        known = ", ".join(each.timeframe for each in vendor.capabilities.offers)
        raise UsageError(
            f"{vendor.name} has no {timeframe} bars; it has {known}.",
            fix=f"--timeframe {vendor.capabilities.offers[0].timeframe}",
            code="NO_SUCH_TIMEFRAME",
        )
    return offer


def listed(store: Store, vendor: Vendor, symbols: tuple[str, ...] | None) -> list[Listing]:
    """The listings of the symbols in their order: from the store, or of the vendor where it has none.

    Raises:
        NotFoundError: the vendor does not know a symbol; the message names the nearest.
        UsageError: no symbols were named and the vendor is too large to be taken whole.
    """
    if symbols is None:
        if not vendor.capabilities.small:
            raise UsageError(
                f"{vendor.name} is too large to be ingested whole: name the symbols.",
                fix=f"qfund ingest --vendor {vendor.name} --symbols A,B",
                code="SYMBOLS_REQUIRED",
            )
        return vendor.listings()
    known = {one.symbol: one for one in securities.listings(store, symbols, vendor.name).values()}
    unknown = [symbol for symbol in symbols if symbol not in known]
    if unknown:
        known |= {one.symbol: one for one in vendor.listings(unknown)}
    strange = [symbol for symbol in symbols if symbol not in known]
    if strange:
        names = [one.symbol for one in vendor.listings()] if vendor.capabilities.small else []
        told = "; ".join(f"'{one}'.{did_you_mean(one, names)}" for one in strange)
        raise NotFoundError(
            f"{vendor.name} has no symbol {told}",
            fix="qfund data vendors",
            code="UNKNOWN_SYMBOL",
            details={"symbols": strange},
        )
    return [known[symbol] for symbol in symbols]


def _covered(
    store: Store, vendor: Vendor, offer: Offer, symbols: Sequence[str]
) -> dict[str, tuple[Span, ...]]:
    """What is covered of each symbol that the store knows."""
    series = securities.find_series(store, vendor.name, offer)
    if series is None:
        return {}
    found = securities.listings(store, symbols, vendor.name)
    numbers = {listing.symbol: number for number, listing in found.items()}  # the newest bearer wins
    spans = coverage.covered(store, series, list(numbers.values()))
    return {symbol: tuple(spans.get(number, ())) for symbol, number in numbers.items()}


def last_covered(store: Store, vendor: Vendor, timeframe: Timeframe, symbols: tuple[str, ...] | None) -> date:
    """The last session that every one of the symbols is covered to: what ``--since last`` means.

    Raises:
        DataQualityError: nothing is stored yet of one of them.
    """
    names = [one.symbol for one in listed(store, vendor, symbols)]
    covered = _covered(store, vendor, offered(vendor, timeframe), names)
    fresh = [name for name in names if not covered.get(name)]
    if fresh:
        raise DataQualityError(
            f"Nothing is stored yet of {', '.join(fresh)}, so there is no last session to go on from.",
            fix="give --since a date",
            code="NOTHING_STORED",
        )
    return min(max(last for _, last in covered[name]) for name in names)


def _asked(vendor: Vendor, offer: Offer, wish: Wish, span: Span) -> Span:
    """The dates asked for, both given; refused when the vendor has nothing there."""
    if wish.since is None and not vendor.capabilities.small:
        raise UsageError(
            f"{vendor.name} has bars since {span[0]}: say since when you want them.",
            fix=f"qfund ingest --vendor {vendor.name} --since {span[0]}",
            code="SINCE_REQUIRED",
        )
    since, until = wish.since or span[0], wish.until or span[1]
    name = f"{vendor.name} has {offer.timeframe} bars from {span[0]} to {span[1]}"
    if wish.since and since > span[1]:
        raise UsageError(
            f"{name}, so there is nothing since {since}.",
            fix=f"--since {span[0]}",
            code="OUTSIDE_SPAN",
        )
    if until < span[0]:
        raise UsageError(
            f"{name}, so there is nothing until {until}.",
            fix=f"--until {span[1]}",
            code="OUTSIDE_SPAN",
        )
    if since > until:
        raise UsageError(f"--since {since} is after --until {until}, so no day is left.", code="EMPTY_PERIOD")
    return since, until


def _refuse_hopeless(facts: Facts) -> None:
    """Refuse a span in which no session of any symbol can exist."""
    if any(expected(facts, symbol).any() for symbol in facts.symbols):
        return
    since, until = facts.asked
    if not facts.sessions:
        raise DataQualityError(
            f"The exchange has no session from {since} to {until}.",
            fix="choose a longer span",
            code="NO_SESSIONS",
        )
    told = "; ".join(_lifetime(symbol) for symbol in facts.symbols)
    raise DataQualityError(
        f"Nothing can be there from {since} to {until}: {told}.",
        fix="choose dates while the symbol was listed",
        code="NOT_LISTED",
    )


def _lifetime(symbol: SymbolFacts) -> str:
    began = f"was listed on {symbol.listed_on}" if symbol.listed_on else "was listed"
    ended = f" and delisted on {symbol.delisted_on}" if symbol.delisted_on else ""
    return f"{symbol.symbol} {began}{ended}"


def _last_finished(vendor: Vendor, offer: Offer, now: datetime) -> date:
    """The last session that closed long enough ago for its bars to be final."""
    calendar = vendor.capabilities.calendar
    since = (now - LONGEST_CLOSURE).date()
    days = sessions.sessions(calendar, since, now.date())
    _, closes = sessions.opens_and_closes(calendar, since, now.date())
    return max(
        (day.date() for day, close in zip(days, closes, strict=True) if close + offer.settle <= now),
        default=since,
    )

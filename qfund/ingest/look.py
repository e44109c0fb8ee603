"""What an ingest finds before it plans: what is asked, what the vendor has, what is covered.

Promises: reads only. Symbols that the store knows are not asked of the vendor again. A wish that no data
can fulfil (unknown symbols, dates outside the vendor's span or before a listing) is refused here, with the
reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from qfund.errors import DataQualityError, UsageError
from qfund.ingest.listed import Listed, listed
from qfund.ingest.plan import Facts, Span, SymbolFacts, expected
from qfund.market import sessions
from qfund.market.actions import CorporateAction
from qfund.market.bars import Timeframe
from qfund.market.instruments import Listing
from qfund.store import Store, coverage, securities
from qfund.store.symbols import Naming, dated_names
from qfund.vendors.contract import Capabilities, Hours, Offer, PriceKind, Vendor

LONGEST_CLOSURE = timedelta(days=15)
"""No exchange was closed longer since 1990."""

EXTENDED_MINUTES = 960
"""Minutes from 04:00 to 20:00 New York."""


@dataclass(frozen=True)
class Wish:
    """What an operator asks for.

    Attributes:
        timeframe: length of the bars.
        symbols: the vendor's symbols, all of one market; None for all that a small vendor has.
        meant: symbol → the day by which it is meant, where that is not ``until``.
        since: first date; None for the vendor's first session, if the vendor is small.
        until: last date; None for the vendor's last finished session.
        feed: which of the vendor's feeds; None for its first.
        price_kind: trades, mid, bid or ask; None for the vendor's first.
        hours: the hours of the day; None for the vendor's first.
        refresh: whether everything is asked for again, covered or not.
        reread: how many of the last sessions are read again; None for what the vendor's offer says.
    """

    timeframe: Timeframe = "1d"
    symbols: tuple[str, ...] | None = None
    meant: Mapping[str, date] = field(default_factory=dict)
    since: date | None = None
    until: date | None = None
    feed: str | None = None
    price_kind: PriceKind | None = None
    hours: Hours | None = None
    refresh: bool = False
    reread: int | None = None

    def day_of(self, symbol: str) -> date | None:
        """The day by which a symbol is meant: who bore it last by then; None for today."""
        return self.meant.get(symbol, self.until)


def remembered(vendor: Vendor) -> Remembered:
    """The vendor as a run asks it, once."""
    return vendor if isinstance(vendor, Remembered) else Remembered(vendor)


class Remembered:
    """A vendor that is asked once a run for a symbol's listing, and for the same actions.

    Attributes:
        itself: the vendor.
    """

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor
        self._all: list[Listing] | None = None
        self._known: dict[str, list[Listing]] = {}  # symbol → its listings; none where it is unknown
        self._actions: dict[tuple[tuple[str, ...], date, date], list[CorporateAction]] = {}
        self.name = vendor.name
        self.market = vendor.market
        self.bars = vendor.bars
        self.itself = vendor

    @property
    def capabilities(self) -> Capabilities:
        """See `Vendor.capabilities`."""
        return self._vendor.capabilities

    def listings(self, symbols: Sequence[str] | None = None) -> list[Listing]:
        """See `Vendor.listings`."""
        if symbols is None:
            if self._all is None:
                self._all = self._vendor.listings()
                for one in self._all:
                    self._known.setdefault(one.symbol, []).append(one)
            return self._all
        fresh = [symbol for symbol in dict.fromkeys(symbols) if symbol not in self._known]
        if fresh:
            self._known |= {symbol: [] for symbol in fresh}
            for one in self._vendor.listings(fresh):
                self._known[one.symbol].append(one)
        return [one for symbol in dict.fromkeys(symbols) for one in self._known[symbol]]

    def actions(self, symbols: Sequence[str], since: date, until: date) -> list[CorporateAction]:
        """See `Vendor.actions`; those of a span within one that was asked for are known."""
        names = tuple(symbols)
        for (asked, first, last), told in self._actions.items():
            if asked == names and first <= since and until <= last:
                return [one for one in told if since <= one.ex_date <= until]
        self._actions[names, since, until] = told = self._vendor.actions(symbols, since, until)
        return told


def look(store: Store, vendor: Vendor, wish: Wish, *, now: datetime, closely: bool = False) -> Facts:
    """The facts that a plan is made from.

    Args:
        store: where bars and coverage are.
        vendor: whom to ask.
        wish: what for.
        now: the present, timezone-aware UTC; sessions that are not over yet are not expected.
        closely: whether the vendor is also asked who bore a new symbol that is meant by a past day; else only
            of symbols that it does not list.

    Raises:
        NotFoundError: the vendor knows none of the symbols.
        UsageError: it has no such timeframe, the symbols are of two markets, or the dates lie outside what it
            has.
        DataQualityError: none of the symbols was listed in the span.
    """
    offer = offered(vendor, wish)
    last, going_on = last_sessions(offer, now)
    span = (offer.first, offer.last or last)
    # Later sessions have begun nowhere yet, whatever a file holds.
    tomorrow = (now + timedelta(days=1)).date()
    asked = _asked(vendor, offer, wish, span, going_on=going_on, tomorrow=tomorrow)
    known = listed(store, vendor, wish, asked=(asked[0], span[1]), closely=closely)
    symbols = tuple(_symbol_facts(store, vendor, offer, known, asked))
    first, until = max(asked[0], span[0]), min(asked[1], span[1], tomorrow)
    days = sessions.sessions(offer.calendar, first, until)
    facts = Facts(
        vendor=vendor.name,
        timeframe=wish.timeframe,
        feed=offer.feed,
        asked=asked,
        offered=span,
        sessions=tuple(day.date() for day in days),
        symbols=symbols,
        symbols_per_request=vendor.capabilities.symbols_per_request,
        sessions_per_request=offer.sessions_per_request,
        bars_per_session=_bars_per_session(offer, min(span[1], tomorrow)),
        recent=_recent(offer, span[1], wish.reread),
        going_on=going_on if going_on is not None and asked[0] <= going_on <= asked[1] else None,
        open_ended=offer.last is None or offer.last > tomorrow,
        refresh=wish.refresh,
        unknown=known.unknown,
        renamed=known.renamed,
    )
    _refuse_hopeless(facts, goes_on=offer.last is None)
    return facts


def offered(vendor: Vendor, wish: Wish) -> Offer:
    """The vendor's offer of what is wished for, or a UsageError that names the ones it has."""
    has = vendor.capabilities
    markets = {vendor.market(symbol): symbol for symbol in wish.symbols or ()}
    if len(markets) > 1:
        told = ", ".join(f"{symbol} ({market})" for market, symbol in sorted(markets.items()))
        raise UsageError(
            f"{told} are of different markets, which have different sessions: one ingest, one market.",
            fix="run one ingest for each market",
            code="TWO_MARKETS",
        )
    market = next(iter(markets), None)
    offer = has.offer(
        wish.timeframe, market=market, feed=wish.feed, price_kind=wish.price_kind, hours=wish.hours
    )
    if offer is None:
        known = [one for one in has.offers if market is None or one.market == market]
        raise _no_offer(vendor, wish, known or list(has.offers))
    return offer


def _no_offer(vendor: Vendor, wish: Wish, known: Sequence[Offer]) -> UsageError:
    """What to say of a series that the vendor does not have."""
    if not known:
        vendor.listings()  # which says what it lacks, such as a file
        return UsageError(f"{vendor.name} has no bars at all.", code="NO_BARS")
    told = "; ".join(dict.fromkeys(f"{o.timeframe} {o.feed} {o.price_kind} {o.hours}" for o in known))
    said = " ".join(
        word
        for word in (wish.timeframe, wish.feed, wish.price_kind, wish.hours and f"{wish.hours} hours")
        if word
    )
    return UsageError(
        f"{vendor.name} has no {said} bars; it has {told}.", fix=_nearest(wish, known), code="NO_SUCH_SERIES"
    )


def _nearest(wish: Wish, known: Sequence[Offer]) -> str:
    """The options to change to get the offer that has most of what was wished for."""
    ways: list[list[str]] = []
    for offer in known:
        wished = {
            "timeframe": (wish.timeframe, offer.timeframe),
            "feed": (wish.feed, offer.feed),
            "price": (wish.price_kind, offer.price_kind),
            "hours": (wish.hours, offer.hours),
        }
        ways.append([f"--{name} {has}" for name, (said, has) in wished.items() if said not in (None, has)])
    fewest: list[str] = min(ways, key=len)
    return " ".join(fewest)


def _symbol_facts(
    store: Store, vendor: Vendor, offer: Offer, known: Listed, asked: Span
) -> Iterator[SymbolFacts]:
    """Each instrument under the names it bore during the span, with what is covered of it."""
    numbers = known.numbers
    series = securities.find_series(store, vendor.name, offer)
    spans = coverage.covered(store, series, list(numbers.values()))
    names = dated_names(store, vendor.name, list(numbers.values()))
    for listing in known.listings:
        number = numbers.get(listing.symbol)
        covered = tuple(spans.get(number, ())) if number is not None else ()
        always = [Naming(listing.symbol, None, None)]
        for one in _borne(names.get(number or -1, always), asked):
            yield SymbolFacts(
                one.symbol,
                _later(listing.listed_on, one.since),
                _earlier(listing.delisted_on, one.last),
                covered,
                number,
            )


def _borne(names: Sequence[Naming], asked: Span) -> Sequence[Naming]:
    """The names of an instrument during a span; the last one where it had none then."""
    return [one for one in names if one.within(*asked)] or names[-1:]


def _later(one: date | None, two: date | None) -> date | None:
    return max(day for day in (one, two) if day is not None) if one or two else None


def _earlier(one: date | None, two: date | None) -> date | None:
    return min(day for day in (one, two) if day is not None) if one or two else None


def _bars_per_session(offer: Offer, day: date) -> int:
    """Most bars that a symbol can have in a session."""
    if offer.timeframe == "1d":
        return 1
    if offer.hours == "extended" or offer.answers_more:
        return EXTENDED_MINUTES
    lengths = sessions.minutes_in_session(offer.calendar, day - LONGEST_CLOSURE, day)
    return int(max(lengths, default=EXTENDED_MINUTES))


def _recent(offer: Offer, last: date, wished: int | None) -> date | None:
    """The first of the last sessions that are read again: as wished, else as the vendor's offer says."""
    reread = offer.reread if wished is None else wished
    if not reread:
        return None
    days = sessions.sessions(offer.calendar, last - LONGEST_CLOSURE - timedelta(days=2 * reread), last)
    return days[-min(reread, len(days))].date() if len(days) else None


def last_covered(store: Store, vendor: Vendor, wish: Wish) -> date:
    """The last session that every one of the symbols is covered to: what ``--since last`` means.

    Raises:
        DataQualityError: nothing is stored yet of one of them.
    """
    known = listed(store, vendor, wish)
    found = list(_symbol_facts(store, vendor, offered(vendor, wish), known, (date.min, date.max)))
    fresh = [one.symbol for one in found if not one.covered]
    if fresh:
        raise DataQualityError(
            f"Nothing is stored yet of {', '.join(fresh)}, so there is no last session to go on from.",
            fix="give --since a date",
            code="NOTHING_STORED",
        )
    return min(one.covered[-1][1] for one in found)


def _asked(
    vendor: Vendor, offer: Offer, wish: Wish, span: Span, *, going_on: date | None, tomorrow: date
) -> Span:
    """The dates asked for, both given; refused when the vendor has nothing there.

    Days since the last session of a vendor that goes on are no mistake: cron asks on holidays too.
    """
    if wish.since is None and not vendor.capabilities.small:
        raise UsageError(
            f"{vendor.name} has bars since {span[0]}: say since when you want them.",
            fix=f"qfund ingest --vendor {vendor.name} --since {span[0]}",
            code="SINCE_REQUIRED",
        )
    last = going_on or span[1]
    since = wish.since or span[0]
    until = wish.until or max(last, since)
    name = f"{vendor.name} has {offer.timeframe} bars from {span[0]} to {span[1]}"
    if wish.since and since > (tomorrow if offer.last is None else last):
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


def _refuse_hopeless(facts: Facts, *, goes_on: bool) -> None:
    """Refuse a span in which no session of any symbol can exist.

    A vendor that goes on has none on closed days, which is no fault: cron asks on holidays too. What has an
    end, such as a file, has bars that would never be read.
    """
    if facts.going_on or any(expected(facts, symbol).any() for symbol in facts.symbols):
        return
    since, until = facts.asked
    if not facts.sessions:
        if goes_on:
            return
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


def last_sessions(offer: Offer, now: datetime) -> tuple[date, date | None]:
    """The last session that closed long enough ago to be final, and the minute series' session after it.

    The second is None for daily bars, and when no bar of that session can be over yet.
    """
    since, until = (now - LONGEST_CLOSURE).date(), (now + timedelta(days=1)).date()
    days = sessions.sessions(offer.calendar, since, until)
    opens, closes = sessions.opens_and_closes(offer.calendar, since, until)
    if offer.hours == "extended":  # the evening ends four hours after the close, on half days too
        opens, closes = opens - timedelta(hours=5, minutes=30), closes + timedelta(hours=4)
    settled = now - offer.settle
    over = [day.date() for day, close in zip(days, closes, strict=True) if close <= settled]
    last = over[-1] if over else since
    if offer.timeframe == "1d" or offer.last is not None:
        return last, None
    started = (day.date() for day, opened in zip(days, opens, strict=True) if opened < settled)
    return last, next((day for day in started if day > last), None)

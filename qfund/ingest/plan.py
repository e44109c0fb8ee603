"""The plan of an ingest: the sessions that are expected and not covered, cut into chunks.

Promises: pure; the steps are disjoint, keep to the vendor's limits, hold about `CHUNK_BARS` bars each, and
together are exactly the calendar's sessions (while a symbol is listed and the vendor has data) minus
coverage, plus the last few sessions, which the vendor may have corrected, plus the session that is going on.
The id changes whenever a fact or a step does. It never counts stored rows: a session that was asked and
answered empty is not asked again.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise

import numpy as np

from qfund.errors import RefusedError
from qfund.market.bars import Timeframe

Span = tuple[date, date]
"""First and last session, both included."""

CHUNK_BARS = 100_000
"""Most bars that a chunk is expected to hold: what is fetched, checked and committed at once, and all that a
killed run may have to ask for again."""


@dataclass(frozen=True)
class SymbolFacts:
    """One symbol as the ingest found it; an instrument that was renamed appears once under each of its names.

    Attributes:
        symbol: the vendor's symbol during the dates that follow.
        listed_on: first session it could trade under it, None when unknown (then the vendor's first).
        delisted_on: last session it could trade under it, None while it does.
        covered: what was asked and answered before, as spans in order.
        instrument: its number in the store, None while the store does not know it.
    """

    symbol: str
    listed_on: date | None
    delisted_on: date | None
    covered: tuple[Span, ...]
    instrument: int | None = None

    @property
    def life(self) -> tuple[date | None, date | None, tuple[Span, ...]]:
        """What decides on the sessions it still wants; nearly all of some thousand symbols share it."""
        return (self.listed_on, self.delisted_on, self.covered)


@dataclass(frozen=True)
class Renamed:
    """A symbol whose bearer is called something else today.

    Attributes:
        before: the symbol that was asked for.
        after: the symbol after it.
        day: its first day.
    """

    before: str
    after: str
    day: date


@dataclass(frozen=True)
class Facts:
    """All that a plan depends on; equal facts give equal plans.

    Attributes:
        vendor: the vendor's name.
        timeframe: length of the bars.
        feed: the vendor's feed of that timeframe.
        asked: the span of dates that was asked for.
        offered: the span of sessions that the vendor has, up to the last finished one.
        sessions: the calendar's sessions in ``asked`` and ``offered``, increasing.
        symbols: the symbols asked for, in order.
        symbols_per_request: the vendor's limit.
        sessions_per_request: the vendor's limit.
        bars_per_session: most bars of a symbol in a session.
        recent: sessions from this day on are read again also when they are covered; None for none.
        going_on: the session that is not over yet, if its bars so far are wanted.
        open_ended: whether the vendor's span grows with time.
        refresh: whether everything asked for is read again, covered or not.
        unknown: symbols asked for that the vendor does not know.
        renamed: symbols asked for that it knows under another name.
    """

    vendor: str
    timeframe: Timeframe
    feed: str
    asked: Span
    offered: Span
    sessions: tuple[date, ...]
    symbols: tuple[SymbolFacts, ...]
    symbols_per_request: int
    sessions_per_request: int
    bars_per_session: int = 1
    recent: date | None = None
    going_on: date | None = None
    open_ended: bool = False
    refresh: bool = False
    unknown: tuple[str, ...] = ()
    renamed: tuple[Renamed, ...] = ()


@dataclass(frozen=True)
class FetchSpan:
    """Ask for these symbols over these sessions: one chunk, one transaction.

    Attributes:
        symbols: in order; no instrument is meant twice.
        since: first session.
        until: last session.
        sessions: how many sessions that is.
        unfinished: whether the session is still going on; its bars so far are kept and nothing is covered.
    """

    symbols: tuple[str, ...]
    since: date
    until: date
    sessions: int
    unfinished: bool = False


@dataclass(frozen=True)
class Plan:
    """What an ingest will do.

    Attributes:
        seen: the facts it was made from.
        steps: the requests, oldest first.
        notes: what a person should know about the choice of dates.
        id: 12 hexadecimal digits of SHA-256 over facts and steps.
    """

    seen: Facts
    steps: tuple[FetchSpan, ...]
    notes: tuple[str, ...]
    id: str

    @property
    def wanted(self) -> int:
        """Sessions to ask for, summed over symbols; those that are read again included."""
        return sum(step.sessions * len(step.symbols) for step in self.steps)

    @property
    def missing(self) -> int:
        """Sessions that were never answered, summed over symbols."""
        lives = Counter(one.life for one in self.seen.symbols)
        known = {one.life: one for one in self.seen.symbols}
        return sum(count * int(missing(self.seen, known[life]).sum()) for life, count in lives.items())


def plan(facts: Facts) -> Plan:
    """The steps that cover what is missing, and why some of what was asked needs none."""
    steps = tuple(_steps(facts))
    digest = hashlib.sha256(repr((facts, steps)).encode()).hexdigest()
    return Plan(seen=facts, steps=steps, notes=tuple(_notes(facts)), id=digest[:12])


def dates_of(facts: Facts, step: FetchSpan) -> Span:
    """The first and last date that come with a step: its sessions' own, and those around without a session.

    The dates between two sessions come with the session before them, or, where that one is not asked for,
    with the one after. So the steps of a plan share out all dates, and a row of a Saturday, which only a file
    can hold, is judged once like any other.
    """
    if step.unfinished:
        return step.since, step.until
    days = _days(facts.sessions)
    at = int(np.searchsorted(days, np.datetime64(step.since), "left"))
    after = int(np.searchsorted(days, np.datetime64(step.until), "right"))
    following = facts.sessions[after] if after < len(days) else facts.going_on
    since = step.since
    if at == 0:
        since = min(facts.asked[0], since)
    elif not _asks_before(facts, step, at):
        since = facts.sessions[at - 1] + timedelta(days=1)
    until = max(facts.asked[1], step.until) if following is None else following - timedelta(days=1)
    return since, until


def _asks_before(facts: Facts, step: FetchSpan, at: int) -> bool:
    """Whether the session before the one at a position is asked for, too, of any of a step's symbols."""
    symbols = set(step.symbols)
    lives = {one.life: one for one in facts.symbols if one.symbol in symbols}
    return any(bool(wanted(facts, one)[at - 1]) for one in lives.values())


def renewed(made: Plan, again: Facts) -> Plan:
    """The plan to do now: the one that was made, or a new one when others have covered more meanwhile.

    Raises:
        RefusedError: anything else has changed since the plan was made.
    """
    if again == made.seen:
        return made
    if _question(again) != _question(made.seen):
        raise _stale("the listings or the sessions that the vendor has are others now")
    for before, now in zip(made.seen.symbols, again.symbols, strict=True):
        was = within(again.sessions, before.covered)
        if (was & ~within(again.sessions, now.covered)).any():
            raise _stale(f"less is covered of {now.symbol} than before")
    return plan(again)


def overtaken(before: Facts, now: Facts) -> bool:
    """Whether more is covered now than before, of the sessions and symbols of both."""
    was = {one.symbol: one.covered for one in before.symbols}
    return any(
        (within(now.sessions, one.covered) & ~within(now.sessions, was[one.symbol])).any()
        for one in now.symbols
        if one.symbol in was
    )


def _question(facts: Facts) -> Facts:
    """The facts without coverage, without numbers that another run may have given, and without the time."""
    if facts.open_ended:
        facts = replace(
            facts,
            asked=(facts.asked[0], facts.asked[0]),
            offered=(facts.offered[0], facts.offered[0]),
            sessions=(),
            recent=None,
            going_on=None,
        )
    return replace(facts, symbols=tuple(replace(one, covered=(), instrument=None) for one in facts.symbols))


def _stale(reason: str) -> RefusedError:
    return RefusedError(f"The plan is out of date: {reason}.", fix="run the command again", code="STALE_PLAN")


def expected(facts: Facts, symbol: SymbolFacts) -> np.ndarray:
    """Which of ``facts.sessions`` the symbol could have traded on: bool, one for each session."""
    days = _days(facts.sessions)
    inside = np.ones(len(days), dtype=bool)
    if symbol.listed_on is not None:
        inside &= days >= np.datetime64(symbol.listed_on)
    if symbol.delisted_on is not None:
        inside &= days <= np.datetime64(symbol.delisted_on)
    return inside


def missing(facts: Facts, symbol: SymbolFacts) -> np.ndarray:
    """Which of ``facts.sessions`` were never answered for the symbol: bool, one for each session."""
    return np.asarray(expected(facts, symbol) & ~within(facts.sessions, symbol.covered))


def wanted(facts: Facts, symbol: SymbolFacts) -> np.ndarray:
    """Which of ``facts.sessions`` are to be asked for: missing ones, and those that are read again."""
    if facts.refresh:
        return expected(facts, symbol)
    again = np.zeros(len(facts.sessions), dtype=bool)
    if facts.recent is not None:
        again = _days(facts.sessions) >= np.datetime64(facts.recent)
    return np.asarray(expected(facts, symbol) & (again | ~within(facts.sessions, symbol.covered)))


def within(sessions: tuple[date, ...], spans: Iterable[Span]) -> np.ndarray:
    """Which of the sessions lie in any of the spans: bool, one for each session."""
    days = _days(sessions)
    inside = np.zeros(len(days), dtype=bool)
    for first, last in spans:
        start = np.searchsorted(days, np.datetime64(first), "left")
        stop = np.searchsorted(days, np.datetime64(last), "right")
        inside[start:stop] = True
    return inside


def spans_of(sessions: tuple[date, ...], chosen: np.ndarray) -> list[Span]:
    """The chosen sessions as spans of neighbouring sessions, in order."""
    return [(sessions[start], sessions[stop - 1]) for start, stop in _runs(chosen)]


def _days(sessions: tuple[date, ...]) -> np.ndarray:
    return np.array(sessions, dtype="datetime64[D]")


def _runs(chosen: np.ndarray) -> Iterator[tuple[int, int]]:
    """Half-open runs of True."""
    edges = np.flatnonzero(np.diff(chosen.astype(np.int8), prepend=0, append=0))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        yield int(start), int(stop)


def _steps(facts: Facts) -> Iterator[FetchSpan]:
    """Wanted runs, cut on a grid that all symbols share so that equal cuts can travel in one chunk."""
    together = max(1, min(facts.symbols_per_request, len(facts.symbols)))
    fitting = CHUNK_BARS // (together * facts.bars_per_session)
    size = max(1, min(facts.sessions_per_request, fitting))
    wanting: dict[tuple[int, int], list[str]] = defaultdict(list)
    pieces: dict[object, list[tuple[int, int]]] = {}
    for symbol in facts.symbols:
        life = symbol.life
        if life not in pieces:
            pieces[life] = list(_pieces(wanted(facts, symbol), size))
        for piece in pieces[life]:
            wanting[piece].append(symbol.symbol)
    for (begin, end), symbols in sorted(wanting.items()):
        for batch in _batches(symbols, facts.symbols_per_request):
            yield FetchSpan(batch, facts.sessions[begin], facts.sessions[end - 1], end - begin)
    if facts.going_on is not None:
        living = [one.symbol for one in facts.symbols if _lives(one, facts.going_on)]
        for batch in _batches(living, facts.symbols_per_request):
            yield FetchSpan(batch, facts.going_on, facts.going_on, 1, unfinished=True)


def _pieces(chosen: np.ndarray, size: int) -> Iterator[tuple[int, int]]:
    """The runs of True, cut at the multiples of a size."""
    for start, stop in _runs(chosen):
        yield from pairwise([start, *range((start // size + 1) * size, stop, size), stop])


def _batches(symbols: list[str], size: int) -> Iterator[tuple[str, ...]]:
    for at in range(0, len(symbols), size):
        yield tuple(symbols[at : at + size])


def _lives(symbol: SymbolFacts, day: date) -> bool:
    """Whether a symbol can trade on a day."""
    began = symbol.listed_on is None or symbol.listed_on <= day
    return began and (symbol.delisted_on is None or day <= symbol.delisted_on)


def _notes(facts: Facts) -> Iterator[str]:
    since, until = facts.asked
    first, last = facts.offered
    if since < first:
        yield f"{facts.vendor} has no {facts.timeframe} bars before {first}; asked since {since}."
    if until > last and facts.going_on is None:
        yield f"{facts.vendor} has no {facts.timeframe} bars after {last}; asked until {until}."
    begun = {(one.instrument, one.listed_on): one for one in facts.symbols if one.instrument is not None}
    followed = {(one.instrument, _next(one.delisted_on)) for one in facts.symbols}
    for one in facts.renamed:
        yield f"{one.before} is {one.after} since {one.day}; sessions are asked for under the name of then."
    for symbol in facts.symbols:
        key = (symbol.instrument, symbol.listed_on)
        if symbol.listed_on is not None and symbol.listed_on > max(since, first) and key not in followed:
            yield f"{symbol.symbol} was listed on {symbol.listed_on}; nothing is expected before."
        after = begun.get((symbol.instrument or -1, _next(symbol.delisted_on)))
        if symbol.delisted_on is not None and after is not None:
            yield f"{symbol.symbol} is {after.symbol} since {after.listed_on}."
        elif symbol.delisted_on is not None and symbol.delisted_on < min(until, last):
            yield f"{symbol.symbol} was delisted on {symbol.delisted_on}; nothing is expected after."


def _next(day: date | None) -> date | None:
    return None if day is None or day == date.max else day + timedelta(days=1)

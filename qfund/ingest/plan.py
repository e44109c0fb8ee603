"""The plan of an ingest: the sessions that are expected and not covered, cut into requests.

Promises: pure; the steps are disjoint, keep to the vendor's limits and together are exactly the calendar's
sessions (while a symbol is listed and the vendor has data) minus coverage. The id changes whenever a fact or
a step does. It never counts stored rows: a session that was asked and answered empty is not asked again.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise

import numpy as np

from qfund.errors import RefusedError
from qfund.market.bars import Timeframe

Span = tuple[date, date]
"""First and last session, both included."""


@dataclass(frozen=True)
class SymbolFacts:
    """One symbol as the ingest found it.

    Attributes:
        symbol: the vendor's symbol.
        listed_on: first session it could trade, None when unknown (then the vendor's first).
        delisted_on: last session it could trade, None while listed.
        covered: what was asked and answered before, as spans in order.
    """

    symbol: str
    listed_on: date | None
    delisted_on: date | None
    covered: tuple[Span, ...]


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


@dataclass(frozen=True)
class FetchSpan:
    """Ask for these symbols over these sessions: one request, one transaction."""

    symbols: tuple[str, ...]
    since: date
    until: date
    sessions: int


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
    def missing(self) -> int:
        """Sessions to ask for, summed over symbols."""
        return sum(step.sessions * len(step.symbols) for step in self.steps)


def plan(facts: Facts) -> Plan:
    """The steps that cover what is missing, and why some of what was asked needs none."""
    steps = tuple(_steps(facts))
    digest = hashlib.sha256(repr((facts, steps)).encode()).hexdigest()
    return Plan(seen=facts, steps=steps, notes=tuple(_notes(facts)), id=digest[:12])


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


def _question(facts: Facts) -> Facts:
    """The facts without coverage."""
    return replace(facts, symbols=tuple(replace(one, covered=()) for one in facts.symbols))


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
    """Missing runs, cut on a grid that all symbols share so that equal cuts can travel in one request."""
    size = facts.sessions_per_request
    wanting: dict[tuple[int, int], list[str]] = defaultdict(list)
    for symbol in facts.symbols:
        missing = expected(facts, symbol) & ~within(facts.sessions, symbol.covered)
        for start, stop in _runs(missing):
            cuts = [start, *range((start // size + 1) * size, stop, size), stop]
            for begin, end in pairwise(cuts):
                wanting[begin, end].append(symbol.symbol)
    for (begin, end), symbols in sorted(wanting.items()):
        for at in range(0, len(symbols), facts.symbols_per_request):
            batch = tuple(symbols[at : at + facts.symbols_per_request])
            yield FetchSpan(batch, facts.sessions[begin], facts.sessions[end - 1], end - begin)


def _notes(facts: Facts) -> Iterator[str]:
    since, until = facts.asked
    first, last = facts.offered
    if since < first:
        yield f"{facts.vendor} has no {facts.timeframe} bars before {first}; asked since {since}."
    if until > last:
        yield f"{facts.vendor} has no {facts.timeframe} bars after {last}; asked until {until}."
    for symbol in facts.symbols:
        if symbol.listed_on is not None and symbol.listed_on > max(since, first):
            yield f"{symbol.symbol} was listed on {symbol.listed_on}; nothing is expected before."
        if symbol.delisted_on is not None and symbol.delisted_on < min(until, last):
            yield f"{symbol.symbol} was delisted on {symbol.delisted_on}; nothing is expected after."

"""What a data vendor must offer, and what the core promises it in return.

A vendor declares its limits as data (:class:`Capabilities`) and answers three questions: which instruments it
knows, their bars, their corporate actions. It never stores, never retries, never decides what is missing:
planning, checking, committing and resuming live once, in ``qfund.ingest``. A vendor raises only errors of
``qfund.errors``; anything else is its own fault and ends the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import ClassVar, Literal, Protocol

import pyarrow as pa

from qfund.market.actions import CorporateAction
from qfund.market.bars import Timeframe
from qfund.market.instruments import Listing

Basis = Literal["raw", "split", "all"]
Hours = Literal["regular", "extended", "always"]
PriceKind = Literal["trade", "mid", "bid", "ask"]

_VALUES = [(name, pa.float64()) for name in ("open", "high", "low", "close", "volume")]

DAILY_SCHEMA = pa.schema([("symbol", pa.string()), ("session", pa.date32()), *_VALUES])
"""Columns of a page of daily bars; ``session`` is the exchange's date, never a truncated UTC instant."""

MINUTE_SCHEMA = pa.schema(
    [
        ("symbol", pa.string()),
        ("ts", pa.timestamp("us", tz="UTC")),
        ("session", pa.date32()),
        *_VALUES,
    ]
)
"""Columns of a page of minute bars; ``ts`` is the *start* of the bar, timezone-aware UTC."""


def schema(timeframe: Timeframe) -> pa.Schema:
    """The columns that pages of a timeframe have."""
    return DAILY_SCHEMA if timeframe == "1d" else MINUTE_SCHEMA


@dataclass(frozen=True)
class Offer:
    """One series of bars that a vendor sells or gives, with its limits.

    Attributes:
        timeframe: length of a bar.
        feed: where the prices come from (``sip``, ``iex``, ``synthetic``); part of the series' identity.
        first: first session the vendor has.
        last: last session the vendor has; None when it goes on until today.
        sessions_per_request: most sessions that one request may span.
        basis: ``raw``, or what the vendor has already adjusted for.
        hours: the hours of the day that the bars cover.
        price_kind: trades, or quotes.
        settle: how long after its end a bar may still change; younger bars are not accepted.
    """

    timeframe: Timeframe
    feed: str
    first: date
    last: date | None
    sessions_per_request: int
    basis: Basis = "raw"
    hours: Hours = "regular"
    price_kind: PriceKind = "trade"
    settle: timedelta = timedelta(0)


@dataclass(frozen=True)
class Capabilities:
    """A vendor's limits, as data.

    Attributes:
        title: what it is, for people, in one line.
        terms: licence or terms of the data, in one line or as an address.
        offers: the series it has, at most one for each timeframe.
        calendar: ``exchange_calendars`` name of its sessions.
        symbols_per_request: most symbols that one request may name.
        needs_key: whether credentials are needed.
        small: whether it is small enough to be ingested whole when no symbols are named.
    """

    title: str
    terms: str
    offers: tuple[Offer, ...]
    calendar: str = "XNYS"
    symbols_per_request: int = 100
    needs_key: bool = False
    small: bool = False

    def offer(self, timeframe: Timeframe) -> Offer | None:
        """The series of a timeframe, or None when the vendor has none."""
        return next((offer for offer in self.offers if offer.timeframe == timeframe), None)


@dataclass(frozen=True)
class BarRequest:
    """Bars wanted: all symbols over the same inclusive span of sessions, within the offer's limits."""

    symbols: tuple[str, ...]
    timeframe: Timeframe
    since: date
    until: date


@dataclass(frozen=True, eq=False)
class Page:
    """One page of an answer.

    Attributes:
        bars: rows in the columns of :func:`schema`, in any order; a symbol without bars has no rows.
        next_cursor: where the next page begins, opaque; None on the last page and only there, so that an
            answer that was cut short is never taken for a whole one.
    """

    bars: pa.Table
    next_cursor: str | None = None


class Vendor(Protocol):
    """What every plug-in of the group ``qfund.vendors`` implements."""

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]

    def listings(self, symbols: Sequence[str] | None = None) -> list[Listing]:
        """The instruments of these symbols, or all that it knows for None.

        Symbols that it does not know are absent from the answer.
        """
        ...

    def bars(self, request: BarRequest) -> Iterator[Page]:
        """The bars of a request, page by page; a minute or session without trades has no row."""
        ...

    def actions(self, symbols: Sequence[str], since: date, until: date) -> list[CorporateAction]:
        """Splits and cash dividends with an ex-date in ``[since, until]``."""
        ...

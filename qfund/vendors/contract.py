"""What a data vendor must offer, and what the core promises it in return.

A vendor declares its limits as data (:class:`Capabilities`) and answers three questions: which instruments it
knows, their bars, their corporate actions. It never stores, never retries, never paces, never decides what is
missing: planning, checking, committing and resuming live once, in ``qfund.ingest``, and the way to the
network once, in ``qfund.vendors.wire``. A vendor raises only errors of ``qfund.errors``; anything else is its
own fault and ends the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import pyarrow as pa

from qfund.market.actions import CorporateAction
from qfund.market.bars import Timeframe
from qfund.market.instruments import Listing

if TYPE_CHECKING:
    from pathlib import Path

    from qfund.vendors.wire import Network

Basis = Literal["raw", "split", "all"]
Hours = Literal["regular", "extended", "always"]
PriceKind = Literal["trade", "mid", "bid", "ask"]

_VALUES = [(name, pa.float64()) for name in ("open", "high", "low", "close", "volume")]

DAILY_SCHEMA = pa.schema([("symbol", pa.string()), ("session", pa.date32()), *_VALUES])
"""Columns of a page of daily bars; ``session`` is the exchange's date, never a truncated UTC instant, and
null where the vendor's time is not the start of any session (which the core rejects as a wrong zone)."""

MINUTE_SCHEMA = pa.schema(
    [
        ("symbol", pa.string()),
        ("ts", pa.timestamp("us", tz="UTC")),
        ("session", pa.date32()),
        *_VALUES,
    ]
)
"""Columns of a page of minute bars; ``ts`` is the *start* of the bar, timezone-aware UTC. ``session`` may be
null: then the core finds it on the offer's calendar."""


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
        whole: last session of which it has all there will be, where that is not ``last``; later ones are
            stored and asked for again.
        sessions_per_request: most sessions that one request may span.
        basis: ``raw``, or what the vendor has already adjusted for.
        hours: the hours of the day that the bars cover.
        price_kind: trades, or quotes.
        settle: how long after its end a bar may still change; younger bars are not accepted.
        market: which of the vendor's markets the series belongs to; symbols of two never share a request.
        calendar: name of the sessions' calendar, see ``qfund.market.sessions``.
        reread: so many of the last sessions are read again by each run, since the vendor corrects late.
        rows_per_page: most bars in a page, over all symbols; None when an answer is one page.
        quiet_bars: whether bars without a trade (volume 0) are normal.
        answers_more: whether answers hold minutes outside ``hours``, which the core leaves out and counts.
        bar_bytes: what a bar weighs on the wire, for estimates.
        pages_are_windows: whether a page is a window of time, ``rows_per_page`` bars long whether they are
            there or not, so that many in a row may be empty.
        looked_up_alone: up to so many symbols are looked up with a request for each, more of them with one
            for all; None where symbols are known by their form and never looked up.
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
    market: str = "us_equity"
    calendar: str = "XNYS"
    reread: int = 0
    rows_per_page: int | None = None
    quiet_bars: bool = False
    answers_more: bool = False
    bar_bytes: int = 103
    pages_are_windows: bool = False
    looked_up_alone: int | None = 0
    whole: date | None = None

    def lookups(self, symbols: int) -> int:
        """Requests that `Vendor.listings` needs for so many symbols."""
        if self.looked_up_alone is None or not symbols:
            return 0
        return symbols if symbols <= self.looked_up_alone else 1


@dataclass(frozen=True)
class Rate:
    """So many requests in any window of so many seconds."""

    requests: int
    seconds: float = 60.0


@dataclass(frozen=True)
class Setting:
    """One key of ``[vendors.NAME]`` in ``qfund.toml``.

    Attributes:
        name: the key.
        meaning: one line, for people.
        default: its value when it is not set; None when there is none.
        secret: whether it must be a reference (``env:NAME``, ``file:PATH``), opened at the moment of use.
    """

    name: str
    meaning: str
    default: str | None = None
    secret: bool = False


@dataclass(frozen=True)
class Capabilities:
    """A vendor's limits, as data.

    Attributes:
        title: what it is, for people, in one line.
        terms: licence or terms of the data, in one line or as an address.
        offers: the series it has; of several that fit a wish the first is meant.
        symbols_per_request: most symbols that one request may name.
        needs_key: whether credentials are needed for anything at all.
        small: whether it is small enough to be ingested whole when no symbols are named.
        concurrency: most requests in flight at a time; 1 for vendors without a network.
        rate: what the vendor allows until its answers say otherwise; None without a network.
        credits_per_request: what the vendor charges for a request, in its own credits; 0 when it does not.
        actions_per_page: most corporate actions in a page, over all symbols; None when an answer is one page.
        actions_around: days beyond those asked for whose corporate actions come too.
        settings: what can be set for it.
        options: what ``--path`` and the like may say for one ingest, as further settings.
        website: where to read on.
    """

    title: str
    terms: str
    offers: tuple[Offer, ...]
    symbols_per_request: int = 100
    needs_key: bool = False
    small: bool = False
    concurrency: int = 1
    rate: Rate | None = None
    credits_per_request: float = 0.0
    actions_per_page: int | None = None
    actions_around: timedelta = timedelta(0)
    settings: tuple[Setting, ...] = ()
    options: tuple[Setting, ...] = ()
    website: str = ""

    def offer(
        self,
        timeframe: Timeframe,
        *,
        market: str | None = None,
        feed: str | None = None,
        price_kind: PriceKind | None = None,
        hours: Hours | None = None,
    ) -> Offer | None:
        """The first series that fits all that is named, or None when the vendor has none."""
        wanted = {"market": market, "feed": feed, "price_kind": price_kind, "hours": hours}
        fitting = (
            offer
            for offer in self.offers
            if offer.timeframe == timeframe
            and all(value is None or getattr(offer, name) == value for name, value in wanted.items())
        )
        return next(fitting, None)


@dataclass(frozen=True)
class BarRequest:
    """Bars wanted: all symbols over the same inclusive span of sessions, within the offer's limits.

    Attributes:
        symbols: as the vendor called them during the span; all of one market.
        timeframe: length of the bars.
        since: first session.
        until: last session.
        offer: the series that is asked for.
        days: first and last date that come with these sessions, see ``dates``; None for the sessions' own.
        mapped_as_of: the date on which the symbols mean what is wanted: the last session of the span.
    """

    symbols: tuple[str, ...]
    timeframe: Timeframe
    since: date
    until: date
    offer: Offer
    days: tuple[date, date] | None = field(default=None, compare=False)  # the question is the same

    @property
    def dates(self) -> tuple[date, date]:
        """First and last date that come with these sessions.

        The requests of a plan share out every date that was asked for, also those without a session, so that
        a vendor that holds rows of such days, as a file may, hands out each of them once.
        """
        return self.days or (self.since, self.until)

    @property
    def mapped_as_of(self) -> date:
        """The date on which the symbols are meant."""
        return self.until


@dataclass(frozen=True, eq=False)
class Page:
    """One page of an answer.

    Attributes:
        bars: rows in the columns of :func:`schema`, in any order; a symbol without bars has no rows.
        next_cursor: where the next page begins, opaque; None on the last page and only there, so that an
            answer that was cut short is never taken for a whole one.
        unfit: rows that are no bars, in the columns of :func:`unfit_schema`; None without any. The core
            rejects them for the reason that the vendor gives.
    """

    bars: pa.Table
    next_cursor: str | None = None
    unfit: pa.Table | None = None


def unfit_schema(timeframe: Timeframe) -> pa.Schema:
    """The columns of rows that are no bars.

    Those of :func:`schema`, each null where the row does not say it, ``reason`` (a key of
    ``qfund.ingest.check.REASONS``), and ``beside``: of a row without a session those that it may belong to
    although they have bars. (Sessions without a bar are always among them.) Further columns, such as a line,
    are kept for ``write_rejects``.
    """
    further = (pa.field("reason", pa.string()), pa.field("beside", pa.list_(pa.date32())))
    return pa.schema([*schema(timeframe), *further])


@runtime_checkable
class CountsRows(Protocol):
    """A vendor that holds a known number of rows, each to be accounted for; an optional capability."""

    def census(self) -> pa.Table:
        """How many ``rows`` come with each ``symbol`` and ``day``, in these columns; of all together."""
        ...


@dataclass(frozen=True)
class Setup:
    """What a vendor is made with.

    Attributes:
        values: setting or option → value, defaults filled in; secret ones are not among them.
        secrets: see :meth:`secret`.
        network: makes the wires to the vendor's hosts; None where no network may be used.
        folder: what relative paths in settings are relative to.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    network: Network | None = None
    folder: Path | None = None

    def secret(self, name: str) -> str | None:
        """The secret itself, None when it is not set; never keep, log or send it anywhere but in a header.

        Raises:
            ConfigError: the reference leads nowhere (exit 3).
        """
        found = self.secrets.get(name)
        return None if found is None else found.reveal()


class Secret(Protocol):
    """A reference to a secret, such as ``qfund.config.secrets.Secret``."""

    def reveal(self) -> str:
        """The value itself."""
        ...


class Vendor(Protocol):
    """What every plug-in of the group ``qfund.vendors`` implements; it is made with a `Setup`.

    ``name`` and ``capabilities`` are attributes of the class, so that they can be shown before it is made.
    """

    @property
    def name(self) -> str:
        """The plug-in's name."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """Its limits, as data."""
        ...

    def market(self, symbol: str) -> str:
        """Which of its markets a symbol belongs to, by its form alone; never asks the network."""
        ...

    def listings(self, symbols: Sequence[str] | None = None) -> list[Listing]:
        """The instruments of these symbols, or all that it knows for None.

        Symbols that it does not know are absent from the answer.
        """
        ...

    def bars(self, request: BarRequest) -> Iterator[Page]:
        """The bars of a request, page by page; a minute or session without trades has no row."""
        ...

    def actions(self, symbols: Sequence[str], since: date, until: date) -> list[CorporateAction]:
        """All corporate actions with an ex-date in ``[since, until]``, of every kind the vendor knows."""
        ...

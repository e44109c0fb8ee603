"""Alpaca's vendor pointed at its fake in another process, put together as ``qfund ingest`` does it.

The fake is that of the tests: it answers in Alpaca's words, in pages of 10,000 bars of about 100 bytes each,
unpacked JSON over HTTP/1.1 on loopback. It remembers what it said, so that after a first round (``warm``) it
only copies bytes: 3.5 million bars a second, more than anybody here can take.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlencode

from qfund.ingest.apply import Ingest
from qfund.ingest.look import Wish
from qfund.ingest.network import network
from qfund.ingest.report import Report
from qfund.store import Store, securities
from qfund.testing.process import Separate
from qfund.vendors.alpaca import Alpaca
from qfund.vendors.contract import Rate, Setup
from qfund.vendors.limits import Meter, Pace

DAY = date(2024, 3, 7)
NOW = datetime(2024, 3, 9, tzinfo=UTC)  # where the fake's clock stands
MINUTES = 390
KEY, SECRET = "PKFAKE0000000000TEST", "canary-Zx81-secret-of-the-fake-alpaca"
_TOKEN = b'"next_page_token":'
HEADERS = {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET}


def names(symbols: int) -> tuple[str, ...]:
    return tuple(f"S{number:04d}" for number in range(symbols))


def fake(symbols: int, *rate: str, since: date = DAY) -> Separate:
    """The minute bars of so many symbols, up to `DAY`."""
    return Separate("tests.support.alpaca:large", str(symbols), str(since), str(DAY), *rate)


def queries(symbols: tuple[str, ...], *, since: date = DAY, together: int = 200) -> Iterator[dict[str, str]]:
    """What anybody asks for these symbols' bars, page tokens apart."""
    for at in range(0, len(symbols), together):
        yield {
            "symbols": ",".join(symbols[at : at + together]),
            "timeframe": "1Min",
            "start": f"{since}T14:30:00Z",
            "end": f"{DAY}T20:59:00Z",
            "limit": "10000",
            "sort": "asc",
            "adjustment": "raw",
            "asof": str(DAY),
        }


def pages(url: str, symbols: tuple[str, ...], *, since: date = DAY) -> Iterator[bytes]:
    """The bodies that hold these symbols' bars."""
    for query in queries(symbols, since=since):
        token: str | None = ""
        while token is not None:
            asked = query | ({"page_token": token} if token else {})
            request = urllib.request.Request(f"{url}/v2/stocks/bars?{urlencode(asked)}", headers=HEADERS)
            with urllib.request.urlopen(request) as answer:
                body = answer.read()
            yield body
            token = json.loads(body[body.rindex(_TOKEN) + len(_TOKEN) : -1])


@dataclass(frozen=True)
class Known:
    """A secret that is what it says."""

    value: str

    def reveal(self) -> str:
        return self.value


@dataclass
class Wire:
    """When a request waited for its slot or its answer, as its pace and its meter saw it."""

    spans: list[tuple[float, float]] = field(default_factory=list)
    _sent: dict[int, float] = field(default_factory=dict)

    def seconds(self) -> float:
        """So long at least one of them did."""
        total, reached = 0.0, 0.0
        for start, end in sorted(self.spans):
            total += max(0.0, end - max(start, reached))
            reached = max(reached, end)
        return total

    def pace(self, inner: Pace, rate: Rate | None) -> Pace:
        return _Pace(self, inner, rate)

    def meter(self, inner: Meter) -> Meter:
        return _Meter(self, inner)


@dataclass(frozen=True)
class _Pace:
    wire: Wire
    inner: Pace
    rate: Rate | None

    def wait(self) -> float:
        begun = time.monotonic()
        slept = self.inner.wait()
        self.wire.spans.append((begun, time.monotonic()))
        return slept

    def allow(self, rate: Rate) -> None:
        self.inner.allow(self.rate or rate)

    def block(self, seconds: float) -> None:
        self.inner.block(seconds)


@dataclass(frozen=True)
class _Meter:
    wire: Wire
    inner: Meter

    def sending(self) -> None:
        self.inner.sending()
        self.wire._sent[threading.get_ident()] = time.monotonic()  # noqa: SLF001

    def received(self, **what: Any) -> None:
        self.wire.spans.append((self.wire._sent[threading.get_ident()], time.monotonic()))  # noqa: SLF001
        self.inner.received(**what)


@dataclass(frozen=True)
class Ingested:
    """One ingest.

    Attributes:
        seconds: from before the plan to the end.
        planned: of them until the plan was made.
        wire: so long a request waited for its slot or its answer.
        report: what was done.
    """

    seconds: float
    planned: float
    wire: float
    report: Report | None

    @property
    def bars(self) -> int:
        return self.report.total.stored if self.report else 0


@contextmanager
def working(
    store: Store,
    url: str,
    symbols: tuple[str, ...],
    *,
    jobs: int | None = None,
    together: int = 200,
    rate: Rate | None = None,
    since: date = DAY,
    **wish: Any,
) -> Iterator[tuple[Ingest, Wire]]:
    """An ingest, with the real vendor, wire, pace and ledger.

    Args:
        store: where the bars go.
        url: of the fake.
        symbols: whose bars.
        jobs: requests at a time; the vendor's own number unless given.
        together: symbols in a request.
        rate: the pace, whatever the vendor says; unless given, what the vendor says.
        since: the first session; the last is `DAY`.
        wish: see `Wish`.
    """
    wire = Wire()
    with network(store, "alpaca") as line:
        inner = line.network
        way = replace(
            inner,
            clock=lambda: NOW,
            pace=lambda account, declared: wire.pace(inner.pace(account, rate or declared), rate),
            meter=lambda account: wire.meter(inner.meter(account)),
        )
        urls = {"data_url": url, "trading_url": url}
        vendor = Alpaca(Setup(urls, {"key_id": Known(KEY), "secret_key": Known(SECRET)}, way))
        own = Alpaca.capabilities
        vendor.capabilities = replace(own, concurrency=jobs or own.concurrency, symbols_per_request=together)
        asked = Wish(timeframe="1m", symbols=symbols, since=since, until=DAY, **wish)
        work = Ingest(store, vendor, asked, clock=way.now, sent=lambda: line.sent, record=line.record)
        with way:
            yield work, wire


def ingest(store: Store, url: str, symbols: tuple[str, ...], **how: Any) -> Ingested:
    begun = time.perf_counter()
    with working(store, url, symbols, **how) as (work, wire):
        plan = work.plan()
        planned = time.perf_counter() - begun
        for _ in work.apply(plan):
            pass
        report = work.report if plan.steps else None
    done = Ingested(time.perf_counter() - begun, planned, wire.seconds(), report)
    if report is not None and report.status != "ok":
        raise AssertionError(report.errors("again"))
    return done


def register(store: Store, url: str, symbols: tuple[str, ...]) -> None:
    """The instruments, as a first ingest of any of their bars leaves them."""
    with working(store, url, symbols) as (work, _):
        listings = work._vendor.listings(symbols)  # noqa: SLF001
        securities.register(store, "alpaca", listings)

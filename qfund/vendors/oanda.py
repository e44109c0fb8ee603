"""OANDA v20: candles of foreign exchange, one minute and one day long.

Promises: a candle that is not complete is never given out; a window never holds more candles than one answer
may; windows that follow each other share no candle and leave none out. Days run from 17:00 to 17:00 New York.
Written against the published description 3.0.25; never trades, stores or reads the clock of the machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote
from zoneinfo import ZoneInfo

from qfund.errors import ConfigError
from qfund.market.actions import CorporateAction
from qfund.market.instruments import Listing
from qfund.market.sessions import FX
from qfund.vendors import oanda_pages
from qfund.vendors.contract import BarRequest, Capabilities, Offer, Page, Rate, Setting, Setup, schema

if TYPE_CHECKING:
    from qfund.vendors.wire import Network, Wire

NEW_YORK = ZoneInfo("America/New_York")
DAY_STARTS = 17
MOST_CANDLES = 5000
RATE = Rate(requests=60, seconds=1.0)  # best practice is at most 100

# A window that ends in the future is refused (400), by the vendor's clock; see hootnot/oanda-api-v20#144.
_MARGIN = timedelta(seconds=60)
_STEP = {"1m": timedelta(minutes=1), "1d": timedelta(days=1)}
_GRANULARITY = {"1m": "M1", "1d": "D"}
_PRICE = {"mid": "M", "bid": "B", "ask": "A"}

_DAILY = Offer(
    "1d",
    "oanda",
    date(2005, 1, 3),
    None,
    2500,
    hours="always",
    price_kind="mid",
    settle=timedelta(minutes=5),
    market="fx",
    calendar=FX,
    reread=5,
    rows_per_page=MOST_CANDLES,
    bar_bytes=150,
    pages_are_windows=True,
)
_MINUTES = replace(_DAILY, timeframe="1m", sessions_per_request=60, settle=2 * _MARGIN)
_MID = (_DAILY, _MINUTES)


class Oanda:
    """OANDA's candles, from the middle between bid and ask, or from either."""

    name: ClassVar[str] = "oanda"
    capabilities: ClassVar[Capabilities] = Capabilities(
        title="OANDA: foreign exchange since 2005, mid, bid and ask (free practice account)",
        terms="for the account's own use: https://www.oanda.com/legal",
        offers=(
            *_MID,
            *(replace(one, price_kind="bid") for one in _MID),
            *(replace(one, price_kind="ask") for one in _MID),
        ),
        symbols_per_request=1,
        needs_key=True,
        concurrency=4,
        rate=RATE,
        settings=(
            Setting("api_url", "host; practice or live", "https://api-fxpractice.oanda.com"),
            Setting("account_id", "account whose instruments are listed, such as 101-001-1234567-001"),
            Setting("token", "personal access token", "env:OANDA_TOKEN", secret=True),
        ),
        website="https://developer.oanda.com/rest-live-v20/introduction/",
    )

    def __init__(self, setup: Setup | None = None) -> None:
        self._setup = setup or Setup()

    def market(self, symbol: str) -> str:
        """All of them are of the ``fx`` market."""
        del symbol
        return "fx"

    def listings(self, symbols: Sequence[str] | None = None) -> list[Listing]:
        """The instruments of the account, priced in the currency behind the ``_``; metals and CFDs too.

        Raises:
            ConfigError: no token, or no account.
        """
        account = self._setup.values.get("account_id", "")
        if not account:
            raise ConfigError(
                "OANDA lists the instruments of an account, and vendors.oanda.account_id is not set.",
                fix='write account_id = "101-…" under [vendors.oanda] in qfund.toml',
                code="SETTING_MISSING",
                details={"key": "vendors.oanda.account_id"},
            )
        # All are asked for: one unknown name among the named would have the whole request refused.
        path = f"/v3/accounts/{quote(account, safe='')}/instruments"
        known = self._wire.read(path, None, lambda answer: oanda_pages.instruments(answer.body))
        return [
            Listing(one.name, one.displayName or one.name, "fx", one.name.rpartition("_")[2], mic=None)
            for one in sorted(known, key=lambda one: one.name)
            if symbols is None or one.name in symbols
        ]

    def bars(self, request: BarRequest) -> Iterator[Page]:
        """The complete candles of a request, symbol after symbol, one page for each window."""
        spans = [(symbol, span) for symbol in request.symbols for span in windows(request, self._now())]
        if not spans:
            yield Page(schema(request.timeframe).empty_table())
        for number, (symbol, span) in enumerate(spans, start=1):
            path = f"/v3/instruments/{quote(symbol, safe='')}/candles"
            read = self._wire.read(
                path, parameters(request, span), lambda answer: oanda_pages.read(answer.body)
            )
            bars = oanda_pages.table(read, symbol, request.timeframe, span.start, span.end)
            yield Page(bars, str(number) if number < len(spans) else None)

    def actions(self, symbols: Sequence[str], since: date, until: date) -> list[CorporateAction]:
        """None: currencies have no corporate actions."""
        del symbols, since, until
        return []

    @cached_property
    def _wire(self) -> Wire:
        token = self._setup.secret("token")
        if not token:
            raise ConfigError(
                "OANDA needs a token: vendors.oanda.token is not set; looked for it in qfund.toml and in the"
                " environment variable OANDA_TOKEN.",
                fix="export OANDA_TOKEN=…  (Manage API Access in your OANDA account)",
                code="SECRET_MISSING",
                details={"key": "vendors.oanda.token", "variable": "OANDA_TOKEN"},
            )
        mark = hashlib.sha256(token.encode()).hexdigest()[:8]
        default = self.capabilities.settings[0].default or ""
        return self._network.wire(
            self._setup.values.get("api_url") or default,
            account=f"oanda {mark}",
            rate=RATE,
            headers={"Authorization": f"Bearer {token}", "Accept-Datetime-Format": "RFC3339"},
            secrets=(token,),
        )

    @property
    def _network(self) -> Network:
        if self._setup.network is None:
            raise ConfigError("OANDA cannot be asked without a network.", code="NO_NETWORK")
        return self._setup.network

    def _now(self) -> datetime:
        return self._network.now()


@dataclass(frozen=True)
class Window:
    """Starts of candles in ``[start, end)``; timezone-aware UTC."""

    start: datetime
    end: datetime


def windows(request: BarRequest, now: datetime) -> list[Window]:
    """The request's span in windows of at most 5,000 candles, up to a minute before the present.

    A window is limited by what could be in it, not by what is: the weekend counts.
    """
    start = _opening(request.since)
    end = min(_opening(request.until + timedelta(days=1)), now - _MARGIN)
    made = []
    while start < end:
        stop = min(_later(start, request), end)
        made.append(Window(start, stop))
        start = stop
    return made


def _later(start: datetime, request: BarRequest) -> datetime:
    """The end of the longest window that begins there."""
    if request.timeframe == "1m":
        return start + MOST_CANDLES * _STEP["1m"]
    # Days are counted on the clocks of New York, so that each window begins with a day, whatever summer time
    # does.
    return _opening(start.astimezone(NEW_YORK).date() + timedelta(days=1 + MOST_CANDLES))


def _opening(session: date) -> datetime:
    """The start of a session: 17:00 New York on the day before."""
    local = datetime.combine(session - timedelta(days=1), time(DAY_STARTS), NEW_YORK)
    return local.astimezone(UTC)


def parameters(request: BarRequest, span: Window) -> dict[str, str]:
    """The query of one window.

    ``to`` lies half a step before the window's end: whether a candle that starts exactly there is in the
    answer is not described, and no candle starts between.
    """
    last = max(span.start, span.end - _STEP[request.timeframe] / 2)
    params = {
        "price": _PRICE[request.offer.price_kind],
        "granularity": _GRANULARITY[request.timeframe],
        "from": _rfc3339(span.start),
        "to": _rfc3339(last),
        "includeFirst": "true",
        "smooth": "false",
    }
    if request.timeframe == "1d":
        params |= {"dailyAlignment": str(DAY_STARTS), "alignmentTimezone": NEW_YORK.key}
    return params


def _rfc3339(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")

"""Alpaca: US shares and crypto pairs, minute and daily bars, corporate actions, assets, sessions.

Promises: history is asked raw, with both ends of the window, with symbols as they were on the last session of
the span, and never nearer to the present than the plan's delay; crypto needs no key. Written against the
published descriptions of the Trading API 2.0.1 and the Market Data API 1.1; reads the store and the clock of
the machine never, and puts the key into headers alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar
from zoneinfo import ZoneInfo

from qfund.errors import ConfigError
from qfund.market.actions import CorporateAction
from qfund.market.bars import Timeframe
from qfund.market.instruments import Listing
from qfund.vendors import alpaca_actions, alpaca_pages, alpaca_reference
from qfund.vendors.contract import BarRequest, Capabilities, Offer, Page, Rate, Setting, Setup, schema

if TYPE_CHECKING:
    from qfund.vendors.wire import Network, Wire

NEW_YORK = ZoneInfo("America/New_York")
STOCKS, CRYPTO = "us_equity", "crypto"
PAGE = 10_000
RATE = Rate(requests=200, seconds=60.0)

# Without the paid plan the last 15 minutes of SIP prices are refused (403); one minute for clocks that
# differ.
DELAY = timedelta(minutes=16)
_MINUTE_SETTLE = timedelta(seconds=60)  # a bar is computed again 30 s after its end
_DAY_SETTLE = timedelta(minutes=20)
# Crypto days run from midnight to midnight in Chicago (05:00 or 06:00 UTC: Alpaca-API#227, alpaca-py#169), so
# that they are over up to six hours after the UTC day whose date they have.
_CRYPTO_DAY_SETTLE = timedelta(hours=6, minutes=20)

# First and last minute that starts in the hours of a session, on the clocks of New York.
_MINUTES = {"regular": (time(9, 30), time(15, 59)), "extended": (time(4), time(19, 59))}
_TIMEFRAMES = {"1m": "1Min", "1d": "1Day"}


def _stock_offers(feed: str, first: date, delay: timedelta) -> tuple[Offer, ...]:
    """Daily, minute and extended minute bars of a feed.

    Alpaca has no limit of sessions: for one symbol these are as many as make about 100,000 bars.
    """
    settle = _MINUTE_SETTLE + delay
    daily = Offer(
        "1d",
        feed,
        first,
        None,
        10_000,
        settle=_DAY_SETTLE,
        reread=5,
        rows_per_page=PAGE,
        bar_bytes=115,
        looked_up_alone=alpaca_reference.FEW,
    )
    minutes = replace(daily, timeframe="1m", sessions_per_request=250, settle=settle, answers_more=True)
    return (daily, minutes, replace(minutes, hours="extended", answers_more=False))


def _crypto_offer(timeframe: Timeframe, sessions: int, settle: timedelta) -> Offer:
    return Offer(
        timeframe,
        "us",
        date(2021, 1, 1),
        None,
        sessions,
        hours="always",
        settle=settle,
        market=CRYPTO,
        calendar="24/7",
        reread=5,
        rows_per_page=PAGE,
        quiet_bars=True,
        bar_bytes=115,
        looked_up_alone=None,
    )


class Alpaca:
    """Alpaca's market data, with the trading API for assets and the calendar."""

    name: ClassVar[str] = "alpaca"
    capabilities: ClassVar[Capabilities] = Capabilities(
        title="Alpaca: US shares since 2016 (free key), crypto pairs since 2021 (no key)",
        terms="for the account's own use: https://alpaca.markets/disclosures",
        offers=(
            *_stock_offers("sip", date(2016, 1, 4), DELAY),
            *_stock_offers("iex", date(2020, 7, 27), timedelta(0)),
            _crypto_offer("1d", 10_000, _CRYPTO_DAY_SETTLE),
            _crypto_offer("1m", 70, _MINUTE_SETTLE),
        ),
        symbols_per_request=200,
        needs_key=True,
        concurrency=8,
        rate=RATE,
        actions_per_page=alpaca_actions.PAGE,
        actions_around=alpaca_actions.AROUND,
        settings=(
            Setting("data_url", "host of market data", "https://data.alpaca.markets"),
            Setting("trading_url", "host of assets and calendar", "https://paper-api.alpaca.markets"),
            Setting("key_id", "key id; not needed for crypto", "env:APCA_API_KEY_ID", secret=True),
            Setting("secret_key", "its secret", "env:APCA_API_SECRET_KEY", secret=True),
        ),
        website="https://docs.alpaca.markets/docs/about-market-data-api",
    )

    def __init__(self, setup: Setup | None = None) -> None:
        self._setup = setup or Setup()

    def market(self, symbol: str) -> str:
        """``crypto`` for a pair such as ``BTC/USD``, else ``us_equity``."""
        return CRYPTO if "/" in symbol else STOCKS

    def listings(self, symbols: Sequence[str] | None = None) -> list[Listing]:
        """Assets of the trading API, with Alpaca's asset id as ``vendor_ref``.

        Pairs that are named need no key and are not looked up: a pair is its own identity, and Alpaca refuses
        a wrong one when its bars are asked for. Of several assets with one symbol the active one is meant.

        Raises:
            ConfigError: shares are asked for, or everything, and there is no key.
        """
        if symbols is None:
            return [
                *alpaca_reference.listings(self._trading, None),
                *alpaca_reference.pairs(self._trading),
            ]
        pairs = [symbol for symbol in symbols if self.market(symbol) == CRYPTO]
        shares = [symbol for symbol in symbols if self.market(symbol) == STOCKS]
        found = alpaca_reference.listings(self._trading, shares) if shares else []
        return [*found, *(alpaca_reference.pair(symbol) for symbol in pairs)]

    def calendar(self, since: date, until: date) -> list[alpaca_reference.Session] | None:
        """The broker's own sessions, None without a key; see `qfund.ingest.drift`."""
        return alpaca_reference.calendar(self._trading, since, until) if self._has_key else None

    def bars(self, request: BarRequest) -> Iterator[Page]:
        """The bars of a request, up to 10,000 in a page, by symbol and time.

        A window that lies within the plan's delay as a whole is answered by an empty page without asking.
        """
        columns = schema(request.timeframe)
        found = window(request, self._now())
        if found is None:
            yield Page(columns.empty_table())
            return
        wire, path = self._source(request)
        params = parameters(request, found)
        sessions = _sessions(request)
        while True:
            read = wire.read(path, params, lambda answer: alpaca_pages.read(answer.body))
            yield Page(alpaca_pages.table(read, request.timeframe, sessions), read.next_token)
            if read.next_token is None:
                return
            params = params | {"page_token": read.next_token}

    def actions(self, symbols: Sequence[str], since: date, until: date) -> list[CorporateAction]:
        """All actions of shares with an ex-date in the span; pairs have none. See `alpaca_actions`."""
        shares = [symbol for symbol in symbols if self.market(symbol) == STOCKS]
        return alpaca_actions.actions(self._data, shares, since, until) if shares else []

    def _source(self, request: BarRequest) -> tuple[Wire, str]:
        if request.offer.market == CRYPTO:
            return self._open_data, f"/v1beta3/crypto/{request.offer.feed}/bars"
        return self._data, "/v2/stocks/bars"

    @cached_property
    def _data(self) -> Wire:
        return self._wire("data", self._setting("data_url"), self._headers)

    @cached_property
    def _trading(self) -> Wire:
        return self._wire("trading", self._setting("trading_url"), self._headers)

    @cached_property
    def _open_data(self) -> Wire:
        """Market data without a key."""
        return self._network.wire(self._setting("data_url"), account="alpaca data open", rate=RATE)

    def _wire(self, bucket: str, url: str, headers: dict[str, str]) -> Wire:
        mark = hashlib.sha256(headers["APCA-API-KEY-ID"].encode()).hexdigest()[:8]
        return self._network.wire(
            url,
            account=f"alpaca {bucket} {mark}",
            rate=RATE,
            headers=headers,
            secrets=tuple(headers.values()),
        )

    @property
    def _headers(self) -> dict[str, str]:
        return {"APCA-API-KEY-ID": self._key("key_id"), "APCA-API-SECRET-KEY": self._key("secret_key")}

    @property
    def _has_key(self) -> bool:
        try:
            return bool(self._headers)
        except ConfigError:
            return False

    def _key(self, name: str) -> str:
        """A part of the key.

        Raises:
            ConfigError: it is not set, or its reference leads nowhere.
        """
        found = self._setup.secret(name)
        if found:
            return found
        default = self._default(name) or ""
        variable = default.partition(":")[2]
        raise ConfigError(
            f"Alpaca's shares need a key: vendors.alpaca.{name} is not set; looked for it in qfund.toml and"
            f" in the environment variable {variable}.",
            fix=f"export {variable}=…  (a free key: https://app.alpaca.markets; crypto pairs need none)",
            code="SECRET_MISSING",
            details={"key": f"vendors.alpaca.{name}", "variable": variable},
        )

    def _setting(self, name: str) -> str:
        return self._setup.values.get(name) or self._default(name) or ""

    def _default(self, name: str) -> str | None:
        return next(one.default for one in self.capabilities.settings if one.name == name)

    @property
    def _network(self) -> Network:
        if self._setup.network is None:
            raise ConfigError("Alpaca cannot be asked without a network.", code="NO_NETWORK")
        return self._setup.network

    def _now(self) -> datetime:
        return self._network.now()


@dataclass(frozen=True)
class Window:
    """Both ends inclusive, on starts of bars; timezone-aware UTC."""

    start: datetime
    end: datetime


def window(request: BarRequest, now: datetime) -> Window | None:
    """The window of a request, cut where the vendor's delay begins; None when nothing is left of it.

    Regular minutes are asked from 09:30 of the first to 15:59 of the last session on the clocks of New York,
    so that a request for one session holds few minutes outside it.
    """
    offer = request.offer
    zone = UTC if offer.market == CRYPTO else NEW_YORK
    first, last = time(0), time(23, 59, 59)
    if request.timeframe == "1m" and offer.market != CRYPTO:
        first, last = _MINUTES[offer.hours]
    start = datetime.combine(request.since, first, zone).astimezone(UTC)
    end = datetime.combine(request.until, last, zone).astimezone(UTC)
    end = min(end, now - (DELAY if offer.feed == "sip" else timedelta(0))).replace(microsecond=0)
    return Window(start, end) if start <= end else None


def parameters(request: BarRequest, span: Window) -> dict[str, str]:
    """The query of the first page. SIP is what answers when no feed is named, so it is never named."""
    params = {
        "symbols": ",".join(request.symbols),
        "timeframe": _TIMEFRAMES[request.timeframe],
        "start": _rfc3339(span.start),
        "end": _rfc3339(span.end),
        "limit": str(PAGE),
        "sort": "asc",
    }
    if request.offer.market == CRYPTO:
        return params
    params |= {"adjustment": "raw", "asof": request.mapped_as_of.isoformat()}
    return params if request.offer.feed == "sip" else params | {"feed": request.offer.feed}


def _sessions(request: BarRequest) -> alpaca_pages.Sessions:
    """The session of each time of an answer.

    A share's day is named by the midnight of New York that it begins with; a pair's by that of Chicago, or of
    UTC. Anything else is the start of no day: null.
    """
    crypto = request.offer.market == CRYPTO
    if request.timeframe == "1m":
        zone = "UTC" if crypto else NEW_YORK.key
        return lambda ts: alpaca_pages.local_dates(ts, zone)
    zones = ("UTC", "America/Chicago") if crypto else (NEW_YORK.key,)
    return lambda ts: alpaca_pages.dates_of_midnights(ts, *zones)


def _rfc3339(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")

"""A fake of Alpaca's market data and of the reference data of its trading API, on one port.

    with FakeAlpaca(truth, clock=Clock(datetime(2024, 3, 12, 3, tzinfo=UTC))) as fake:
        …  # data_url = trading_url = fake.url; keys FakeAlpaca.key, FakeAlpaca.secret

Each request and each honest answer is checked against Alpaca's own descriptions; what does not fit is in
``complaints`` and fails the ``with`` at its end. A test that provokes it clears the list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from qfund.market.bars import Timeframe
from qfund.testing import Answer, Clock, FakeVendor, Instrument, Request, Truth
from qfund.testing.paging import Asked, Cut, Paging, TokenError
from qfund.testing.series import Series, stamp
from qfund.vendors.contract import Offer, Rate
from tests.support import alpaca_bars, alpaca_reference, openapi
from tests.support.alpaca_bars import CHICAGO, NEW_YORK, RefusedError

DELAY = timedelta(minutes=15)
IEX_SHARE = 28  # of the volume on the consolidated tape, IEX sees about one part in so many
TIMEFRAMES: dict[str, Timeframe] = {"1Min": "1m", "1T": "1m", "1Day": "1d", "1D": "1d"}
PARAMS = {"symbols", "timeframe", "start", "end", "limit", "page_token", "sort"}
STOCK_PARAMS = PARAMS | {"adjustment", "asof", "feed", "currency"}
NGINX = (
    b"<html>\r\n<head><title>401 Authorization Required</title></head>\r\n<body>\r\n</body>\r\n</html>\r\n"
)
SYMBOL = re.compile(r"[A-Z][A-Z0-9.\-]*")
PAIR = re.compile(r"[A-Z0-9]+/[A-Z]+")


class FakeAlpaca(FakeVendor):
    """See the module.

    Args:
        truth: what is true; shares are ``kind="equity"`` or ``"etf"``, crypto pairs ``kind="crypto"``.
        plan: ``basic`` has no right to the consolidated tape of the last 15 minutes.
        checked: whether requests and answers are checked against the descriptions (benchmarks switch it off).
        remembers: whether the same words get the same bytes again, for benchmarks: nothing may change then.
        options: see `FakeVendor`.
    """

    key = "PKFAKE0000000000TEST"
    secret = "canary-Zx81-secret-of-the-fake-alpaca"
    announced = Rate(10_000)
    secret_headers = frozenset({"authorization", "cookie", "apca-api-key-id", "apca-api-secret-key"})

    def __init__(
        self,
        truth: Truth | None = None,
        *,
        plan: Literal["basic", "plus"] = "basic",
        checked: bool = True,
        remembers: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(truth, **options)
        self.plan = plan
        self.complaints: list[str] = []
        self._checked = checked
        if checked:
            openapi.wheel()
        self._remembered: dict[object, Answer] | None = {} if remembers else None
        self._joined: dict[object, tuple[list[Series], Series]] = {}
        self._rendered: dict[tuple[int, bool], tuple[Series, list[bytes]]] = {}
        self._thinned: dict[int, tuple[Series, Series]] = {}

    # --- the dialect

    def answer(self, request: Request) -> Answer:
        if request.method != "GET":
            return self.error(405, "method not allowed")
        words = (request.path, *sorted(request.params.items()))
        if self._remembered is not None and words in self._remembered:
            return self._remembered[words]
        try:
            found = self._route(request)
        except RefusedError as refused:
            return self.error(refused.status, refused.message)
        if self._remembered is not None and not request.faults:
            self._remembered[words] = found
        return found

    def _route(self, request: Request) -> Answer:
        path = request.path
        if path == "/v2/stocks/bars":
            return self._bars(request, None, crypto=False)
        if match := re.fullmatch(r"/v2/stocks/([^/]+)/bars", path):
            return self._bars(request, match[1], crypto=False)
        if re.fullmatch(r"/v1beta3/crypto/(us|us-1|us-2|eu-1|bs-1)/bars", path):
            return self._bars(request, None, crypto=True)
        found = alpaca_reference.answer(self.truth, request)
        if isinstance(found, alpaca_reference.Refusal):
            raise RefusedError(found.status, found.message)
        return found

    def error(self, status: int, message: str) -> Answer:
        return Answer(json.dumps({"message": message}).encode(), status)

    def refusal(self, request: Request) -> Answer | None:
        if request.path.startswith("/v1beta3/crypto/"):
            return None
        key = request.headers.get("apca-api-key-id")
        right = key == self.key and request.headers.get("apca-api-secret-key") == self.secret
        if right:
            return None
        if not _is_data(request.path):
            body = {"code": 40110000, "message": "request is not authorized"}
            return Answer(json.dumps(body).encode(), 401)
        return Answer(NGINX, 401, "text/html") if key is None else self.error(403, "forbidden.")

    def account(self, request: Request) -> str:
        """Market data and trading have a bucket each; without a key the address has one."""
        who = "key" if request.headers.get("apca-api-key-id") else "address"
        return f"{who} {'data' if _is_data(request.path) else 'trading'}"

    def symbols(self, request: Request) -> tuple[str, ...]:
        match = re.fullmatch(r"/v2/(?:stocks|assets)/(.+?)(?:/bars)?", request.path)
        if match and match[1] != "bars":
            return (match[1],)
        return super().symbols(request)

    def span(self, request: Request) -> tuple[date, date] | None:
        if not request.path.endswith("/bars"):
            return None
        try:
            start, end = self._times(request)
        except RefusedError:
            return None
        zone = CHICAGO if "/crypto/" in request.path else NEW_YORK
        if request.params.get("timeframe") in ("1Day", "1D"):
            first, last = alpaca_bars.days((start, end), zone)
        else:  # a bar that starts at the midnight after a day is not yet a question for the next
            zone = UTC if "/crypto/" in request.path else zone
            first, last = start.astimezone(zone).date(), (end - timedelta(minutes=1)).astimezone(zone).date()
        return first, max(first, last)

    def seen(self, request: Request, answer: Answer) -> None:
        if not self._checked:
            return
        known = openapi.description("market-data-api" if _is_data(request.path) else "trading-api")
        where = f"request {request.number}: "
        self.complaints += [where + wrong for wrong in known.request(request.path, request.params)]
        if answer.exact and answer.content_type == "application/json":
            wrong = known.answer(request.path, answer.status, answer.body)
            self.complaints += [where + "the fake's answer: " + one for one in wrong]

    def secrets(self) -> tuple[str, ...]:
        return self.key, self.secret

    def told(self, offer: Offer, since: date, until: date, keys: Sequence[str]) -> pa.Table:
        found = super().told(offer, since, until, keys)
        if offer.feed != "iex":
            return found
        place = found.schema.get_field_index("volume")
        return found.set_column(place, found.schema.field(place), [_seen_by_iex(found["volume"].to_numpy())])

    def judge(self) -> None:
        super().judge()
        if self.complaints:
            raise AssertionError("Against Alpaca's description:\n" + "\n".join(self.complaints))

    # --- bars

    def _bars(self, request: Request, symbol: str | None, *, crypto: bool) -> Answer:
        self._check_params(request, STOCK_PARAMS if not crypto else PARAMS, single=symbol)
        timeframe = self._timeframe(request)
        start, end = self._times(request)
        feed = "us" if crypto else self._feed(request, end)
        asked = []
        for name in sorted(set(self.symbols(request))):
            if not (PAIR if crypto else SYMBOL).fullmatch(name):
                raise RefusedError(400, f"invalid symbol: {name}")
            found = self._asked(request, name, timeframe, (start, end), crypto=crypto)
            if found is not None:
                series = self._thin(found.series) if feed == "iex" else found.series
                asked.append(replace(found, series=series))
        daily = timeframe == "1d"
        paging = Paging(
            limit=self._limit(request, 1000, 10_000),
            token=request.params.get("page_token"),
            now=request.moment.now.timestamp(),
            daily=daily,
            played=request.faults,
        )
        try:
            page = paging.cut(asked)
        except TokenError:
            raise RefusedError(400, "invalid page_token") from None
        return self._told(page, symbol, daily=daily, crypto=crypto)

    def _asked(
        self,
        request: Request,
        symbol: str,
        timeframe: Timeframe,
        span: tuple[datetime, datetime],
        *,
        crypto: bool,
    ) -> Asked | None:
        """The bars of one symbol; None when it means nobody, or when there are none."""
        asof = request.params.get("asof") or request.today.isoformat()
        try:
            day = None if asof == "-" else date.fromisoformat(asof)
        except ValueError:
            raise RefusedError(400, f"invalid asof: {asof}") from None
        if day is None:
            series, who = self._unmapped(request, symbol, timeframe)
        else:
            who = self.truth.holder(symbol, day)
            series = self.truth.series(who.key, timeframe, request.moment) if who else Series.empty()
        if who is None or (who.kind == "crypto") != crypto:
            return None
        started, forming = alpaca_bars.visible(self.truth, who, series, timeframe, request.moment.now)
        first, last = alpaca_bars.rows(series, timeframe, span, CHICAGO if crypto else NEW_YORK)
        last = min(last, started)
        if first >= last:
            return None
        return Asked(symbol, series, first, last, forming)

    def _unmapped(
        self, request: Request, symbol: str, timeframe: Timeframe
    ) -> tuple[Series, Instrument | None]:
        """Bars under exactly this symbol at their own time, of whomever."""
        found, parts, last = Series.empty(), [], None
        names = [
            (who, name)
            for who in self.truth.named(symbol)
            for name in who.dated_names
            if name.symbol == symbol
        ]
        told = [self.truth.series(who.key, timeframe, request.moment) for who, _ in names]
        where = (symbol, timeframe, *map(id, told))
        for (who, name), series in zip(names, told, strict=True):
            last = who
            day = 1 if timeframe == "1d" else 86_400
            first = int(np.searchsorted(series.times, stamp(name.since) * day)) if name.since else 0
            until = name.until or who.delisted_on
            stop = int(np.searchsorted(series.times, (stamp(until) + 1) * day)) if until else len(series)
            found = found.joined(Series(series.times[first:stop], series.values[first:stop]))
            parts.append(series)  # kept, so that its id stays its own
        return self._joined.setdefault(where, (parts, found))[1], last

    def _told(self, page: Cut, symbol: str | None, *, daily: bool, crypto: bool) -> Answer:
        exact = page.told is None
        lists: dict[str, list[bytes]] = {}
        if page.told is None:
            for part in page.parts:
                lists[part.symbol] = self._bytes(part.series, daily=daily, crypto=crypto)[
                    part.first : part.last
                ]
        else:
            exact = page.honest
            for bar in page.told:
                lists.setdefault(bar.symbol, []).append(alpaca_bars.bar(bar, daily=daily, crypto=crypto))
        token = json.dumps(page.token).encode()
        if page.null:
            bars = b"null"
        elif symbol is not None:
            bars = b"[" + b",".join(lists.get(symbol, [])) + b"]"
        else:
            joined = [b'"%s":[%s]' % (name.encode(), b",".join(rows)) for name, rows in lists.items()]
            bars = b"{" + b",".join(joined) + b"}"
        more = b"" if symbol is None else b',"symbol":"%s"' % symbol.encode()
        body = b'{"bars":%s,"next_page_token":%s%s}' % (bars, token, more)
        return Answer(body, rows=page.rows, exact=exact)

    def _bytes(self, series: Series, *, daily: bool, crypto: bool) -> list[bytes]:
        """Each bar of a series as JSON, made once."""
        where = (id(series), crypto)
        found = self._rendered.get(where)
        if found is None:
            made = alpaca_bars.written(series, daily=daily, crypto=crypto)
            found = self._rendered[where] = (series, made)  # the series is kept, so that its id stays its own
        return found[1]

    def _thin(self, series: Series) -> Series:
        """The same bars as IEX alone saw them: less volume."""
        found = self._thinned.get(id(series))
        if found is None:
            values = series.values.copy()
            values[:, 4] = _seen_by_iex(values[:, 4])
            found = self._thinned[id(series)] = (series, Series(series.times, values))
        return found[1]

    # --- parameters

    def _check_params(self, request: Request, known: set[str], *, single: str | None) -> None:
        unexpected = sorted(set(request.params) - (known - {"symbols"} if single else known))
        if unexpected:
            raise RefusedError(400, f"unexpected query parameter(s): {', '.join(unexpected)}")
        if single is None and not request.params.get("symbols"):
            raise RefusedError(400, "symbols is required")
        if request.params.get("adjustment", "raw") != "raw":
            raise RefusedError(501, "this fake tells raw prices only")
        if request.params.get("sort", "asc") != "asc":
            raise RefusedError(501, "this fake sorts upwards only")

    def _timeframe(self, request: Request) -> Timeframe:
        said = request.params.get("timeframe")
        if not said:
            raise RefusedError(400, "timeframe is required")
        if said in TIMEFRAMES:
            return TIMEFRAMES[said]
        known = re.fullmatch(r"\d+(Min|T|Hour|H|Day|D|Week|W|Month|M)", said)
        raise (
            RefusedError(501, f"this fake has no {said}")
            if known
            else RefusedError(400, f"invalid timeframe: {said}")
        )

    def _limit(self, request: Request, default: int, most: int) -> int:
        said = request.params.get("limit", str(default))
        if not said.isdigit() or not 1 <= int(said) <= most:
            raise RefusedError(400, f"invalid limit: {said}")
        return int(said)

    def _times(self, request: Request) -> tuple[datetime, datetime]:
        """Start and end, both inclusive; the end is 15 minutes ago on the basic plan when it is not said."""
        now = request.moment.now
        latest = now - DELAY if self.plan == "basic" and "/crypto/" not in request.path else now
        start = datetime.combine(now.astimezone(NEW_YORK).date(), datetime.min.time(), NEW_YORK)
        if said := request.params.get("start"):
            start = alpaca_bars.time(said)
        end = alpaca_bars.time(request.params["end"]) if request.params.get("end") else latest
        if request.params.get("start") and request.params.get("end") and start > end:
            raise RefusedError(400, "end should not be before start")
        return start, end

    def _feed(self, request: Request, end: datetime) -> str:
        feed = request.params.get("feed")
        recent = self.plan == "basic" and end > request.moment.now - DELAY
        if feed is None:
            return "iex" if recent else "sip"
        if feed not in {"sip", "iex", "otc", "boats"}:
            raise RefusedError(400, f"invalid feed: {feed}")
        if feed == "sip" and recent:
            raise RefusedError(403, "subscription does not permit querying recent SIP data")
        return feed


def _seen_by_iex(volume: np.ndarray) -> np.ndarray:
    return np.maximum(volume // IEX_SHARE, 1)


def _is_data(path: str) -> bool:
    return path.startswith(("/v2/stocks", "/v1beta3", "/v1/"))


def large(
    symbols: str = "500", first: str = "2024-03-07", last: str = "2024-03-07", *rate: str
) -> FakeAlpaca:
    """A fake for benchmarks, for a process of its own: minute bars of S0000, S0001, …

    Args:
        symbols: how many.
        first: the first session.
        last: the last session; two days later it is there.
        rate: requests and seconds that it enforces for each account; nothing enforces nothing.
    """
    truth, since, until = Truth(), date.fromisoformat(first), date.fromisoformat(last)
    for number in range(int(symbols)):
        truth.walk(f"S{number:04d}", "1m", since, until)
    clock = Clock(datetime.combine(until + timedelta(days=2), datetime.min.time(), UTC))
    limit = Rate(int(rate[0]), float(rate[1])) if rate else None
    return FakeAlpaca(truth, clock=clock, rate=limit, checked=False, remembers=True, compress=False)


def recent(symbols: str = "5", days: str = "60") -> FakeAlpaca:
    """A fake for benchmarks: the daily bars of S0000, S0001, … of the last days, by the real clock."""
    truth, today = Truth(), datetime.now(UTC).date()
    for number in range(int(symbols)):
        truth.walk(f"S{number:04d}", "1d", today - timedelta(days=int(days)), today)
    return FakeAlpaca(truth, checked=False, compress=False)

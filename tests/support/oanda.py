"""A fake of OANDA's v20 REST API, as far as prices and instruments go.

    with FakeOanda(truth, clock=Clock(datetime(2024, 3, 12, 3, tzinfo=UTC))) as fake:
        …  # url = fake.url, token FakeOanda.key, account FakeOanda.account_id

Instruments are ``Instrument("EUR_USD", kind="fx", calendar="FX")``; their true bars are mid prices. It speaks the
fields that the official client ``v20`` parses, and refuses what OANDA refuses. Only M1 and D are told; what it
cannot tell honestly is answered with 501.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from qfund.market.bars import Timeframe
from qfund.testing import Answer, FakeVendor, Instrument, Request
from qfund.testing.paging import Asked, Paging, Told
from qfund.testing.series import Series, stamp

NEW_YORK = ZoneInfo("America/New_York")
MOST = 5000
GRANULARITIES: dict[str, tuple[Timeframe, int]] = {"M1": ("1m", 60), "D": ("1d", 86_400)}
KNOWN = set(
    "S5 S10 S15 S30 M1 M2 M4 M5 M10 M15 M30 H1 H2 H3 H4 H6 H8 H12 D W M".split()  # noqa: SIM905 - as in the manual
)
HALF_SPREAD = Decimal("0.6")  # pips


class RefusedError(Exception):
    """A request that OANDA would refuse."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class FakeOanda(FakeVendor):
    """See the module."""

    key = "canary-7c1f-token-of-the-fake-oanda"
    account_id = "101-004-1234567-001"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._requests = 0

    # --- the dialect

    def secrets(self) -> tuple[str, ...]:
        return (self.key,)

    def answer(self, request: Request) -> Answer:
        self._requests += 1
        headers = {"requestid": f"{self._requests:018d}"}
        try:
            found = self._route(request)
        except RefusedError as refused:
            found = self.error(refused.status, refused.message)
        return Answer(found.body, found.status, found.content_type, headers, found.rows, found.exact)

    def _route(self, request: Request) -> Answer:
        if request.method != "GET":
            raise RefusedError(405, "Method Not Allowed")
        account = re.match(r"/v3/accounts/([^/]+)/", request.path)
        if account and account[1] != self.account_id:
            raise RefusedError(400, "Invalid value specified for 'accountID'")
        if request.path == "/v3/accounts":
            return _json({"accounts": [{"id": self.account_id, "tags": []}]})
        if request.path == f"/v3/accounts/{self.account_id}/instruments":
            return self._instruments(request)
        match = re.fullmatch(r"/v3/(?:accounts/[^/]+/)?instruments/([^/]+)/candles", request.path)
        if match:
            return self._candles(request, match[1])
        raise RefusedError(404, "The requested resource does not exist")

    def error(self, status: int, message: str) -> Answer:
        return Answer(json.dumps({"errorMessage": message}).encode(), status)

    def refusal(self, request: Request) -> Answer | None:
        if request.headers.get("authorization") == f"Bearer {self.key}":
            return None
        return self.error(401, "Insufficient authorization to perform request.")

    def symbols(self, request: Request) -> tuple[str, ...]:
        match = re.search(r"/instruments/([^/]+)/candles", request.path)
        if match:
            return (match[1],)
        return tuple(filter(None, request.params.get("instruments", "").split(",")))

    def token(self, request: Request) -> str | None:
        return None

    def span(self, request: Request) -> tuple[date, date] | None:
        said = request.params
        if not request.path.endswith("/candles") or "from" not in said:
            return None
        try:
            start = _time(said["from"], "from")
            end = _time(said["to"], "to") if "to" in said else request.moment.now
        except RefusedError:
            return None
        return _session(start), max(_session(start), _session(end - timedelta(seconds=1)))

    # --- instruments

    def _instruments(self, request: Request) -> Answer:
        wanted = self.symbols(request)
        known = {who.key: who for who in self.truth.instruments if who.kind == "fx"}
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise RefusedError(400, "Invalid value specified for 'instruments'")
        told = [_instrument(who) for name, who in sorted(known.items()) if not wanted or name in wanted]
        return _json({"instruments": told, "lastTransactionID": "6"}, len(told))

    # --- candles

    def _candles(self, request: Request, name: str) -> Answer:
        who = next((one for one in self.truth.instruments if one.key == name and one.kind == "fx"), None)
        if who is None:
            raise RefusedError(400, "Invalid value specified for 'instrument'")
        said = request.params
        granularity = said.get("granularity", "S5")
        if granularity not in KNOWN:
            raise RefusedError(400, "Invalid value specified for 'granularity'")
        if granularity not in GRANULARITIES:
            raise RefusedError(501, f"this fake has no {granularity}")
        price = said.get("price", "M")
        if not price or set(price) - set("MBA"):
            raise RefusedError(400, "Invalid value specified for 'price'")
        if said.get("smooth", "false").lower() not in ("false", "0"):
            raise RefusedError(501, "this fake does not smooth")
        if (said.get("dailyAlignment", "17"), said.get("alignmentTimezone", "America/New_York")) != (
            "17",
            "America/New_York",
        ) and granularity == "D":
            raise RefusedError(501, "this fake's days begin at 17:00 in New York")
        timeframe, seconds = GRANULARITIES[granularity]
        series = self.truth.series(name, timeframe, request.moment)
        first, last, forming = self._rows(request, series, timeframe, seconds)
        paging = Paging(MOST, None, request.moment.now.timestamp(), timeframe == "1d", request.faults)
        page = paging.cut([Asked(name, series, first, last, forming)])
        bars = page.bars()
        unix = request.headers.get("accept-datetime-format", "RFC3339").upper() == "UNIX"
        document = {
            "instrument": name,
            "granularity": granularity,
            "candles": None
            if page.null
            else [_candle(bar, who, price, daily=timeframe == "1d", unix=unix) for bar in bars],
        }
        return _json(document, len(bars), exact=page.honest)

    def _rows(
        self, request: Request, series: Series, timeframe: Timeframe, seconds: int
    ) -> tuple[int, int, int | None]:
        """First and last row of the answer, and the time of the candle that is still forming."""
        said, now = request.params, request.moment.now
        starts = _starts(series, timeframe)
        begun = int(np.searchsorted(starts, now.timestamp(), "right"))
        forming = None
        if begun and now.timestamp() < _end(starts[begun - 1], timeframe):
            forming = int(series.times[begun - 1])
        start = _time(said["from"], "from") if "from" in said else None
        end = _time(said["to"], "to") if "to" in said else None
        count = _count(said)
        for field, moment in (("from", start), ("to", end)):
            if moment is not None and moment > now:
                raise RefusedError(400, f"Invalid value specified for '{field}'. Time is in the future")
        if start is not None and end is not None:
            if "count" in said:
                raise RefusedError(400, "'count' cannot be specified when 'from' and 'to' parameters are set")
            if start > end:
                raise RefusedError(400, "Invalid value specified for 'to'. Time is before 'from'")
            if (end - start).total_seconds() / seconds > MOST:
                raise RefusedError(400, "Maximum value for 'count' exceeded")
        stop = begun if end is None else min(begun, int(np.searchsorted(starts, end.timestamp())))
        if start is None:
            return max(stop - count, 0), stop, forming
        first = self._covered(starts, start, timeframe, include=_flag(said.get("includeFirst", "true")))
        return (first, stop if end is not None else min(stop, first + count), forming)

    def _covered(self, starts: np.ndarray, start: datetime, timeframe: Timeframe, *, include: bool) -> int:
        """The first row: the candle that covers the start, or the one after it."""
        place = int(np.searchsorted(starts, start.timestamp(), "right"))
        covered = place > 0 and start.timestamp() < _end(starts[place - 1], timeframe)
        return place - 1 if covered and include else place


def _json(document: Any, rows: int = 0, *, exact: bool = True) -> Answer:
    return Answer(json.dumps(document, separators=(",", ":")).encode(), rows=rows, exact=exact)


def _instrument(who: Instrument) -> dict[str, Any]:
    digits = _digits(who)
    return {
        "name": who.key,
        "type": "CURRENCY",
        "displayName": who.title or who.key.replace("_", "/"),
        "pipLocation": 1 - digits,
        "displayPrecision": digits,
        "tradeUnitsPrecision": 0,
        "minimumTradeSize": "1",
        "maximumTrailingStopDistance": "1.00000",
        "minimumTrailingStopDistance": "0.00050",
        "maximumPositionSize": "0",
        "maximumOrderUnits": "100000000",
        "marginRate": "0.03333333333333",
        "guaranteedStopLossOrderMode": "DISABLED",
        "tags": [{"type": "ASSET_CLASS", "name": "CURRENCY"}],
    }


def _digits(who: Instrument) -> int:
    return 3 if who.key.endswith("JPY") else 5


def _candle(bar: Told, who: Instrument, price: str, *, daily: bool, unix: bool) -> Mapping[str, Any]:
    start = _start_of(bar.time) if daily else float(bar.time)
    told: dict[str, Any] = {
        "complete": bar.complete,
        "volume": int(bar.values[4]) if _is_number(bar.values[4]) else bar.values[4],
        "time": f"{start:.9f}"
        if unix
        else datetime.fromtimestamp(start, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000000Z"),
    }
    digits = _digits(who)
    step = HALF_SPREAD * Decimal(10) ** (1 - digits)
    for letter, name, shift in (("B", "bid", -step), ("M", "mid", Decimal(0)), ("A", "ask", step)):
        if letter in price:
            values = (_text(value, shift, digits) for value in bar.values[:4])
            told[name] = dict(zip("ohlc", values, strict=True))
    return told


def _text(value: Any, shift: Decimal, digits: int) -> Any:
    if not _is_number(value):
        return value
    return f"{Decimal(str(value)) + shift:.{digits}f}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and abs(value) < float("inf")


def _start_of(day: float) -> float:
    """Unix seconds of the start of a daily candle: 17:00 New York on the day before its session."""
    whole = int(day // 1)
    before = date(1970, 1, 1) + timedelta(days=whole - 1)
    return datetime.combine(before, time(17), NEW_YORK).timestamp() + (day - whole) * 86_400


def _starts(series: Series, timeframe: Timeframe) -> np.ndarray:
    """Unix seconds of the starts of a series' candles."""
    if timeframe == "1m":
        return series.times
    return np.array([_start_of(float(day)) for day in series.times.tolist()])


def _end(start: float, timeframe: Timeframe) -> float:
    if timeframe == "1m":
        return start + 60
    session = _session(datetime.fromtimestamp(start, UTC))
    return _start_of(float(stamp(session) + 1))


def _session(moment: datetime) -> date:
    """The FX session of an instant: from 17:00 New York on it is the next day's."""
    return (moment.astimezone(NEW_YORK) + timedelta(hours=7)).date()


def _time(text: str, name: str) -> datetime:
    """RFC 3339 or unix seconds, whatever the header says of answers."""
    try:
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return datetime.fromtimestamp(float(text), UTC)
        found = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError:
        raise RefusedError(400, f"Invalid value specified for '{name}'") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _count(said: Mapping[str, str]) -> int:
    text = said.get("count", "500")
    if not text.isdigit() or int(text) < 1:
        raise RefusedError(400, "Invalid value specified for 'count'")
    if int(text) > MOST:
        raise RefusedError(400, "Maximum value for 'count' exceeded")
    return int(text)


def _flag(text: str) -> bool:
    return text.lower() in ("true", "1")

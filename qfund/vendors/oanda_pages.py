"""OANDA's answers, from JSON to columns.

Promises: candles that are not complete are left out; a price that is no number comes out as NaN and a time
that is none as null, for the core to reject. Asks no network.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
from pyarrow import compute

from qfund.errors import UpstreamError
from qfund.market.bars import Timeframe
from qfund.vendors.contract import DAILY_SCHEMA, MINUTE_SCHEMA
from qfund.vendors.instants import times


class _Prices(msgspec.Struct, gc=False):
    o: float
    h: float
    l: float  # noqa: E741 - OANDA's name
    c: float


class Candle(msgspec.Struct, gc=False):
    """One candle; one of the three kinds of prices is asked for."""

    time: str
    complete: bool
    volume: float
    mid: _Prices | None = None
    bid: _Prices | None = None
    ask: _Prices | None = None


class _Answer(msgspec.Struct, gc=False):
    candles: list[Candle]


class _Loose(msgspec.Struct, gc=False):
    candles: list[dict[str, Any]]


class Instrument(msgspec.Struct, gc=False):
    """One instrument of an account."""

    name: str
    displayName: str | None = None  # noqa: N815 - OANDA's name


class _Instruments(msgspec.Struct, gc=False):
    instruments: list[Instrument]


# Prices are text: not strict.
_answer = msgspec.json.Decoder(_Answer, strict=False)
_loose = msgspec.json.Decoder(_Loose)
_instruments = msgspec.json.Decoder(_Instruments)

_T = TypeVar("_T")
Rows = tuple[list[Any], list[tuple[float, ...]]]
"""Times as the vendor wrote them; open, high, low, close, volume."""


def instruments(body: bytes) -> list[Instrument]:
    """The instruments of an account.

    Raises:
        UpstreamError: the body is no such list.
    """
    return _decoded(_instruments, body, "list of instruments").instruments


def read(body: bytes) -> Rows:
    """The complete candles of an answer.

    Raises:
        UpstreamError: the body is no list of candles.
    """
    try:
        candles = [one for one in _answer.decode(body).candles if one.complete]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _read_loosely(body)
    rows = []
    for one in candles:
        price = one.mid or one.bid or one.ask
        rows.append(
            (price.o, price.h, price.l, price.c, one.volume) if price else (*[float("nan")] * 4, one.volume)
        )
    return [one.time for one in candles], rows


def _read_loosely(body: bytes) -> Rows:
    """The slow way, for an answer in which something is not what the description says."""
    told = _decoded(_loose, body, "list of candles").candles
    candles = [one for one in told if one.get("complete") is True]
    rows = []
    for one in candles:
        price = one.get("mid") or one.get("bid") or one.get("ask")
        price = price if isinstance(price, dict) else {}
        rows.append((*(_number(price.get(name)) for name in "ohlc"), _number(one.get("volume"))))
    return [one.get("time") for one in candles], rows


def _decoded(decoder: msgspec.json.Decoder[_T], body: bytes, what: str) -> _T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UpstreamError(f"OANDA's answer is no {what}: {error}.", code="BAD_ANSWER") from error


def _number(value: object) -> float:
    """A number, or text that is one; else NaN."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return float("nan")
    try:
        return float(value)
    except ValueError:
        return float("nan")


def table(rows: Rows, symbol: str, timeframe: Timeframe, start: datetime, end: datetime) -> pa.Table:
    """The candles that start in ``[start, end)``, in the contract's columns; what has no time stays in."""
    texts, numbers = rows
    ts = times(texts)
    values = np.array(numbers, dtype=float).reshape(-1, 5)
    # 17:00 New York is midnight, seven hours on: the date on the clocks there is the session's.
    shifted = compute.add(
        compute.local_timestamp(ts.cast(pa.timestamp("us", tz="America/New_York"))),
        pa.scalar(7 * 3_600_000_000, pa.duration("us")),
    )
    session = shifted.cast(pa.date32(), safe=False)
    columns: list[Any] = [pa.array([symbol] * len(ts), pa.string())]
    if timeframe == "1d":
        at_start = compute.equal(session.cast(pa.timestamp("us")), shifted)
        columns += [compute.if_else(at_start, session, pa.scalar(None, pa.date32()))]
    else:
        columns += [ts, session]
    made = pa.table([*columns, *values.T], schema=DAILY_SCHEMA if timeframe == "1d" else MINUTE_SCHEMA)
    inside = compute.and_(
        compute.greater_equal(ts, pa.scalar(start, ts.type)), compute.less(ts, pa.scalar(end, ts.type))
    )
    return made.filter(compute.fill_null(inside, fill_value=True))

"""Alpaca's pages of bars, from JSON to columns.

Promises: a page of the documented form is read at more than a million bars a second; what departs from it
value by value comes out as a row that the core can reject (NaN for what is no number, null for what is no
time), never as an exception and never as a repaired value; what departs from it as a whole is an error. Asks
no network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from pyarrow import compute

from qfund.errors import UpstreamError
from qfund.market.bars import Timeframe
from qfund.vendors.contract import DAILY_SCHEMA, MINUTE_SCHEMA
from qfund.vendors.instants import times


class _Bar(msgspec.Struct, gc=False):
    """One bar; ``n`` and ``vw`` are not read."""

    t: str
    o: float
    h: float
    l: float  # noqa: E741 - Alpaca's name
    c: float
    v: float


class _Page(msgspec.Struct, gc=False):
    bars: dict[str, list[_Bar] | None] | None
    next_page_token: str | None


class _Loose(msgspec.Struct, gc=False):
    """The same page, its bars not looked at."""

    bars: dict[str, list[Any] | None] | None
    next_page_token: str | None


_page = msgspec.json.Decoder(_Page)
_loose = msgspec.json.Decoder(_Loose)


@dataclass(frozen=True, eq=False)
class Columns:
    """A page as columns.

    Attributes:
        symbol: text, one for each bar, in the order of the answer.
        ts: start of each bar, UTC, microseconds; null where it is no time.
        values: open, high, low, close, volume; float64, NaN where it is no number.
        next_token: where the next page begins; None on the last.
    """

    symbol: pa.Array
    ts: pa.Array
    values: tuple[np.ndarray, ...]
    next_token: str | None


def read(body: bytes) -> Columns:
    """A page of ``/v2/stocks/bars`` or ``/v1beta3/crypto/us/bars``.

    ``bars: null`` and symbols that are absent or null are symbols without bars (seen, though the description
    forbids it).

    Raises:
        UpstreamError: the body is not such a page, such as one without ``next_page_token``: whether it is the
            last would not be known.
    """
    try:
        page = _page.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _read_loosely(body)
    lists = {symbol: bars for symbol, bars in (page.bars or {}).items() if bars}
    bars = [bar for one in lists.values() for bar in one]
    many = len(bars)
    return Columns(
        symbol=repeated(list(lists), [len(one) for one in lists.values()]),
        ts=times([bar.t for bar in bars]),
        values=(
            np.fromiter([bar.o for bar in bars], float, many),
            np.fromiter([bar.h for bar in bars], float, many),
            np.fromiter([bar.l for bar in bars], float, many),
            np.fromiter([bar.c for bar in bars], float, many),
            np.fromiter([bar.v for bar in bars], float, many),
        ),
        next_token=page.next_page_token or None,
    )


def _read_loosely(body: bytes) -> Columns:
    """The slow way, for a page in which something is not what the description says."""
    try:
        page = _loose.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UpstreamError(
            f"Alpaca's answer is not a page of bars: {error}.", code="BAD_ANSWER", details={"size": len(body)}
        ) from error
    lists = {symbol: bars for symbol, bars in (page.bars or {}).items() if bars}
    bars = [bar if isinstance(bar, dict) else {} for one in lists.values() for bar in one]
    return Columns(
        symbol=repeated(list(lists), [len(one) for one in lists.values()]),
        ts=times([bar.get("t") for bar in bars]),
        values=tuple(np.array([_number(bar.get(name)) for bar in bars], dtype=float) for name in "ohlcv"),
        next_token=page.next_page_token or None,
    )


def _number(value: object) -> float:
    """A JSON number as float; NaN for text, null, true, false and everything else."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else float("nan")


def repeated(symbols: Sequence[str], counts: Sequence[int]) -> pa.Array:
    """Each symbol as often as its count says, as text."""
    codes = np.repeat(np.arange(len(symbols), dtype=np.int32), counts)
    return pa.DictionaryArray.from_arrays(codes, pa.array(symbols, pa.string())).cast(pa.string())


Sessions = Callable[[pa.Array], pa.Array]
"""The session (date32, or null) of each instant."""


def local_dates(ts: pa.Array, zone: str) -> pa.Array:
    """The dates on the clocks of a zone."""
    return compute.local_timestamp(ts.cast(pa.timestamp("us", tz=zone))).cast(pa.date32(), safe=False)


def dates_of_midnights(ts: pa.Array, *zones: str) -> pa.Array:
    """The dates that begin at these instants, in the first of the zones where one does; else null."""
    found = pa.nulls(len(ts), pa.date32())
    for zone in zones:
        local = compute.local_timestamp(ts.cast(pa.timestamp("us", tz=zone)))
        day = local.cast(pa.date32(), safe=False)
        at_midnight = compute.equal(day.cast(pa.timestamp("us")), local)
        found = compute.coalesce(found, compute.if_else(at_midnight, day, pa.scalar(None, pa.date32())))
    return found


def table(columns: Columns, timeframe: Timeframe, sessions: Sessions) -> pa.Table:
    """The rows of a page in the contract's columns."""
    session = sessions(columns.ts)
    if timeframe == "1d":
        return pa.table([columns.symbol, session, *columns.values], schema=DAILY_SCHEMA)
    return pa.table([columns.symbol, columns.ts, session, *columns.values], schema=MINUTE_SCHEMA)

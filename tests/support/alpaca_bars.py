"""Alpaca's words for bars: how one is written, which of them lie in a span, which have begun."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from qfund.market.bars import Timeframe
from qfund.testing import Instrument, Truth
from qfund.testing.paging import Told
from qfund.testing.series import Series, stamp

NEW_YORK = ZoneInfo("America/New_York")


class RefusedError(Exception):
    """A request that Alpaca would refuse."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def time(text: str) -> datetime:
    """RFC 3339, or a date, which is its midnight in New York."""
    try:
        found = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError:
        raise RefusedError(400, f"invalid time: {text}") from None
    if len(text) == 10:
        return found.replace(tzinfo=NEW_YORK)
    if found.tzinfo is None:
        raise RefusedError(400, f"invalid time: {text}")
    return found


def rows(series: Series, timeframe: Timeframe, span: tuple[datetime, datetime], zone: Any) -> tuple[int, int]:
    """The rows whose start lies in a span, both ends included."""
    start, end = span
    if timeframe == "1m":
        return int(np.searchsorted(series.times, start.timestamp())), int(
            np.searchsorted(series.times, end.timestamp(), "right")
        )
    first, last = map(stamp, days(span, zone))
    return int(np.searchsorted(series.times, first)), int(np.searchsorted(series.times, last, "right"))


def days(span: tuple[datetime, datetime], zone: Any) -> tuple[date, date]:
    """The first and the last day whose midnight lies in a span."""
    start, end = (moment.astimezone(zone) for moment in span)
    later = start.time() != datetime.min.time()
    return start.date() + timedelta(days=1 if later else 0), end.date()


def visible(
    truth: Truth, who: Instrument, series: Series, timeframe: Timeframe, now: datetime
) -> tuple[int, int | None]:
    """How many rows have begun, and the time of the one that is still forming."""
    if timeframe == "1m":
        started = int(np.searchsorted(series.times, now.timestamp(), "right"))
        last = int(series.times[started - 1]) if started else None
        return started, last if last is not None and last + 60 > now.timestamp() else None
    zone = UTC if who.kind == "crypto" else NEW_YORK
    today = now.astimezone(zone).date()
    started = int(np.searchsorted(series.times, stamp(today)))
    if started < len(series.times) and int(series.times[started]) == stamp(today):
        days = truth.sessions(who.calendar, today, today)
        if not days or now >= days[0].closes:
            return started + 1, None
        if now >= days[0].opens:
            return started + 1, stamp(today)
    return started, None


def bar(bar: Told, *, daily: bool, crypto: bool) -> bytes:
    """One bar in Alpaca's words; ``t`` of a daily one is its midnight, in New York or (crypto) UTC."""
    if daily:
        whole = int(bar.time // 1)
        day = date(1970, 1, 1) + timedelta(days=whole)
        start = datetime(day.year, day.month, day.day, tzinfo=UTC if crypto else NEW_YORK)
        start = start.astimezone(UTC) + timedelta(days=bar.time - whole)
    else:
        start = datetime.fromtimestamp(bar.time, UTC)
    opened, high, low, close, volume = bar.values
    if isinstance(volume, float) and volume.is_integer() and not crypto:
        volume = int(volume)
    prices = [value for value in (high, low, close) if is_number(value)]
    told: Mapping[str, Any] = {
        "t": start.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "o": opened, "h": high, "l": low, "c": close, "v": volume,
        "n": max(int(volume) // 100, 1) if is_number(volume) else 1,
        "vw": round(sum(prices) / max(len(prices), 1), 6),
    }  # fmt: skip
    return json.dumps(told, separators=(",", ":")).encode()


def written(series: Series, *, daily: bool, crypto: bool) -> list[bytes]:
    """Each bar of a series as `bar` writes it; many at once, for the sake of benchmarks."""
    if daily or crypto:
        rows = zip(series.times.tolist(), series.values.tolist(), strict=True)
        return [bar(Told("", time, values), daily=daily, crypto=crypto) for time, values in rows]
    starts = np.datetime_as_string(series.times.astype("datetime64[s]")).tolist()
    return [
        (
            f'{{"t":"{start}Z","o":{opened!r},"h":{high!r},"l":{low!r},"c":{close!r},"v":{int(volume)},'
            f'"n":{max(int(volume) // 100, 1)},"vw":{round((high + low + close) / 3, 6)!r}}}'
        ).encode()
        for start, (opened, high, low, close, volume) in zip(starts, series.values.tolist(), strict=True)
    ]


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)

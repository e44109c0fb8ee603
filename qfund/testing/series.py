"""A series of true bars as arrays, made up or given, and how it looked at a moment.

Promises: prices that are made up are the same for the same seed, fit their tick, and have high and low around
open and close. Nothing here knows a vendor.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np

from qfund.market.bars import FIELDS, Timeframe

EPOCH = date(1970, 1, 1)
MINUTE = 60

Row = Sequence[object]
"""Time (a session's date, or the start of a minute in UTC), open, high, low, close, volume."""


@dataclass(frozen=True, eq=False)
class Series:
    """Bars of one instrument.

    Attributes:
        times: int64, increasing: days since 1970-01-01 of the sessions, or seconds since then of the starts.
        values: float64, shape (bars, 5): open, high, low, close, volume.
    """

    times: np.ndarray
    values: np.ndarray

    @classmethod
    def empty(cls) -> Series:
        """No bars."""
        return cls(np.empty(0, np.int64), np.empty((0, len(FIELDS))))

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Series:
        """The bars of these rows, sorted by time; a later row replaces an earlier one of the same time."""
        by_time = {stamp(row[0]): [float(str(value)) for value in row[1:6]] for row in rows}
        times = sorted(by_time)
        if not times:
            return cls.empty()
        return cls(np.array(times, np.int64), np.array([by_time[time] for time in times], np.float64))

    def __len__(self) -> int:
        """The number of bars."""
        return len(self.times)

    def joined(self, other: Series) -> Series:
        """These bars and the other's; where both have a time, the other's."""
        if not len(self):
            return other
        mine = ~np.isin(self.times, other.times)
        times = np.concatenate([self.times[mine], other.times])
        values = np.concatenate([self.values[mine], other.values])
        order = np.argsort(times, kind="stable")
        return Series(times[order], values[order])

    def without(self, time: int) -> Series:
        """These bars but the one at a time."""
        kept = self.times != time
        return Series(self.times[kept], self.values[kept])

    def changed(self, time: int, fields: Mapping[str, float]) -> Series:
        """These bars with some fields of one changed; a bar that is not there is added and needs all five."""
        place = int(np.searchsorted(self.times, time))
        if place < len(self.times) and self.times[place] == time:
            values = self.values.copy()
            for name, value in fields.items():
                values[place, FIELDS.index(name)] = value
            return Series(self.times, values)
        row = np.array([[fields[name] for name in FIELDS]], np.float64)
        return Series(np.insert(self.times, place, time), np.insert(self.values, place, row, axis=0))


def stamp(time: object) -> int:
    """The time of a bar as a series holds it, see `Series`."""
    if isinstance(time, datetime):
        if time.tzinfo is None:
            raise ValueError(f"{time} has no time zone")
        return int(time.timestamp())
    if isinstance(time, date):
        return (time - EPOCH).days
    raise TypeError(f"{time!r} is neither a session's date nor a bar's start")


def moment(time: int, timeframe: Timeframe) -> date | datetime:
    """The opposite of `stamp`."""
    if timeframe == "1d":
        return date.fromordinal(EPOCH.toordinal() + int(time))
    return datetime.fromtimestamp(int(time), UTC)


def walk(
    times: np.ndarray, key: str, *, seed: int, price: float, spread: float, tick: float, volume: float
) -> Series:
    """Made-up bars at these times: a random walk, the same for the same key and seed.

    Args:
        times: see `Series`.
        key: whose they are; two keys have different prices.
        seed: another seed, other prices.
        price: where it begins.
        spread: standard deviation of a bar's log return.
        tick: prices are whole numbers of it.
        volume: the mean; volumes are whole and at least 1.
    """
    count = len(times)
    random = np.random.default_rng([seed, zlib.crc32(key.encode())])
    close = price * np.exp(np.cumsum(random.normal(0.0, spread, count)))
    opened = np.concatenate([[price], close[:-1]]) * np.exp(random.normal(0.0, spread / 4, count))
    reach = np.abs(random.normal(0.0, spread / 2, (count, 2)))
    ticks = np.maximum(np.rint(np.column_stack([opened, close]) / tick), 1.0)
    high = np.maximum(ticks.max(axis=1), np.rint(close * (1 + reach[:, 0]) / tick))
    low = np.maximum(np.minimum(ticks.min(axis=1), np.rint(close * (1 - reach[:, 1]) / tick)), 1.0)
    # whole ticks times the tick leaves crumbs in the last digits; a price is what its decimal digits say
    digits = max(0, int(np.ceil(-np.log10(tick))))
    prices = np.round(np.column_stack([ticks[:, 0], high, low, ticks[:, 1]]) * tick, digits)
    volumes = np.maximum(np.rint(random.gamma(2.0, volume / 2, count)), 1.0)
    return Series(np.asarray(times, np.int64), np.column_stack([prices, volumes]))

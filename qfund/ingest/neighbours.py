"""Bars with the bars before and after them, as arrays in the order of time.

Promises: what is stored around a span only lends its values; every result is about the rows that came.
Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from qfund.ingest.bartable import floats, integers, numbered
from qfund.market.bars import FIELDS, Timeframe

_NULL = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class Line:
    """Bars of some symbols, one symbol after the other, each in the order of time.

    Attributes:
        names: the symbols, increasing.
        symbols: the number of each bar's symbol among ``names``.
        times: daily: days, minutes: microseconds, since 1970-01-01; int64.
        days: the session, int32 days since 1970-01-01.
        values: open, high, low, close, volume as float64.
        came: which of the rows that came each bar is, -1 for a stored one.
        daily: whether a bar is a session.
    """

    names: list[str]
    symbols: np.ndarray
    times: np.ndarray
    days: np.ndarray
    values: tuple[np.ndarray, ...]
    came: np.ndarray
    daily: bool

    def __len__(self) -> int:
        """The number of bars."""
        return len(self.symbols)

    def taken(self, rows: np.ndarray) -> Line:
        """The bars of a mask or of positions, in that order."""
        columns = ("symbols", "times", "days", "came")
        chosen = {name: getattr(self, name)[rows] for name in columns}
        return replace(self, **chosen, values=tuple(one[rows] for one in self.values))

    def between(self, offset: int = 1) -> np.ndarray:
        """Whether bar ``i`` and bar ``i + offset`` are of one symbol: bool, shorter by ``offset``."""
        return np.asarray(self.symbols[offset:] == self.symbols[:-offset])

    def of_symbol(self, name: str) -> slice:
        """The bars of a symbol; empty when there are none."""
        at = int(np.searchsorted(np.array(self.names, dtype=object), name)) if self.names else 0
        if at >= len(self.names) or self.names[at] != name:
            return slice(0, 0)
        return slice(*(int(one) for one in np.searchsorted(self.symbols, [at, at + 1])))

    def mask(self, chosen: np.ndarray, size: int) -> np.ndarray:
        """The chosen bars among the rows that came: bool, one for each of these ``size`` rows."""
        found = np.zeros(size, dtype=bool)
        rows = self.came[chosen]
        found[rows[rows >= 0]] = True
        return found


def line(good: pa.Table, around: pa.Table | None, timeframe: Timeframe) -> Line:
    """The rows that came, with what is stored around them.

    Args:
        good: rows in the columns of the vendor contract, one for each time, without nulls.
        around: stored bars in the same columns, any order, may be None; a bar that came again counts as came.
        timeframe: length of the bars.
    """
    with_stored = around is not None and len(around)
    table = pa.concat_tables([good, around.select(good.column_names)]) if with_stored and around else good
    table = table.combine_chunks()
    names, symbols = numbered(table.column("symbol"))
    days = integers(table.column("session").cast(pa.int32()), 0)
    times = days.astype(np.int64)
    if timeframe == "1m":
        times = integers(table.column("ts").cast(pa.int64()), _NULL)
    values = tuple(floats(table.column(name)) for name in FIELDS)
    came = np.arange(len(table))
    came[len(good) :] = -1
    found = Line(names, symbols, times, days, values, came, daily=timeframe == "1d")
    same = symbols[1:] == symbols[:-1]
    if ((symbols[1:] > symbols[:-1]) | (same & (times[1:] > times[:-1]))).all():
        return found
    order = np.lexsort((came < 0, times, symbols))
    found = found.taken(order)
    again = (found.symbols[1:] == found.symbols[:-1]) & (found.times[1:] == found.times[:-1])
    return found.taken(~np.insert(again, 0, False)) if again.any() else found

"""A strategy on one history: evaluated anew each time, its decisions compared.

Promises: every evaluation gets a fresh instance; what was decided on the whole history is computed once, when
first asked for. Silences the numeric warnings of histories that cannot be.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cached_property

import numpy as np

from qfund.errors import DataQualityError
from qfund.market.bars import Bars
from qfund.strategy.api import Strategy
from qfund.strategy.targets import checked_warmup, evaluated, moment, without_warmup
from qfund.strategy.variation import shaken

TOLERANCE = 1e-6  # of weight, times the largest weight if that is above one
SHAKES = 2
FEWEST_SYMBOLS = 8


class Trial:
    """A strategy on one history: evaluates it anew each time and keeps what it decided on the whole."""

    def __init__(self, make: Callable[[], Strategy], bars: Bars, rng: np.random.Generator) -> None:
        self.make = make
        self.bars = bars
        self.rng = rng
        self.evaluations = 0
        self.warmup = checked_warmup(make(), bars)

    @property
    def width(self) -> int:
        """How many symbols are looked at."""
        return self.bars.close.shape[1]

    def narrow(self, cells: int | None) -> None:
        """Look at fewer symbols when there are many bars, unless the strategy needs those left out."""
        fewer = max(FEWEST_SYMBOLS, 0 if cells is None else cells // len(self.bars))
        if cells is None or self.bars.close.size <= cells or fewer >= self.width:
            return
        chosen = np.sort(self.rng.choice(self.width, size=fewer, replace=False))
        part = self.bars.select([self.bars.symbols[place] for place in chosen])
        if not isinstance(self.attempt(part.rows(None, self.warmup)), DataQualityError):
            self.bars = part

    def run(self, bars: Bars) -> np.ndarray:
        """The weights decided on a history, NaN before the warm-up; float64, time × symbol."""
        self.evaluations += 1
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # a changed future may well divide by zero
            return without_warmup(evaluated(self.make(), bars), self.warmup).to_numpy()

    def attempt(self, bars: Bars) -> np.ndarray | DataQualityError:
        """As `run`, with the error as a value."""
        try:
            return self.run(bars)
        except DataQualityError as error:
            return error

    @cached_property
    def whole(self) -> np.ndarray:
        """The decisions on the whole history."""
        return self.run(self.bars)

    @cached_property
    def again(self) -> np.ndarray:
        """The same, once more."""
        return self.run(self.bars)

    @cached_property
    def scale(self) -> float:
        """The largest weight, at least one."""
        finite = np.abs(self.whole[np.isfinite(self.whole)])
        return float(max(1.0, finite.max(initial=0.0)))

    @cached_property
    def fragile(self) -> np.ndarray:
        """Where the decision hangs on rounding: it changes when all prices are shaken by a billionth."""
        found = np.zeros(self.whole.shape, dtype=bool)
        for _ in range(SHAKES):
            other = self.attempt(shaken(self.bars, self.rng))
            if isinstance(other, np.ndarray):
                found |= differing(other, self.whole, TOLERANCE * self.scale)
        return found

    def is_random(self) -> bool:
        """Whether two runs on the same bars differ."""
        return bool(differing(self.again, self.whole, TOLERANCE * self.scale).any())

    def changed(self, other: np.ndarray) -> np.ndarray:
        """Rows and columns where decisions on a history with the same beginning are others, (n, 2)."""
        size = len(other)
        found = differing(other, self.whole[:size], TOLERANCE * self.scale)
        if found.any():
            found &= ~self.fragile[:size]
        return np.argwhere(found)

    def told(self, row: int, column: int) -> tuple[str, str]:
        """The symbol and the time of a decision."""
        return self.bars.symbols[column], moment(self.bars.index, row)


def differing(one: np.ndarray, other: np.ndarray, tolerance: float) -> np.ndarray:
    """Where two arrays of weights differ: by more than the tolerance, or NaN in one of them only."""
    with np.errstate(invalid="ignore"):
        same = (one == other) | (np.abs(one - other) <= tolerance)
    return np.asarray(~(same | (np.isnan(one) & np.isnan(other))))

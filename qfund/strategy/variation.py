"""Other histories made from one: cut off, with another future, with a later start, minutely shaken.

Promises: pure; the bars that are given stay as they are; equal generators give equal histories. Prices of one
bar move together, so that a bar stays a bar (low ≤ open, close ≤ high).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import pandas as pd

from qfund.market.bars import FIELDS, Bars

Future = Literal["noise", "dearer", "missing", "cheaper", "constant"]
FUTURES: tuple[Future, ...] = get_args(Future)

_NOISE = 0.3  # standard deviation of log prices: far beyond what rounding could explain
_SHAKE = 1e-9  # relative; far above rounding (1e-16), far below any price tick


def until(bars: Bars, row: int) -> Bars:
    """The history as known at the close of a row."""
    return bars.rows(None, row + 1)


def with_future(bars: Bars, row: int, future: Future, rng: np.random.Generator) -> Bars:
    """The same bars up to and with a row, others after it.

    ``noise`` multiplies each bar by its own random factor, ``dearer`` and ``cheaper`` all prices by ten and
    by a tenth (volumes the other way), ``missing`` removes the bars, ``constant`` sets every number to one,
    also where there was no bar.
    """
    shape = (len(bars) - row - 1, bars.close.shape[1])
    match future:
        case "noise":
            price = np.exp(rng.normal(0.0, _NOISE, shape))
            volume = np.exp(rng.normal(0.0, 1.0, shape))
        case "missing":
            price = volume = np.full(shape, np.nan)
        case "dearer" | "cheaper":
            price = np.full(shape, 10.0 if future == "dearer" else 0.1)
            volume = 1.0 / price
        case "constant":
            price = volume = np.ones(shape)
    frames = {}
    for name in FIELDS:
        values = getattr(bars, name).to_numpy(dtype=np.float64).copy()
        if future == "constant":
            values[row + 1 :] = 1.0
        else:
            values[row + 1 :] *= volume if name == "volume" else price
        frames[name] = values
    return _over(bars, frames)


def shaken(bars: Bars, rng: np.random.Generator) -> Bars:
    """Each bar multiplied by a factor a billionth from one: what only rounding decides may change."""
    shape = bars.close.shape
    price, volume = (1.0 + _SHAKE * rng.standard_normal(shape) for _ in range(2))
    frames = {
        name: getattr(bars, name).to_numpy(dtype=np.float64) * (volume if name == "volume" else price)
        for name in FIELDS
    }
    return _over(bars, frames)


def _over(bars: Bars, values: dict[str, np.ndarray]) -> Bars:
    frames = {
        name: pd.DataFrame(array, index=bars.index, columns=bars.close.columns, copy=False)
        for name, array in values.items()
    }
    return replace(bars, **frames)  # type: ignore[arg-type]  # five frames by name

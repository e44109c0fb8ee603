"""Bars made of a seed, for checking a strategy where nothing is stored yet.

Promises: equal arguments give equal bars, on every machine. They are no market: random walks with one symbol
listed late, one halted for two weeks and one delisted early, so that holes in the data are tried, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from qfund.market.bars import Bars

SYMBOLS = ("SYN1", "SYN2", "SYN3", "SYN4", "SYN5", "SYN6")
ROWS = 1000
_DAILY_DRIFT = 0.0003
_DAILY_NOISE = 0.015


def synthetic_bars(symbols: Sequence[str] = SYMBOLS, rows: int = ROWS, seed: int = 7) -> Bars:
    """Daily bars on weekdays from 2015-01-01 on.

    Args:
        symbols: the columns. With three or more, the last is listed after a third of the rows, the one
            before is halted for ten rows at half time, and the one before that is delisted after four fifths.
        rows: how many sessions.
        seed: of the random walks.
    """
    rng = np.random.default_rng(seed)
    shape = (rows, len(symbols))
    close = 100.0 * np.exp(np.cumsum(rng.normal(_DAILY_DRIFT, _DAILY_NOISE, shape), axis=0))
    previous = np.vstack([np.full((1, len(symbols)), 100.0), close[:-1]])
    opened = previous * np.exp(rng.normal(0.0, _DAILY_NOISE / 3, shape))
    reach = np.abs(rng.normal(0.0, _DAILY_NOISE / 2, (2, *shape)))
    fields = {
        "open": opened,
        "high": np.maximum(opened, close) * (1.0 + reach[0]),
        "low": np.minimum(opened, close) / (1.0 + reach[1]),
        "close": close,
        "volume": np.round(1e6 * np.exp(rng.normal(0.0, 0.4, shape))),
    }
    for values in fields.values():
        if len(symbols) >= 3:
            values[: rows // 3, -1] = np.nan
            values[rows // 2 : rows // 2 + 10, -2] = np.nan
            values[rows * 4 // 5 :, -3] = np.nan
    days = pd.bdate_range("2015-01-01", periods=rows)
    index = pd.DatetimeIndex(days.to_numpy(dtype="datetime64[us]"), name="session")
    return Bars.from_arrays(index, symbols, fields, adjust="all")

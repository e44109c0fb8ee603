"""Wishes: from target weights to the bars at which they can be filled.

Promises: a wish decided at a bar's close never fills before that bar's close; it fills at the next bar *of
its own symbol*, and until then a newer wish of that symbol replaces it. Nothing here knows prices or money.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qfund.backtest.inputs import Fill


@dataclass(frozen=True, eq=False)
class Due:
    """The wishes that can be filled, bar by bar.

    Attributes:
        rows: int64, shape (k,), increasing; the bars at which something is due.
        weights: float64, shape (k, symbols); the target weight due, NaN for none.
    """

    rows: np.ndarray
    weights: np.ndarray


def due(weights: np.ndarray, traded: np.ndarray, fill: Fill) -> Due:
    """When each wish is filled.

    Args:
        weights: float64, shape (bars, symbols); NaN for no wish.
        traded: bool, same shape; the symbol has a bar.
        fill: see :class:`qfund.backtest.inputs.Rules`.
    """
    if traded.all():
        shift = 1 if fill == "next_open" else 0
        rows = np.flatnonzero(~np.isnan(weights[: len(weights) - shift]).all(axis=1))
        return Due(rows=rows + shift, weights=weights[rows])
    placed = _waiting(weights, traded, fill)
    rows = np.flatnonzero(~np.isnan(placed).all(axis=1))
    return Due(rows=rows, weights=placed[rows])


def _waiting(weights: np.ndarray, traded: np.ndarray, fill: Fill) -> np.ndarray:
    """Each wish moved to the bar that fills it, where symbols skip bars."""
    count = len(weights)
    numbers = np.arange(count, dtype=np.int32)[:, None]
    # the newest wish and the newest bar of the symbol, up to and including each row; -1 for none yet
    wished = np.maximum.accumulate(np.where(np.isnan(weights), np.int32(-1), numbers), axis=0)
    barred = np.maximum.accumulate(np.where(traded, numbers, np.int32(-1)), axis=0)
    nothing = np.full((1, weights.shape[1]), -1, dtype=np.int32)
    before = np.vstack([nothing, barred[:-1]])
    if fill == "next_open":
        # decided at the close of the symbol's last bar or while it did not trade
        newest = np.vstack([nothing, wished[:-1]])
        ready = traded & (newest >= 0) & (newest >= before)
    else:
        newest = wished
        ready = traded & (newest > before)
    rows, columns = np.nonzero(ready)
    placed = np.full(weights.shape, np.nan)
    placed[rows, columns] = weights[newest[rows, columns], columns]
    return placed

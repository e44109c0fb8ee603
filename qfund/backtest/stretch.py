"""Stretches: many bars between two events, filled by one call and settled with array arithmetic.

Promises: the same fills, to rounding, as bar by bar, and the same counts of what was not filled; only faster.
It serves portfolios whose commission is proportional and whose shares are fractional, with nothing owed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qfund.backtest.book import FLAT, LINE, Book, Kind
from qfund.backtest.notices import Unfilled

NOISE = 1e-12  # a wished change this small against the position is rounding, not an order


@dataclass(frozen=True, eq=False)
class Fills:
    """Orders as they were filled, in order; arrays of equal length."""

    row: np.ndarray  # of the stretch, from 0
    column: np.ndarray
    shares: np.ndarray  # bought > 0, sold < 0
    price: np.ndarray
    commission: np.ndarray

    def where(self, kept: np.ndarray) -> Fills:
        """Only some of them."""
        return Fills(
            self.row[kept], self.column[kept], self.shares[kept], self.price[kept], self.commission[kept]
        )


StretchFiller = Callable[[float, np.ndarray, np.ndarray, np.ndarray, np.ndarray], Fills]
"""Fills target weights over several bars.

Takes cash; shares held (symbols,); weights (k, symbols), NaN for no wish; prices before spread and slippage
(k, symbols), NaN where there is none; prices that value the portfolio (k, symbols), all positive.
"""


def trade_stretch(
    book: Book,
    rows: np.ndarray,
    wanted: np.ndarray,
    price: np.ndarray,
    marks: np.ndarray,
    *,
    filler: StretchFiller,
    unfilled: Unfilled,
    floor: float,
) -> None:
    """Trade a stretch and write it into the book.

    Args:
        book: with nothing owed.
        rows: int (k,), the bars.
        wanted: float64 (k, symbols), weights, NaN for none.
        price: float64 (k, symbols), before spread and slippage.
        marks: float64 (k, symbols), positive: the price, or the last close of a symbol without a bar.
        filler: fills.
        unfilled: counts what was not filled.
        floor: money of which a billionth is too little to be news.
    """
    # rounding around zero is neither money nor debt
    fills = filler(max(book.cash, 0.0), book.units, wanted, price, marks)
    before, after = _positions(book.units, fills, wanted.shape)
    size = np.maximum(np.abs(before), np.abs(after))[fills.row, fills.column]
    real = np.abs(fills.shares) > NOISE * size
    if not real.all():
        fills = fills.where(real)
        before, after = _positions(book.units, fills, wanted.shape)
    flows = -fills.shares * fills.price - fills.commission
    cash = book.cash + np.cumsum(np.bincount(fills.row, flows, len(rows)))
    value = np.concatenate([[book.cash], cash[:-1]]) + (before * marks).sum(axis=1)
    lines = np.empty(len(fills.row), dtype=LINE)
    lines["kind"] = Kind.ORDER
    lines["row"] = rows[fills.row]
    lines["column"] = fills.column
    lines["shares"] = fills.shares
    lines["price"] = fills.price
    lines["reference"] = price[fills.row, fills.column]
    lines["commission"] = fills.commission
    lines["cash"] = flows
    book.extend(lines, rows, cash, after)
    _count(unfilled, rows, wanted, price, before=before, value=value, fills=fills, floor=floor)


def _positions(held: np.ndarray, fills: Fills, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Shares before and after each bar; what rounding leaves of a closed position is nothing."""
    change = np.zeros((shape[0] + 1, shape[1]))
    change[0] = held
    change[fills.row + 1, fills.column] = fills.shares
    total = np.cumsum(change, axis=0)
    size = np.abs(total)
    flat = (change[1:] != 0) & (size[1:] <= FLAT * np.maximum(size[:-1], np.abs(change[1:])))
    if (total[1:][flat] != 0).any():
        numbers = np.arange(len(total))[:, None]
        closed = np.vstack([np.zeros((1, shape[1]), dtype=bool), flat])
        last = np.maximum.accumulate(np.where(closed, numbers, -1), axis=0)
        left = np.take_along_axis(total, np.maximum(last, 0), axis=0)
        total -= np.where(last >= 0, left, 0.0)
    return total[:-1], total[1:]


def _count(
    unfilled: Unfilled,
    rows: np.ndarray,
    wanted: np.ndarray,
    price: np.ndarray,
    *,
    before: np.ndarray,
    value: np.ndarray,
    fills: Fills,
    floor: float,
) -> None:
    """Count, like bar by bar, the buys that lacked more cash than the costs of their bar explain."""
    wish = ~np.isnan(wanted)
    known = np.where(wish, price, 1.0)
    goal = np.where(wish, wanted * value[:, None] / known, before)
    asked = goal - before
    asked[np.abs(asked) <= NOISE * np.maximum(np.abs(goal), np.abs(before))] = 0.0
    filled = np.zeros(wanted.shape)
    filled[fills.row, fills.column] = fills.shares
    missing = np.where(asked > 0, asked - filled, 0.0)
    missing[missing <= 1e-9 * asked] = 0.0
    slips = np.abs(fills.shares) * np.abs(fills.price - price[fills.row, fills.column])
    costs = np.bincount(fills.row, fills.commission + slips, len(rows))
    lacking = (missing * known).sum(axis=1) > costs * (1 + 1e-6) + 1e-9 * np.maximum(value, floor)
    for row in np.flatnonzero(lacking | (value <= 0)):
        if value[row] <= 0:
            unfilled.refuse(int(rows[row]), int(np.count_nonzero(wanted[row, wish[row]])))
            continue
        short = missing[row] > 0
        some = int(np.count_nonzero(short & (filled[row] != 0)))
        unfilled.lack(int(rows[row]), cut=some, refused=int(np.count_nonzero(short)) - some)

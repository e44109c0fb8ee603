"""The book: cash and shares, and every line that ever changed them.

Promises: cash is the starting cash plus the sum of the lines' cash, to the last bit of rounding; shares are
raw shares of their day. Dividends, splits and forced sales are booked here exactly; orders that a strategy
asked for are filled by the engine and only written down here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from fractions import Fraction
from typing import assert_never

import numpy as np

from qfund.backtest.costs import CostModel
from qfund.backtest.events import Delisting, Dividend, Event, Split

FLAT = 1e-9  # a position this small against the order that made it is none: float noise, not shares


class Kind(IntEnum):
    """What a line of the book is."""

    ORDER = 0
    FORCED = 1  # a closing that nobody asked for: delisting or total loss
    DIVIDEND = 2
    IN_LIEU = 3  # cash for the fraction of a share that a split left


LINE = np.dtype(
    [
        ("kind", np.int8),
        ("row", np.int32),
        ("column", np.int32),
        ("shares", np.float64),  # bought > 0, sold < 0; dividend: shares held, which do not change
        ("price", np.float64),  # of the fill; dividend: cash per share
        ("reference", np.float64),  # the price before spread and slippage
        ("commission", np.float64),
        ("cash", np.float64),  # what the line added to cash
    ],
    align=True,
)


@dataclass
class Book:
    """The running account of one simulation.

    Attributes:
        cash: money; negative only while a payment (dividend on a short position, forced cover) is owed.
        units: raw shares of each symbol, float64 (symbols,); short positions are negative.
        whole: only whole shares are held.
        owed: the bar and the amount of each moment at which cash fell below zero.
    """

    cash: float
    units: np.ndarray
    whole: bool
    owed: list[tuple[int, float]] = field(default_factory=list)
    _lines: list[np.ndarray] = field(default_factory=list)
    _rows: list[np.ndarray] = field(default_factory=list)
    _cash_after: list[np.ndarray] = field(default_factory=list)
    _units_after: list[np.ndarray] = field(default_factory=list)

    def apply(self, event: Event, row: int, marks: np.ndarray, costs: CostModel) -> None:
        """Book one event before bar ``row``; ``marks`` are the closes of the bar before it."""
        held = float(self.units[event.column])
        if held == 0:
            return
        match event:
            case Delisting(column):
                self.close(column, row, float(marks[column]), costs)
            case Dividend(column, per_share):
                amount = held * per_share
                self._write(Kind.DIVIDEND, row, column, (held, per_share, per_share, 0.0, amount))
            case Split(column, ratio):
                self._split(column, ratio, row, float(marks[column]))
            case _:
                assert_never(event)

    def close(self, column: int, row: int, reference: float, costs: CostModel) -> None:
        """Sell or cover the whole position at ``reference``, with costs, whether or not there is cash."""
        shares = -float(self.units[column])
        price = reference * (1 + costs.price_impact * np.sign(shares))
        value = abs(shares) * price
        commission = float(costs.commission(np.asarray(abs(shares)), np.asarray(value)))
        cash = -shares * price - commission
        self.units[column] = 0.0
        self._write(Kind.FORCED, row, column, (shares, price, reference, commission, cash))

    def fill(self, row: int, columns: np.ndarray, filled: np.ndarray, reference: np.ndarray) -> None:
        """Write down the fills of one bar.

        Args:
            row: the bar.
            columns: int, shape (k,), each symbol at most once.
            filled: float64, shape (3, k): signed shares, price, commission.
            reference: float64, shape (k,): the prices before spread and slippage.
        """
        shares, price, commission = filled
        lines = np.empty(len(columns), dtype=LINE)
        lines["kind"] = Kind.ORDER
        lines["row"] = row
        lines["column"] = columns
        lines["shares"] = shares
        lines["price"] = price
        lines["reference"] = reference
        lines["commission"] = commission
        lines["cash"] = -shares * price - commission
        self._lines.append(lines)
        self.cash += float(lines["cash"].sum())
        before = self.units[columns]
        after = before + shares
        noise = np.abs(after) <= FLAT * np.maximum(np.abs(before), np.abs(shares))
        self.units[columns] = np.where(noise, 0.0, after)

    def keep(self, row: int) -> None:
        """Remember cash and shares as they are after everything at bar ``row``."""
        self._rows.append(np.array([row]))
        self._cash_after.append(np.array([self.cash]))
        self._units_after.append(self.units[None, :].copy())

    def extend(self, lines: np.ndarray, rows: np.ndarray, cash: np.ndarray, units: np.ndarray) -> None:
        """Write down a stretch of bars at once.

        Args:
            lines: structured array of ``LINE``, in the order of filling.
            rows: int (k,), the bars, increasing.
            cash: float64 (k,), cash after each of them.
            units: float64 (k, symbols), shares after each of them.
        """
        self._lines.append(lines)
        self._rows.append(rows)
        self._cash_after.append(cash)
        self._units_after.append(units)
        self.cash = float(cash[-1])
        self.units = units[-1].copy()

    def lines(self) -> np.ndarray:
        """Every line in the order of booking; structured array of dtype ``LINE``."""
        if len(self._lines) != 1:
            # in place of the parts, which are not needed any more: there may be millions of lines
            self._lines = [np.concatenate([np.empty(0, dtype=LINE), *self._lines])]
        return self._lines[0]

    def history(self, bars: int, start: float) -> tuple[np.ndarray, np.ndarray]:
        """Cash (bars,) and shares (bars, symbols) after each bar; ``start`` is the cash before any line."""
        cash = np.concatenate([[start], *self._cash_after])
        cash[np.abs(cash) <= 1e-12 * start] = 0.0  # rounding of a purse that was spent to the end
        units = np.vstack([np.zeros((1, len(self.units))), *self._units_after])
        rows = np.concatenate([np.empty(0, dtype=np.int64), *self._rows])
        last = np.searchsorted(rows, np.arange(bars), "right")
        return cash[last], units[last]

    def _split(self, column: int, ratio: Fraction, row: int, mark: float) -> None:
        held = float(self.units[column])
        if not self.whole:
            self.units[column] = held * float(ratio)
            return
        exact = Fraction(held) * ratio
        kept = int(exact)  # towards zero, for short positions too
        self.units[column] = float(kept)
        rest = float(exact - kept)
        if rest:
            price = mark / float(ratio)
            self._write(Kind.IN_LIEU, row, column, (-rest, price, price, 0.0, rest * price))

    def _write(
        self, kind: Kind, row: int, column: int, amounts: tuple[float, float, float, float, float]
    ) -> None:
        self._lines.append(np.array([(kind, row, column, *amounts)], dtype=LINE))
        before = self.cash
        self.cash += amounts[-1]
        if self.cash < 0 and self.cash < before:
            self.owed.append((row, -self.cash))

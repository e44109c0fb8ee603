"""The trader: sizes the orders of each bar, puts them in sequence, and has them filled.

Promises: portfolio value is marked at the prices of the fill, every wish of one bar is sized on that one
value, sells come before buys and smaller buys before larger ones, and a commission that is not proportional
is exact for the size that the cash allows. It knows no engine: whoever makes a trader hands it the function
that fills.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from qfund.backtest.book import Book
from qfund.backtest.costs import CostModel
from qfund.backtest.events import Calendar
from qfund.backtest.inputs import Rules, Tape
from qfund.backtest.notices import Unfilled
from qfund.backtest.simulation import Played
from qfund.backtest.stretch import NOISE, StretchFiller, trade_stretch
from qfund.backtest.wishes import Due
from qfund.errors import QfundError

Filler = Callable[[float, np.ndarray, np.ndarray, np.ndarray | None], np.ndarray]
"""Fills orders from one purse, in their order.

Takes cash; signed shares (k,); prices before spread and slippage (k,); the commission of each order (k,), or
None for the proportional one of the cost model. Returns (3, k): signed shares filled, price, commission;
zeros where nothing was filled.
"""


@dataclass
class Trader:
    """One simulation: what is given, and the book while it is being written."""

    tape: Tape
    events: Calendar
    due: Due
    costs: CostModel
    rules: Rules
    filler: Filler
    stretch_filler: StretchFiller
    most_rows: int  # bars of one stretch; 1 trades bar by bar
    unfilled: Unfilled = field(default_factory=Unfilled)

    def play(self, stop: int, *, lost: bool = False) -> Played:
        """Play every bar up to and including ``stop``; when all is lost there, close everything and end."""
        book = Book(self.rules.cash, np.zeros(len(self.tape.symbols)), not self.rules.fractional)
        self.unfilled = Unfilled()
        moments = sorted({0, *(row for row in self.events.before if row <= stop)})
        for moment, following in pairwise([*moments, stop + 1]):
            for event in self.events.before.get(moment, ()):
                book.apply(event, moment, self.events.marks[moment - 1], self.costs)
            book.keep(moment)
            first, last = np.searchsorted(self.due.rows, [moment, following])
            self._trade_all(book, int(first), int(last))
        if lost:
            for column in np.flatnonzero(book.units):
                book.close(int(column), stop, float(self.events.marks[stop, column]), self.costs)
            book.keep(stop)
        return Played(
            self.tape,
            self.events,
            self.costs,
            self.rules,
            book,
            self.unfilled,
            ruined=stop if lost else None,
        )

    def _trade_all(self, book: Book, first: int, last: int) -> None:
        """Trade the due rows ``first:last``, between which no event lies."""
        exact = self.most_rows > 1 and self.costs.proportional and self.rules.fractional
        for start in range(first, last, self.most_rows):
            stop = min(start + self.most_rows, last)
            rows = self.due.rows[start:stop]
            # something owed is a matter of its own; less than rounding is nothing
            if exact and book.cash >= -NOISE * self.rules.cash:
                price, marks = self._prices(rows)
                trade_stretch(
                    book,
                    rows,
                    self.due.weights[start:stop],
                    price,
                    np.where(np.isnan(marks), 1.0, marks),
                    filler=self.stretch_filler,
                    unfilled=self.unfilled,
                    floor=self.rules.cash,
                )
                continue
            for place, row in enumerate(rows.tolist(), start):
                self._trade(book, row, self.due.weights[place])
                book.keep(row)

    def _prices(self, rows: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
        """Prices that fill at these bars, NaN for none; and prices that value: the last close instead."""
        price = (self.tape.open if self.rules.fill == "next_open" else self.tape.close)[rows]
        if self.tape.complete:
            return price, price
        return price, np.where(self.tape.traded[rows], price, self.events.marks[rows])

    def _trade(self, book: Book, row: int, wanted: np.ndarray) -> None:
        price, marks = self._prices(row)
        held = np.flatnonzero(book.units)
        value = book.cash + float(book.units[held] @ marks[held])
        columns = np.flatnonzero(~np.isnan(wanted))
        if value <= 0:
            self.unfilled.refuse(row, int(np.count_nonzero(wanted[columns])))
            return
        change = self._change(wanted[columns] * value / price[columns], book.units[columns])
        live = np.flatnonzero(change)
        live = live[np.argsort(change[live] * price[columns[live]], kind="stable")]
        columns, change = columns[live], change[live]
        if not len(columns):
            return
        reference = price[columns]
        # rounding around zero is neither money nor debt
        purse = book.cash if abs(book.cash) > NOISE * value else 0.0
        filled = self._fill(purse, change, reference)
        self.unfilled.count(row, change, filled, reference, slack=self._slack(value, reference))
        done = np.flatnonzero(filled[0])
        book.fill(row, columns[done], filled[:, done], reference[done])

    def _change(self, goal: np.ndarray, held: np.ndarray) -> np.ndarray:
        """Signed shares to trade; whole shares round towards what is held."""
        change = goal - held
        change[np.abs(change) <= NOISE * np.maximum(np.abs(goal), np.abs(held))] = 0.0
        if self.rules.fractional:
            return np.asarray(change)
        # 99.9999999999 wished shares are 100 that rounding has touched
        nudge = np.copysign(1e-9 * np.maximum(1.0, np.abs(change)), change)
        return np.asarray(np.trunc(change + nudge))

    def _slack(self, value: float, reference: np.ndarray) -> float:
        """Money that may stay uninvested without a word: rounding, and one share when shares are whole."""
        return 1e-9 * max(value, self.rules.cash) + (0.0 if self.rules.fractional else float(reference.max()))

    def _fill(self, cash: float, change: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """Fill orders in their order: (3, k) signed shares, fill price, commission; zero where unfilled."""
        if cash >= 0:
            return self._priced(cash, change, reference)
        # what is owed comes first: only sells bring cash, and only what is left of it buys
        buys = int(np.searchsorted(np.sign(change), 0.0))
        sold = self._priced(0.0, change[:buys], reference[:buys])
        left = cash - float((sold[0] * sold[1] + sold[2]).sum())
        bought = self._priced(max(left, 0.0), change[buys:], reference[buys:])
        return np.hstack([sold, bought])

    def _priced(self, cash: float, change: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """Fill with the exact commission of each order.

        A proportional commission is the kernel's own. Any other depends on the size that the cash allows,
        which depends on the commissions before it: sizes are corrected until they pay for themselves. Each
        round settles at least the first order that is not settled yet, so it ends.
        """
        if len(change) == 0:
            return np.zeros((3, 0))
        if self.costs.proportional:
            return self.filler(cash, change, reference, None)
        price = reference * (1 + self.costs.price_impact * np.sign(change))
        asked = change
        for _ in range(len(change) + 2):
            commission = self.costs.commission(np.abs(asked), np.abs(asked) * price)
            filled = self.filler(cash, asked, reference, commission)
            flows = -filled[0] * filled[1] - filled[2]
            before = cash + np.cumsum(flows) - flows
            payable = self._payable(before, change, price)
            if np.allclose(payable, asked, rtol=1e-12, atol=0.0):
                return filled
            asked = payable
        raise QfundError("The commissions of one bar did not settle; this is a fault in qfund.")

    def _payable(self, cash: np.ndarray, change: np.ndarray, price: np.ndarray) -> np.ndarray:
        """The orders, buys cut to what the cash before each of them pays for."""
        need = change * price + self.costs.commission(np.abs(change), np.abs(change) * price)
        short = (change > 0) & (need > cash * (1 + NOISE))
        if not short.any():
            return change
        most = self.costs.affordable(np.maximum(cash[short], 0.0), price[short])
        most[most * price[short] <= 1e-9 * need[short]] = 0.0  # rounding left over from the last buy
        if not self.rules.fractional:
            most = np.floor(most + 1e-9)
        payable = change.copy()
        payable[short] = np.minimum(most, change[short])
        return payable

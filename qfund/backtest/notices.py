"""Notices: what went unlike it was wished, counted while trading and told in plain sentences afterwards.

Promises: a sentence names how often, which symbol and when first; what is quite normal (the last buys of a
fully invested portfolio, cut by the costs of the same rebalancing) is not told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from qfund.backtest.events import Calendar, repeated
from qfund.backtest.inputs import Market, Rules, Tape

NAMED = 5  # symbols named one by one in a sentence


@dataclass
class Unfilled:
    """What was wished and not filled.

    Attributes:
        cut: buys filled in part, beyond what costs explain.
        refused: orders not filled at all for lack of cash or of any value.
        small: sells that were worth less than their commission.
        first_row: the first bar at which a buy was cut or refused; None when none was.
        first_small: the first bar of a sell that was too small.
    """

    cut: int = 0
    refused: int = 0
    small: int = 0
    first_row: int | None = None
    first_small: int | None = None

    def refuse(self, row: int, orders: int) -> None:
        """Count orders that could not be sized, since nothing is left to invest."""
        if orders:
            self.refused += orders
            self.first_row = row if self.first_row is None else self.first_row

    def count(
        self,
        row: int,
        change: np.ndarray,
        filled: np.ndarray,
        reference: np.ndarray,
        *,
        slack: float,
    ) -> None:
        """Compare what was asked with what was filled at one bar.

        Args:
            row: the bar.
            change: float64 (k,), signed shares asked.
            filled: float64 (3, k), signed shares, price, commission.
            reference: float64 (k,), prices before spread and slippage.
            slack: money that may stay uninvested without a word.
        """
        missing = np.abs(change) - np.abs(filled[0])
        lacking = missing > 1e-9 * np.abs(change)
        if not lacking.any():
            return
        buys = lacking & (change > 0)
        sells = int(np.count_nonzero(lacking & (change < 0)))
        if sells:
            self.small += sells
            self.first_small = row if self.first_small is None else self.first_small
        done = filled[0] != 0
        costs = filled[2].sum() + float((np.abs(filled[0]) * np.abs(filled[1] - reference))[done].sum())
        if float(missing[buys] @ reference[buys]) <= costs * (1 + 1e-6) + slack:
            return
        self.lack(row, cut=int(np.count_nonzero(buys & done)), refused=int(np.count_nonzero(buys & ~done)))

    def lack(self, row: int, *, cut: int, refused: int) -> None:
        """Count buys of one bar for which there was not enough cash."""
        self.cut += cut
        self.refused += refused
        self.first_row = row if self.first_row is None else self.first_row


def notices(
    market: Market,
    tape: Tape,
    events: Calendar,
    rules: Rules,
    unfilled: Unfilled,
    *,
    wished: np.ndarray,
    units: np.ndarray,
    owed: Sequence[tuple[int, float]],
    ruined: int | None,
) -> tuple[str, ...]:
    """The sentences of one simulation, most serious first.

    Args:
        market: what was simulated.
        tape: its arrays.
        events: its splits, dividends and delistings.
        rules: of the account.
        unfilled: what was counted; wishes after a delisting are added to ``refused``.
        wished: float64 (bars, symbols), the targets.
        units: float64 (symbols,), shares held at the end.
        owed: bar and amount of each moment at which cash was below zero.
        ruined: the bar of a total loss, or None.
    """
    found = []
    if ruined is not None:
        found.append(
            f"Total loss: equity fell to zero or below at {_when(tape, ruined)}; everything was closed "
            "there and trading stopped."
        )
    if rules.fill == "close":
        found.append(
            "Orders were filled at the very close that decided them (fill close): optimistic, since "
            "that price is only known when it is too late to trade at it."
        )
    found += _cash_notices(tape, unfilled, owed)
    found += _listing_notices(tape, events, rules, unfilled, wished=wished, units=units)
    found += _handed_out(market, tape)
    found += [
        f"The {action.kind} of {action.symbol} on {action.ex_date} is given more than once with the same "
        "amounts; each was applied."
        for action in repeated(market.actions)
        if action.symbol in tape.symbols
    ]
    if len(tape.index) == 1:
        found.append("There is only one bar: a wish decided at its close has no later bar to be filled at.")
    return tuple(found)


def _handed_out(market: Market, tape: Tape) -> list[str]:
    """The spin-offs of the period, which are paid in money."""
    found = [
        f"The spin-off of {action.other_symbol} from {action.symbol} on {action.ex_date} is paid in cash: "
        f"{1 - action.price_factor:.2%} of the close before, for each share; {action.other_symbol} is not "
        "received."
        for action in market.actions
        if action.kind == "spinoff"
        and action.price_factor is not None
        and action.symbol in tape.symbols
        and 0 < tape.row_of(action.ex_date) < len(tape.index)
    ]
    if len(found) > NAMED:
        found = [*found[:NAMED], f"{len(found) - NAMED} more spin-offs like that."]
    return found


def _cash_notices(tape: Tape, unfilled: Unfilled, owed: Sequence[tuple[int, float]]) -> list[str]:
    found = []
    if unfilled.first_row is not None:
        found.append(
            f"Cash was short: {_many(unfilled.cut, 'order')} cut and {_many(unfilled.refused, 'order')} "
            f"refused, first at {_when(tape, unfilled.first_row)}. Weights that sum to more than 1 need "
            "money that is not there."
        )
    if unfilled.first_small is not None:
        found.append(
            f"{_many(unfilled.small, 'order')} to sell would have cost more commission than they bring and "
            f"did not happen, first at {_when(tape, unfilled.first_small)}."
        )
    if owed:
        row, _ = owed[0]
        most = max(amount for _, amount in owed)
        found.append(
            f"Payments were larger than the cash at hand {_many(len(owed), 'time')}, first at "
            f"{_when(tape, row)}, at most by {most:,.2f}; the account owed it, without interest, until sells "
            "brought cash."
        )
    return found


def _listing_notices(
    tape: Tape,
    events: Calendar,
    rules: Rules,
    unfilled: Unfilled,
    *,
    wished: np.ndarray,
    units: np.ndarray,
) -> list[str]:
    """Wishes after a delisting, and prices that end or never begin."""
    if tape.complete:
        return []
    bars = len(tape.index)
    numbers = np.arange(bars)[:, None]
    last = np.where(tape.traded, numbers, -1).max(axis=0)
    # at the close of the last bar a wish can only be filled by fill "close"
    late = numbers > last if rules.fill == "close" else numbers >= last
    wishes = late & ~np.isnan(wished) & (wished != 0)
    found, refused, first = [], 0, bars
    for column, symbol in enumerate(tape.symbols):
        rows = np.flatnonzero(wishes[:, column])
        if column in events.gone:
            refused += len(rows)
            first = min(first, int(rows[0])) if len(rows) else first
        elif last[column] < 0 and len(rows):
            found.append(f"{symbol} has no prices in this period: {_many(len(rows), 'wish')} waited in vain.")
        elif 0 <= last[column] < bars - 1 and (units[column] != 0 or len(rows)):
            held = "; the position is valued at that close" if units[column] != 0 else ""
            found.append(
                f"The prices of {symbol} end at {_when(tape, int(last[column]))} without a known "
                f"delisting{held}."
            )
    if len(found) > NAMED:
        found = [*found[:NAMED], f"{len(found) - NAMED} more symbols like that."]
    if refused:
        unfilled.refused += refused
        found.append(
            f"Refused for delisted symbols: {_many(refused, 'wish')}, first at {_when(tape, first)}."
        )
    return found


def _many(count: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("sh") else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"


def _when(tape: Tape, row: int) -> str:
    moment = tape.index[row]
    return str(moment.date()) if moment == moment.normalize() else pd.Timestamp(moment).isoformat()

"""The result of a simulation: equity, holdings, orders, trades, payments, warnings.

Promises: every frame is in raw shares and raw prices of its day; equity is cash plus holdings at the last
known closes, to rounding; nothing here decides or fills an order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from qfund.backtest.book import Book, Kind
from qfund.backtest.costs import BPS, CostModel
from qfund.backtest.events import Calendar
from qfund.backtest.inputs import Market, Rules, Tape
from qfund.backtest.notices import Unfilled, notices
from qfund.backtest.trades import round_trips
from qfund.market.bars import Timeframe


@dataclass(frozen=True, eq=False)
class Simulation:
    """What an account held and earned.

    Attributes:
        equity: money after each bar; index of the bars.
        cash: money not invested, after each bar; negative while a payment is owed.
        units: raw shares held after each bar, time × symbol; short positions are negative.
        value: market value of those shares, time × symbol, at the last known close.
        orders: one row per fill: ``time`` of the bar, ``symbol``, ``side`` (buy, sell), ``shares``, ``price``
            (of the fill), ``reference_price`` (before spread and slippage), ``commission``, ``spread_cost``,
            ``slippage_cost`` (money), ``reason`` (target, delisted, total loss). Symbol, side and reason are
            categorical.
        trades: one row per round trip from flat to flat, see :func:`qfund.backtest.trades.round_trips`.
        dividends: one row per payment: ``time``, ``symbol``, ``kind`` (dividend, cash in lieu), ``shares``,
            ``per_share``, ``amount`` (money; negative when a short position pays).
        paid: money paid in all for ``commission``, ``spread`` and ``slippage``.
        warnings: plain sentences, most serious first.
        engine: package → version.
        cash_start: money before the first bar.
        sessions: the session of each bar, naive midnights.
        timeframe: of the bars.
        cut: buys that cash allowed only in part, beyond what costs explain.
        refused: wishes that were not filled at all, for lack of cash or after a delisting.
        ruined_at: the bar at whose close nothing was left; None normally.
    """

    equity: pd.Series
    cash: pd.Series
    units: pd.DataFrame
    value: pd.DataFrame
    orders: pd.DataFrame
    trades: pd.DataFrame
    dividends: pd.DataFrame
    paid: Mapping[str, float]
    warnings: tuple[str, ...]
    engine: Mapping[str, str]
    cash_start: float
    sessions: pd.DatetimeIndex
    timeframe: Timeframe
    cut: int = 0
    refused: int = 0
    ruined_at: pd.Timestamp | None = None


@dataclass(frozen=True, eq=False)
class Played:
    """A finished pass of the engine, before it becomes frames.

    Attributes:
        tape: the market as arrays.
        events: splits, dividends, delistings by bar.
        costs: what trading cost.
        rules: of the account.
        book: every line of it.
        unfilled: what was wished and not filled.
        ruined: the bar of a total loss, or None.
    """

    tape: Tape
    events: Calendar
    costs: CostModel
    rules: Rules
    book: Book
    unfilled: Unfilled
    ruined: int | None

    @cached_property
    def accounts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cash (bars,), shares and market values (bars, symbols) after each bar."""
        cash, units = self.book.history(len(self.tape.index), self.rules.cash)
        value = units * self.events.marks
        if not self.tape.complete:
            value[units == 0] = 0.0  # a symbol without a price yet is not held: nothing, not NaN
        return cash, units, value

    def first_ruin(self) -> int | None:
        """The first bar at whose close equity is zero or less, or None."""
        cash, _, value = self.accounts
        lost = np.flatnonzero(cash + value.sum(axis=1) <= 0)
        return int(lost[0]) if len(lost) else None


def assemble(market: Market, played: Played, wished: np.ndarray, versions: Mapping[str, str]) -> Simulation:
    """The frames of a finished pass.

    Args:
        market: what was simulated.
        played: the pass.
        wished: float64 (bars, symbols), the targets.
        versions: of the packages that decided the result.
    """
    raw = market.raw
    index, columns = raw.index, raw.close.columns
    cash, units, value = played.accounts
    lines = played.book.lines()
    orders = _orders(lines, played)
    trades = round_trips(
        lines, played.tape, played.events, highs=raw.high, lows=raw.low, fill=played.rules.fill
    )
    return Simulation(
        equity=pd.Series(cash + value.sum(axis=1), index=index, name="equity"),
        cash=pd.Series(cash, index=index, name="cash"),
        units=pd.DataFrame(units, index=index, columns=columns, copy=False),
        value=pd.DataFrame(value, index=index, columns=columns, copy=False),
        orders=orders,
        trades=trades,
        dividends=_payments(lines, played.tape),
        paid={
            "commission": float(orders["commission"].sum()),
            "spread": float(orders["spread_cost"].sum()),
            "slippage": float(orders["slippage_cost"].sum()),
        },
        warnings=notices(
            market,
            played.tape,
            played.events,
            played.rules,
            played.unfilled,
            wished=wished,
            units=units[-1],
            owed=played.book.owed,
            ruined=played.ruined,
        ),
        engine=dict(versions),
        cash_start=played.rules.cash,
        sessions=raw.sessions,
        timeframe=raw.timeframe,
        cut=played.unfilled.cut,
        refused=played.unfilled.refused,
        ruined_at=None if played.ruined is None else index[played.ruined],
    )


def _orders(lines: np.ndarray, played: Played) -> pd.DataFrame:
    kind = lines["kind"]
    fills = lines if (kind <= Kind.FORCED).all() else lines[kind <= Kind.FORCED]
    reason = (fills["kind"] == Kind.FORCED).astype(np.int8)
    if played.ruined is not None:
        reason[(reason == 1) & (fills["row"] == played.ruined)] = 2
    shares = np.abs(fills["shares"])
    worth = shares * fills["reference"] * BPS
    # no copy: a daily rebalancing of a thousand symbols makes millions of rows
    return pd.DataFrame(
        {
            "time": played.tape.index[fills["row"]],
            "symbol": _labels(fills["column"], played.tape.symbols),
            "side": _labels((fills["shares"] < 0).astype(np.int8), ("buy", "sell")),
            "shares": shares,
            "price": np.ascontiguousarray(fills["price"]),
            "reference_price": np.ascontiguousarray(fills["reference"]),
            "commission": np.ascontiguousarray(fills["commission"]),
            "spread_cost": worth * played.costs.half_spread_bps,
            "slippage_cost": worth * played.costs.slippage_bps,
            "reason": _labels(reason, ("target", "delisted", "total loss")),
        },
        copy=False,
    )


def _labels(codes: np.ndarray, names: Sequence[str]) -> pd.Categorical[str]:
    return pd.Categorical.from_codes(np.ascontiguousarray(codes), pd.Index(list(names)), validate=False)


def _payments(lines: np.ndarray, tape: Tape) -> pd.DataFrame:
    paid = lines[lines["kind"] >= Kind.DIVIDEND]
    lieu = paid["kind"] == Kind.IN_LIEU
    symbols = np.asarray(tape.symbols, dtype=object)
    return pd.DataFrame(
        {
            "time": tape.index[paid["row"]],
            "symbol": symbols[paid["column"]],
            "kind": np.where(lieu, "cash in lieu", "dividend").astype(object),
            # the fraction of a share that was paid out has the opposite sign of its booking
            "shares": np.where(lieu, -paid["shares"], paid["shares"]),
            "per_share": paid["price"],
            "amount": paid["cash"],
        }
    )

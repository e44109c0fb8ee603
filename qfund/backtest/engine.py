"""The engine: fills target weights bar by bar through vectorbt's Rust kernel.

Promises: the same inputs give the same orders; a wish never fills before it was decided; cash buys only what it
can pay for; money is never created: see :mod:`qfund.backtest.book`. This is the only module that knows
vectorbt. It calls the kernel behind ``vectorbt.Portfolio.from_orders`` directly, since importing all of
vectorbt takes seconds; :func:`reference_orders` runs the public API, and the tests hold the two together.

Each bar at which wishes are due is one call: portfolio value at the prices of that moment, wished shares,
sells before buys, smaller buys before larger ones, then spread, slippage, commission and the cash limit by the
kernel. Between those bars nothing changes but splits, dividends and delistings, which the book applies
exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd

from qfund.backtest.book import Book
from qfund.backtest.costs import CostModel
from qfund.backtest.events import Calendar, calendar
from qfund.backtest.inputs import Market, Rules, Tape, tape, weights
from qfund.backtest.simulation import Played, Simulation, Unfilled, assemble
from qfund.backtest.wishes import Due, due
from qfund.errors import ConfigError, QfundError

__all__ = [
    "EngineProbe",
    "Market",
    "Rules",
    "Simulation",
    "engine_versions",
    "probe",
    "reference_orders",
    "simulate",
]

NOISE = 1e-12  # a wished change this small against the position is rounding, not an order
AMOUNT, BOTH = np.asarray(0), np.asarray(2)  # vectorbt's SizeType.Amount and Direction.Both
ZERO, INFINITE, NO = np.asarray(0.0), np.asarray(np.inf), np.asarray(False)
YES, NOT_A_NUMBER, ONE = np.asarray(True), np.asarray(np.nan), np.asarray(1.0)


def simulate(
    market: Market, targets: pd.DataFrame, costs: CostModel, rules: Rules
) -> Simulation:
    """What an account would have held and earned by following the targets.

    Args:
        market: raw bars, corporate actions, delistings.
        targets: wished portfolio weights; index and columns of the bars; NaN keeps the position.
        costs: what trading costs.
        rules: starting cash, whole or fractional shares, which price fills.

    Raises:
        DataQualityError: unusable bars or targets, see :mod:`qfund.backtest.inputs`.
        UsageError: targets of another shape than the bars.
        ConfigError: the kernel is missing or of another version than vectorbt.
    """
    wished = weights(market, targets)
    prices = tape(market)
    events = calendar(market, prices)
    trader = _Trader(prices, events, due(wished, prices.traded, rules.fill), costs, rules, _kernel())
    played = trader.play(stop=len(prices.index))
    ruin = played.first_ruin()
    if ruin is not None:
        played = trader.play(stop=ruin)
    return assemble(market, played, wished, engine_versions())


def engine_versions() -> dict[str, str]:
    """The packages that decide a result, with their versions.

    Raises:
        ConfigError: vectorbt or its Rust kernel is not installed, or the two differ in version.
    """
    try:
        found = {name: version(name) for name in ("vectorbt", "vectorbt-rust", "numpy", "qfund")}
    except PackageNotFoundError as error:
        raise ConfigError(
            f"The backtest engine is not complete: {error.name} is not installed.",
            fix="pip install 'vectorbt[rust]'",
            code="ENGINE_MISSING",
        ) from error
    if found["vectorbt"] != found["vectorbt-rust"]:
        raise ConfigError(
            f"vectorbt is {found['vectorbt']}, but its Rust kernel is {found['vectorbt-rust']}; "
            "together they may compute something else than either.",
            fix=f"pip install 'vectorbt[rust]=={found['vectorbt']}'",
            code="ENGINE_VERSIONS",
        )
    return found


@lru_cache(maxsize=1)
def _kernel() -> Callable[..., Any]:
    engine_versions()
    try:
        from vectorbt_rust.portfolio import simulate_from_orders_rs
    except ImportError as error:
        raise ConfigError(
            f"The Rust kernel of vectorbt does not load here: {error}.",
            fix="pip install --force-reinstall 'vectorbt[rust]'",
            code="ENGINE_MISSING",
        ) from error
    return simulate_from_orders_rs  # type: ignore[no-any-return]


@dataclass
class _Trader:
    """One simulation: what is given, and the book while it is being written."""

    tape: Tape
    events: Calendar
    due: Due
    costs: CostModel
    rules: Rules
    kernel: Callable[..., Any]
    unfilled: Unfilled = field(default_factory=Unfilled)

    def play(self, stop: int) -> Played:
        """Play every bar up to and including ``stop``; a stop inside the bars is a total loss there."""
        book = Book(self.rules.cash, np.zeros(len(self.tape.symbols)), not self.rules.fractional)
        self.unfilled = Unfilled()
        bars = len(self.tape.index)
        place = {int(row): at for at, row in enumerate(self.due.rows)}
        for row in sorted({*place, *self.events.before}):
            if row > stop:
                break
            for event in self.events.before.get(row, ()):
                # a split inside a gap is already in this bar's mark: undo nothing, take the close before
                book.apply(event, row, self.events.marks[row - 1], self.costs)
            if row in place:
                self._trade(book, row, self.due.weights[place[row]])
            book.keep(row)
        if stop < bars:
            for column in np.flatnonzero(book.units):
                book.close(int(column), stop, float(self.events.marks[stop, column]), self.costs)
            book.keep(stop)
        ruined = stop if stop < bars else None
        return Played(
            self.tape, self.events, self.costs, self.rules, book, self.unfilled, ruined
        )

    def _trade(self, book: Book, row: int, wanted: np.ndarray) -> None:
        price = (self.tape.open if self.rules.fill == "next_open" else self.tape.close)[row]
        marks = price
        if not self.tape.complete:
            marks = np.where(self.tape.traded[row], price, self.events.marks[row])
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
        filled = self._fill(book.cash, change, reference)
        self.unfilled.count(row, change, filled, reference, slack=self._slack(value, reference))
        done = np.flatnonzero(filled[0])
        book.fill(row, columns[done], filled[:, done], reference[done])

    def _change(self, goal: np.ndarray, held: np.ndarray) -> np.ndarray:
        """Signed shares to trade; whole shares round towards what is held."""
        change = goal - held
        change[np.abs(change) <= NOISE * np.maximum(np.abs(goal), np.abs(held))] = 0.0
        if self.rules.fractional:
            return change
        # 99.9999999999 wished shares are 100 that rounding has touched
        nudge = np.copysign(1e-9 * np.maximum(1.0, np.abs(change)), change)
        return np.trunc(change + nudge)

    def _slack(self, value: float, reference: np.ndarray) -> float:
        """Money that may stay uninvested without a word: rounding, and one share when shares are whole."""
        return 1e-9 * value + (0.0 if self.rules.fractional else float(reference.max()))

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
            return self._call(cash, change, reference, ZERO)
        price = reference * (1 + self.costs.price_impact * np.sign(change))
        asked = change
        for _ in range(len(change) + 2):
            commission = self.costs.commission(np.abs(asked), np.abs(asked) * price)
            filled = self._call(cash, asked, reference, commission[None, :])
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

    def _call(
        self, cash: float, change: np.ndarray, reference: np.ndarray, fixed: np.ndarray
    ) -> np.ndarray:
        """One bar of the kernel: amounts of shares, in the order given, from one purse."""
        count = len(change)
        records, _ = self.kernel(
            (1, count),
            np.array([count]),
            np.array([cash]),
            np.arange(count)[None, :],
            change[None, :],
            reference[None, :],
            AMOUNT,
            BOTH,
            np.asarray(self.costs.commission_bps * 1e-4 if fixed is ZERO else 0.0),
            fixed,
            np.asarray(self.costs.price_impact),
            ZERO,  # least size
            INFINITE,  # largest size
            NOT_A_NUMBER if self.rules.fractional else ONE,  # granularity
            ZERO,  # chance of rejection
            NO,  # lock cash
            YES,  # allow partial fills
            NO,  # raise on rejection
            NO,  # log
            reference[None, :],
            NOT_A_NUMBER,  # close, not used when every price is given
            auto_call_seq=False,
            ffill_val_price=True,
            update_value=False,
            max_orders=count,
            max_logs=1,
            init_temp_records=False,
            seed=None,
            flex_2d=True,
        )
        filled = np.zeros((3, count))
        place = records["col"]
        filled[0, place] = np.where(records["side"] == 0, records["size"], -records["size"])
        filled[1, place] = records["price"]
        filled[2, place] = records["fees"]
        return filled


def reference_orders(
    prices: np.ndarray, targets: np.ndarray, costs: CostModel, cash: float, *, engine: str
) -> pd.DataFrame:
    """The orders that vectorbt's public API makes of target weights, filled at the prices of their row.

    Imports all of vectorbt, which takes seconds; for tests and ``doctor --full``.

    Args:
        prices: float64, shape (rows, symbols), finite and positive.
        targets: float64, same shape, no NaN.
        costs: a model whose commission is proportional.
        cash: starting cash.
        engine: ``"rust"`` or ``"numba"``.

    Returns:
        Columns ``row``, ``column``, ``shares`` (signed), ``price``, ``commission``, in the order of filling.
    """
    import vectorbt

    portfolio = vectorbt.Portfolio.from_orders(
        pd.DataFrame(prices),
        size=targets,
        size_type="targetpercent",
        direction="both",
        price=prices,
        val_price=prices,
        fees=costs.commission_bps * 1e-4,
        slippage=costs.price_impact,
        init_cash=cash,
        cash_sharing=True,
        group_by=True,
        call_seq="auto",
        freq="1D",
        engine=engine,
    )
    records = portfolio.order_records
    return pd.DataFrame(
        {
            "row": records["idx"],
            "column": records["col"],
            "shares": np.where(records["side"] == 0, records["size"], -records["size"]),
            "price": records["price"],
            "commission": records["fees"],
        }
    )


@dataclass(frozen=True)
class EngineProbe:
    """What :func:`probe` found.

    Attributes:
        versions: packages and versions.
        orders: how many orders the probe portfolio makes.
        largest_difference: between qfund's fills and those of vectorbt's two engines, relative.
        agrees: whether the same orders were filled in all three, within 1e-9.
    """

    versions: dict[str, str]
    orders: int
    largest_difference: float
    agrees: bool


def probe() -> EngineProbe:
    """Run one small portfolio here and through both public engines of vectorbt, and compare the fills."""
    from qfund.backtest.costs import PRESETS
    from qfund.market.bars import Bars

    draw = np.random.default_rng(20260101)
    prices = 50 * np.exp(np.cumsum(draw.normal(0, 0.02, (60, 4)), axis=0))
    targets = draw.dirichlet(np.ones(4), size=60) * np.array([1.0, 1.0, 1.0, -0.5])
    index = pd.date_range("2020-01-01", periods=60, name="session")
    fields = {name: prices for name in ("open", "high", "low", "close", "volume")}
    bars = Bars.from_arrays(index, ["A", "B", "C", "D"], fields)
    frame = pd.DataFrame(targets, index=index, columns=bars.close.columns)
    costs = PRESETS["us-equities"]
    ours = simulate(Market(bars), frame, costs, Rules(fill="close")).orders
    signed = np.where(ours["side"] == "buy", 1.0, -1.0) * ours["shares"].to_numpy()
    worst = 0.0
    for engine in ("rust", "numba"):
        theirs = reference_orders(prices, targets, costs, 100_000.0, engine=engine)
        if len(theirs) != len(ours):
            return EngineProbe(engine_versions(), len(ours), float("inf"), agrees=False)
        gap = np.abs(signed - theirs["shares"].to_numpy()) / np.abs(signed)
        worst = max(worst, float(gap.max()))
    return EngineProbe(engine_versions(), len(ours), worst, agrees=worst < 1e-9)

"""The engine: target weights filled bar by bar through vectorbt's Rust kernel.

Promises: the same inputs give the same orders; a wish never fills before it was decided; cash buys only what
it can pay for; money is never created (see :mod:`qfund.backtest.book`). This is the only module that knows
vectorbt. It calls the kernel behind ``vectorbt.Portfolio.from_orders`` directly, since importing all of
vectorbt takes seconds; :func:`reference_orders` runs the public API, and the tests hold the two together.

Only bars at which wishes are due go through the kernel, which applies spread, slippage, commission and the
cash limit; between them nothing changes but splits, dividends and delistings, which the book applies exactly.
A few symbols go through it many bars at a time, many symbols bar by bar: the fills are the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from qfund.backtest.costs import BPS, PRESETS, CostModel
from qfund.backtest.events import calendar
from qfund.backtest.inputs import Market, Rules, tape, weights
from qfund.backtest.records import LOG_RECORD, ORDER_RECORD
from qfund.backtest.simulation import Simulation, assemble
from qfund.backtest.stretch import Fills, StretchFiller
from qfund.backtest.trader import Filler, Trader
from qfund.backtest.wishes import due
from qfund.errors import ConfigError
from qfund.market.bars import Bars

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

NARROW = 64  # symbols up to which many bars are filled by one call
STRETCH = 65_536  # bars of one such call at the most, which bounds its memory
AMOUNT, TARGET_PERCENT = np.asarray(0), np.int64(5)  # vectorbt's SizeType
BOTH = np.asarray(2)  # vectorbt's Direction
ZERO, INFINITE, NO = np.asarray(0.0), np.asarray(np.inf), np.asarray(False)
YES, NOT_A_NUMBER, ONE = np.asarray(True), np.asarray(np.nan), np.asarray(1.0)


def simulate(market: Market, targets: pd.DataFrame, costs: CostModel, rules: Rules) -> Simulation:
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
    ready = due(wished, prices.traded, rules.fill)
    kernel = _kernel()
    trader = Trader(
        prices,
        events,
        ready,
        costs,
        rules,
        _filler(kernel, costs, rules),
        _stretch_filler(kernel, costs),
        # the kernel sorts the orders of a bar by insertion, which is slow for many symbols
        most_rows=STRETCH if len(prices.symbols) <= NARROW else 1,
    )
    with _lent_record_types():
        played = trader.play(stop=len(prices.index) - 1)
        ruin = played.first_ruin()
        if ruin is not None:
            played = trader.play(stop=ruin, lost=True)
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
    fill = _filler(simulate_from_orders_rs, CostModel("trial"), Rules())
    try:
        with _lent_record_types():
            fill(1.0, np.array([1.0]), np.array([1.0]), None)
    except (AttributeError, ImportError, KeyError, TypeError):
        # a vectorbt whose kernel asks for more than it is lent: load all of it, slow and right
        import vectorbt.portfolio.enums  # noqa: F401
    return simulate_from_orders_rs  # type: ignore[no-any-return]


@contextmanager
def _lent_record_types() -> Iterator[None]:
    """Lend the kernel the two record types for which it would import all of vectorbt.

    On every call the kernel looks up ``order_dt`` and ``log_dt`` in the Python module
    ``vectorbt.portfolio.enums``, and importing that takes five seconds. While trading, two bare modules of
    these names stand in, unless vectorbt is loaded already; afterwards they are gone. A test holds the types
    against the real ones.
    """
    names = ("vectorbt", "vectorbt.portfolio.enums")
    if any(name in sys.modules for name in names):
        yield
        return
    lent = {name: ModuleType(name) for name in names}
    vars(lent[names[1]]).update(order_dt=ORDER_RECORD, log_dt=LOG_RECORD)
    sys.modules.update(lent)
    try:
        yield
    finally:
        for name in names:
            sys.modules.pop(name, None)


class _Charges(NamedTuple):
    """What the kernel takes for an order; arrays that broadcast to (rows, columns)."""

    fees: np.ndarray  # fraction of the value
    fixed_fees: np.ndarray  # money
    slippage: np.ndarray  # fraction of the price


def _filler(kernel: Callable[..., Any], costs: CostModel, rules: Rules) -> Filler:
    """What fills a trader's orders: one bar of vectorbt's kernel, amounts of shares from one purse."""
    proportional = np.asarray(costs.commission_bps * BPS)
    impact = np.asarray(costs.price_impact)
    granularity = NOT_A_NUMBER if rules.fractional else ONE

    def fill(
        cash: float, change: np.ndarray, reference: np.ndarray, commission: np.ndarray | None
    ) -> np.ndarray:
        count = len(change)
        records = _run(
            kernel,
            cash,
            change[None, :],
            reference[None, :],
            reference[None, :],
            size_type=AMOUNT,
            charges=_Charges(proportional, ZERO, impact)
            if commission is None
            else _Charges(ZERO, commission[None, :], impact),
            granularity=granularity,
        )
        filled = np.zeros((3, count))
        place = records["col"]
        filled[0, place] = np.where(records["side"] == 0, records["size"], -records["size"])
        filled[1, place] = records["price"]
        filled[2, place] = records["fees"]
        return filled

    return fill


def _stretch_filler(kernel: Callable[..., Any], costs: CostModel) -> StretchFiller:
    """What fills a stretch of bars: target weights, sized, sorted and filled by vectorbt's kernel."""

    def fill(
        cash: float, units: np.ndarray, wanted: np.ndarray, price: np.ndarray, marks: np.ndarray
    ) -> Fills:
        # the kernel starts without shares: a first row hands over what is held, free of costs
        lead, purse = _handed_over(cash, units, marks[0])
        wish = ~np.isnan(wanted)
        free = np.zeros((len(wanted) + 1, 1))
        free[1:] = 1.0
        records = _run(
            kernel,
            purse,
            np.vstack([units, np.where(wish, wanted, 0.0)]),
            np.vstack([lead, price]),
            np.vstack([lead, marks]),
            size_type=np.vstack([np.zeros(len(units), dtype=np.int64), wish * TARGET_PERCENT]),
            charges=_Charges(free * (costs.commission_bps * BPS), ZERO, free * costs.price_impact),
            granularity=NOT_A_NUMBER,
            sort=True,
        )
        records = records[records["idx"] > 0]
        return Fills(
            row=records["idx"] - 1,
            column=np.ascontiguousarray(records["col"]),
            shares=np.where(records["side"] == 0, records["size"], -records["size"]),
            price=np.ascontiguousarray(records["price"]),
            commission=np.ascontiguousarray(records["fees"]),
        )

    return fill


def _handed_over(cash: float, units: np.ndarray, marks: np.ndarray) -> tuple[np.ndarray, float]:
    """Prices at which the kernel takes over the shares held, and the purse that then leaves ``cash``."""
    long = float(np.maximum(units, 0.0) @ marks)
    short = float(np.maximum(-units, 0.0) @ marks)
    # selling short brings money: at these prices half of what the long positions and the cash need
    scale = min(1.0, (cash + long) / (2 * short)) if short > 0 else 1.0
    if scale == 0:
        return np.full(len(units), np.nan), 0.0  # short, without a coin: nothing can be traded any more
    return np.where(units < 0, marks * scale, marks), cash + long - short * scale


def _run(
    kernel: Callable[..., Any],
    cash: float,
    size: np.ndarray,
    price: np.ndarray,
    marks: np.ndarray,
    *,
    size_type: np.ndarray,
    charges: _Charges,
    granularity: np.ndarray,
    sort: bool = False,
) -> np.ndarray:
    """One call of ``simulate_from_orders_rs``, with the arrays that vectorbt's dispatcher would pass.

    ``size``, ``price`` and ``marks`` have the shape (rows, columns); the others broadcast to it. All columns
    share the cash and are filled from left to right, or by rising order value when ``sort`` is set.
    """
    rows, count = size.shape
    sequence = np.arange(count, dtype=np.int64)
    records, _ = kernel(
        (rows, count),
        np.array([count], dtype=np.int64),
        np.array([cash], dtype=np.float64),
        np.tile(sequence, (rows, 1)) if sort else sequence[None, :],
        size,
        price,
        size_type,
        BOTH,
        *charges,
        ZERO,  # least size
        INFINITE,  # largest size
        granularity,
        ZERO,  # chance of rejection
        NO,  # lock cash
        YES,  # allow partial fills
        NO,  # raise on rejection
        NO,  # log
        marks,
        NOT_A_NUMBER,  # close: not used when every price is given
        auto_call_seq=sort,
        ffill_val_price=True,
        update_value=False,
        max_orders=rows * count,
        max_logs=1,
        init_temp_records=False,
        seed=None,
        flex_2d=True,
    )
    return np.asarray(records)


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
        fees=costs.commission_bps * BPS,
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
    draw = np.random.default_rng(20260101)
    prices = 50 * np.exp(np.cumsum(draw.normal(0, 0.02, (60, 4)), axis=0))
    targets = draw.dirichlet(np.ones(4), size=60) * np.array([1.0, 1.0, 1.0, -0.5])
    index = pd.date_range("2020-01-01", periods=60, name="session")
    fields = dict.fromkeys(("open", "high", "low", "close", "volume"), prices)
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

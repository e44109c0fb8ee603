"""Calling the kernel directly gives what vectorbt's public API gives, on both of its engines."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from qfund.backtest import engine
from qfund.backtest.costs import PRESETS, CostModel
from qfund.backtest.engine import Market, Rules, probe, reference_orders, simulate
from qfund.backtest.records import LOG_RECORD, ORDER_RECORD
from qfund.market.bars import Bars
from tests.backtest.paper import days

pytestmark = pytest.mark.filterwarnings("ignore")  # what vectorbt's own imports warn about is not ours

COSTS = (PRESETS["none"], PRESETS["us-equities"], CostModel("steep", commission_bps=50, slippage_bps=80))


def reference(prices: np.ndarray, targets: np.ndarray, costs: CostModel, name: str) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return reference_orders(prices, targets, costs, 100_000.0, engine=name)


def portfolio(seed: int, wide: bool = False) -> tuple[np.ndarray, np.ndarray, CostModel]:
    """Random prices and weights: long only and fully invested, levered, or long and short."""
    draw = np.random.default_rng(seed)
    rows, count = int(draw.integers(1, 40)), engine.NARROW + 20 if wide else int(draw.integers(2, 8))
    prices = 40 * np.exp(np.cumsum(draw.normal(0, 0.03, (rows, count)), axis=0))
    targets = draw.dirichlet(np.ones(count), size=rows)
    if seed % 3 == 1:
        targets *= 1.4
    if seed % 3 == 2:
        targets = draw.normal(0.4, 1.2, (rows, count)) / count
    return prices, targets, COSTS[seed % len(COSTS)]


def ours(prices: np.ndarray, targets: np.ndarray, costs: CostModel) -> pd.DataFrame:
    symbols = [f"S{number}" for number in range(prices.shape[1])]
    fields = dict.fromkeys(("open", "high", "low", "close", "volume"), prices)
    bars = Bars.from_arrays(days(len(prices)), symbols, fields)
    frame = pd.DataFrame(targets, index=bars.index, columns=bars.close.columns)
    sim = simulate(Market(bars), frame, costs, Rules(cash=100_000.0, fill="close"))
    assert sim.ruined_at is None
    orders = sim.orders
    return pd.DataFrame(
        {
            "row": bars.index.get_indexer(orders["time"]),
            "column": orders["symbol"].cat.codes.astype("int64"),
            "shares": np.where(orders["side"] == "buy", 1.0, -1.0) * orders["shares"],
            "price": orders["price"],
            "commission": orders["commission"],
        }
    )


@pytest.mark.parametrize("seed", range(12))
def test_both_engines_of_vectorbt_fill_the_same_orders(seed: int) -> None:
    prices, targets, costs = portfolio(seed)
    rust, numba = (reference(prices, targets, costs, name) for name in ("rust", "numba"))
    pd.testing.assert_frame_equal(rust, numba, check_exact=True)


@pytest.mark.parametrize("wide", [False, True], ids=["many bars at a time", "bar by bar"])
@pytest.mark.parametrize("seed", range(40))
def test_simulate_fills_what_the_public_api_fills(seed: int, wide: bool) -> None:
    prices, targets, costs = portfolio(seed, wide)
    theirs = reference(prices, targets, costs, "rust")
    mine = ours(prices, targets, costs)
    # an order of a billionth of a share is rounding on either side
    real = [frame[frame["shares"].abs() > 1e-9].reset_index(drop=True) for frame in (mine, theirs)]
    pd.testing.assert_frame_equal(*real, check_exact=False, rtol=1e-9, atol=1e-9)


def test_the_probe_of_the_doctor_agrees() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = probe()
    assert found.agrees
    assert found.orders > 200
    assert found.largest_difference < 1e-9


def test_the_record_types_lent_to_the_kernel_are_vectorbt_s_own() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from vectorbt.portfolio.enums import log_dt, order_dt
    assert order_dt == ORDER_RECORD
    assert log_dt == LOG_RECORD

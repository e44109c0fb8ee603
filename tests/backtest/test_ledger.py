"""Whatever the market and the wishes, money is neither made nor lost by the bookkeeping."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfund.backtest.costs import PRESETS, CostModel
from qfund.backtest.engine import Market, Rules, Simulation, simulate
from qfund.market.actions import CorporateAction
from qfund.market.bars import Bars
from tests.backtest.paper import days

COSTS = (
    PRESETS["none"],
    PRESETS["us-equities"],
    PRESETS["per-share"],
    CostModel("steep", commission_bps=30, commission_min=3.0, slippage_bps=50),
    CostModel("cents", commission_per_share=0.03, half_spread_bps=10),
)
RATIOS = ((2, 1), (3, 2), (1, 10), (7, 3))


@dataclass(frozen=True)
class World:
    """One random market with wishes."""

    market: Market
    targets: pd.DataFrame
    costs: CostModel
    rules: Rules


@st.composite
def worlds(draw: st.DrawFn, *, actions: bool = True) -> World:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, count = draw(st.integers(2, 30)), draw(st.integers(1, 4))
    symbols = [f"S{number}" for number in range(count)]
    close = 30 * np.exp(
        np.cumsum(rng.normal(0, draw(st.sampled_from([0.0, 0.02, 0.2])), (rows, count)), axis=0)
    )
    opens = close * np.exp(rng.normal(0, 0.02, (rows, count)))
    absent = rng.random((rows, count)) < draw(st.sampled_from([0.0, 0.2]))
    fields = {
        "open": np.where(absent, np.nan, opens),
        "high": np.where(absent, np.nan, np.maximum(opens, close) * 1.01),
        "low": np.where(absent, np.nan, np.minimum(opens, close) * 0.99),
        "close": np.where(absent, np.nan, close),
        "volume": np.where(absent, np.nan, 1e5),
    }
    index = days(rows)
    bars = Bars.from_arrays(index, symbols, fields)
    wished = rng.normal(0.3, 0.4, (rows, count))
    wished[rng.random((rows, count)) < draw(st.sampled_from([0.0, 0.7]))] = np.nan
    wished[rng.random((rows, count)) < 0.1] = 0.0
    events = []
    for symbol in symbols if actions else []:
        for number in rng.choice(rows, size=min(3, rows), replace=False):
            when = index[number].date()
            if rng.random() < 0.5:
                new, old = RATIOS[rng.integers(len(RATIOS))]
                events.append(
                    CorporateAction(symbol, "split", when, new_rate=Decimal(new), old_rate=Decimal(old))
                )
            if rng.random() < 0.5:
                events.append(CorporateAction(symbol, "dividend", when, cash_amount=Decimal("0.37")))
    gone: dict[str, date] = {}
    if actions and rng.random() < 0.3:
        gone[symbols[0]] = index[int(rng.integers(rows))].date()
    return World(
        Market(bars, tuple(events), gone),
        pd.DataFrame(wished, index=index, columns=bars.close.columns),
        draw(st.sampled_from(COSTS)),
        Rules(
            cash=draw(st.sampled_from([777.0, 1e5])),
            fractional=draw(st.booleans()),
            fill=draw(st.sampled_from(["next_open", "close"])),
        ),
    )


def run(world: World) -> Simulation:
    return simulate(world.market, world.targets, world.costs, world.rules)


def scale(sim: Simulation) -> float:
    return sim.cash_start + float(sim.value.abs().sum(axis=1).max()) + float(sim.equity.abs().max())


@given(worlds())
@settings(max_examples=100, deadline=None)
def test_equity_is_cash_plus_shares_at_the_last_close(world: World) -> None:
    sim = run(world)
    assert np.isfinite(sim.equity.to_numpy()).all()
    pd.testing.assert_series_equal(
        sim.equity, sim.cash + sim.value.sum(axis=1), check_names=False, rtol=0, atol=1e-9 * scale(sim)
    )
    if not world.market.actions and not world.market.delisted:
        last = world.market.raw.close.ffill().fillna(0.0)
        assert np.allclose(sim.value, sim.units * last, rtol=1e-12)


@given(worlds())
@settings(max_examples=100, deadline=None)
def test_cash_is_the_start_plus_every_flow(world: World) -> None:
    sim = run(world)
    orders = sim.orders
    signs = np.where(orders["side"] == "buy", -1.0, 1.0)
    flows = signs * orders["shares"] * orders["price"] - orders["commission"]
    end = sim.cash_start + float(flows.sum()) + float(sim.dividends["amount"].sum())
    assert sim.cash.iloc[-1] == pytest.approx(end, abs=1e-9 * scale(sim))


@given(worlds())
@settings(max_examples=100, deadline=None)
def test_the_profit_of_all_trades_is_the_change_of_equity(world: World) -> None:
    sim = run(world)
    change = float(sim.equity.iloc[-1]) - sim.cash_start
    assert sim.trades["pnl"].sum() == pytest.approx(change, abs=1e-9 * scale(sim))
    assert sim.trades["fees"].sum() == pytest.approx(sim.paid["commission"], abs=1e-9 * scale(sim))


@given(worlds())
@settings(max_examples=100, deadline=None)
def test_the_costs_explain_every_fill(world: World) -> None:
    sim = run(world)
    orders = sim.orders
    worse = (orders["price"] - orders["reference_price"]).abs() * orders["shares"]
    assert np.allclose(worse, orders["spread_cost"] + orders["slippage_cost"], rtol=1e-9, atol=1e-9)
    charged = world.costs.commission(
        orders["shares"].to_numpy(), (orders["shares"] * orders["price"]).to_numpy()
    )
    assert np.allclose(orders["commission"], charged, rtol=1e-9, atol=1e-12)


@given(worlds())
@settings(max_examples=100, deadline=None)
def test_buying_never_spends_money_that_is_not_there(world: World) -> None:
    sim = run(world)
    bought = sim.orders.loc[(sim.orders["side"] == "buy") & (sim.orders["reason"] == "target"), "time"]
    owed = any(text.startswith("Payments were larger") for text in sim.warnings)
    if not owed and sim.ruined_at is None:
        assert (sim.cash.loc[bought.unique()] >= -1e-8 * scale(sim)).all()


@given(worlds())
@settings(max_examples=100, deadline=None)
def test_whole_shares_are_whole(world: World) -> None:
    sim = run(world)
    if not world.rules.fractional:
        assert (sim.units == sim.units.round()).all(axis=None)


@given(worlds(), st.integers(1, 29))
@settings(max_examples=100, deadline=None)
def test_the_past_does_not_depend_on_the_future(world: World, stop: int) -> None:
    full = run(world)
    part = run(
        World(
            Market(world.market.raw.rows(0, stop), world.market.actions, world.market.delisted),
            world.targets.iloc[:stop],
            world.costs,
            world.rules,
        )
    )
    assert part.equity.tolist() == full.equity.iloc[:stop].tolist()


@given(worlds(actions=False))
@settings(max_examples=50, deadline=None)
def test_a_split_is_only_a_change_of_units(world: World) -> None:
    """Quoting a symbol in thirds of a share from some day on changes no money, if parts of shares can be held."""
    if not world.rules.fractional or not world.costs.proportional:
        return
    raw, number = world.market.raw, len(world.market.raw) // 2
    factor = np.ones((len(raw), 1))
    factor[number:] = 3.0
    fields = {name: getattr(raw, name).to_numpy() / factor for name in ("open", "high", "low", "close")}
    quoted = Bars.from_arrays(raw.index, raw.symbols, {**fields, "volume": raw.volume.to_numpy()})
    when = raw.index[number].date()
    splits = tuple(
        CorporateAction(symbol, "split", when, new_rate=Decimal(3), old_rate=Decimal(1))
        for symbol in raw.symbols
    )
    plain, restated = run(world), run(World(Market(quoted, splits), world.targets, world.costs, world.rules))
    assert np.allclose(plain.equity, restated.equity, rtol=1e-8, atol=1e-8 * scale(plain))


@given(worlds(actions=False), st.sampled_from([0.1, 7.0, 1000.0]))
@settings(max_examples=50, deadline=None)
def test_ten_times_the_money_is_ten_times_the_equity(world: World, factor: float) -> None:
    if not world.rules.fractional or not world.costs.proportional:
        return
    more = Rules(cash=world.rules.cash * factor, fill=world.rules.fill)
    scaled = run(World(world.market, world.targets, world.costs, more))
    assert np.allclose(run(world).equity * factor, scaled.equity, rtol=1e-8, atol=1e-8 * scale(scaled))


def test_a_trade_after_a_split_is_stated_in_the_shares_of_its_own_entry() -> None:
    """1,000 buy 10 shares at 100 after a 2:1 split; the split before it changes nothing of that."""
    from tests.backtest.paper import play, split, table

    bars = table({"A": [200.0, 200.0, 100.0, 100.0, 110.0, 110.0]})
    found = play(bars, {"A": {2: 1.0, 4: 0.0}}, actions=[split("A", 2, 2, 1)])
    [trade] = found.trades.to_dict("records")
    assert (trade["shares"], trade["price_in"], trade["price_out"]) == (10.0, 100.0, 110.0)
    assert trade["pnl"] == 100.0

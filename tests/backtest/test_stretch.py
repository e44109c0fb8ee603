"""Many bars by one call are filled like one bar after the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from qfund.backtest import engine
from qfund.backtest.events import calendar
from qfund.backtest.inputs import Rules, tape, weights
from qfund.backtest.simulation import Played, Simulation, assemble
from qfund.backtest.trader import Trader
from qfund.backtest.wishes import due
from tests.backtest.paper import dividend, play, table
from tests.backtest.test_ledger import World, scale, worlds


def played(world: World, most_rows: int) -> Simulation:
    """Like ``simulate``, with as many bars to a call as told."""
    market, rules, costs = world.market, world.rules, world.costs
    prices, wished = tape(market), weights(market, world.targets)
    trader = Trader(
        prices,
        calendar(market, prices),
        due(wished, prices.traded, rules.fill),
        costs,
        rules,
        engine._filler(engine._kernel(), costs, rules),
        engine._stretch_filler(engine._kernel(), costs),
        most_rows,
    )
    with engine._lent_record_types():
        result: Played = trader.play(stop=len(prices.index) - 1)
    return assemble(market, result, wished, {})


@given(worlds())
@settings(max_examples=100, deadline=None)
def test_stretches_of_any_length_give_the_same_account(world: World) -> None:
    if not world.costs.proportional:
        return
    fractional = replace(world.rules, fractional=True)
    world = replace(world, rules=fractional)
    single = played(world, 1)
    for rows in (2, 7, 65_536):
        many = played(world, rows)
        near = {"rtol": 1e-8, "atol": 1e-8 * scale(single)}
        assert np.allclose(single.equity, many.equity, **near)
        assert np.allclose(single.cash, many.cash, **near)
        # an order that is only the rounding of the account may be there or not
        worth = [sim.orders["shares"] * sim.orders["price"] for sim in (single, many)]
        real = [values[values > 1e-7 * scale(single)] for values in worth]
        assert len(real[0]) == len(real[1])
        assert np.allclose(*(values.to_numpy() for values in real), **near)
        if len(worth[0]) == len(worth[1]):
            assert (single.cut, single.refused) == (many.cut, many.refused)


def test_what_is_held_is_handed_over_to_the_cent() -> None:
    # long 130 at 10, short 30 at 5, cash 150: taken over from a purse of 150 + 1300 - 150 = 1300
    marks, units = np.array([10.0, 5.0]), np.array([130.0, -30.0])
    prices, purse = engine._handed_over(150.0, units, marks)
    assert prices.tolist() == [10.0, 5.0]
    assert purse == 1300.0
    # deep in the red with the short: it is taken over at a lower price, and the cash is the same
    prices, purse = engine._handed_over(100.0, np.array([0.0, -30.0]), marks)
    assert purse + 30 * prices[1] == pytest.approx(100.0)
    assert purse >= 0


def test_events_cut_a_stretch_and_lose_nothing() -> None:
    # rebalanced to one half every day at a constant price, with dividends in between: 0.5 × cash back in
    bars = table({"A": [10.0] * 10})
    sim = play(bars, {"A": [0.5] * 10}, actions=[dividend("A", 4, "1"), dividend("A", 6, "1")])
    # 50 shares: + 50, half of 1050 is 52.5 shares; two days later + 52.5, 1102.5
    assert sim.equity.tolist() == pytest.approx([1000] * 4 + [1050] * 2 + [1102.5] * 4)
    assert sim.units["A"].iloc[[3, 4, 6]].tolist() == pytest.approx([50, 52.5, 55.125])


def test_a_stretch_counts_buys_without_cash() -> None:
    bars = table({"A": [10.0] * 10, "B": [10.0, 10, 10, 10, 20, 20, 20, 20, 20, 20]})
    sim = play(bars, {"A": [0.6] * 10, "B": [0.6] * 10}, cash=1000, fill="close")
    single = sim.warnings
    assert sim.cut >= 1
    assert any(text.startswith("Cash was short") for text in single)


def test_whole_shares_are_traded_bar_by_bar() -> None:
    sim = play(table({"A": [7.0] * 10}), {"A": [0.5] * 10}, fractional=False)
    assert sim.units["A"].iloc[-1] == 71
    assert Rules().fractional

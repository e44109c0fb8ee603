"""Ten-row markets whose money is worked out on paper, in the comments."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qfund.backtest import engine
from qfund.backtest.costs import CostModel
from qfund.backtest.engine import Market, Rules, simulate
from qfund.errors import DataQualityError, UsageError
from qfund.market.actions import CorporateAction
from qfund.market.bars import Bars
from tests.backtest.paper import FREE, NAN, day, days, dividend, play, split, table, wishes


def test_a_wish_fills_at_the_next_open_across_a_gap() -> None:
    # Wish 1.0 at the close of row 2 (10.50). Row 3 opens with a gap at 12.50: 1000 / 12.50 = 80 shares.
    # Row 3 closes at 12.00: 80 × 12 = 960. Wish 0 at row 6 (close 15.00); row 7 opens at 14.00:
    # 80 × 14 = 1120 in cash, to the end.
    opens = [10, 10, 10.2, 12.5, 12.1, 13, 14, 14, 20, 30]
    closes = [10, 10.1, 10.5, 12.0, 12.8, 14, 15, 19, 29, 31]
    sim = play(table({"A": opens}, {"A": closes}), {"A": {2: 1.0, 6: 0.0}})
    assert sim.equity.tolist() == [1000, 1000, 1000, 960, 1024, 1120, 1200, 1120, 1120, 1120]
    assert sim.units["A"].tolist() == [0, 0, 0, 80, 80, 80, 80, 0, 0, 0]
    assert sim.cash.tolist() == [1000, 1000, 1000, 0, 0, 0, 0, 1120, 1120, 1120]
    assert sim.orders["time"].tolist() == [sim.equity.index[3], sim.equity.index[7]]
    assert sim.orders["price"].tolist() == [12.5, 14.0]
    assert sim.orders["side"].tolist() == ["buy", "sell"]
    [trade] = sim.trades.to_dict("records")
    assert (trade["pnl"], trade["bars"], trade["status"]) == (120.0, 4, "closed")
    assert trade["pnl_pct"] == pytest.approx(12.0)
    # best price on the way is 15.00 (row 6), worst 12.00 (row 3): +20 % and -4 % of 12.50
    assert trade["mfe_pct"] == pytest.approx(20.0)
    assert trade["mae_pct"] == pytest.approx(-4.0)
    assert sim.warnings == ()


def test_costs_of_a_round_trip_to_the_cent() -> None:
    # 10 bps commission, 20 bps half spread, 30 bps slippage; weight 0.5 of 1000 at an open of 10: 50 shares.
    # Buy at 10 × 1.005 = 10.05: 502.50, commission 0.5025, spread 50 × 0.02 = 1.00, slippage 1.50.
    # Cash 1000 - 502.50 - 0.5025 = 496.9975; equity at close 10: 996.9975.
    # Row 5 opens at 12: sell 50 at 12 × 0.995 = 11.94: 597.00 - 0.597 → cash 1093.4005.
    costs = CostModel("paper", commission_bps=10, half_spread_bps=20, slippage_bps=30)
    sim = play(table({"A": [10, 10, 10, 10, 10, 12, 12, 12, 12, 12]}), {"A": {0: 0.5, 4: 0.0}}, costs=costs)
    assert sim.equity.iloc[1] == pytest.approx(996.9975, abs=1e-12)
    assert sim.equity.iloc[-1] == pytest.approx(1093.4005, abs=1e-12)
    buy, sell = sim.orders.to_dict("records")
    assert (buy["price"], buy["reference_price"]) == pytest.approx((10.05, 10.0))
    assert (buy["commission"], buy["spread_cost"], buy["slippage_cost"]) == pytest.approx((0.5025, 1.0, 1.5))
    assert (sell["commission"], sell["spread_cost"], sell["slippage_cost"]) == pytest.approx(
        (0.597, 1.2, 1.8)
    )
    assert sim.paid == pytest.approx({"commission": 1.0995, "spread": 2.2, "slippage": 3.3})
    # without costs: 50 × (12 - 10) = 100; paid: 1.0995 + 2.2 + 3.3 = 6.5995
    assert sim.trades["pnl"].sum() == pytest.approx(100 - 6.5995)
    assert sim.trades["fees"].sum() == pytest.approx(1.0995)


def test_a_commission_has_a_minimum_and_a_price_per_share() -> None:
    # 0.01 a share, at least 2.00. Weight 0.5 of 1000 at 5.00: 100 shares, 1.00 → minimum 2.00.
    # Cash 498, equity 998. Row 3 at 5.00: weight 0.999 × 998 = 997.002 → 199.4004 shares wished, 99.4004 more
    # = 497.002 + 2.00 minimum = 499.002 > 498: cut to (498 - 2) / 5 = 99.2 shares. Cash 0, equity 996.
    # Row 6 at 10.00: 199.2 shares, 0.01 × 199.2 = 1.992 → minimum 2.00: 1992 - 2 = 1990.
    costs = CostModel("paper", commission_per_share=0.01, commission_min=2.0)
    bars = table({"A": [5, 5, 5, 5, 5, 5, 10, 10, 10, 10]})
    sim = play(bars, {"A": {0: 0.5, 2: 0.999, 5: 0.0}}, costs=costs)
    assert sim.equity.iloc[[1, 3, 6]].tolist() == pytest.approx([998, 996, 1990])
    assert sim.orders["shares"].tolist() == pytest.approx([100, 99.2, 199.2])
    assert sim.orders["commission"].tolist() == pytest.approx([2, 2, 2])


def test_a_commission_per_share_above_the_minimum_is_exact_for_a_cut_order() -> None:
    # 0.10 a share, no minimum: all of 1000 at 10.00 buys n with n × 10 + n × 0.10 = 1000: n = 99.0099…
    sim = play(table({"A": [10.0] * 10}), {"A": {0: 1.0}}, costs=CostModel("p", commission_per_share=0.1))
    assert sim.orders["shares"].tolist() == pytest.approx([1000 / 10.1], rel=1e-12)
    assert sim.orders["commission"].tolist() == pytest.approx([100 / 10.1], rel=1e-12)
    assert sim.cash.iloc[-1] == 0.0


def test_whole_shares_with_a_commission_that_decides_the_last_share() -> None:
    # Cash 1000 at 99.90 wishes 10.01 shares → 10 = 999.00, commission 10 × 0.11 = 1.10: 1000.10 > 1000.
    # 9 shares = 899.10 + max(1.05, 0.99) = 900.15: cash 99.85.
    costs = CostModel("paper", commission_per_share=0.11, commission_min=1.05)
    sim = play(table({"A": [99.9] * 10}), {"A": {0: 1.0}}, costs=costs, fractional=False)
    assert sim.units["A"].iloc[-1] == 9
    assert sim.cash.iloc[-1] == pytest.approx(99.85, abs=1e-9)
    assert sim.orders["commission"].tolist() == pytest.approx([1.05])


def test_a_cap_on_the_commission_beats_its_minimum() -> None:
    # 1 share of 20.00, minimum 1.00, at most 100 bps: 0.20
    costs = CostModel("paper", commission_min=1.0, commission_max_bps=100)
    sim = play(table({"A": [20.0] * 10}), {"A": {0: 0.02}}, costs=costs)
    assert sim.orders["commission"].tolist() == pytest.approx([0.2])


def test_a_sell_worth_less_than_its_commission_does_not_happen() -> None:
    # 10 shares of 1.00 bought for 10 + 2; at 0.10 they bring 1.00, less than the commission of 2.00
    costs = CostModel("paper", commission_min=2.0)
    sim = play(
        table({"A": [1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]}), {"A": {0: 0.01, 3: 0.0}}, costs=costs
    )
    assert sim.units["A"].iloc[-1] == 10
    assert "would have cost more commission than they bring" in sim.warnings[0]


def test_whole_shares_are_rounded_towards_what_is_held() -> None:
    # 1000 / 30 = 33.33 → 33 shares = 990, cash 10. Row 4 at 33: equity 1099; half = 549.5 = 16.65 shares:
    # sell 33 - 16.65 = 16.35 → 16, keep 17: cash 10 + 528 = 538.
    bars = table({"A": [30, 30, 30, 30, 33, 33, 33, 33, 33, 33]})
    sim = play(bars, {"A": {0: 1.0, 3: 0.5}}, fractional=False)
    assert sim.units["A"].iloc[[1, 4]].tolist() == [33, 17]
    assert sim.cash.iloc[[1, 4]].tolist() == [10, 538]


def test_a_wished_number_of_shares_that_rounding_touched_is_still_whole() -> None:
    # 0.11 × 1000 / 1.1 is 99.99999999999999 in binary; on paper it is 100
    assert 0.11 * 1000 / 1.1 < 100
    sim = play(table({"A": [1.1] * 10}), {"A": {0: 0.11}}, fractional=False)
    assert sim.units["A"].iloc[-1] == 100


@pytest.mark.parametrize("fractional", [True, False])
def test_a_split_changes_shares_and_not_money(fractional: bool) -> None:
    # 25 shares at 40 = 1000; 2:1 before row 5: 50 shares, open 21, close 22: 1100; sold at 23: 1150.
    bars = table(
        {"A": [40, 40, 40, 42, 41, 21, 22, 22, 23, 23]}, {"A": [40, 40, 41, 42, 42, 22, 22, 22, 23, 23]}
    )
    sim = play(bars, {"A": {0: 1.0, 7: 0.0}}, actions=[split("A", 5, 2, 1)], fractional=fractional)
    assert sim.units["A"].tolist() == [0, 25, 25, 25, 25, 50, 50, 50, 0, 0]
    assert sim.equity.tolist() == [1000, 1000, 1025, 1050, 1050, 1100, 1100, 1100, 1150, 1150]
    [trade] = sim.trades.to_dict("records")
    # stated in the shares of the entry: 25 shares, in at 40, out at 46
    assert (trade["shares"], trade["price_in"], trade["price_out"]) == (25, 40, 46)
    assert trade["pnl"] == pytest.approx(150)
    assert trade["mfe_pct"] == pytest.approx(15.0)
    assert sim.orders["shares"].tolist() == [25, 50]


def test_a_reverse_split_pays_cash_for_the_fraction_of_a_whole_share() -> None:
    # 25 shares at 4 = 100 of 1000; 1:10 before row 5: 2.5 → 2 shares, 0.5 × (5 × 10) = 25.00 in cash.
    # Row 5 closes at 60: cash 900 + 25, 2 × 60: equity 1045.
    bars = table({"A": [4, 4, 4, 4, 5, 50, 60, 60, 60, 60]}, {"A": [4, 4, 4, 4, 5, 60, 60, 60, 60, 60]})
    sim = play(bars, {"A": {0: 0.1}}, actions=[split("A", 5, 1, 10)], fractional=False)
    assert sim.units["A"].iloc[[4, 5]].tolist() == [25, 2]
    assert sim.equity.iloc[[4, 5]].tolist() == [1025, 1045]
    [paid] = sim.dividends.to_dict("records")
    assert (paid["kind"], paid["shares"], paid["per_share"], paid["amount"]) == ("cash in lieu", 0.5, 50, 25)
    assert sim.trades["pnl"].sum() == pytest.approx(45)


def test_a_reverse_split_can_end_a_trade() -> None:
    # 5 shares at 4; 1:10 leaves 0.5 share: all of it is paid out at 40, nothing is held
    bars = table({"A": [4, 4, 4, 4, 4, 40, 40, 40, 40, 40]})
    sim = play(bars, {"A": {0: 0.02}}, actions=[split("A", 5, 1, 10)], fractional=False)
    assert sim.units["A"].iloc[-1] == 0
    assert sim.trades["status"].tolist() == ["closed"]
    assert sim.equity.iloc[-1] == 1000


@pytest.mark.parametrize("fractional", [True, False])
def test_a_split_while_short_changes_nothing_but_shares(fractional: bool) -> None:
    # short 20 at 25 = -500, cash 1500; 3:2 → short 30 at 16.66…; covered at 15: 30 × 15 = 450 → cash 1050
    third = 50 / 3
    bars = table({"A": [25, 25, 25, 25, third, third, 15, 15, 15, 15]})
    sim = play(bars, {"A": {0: -0.5, 5: 0.0}}, actions=[split("A", 4, 3, 2)], fractional=fractional)
    assert sim.units["A"].iloc[[3, 4]].tolist() == [-20, -30]
    assert sim.equity.tolist() == pytest.approx([1000] * 6 + [1050] * 4)
    assert sim.trades[["direction", "shares"]].to_numpy().tolist() == [["short", 20.0]]


def test_the_holder_at_the_close_before_gets_the_dividend() -> None:
    # 100 shares at 10, ex row 4: + 100 × 0.25. The buyer of row 4 itself gets nothing: row 7's ex finds
    # 50 shares (half sold at row 6's open): + 50 × 0.10.
    bars = table({"A": [10.0] * 10})
    given = {"A": {0: 1.0, 5: 0.5}}
    sim = play(bars, given, actions=[dividend("A", 4, "0.25"), dividend("A", 7, "0.1")])
    # at row 6 equity is 1025, half of it at 10 is 51.25 shares
    assert sim.dividends["shares"].tolist() == [100, 51.25]
    assert sim.dividends["amount"].tolist() == pytest.approx([25, 5.125])
    assert sim.equity.tolist() == pytest.approx([1000] * 4 + [1025] * 3 + [1030.125] * 3)
    assert sim.trades["pnl"].sum() == pytest.approx(30.125)


def test_a_wish_filled_on_the_ex_date_earns_no_dividend_and_one_sold_that_day_does() -> None:
    bars = table({"A": [10.0] * 10})
    bought = play(bars, {"A": {3: 1.0}}, actions=[dividend("A", 4, "1")])
    assert bought.dividends.empty
    sold = play(bars, {"A": {0: 1.0, 3: 0.0}}, actions=[dividend("A", 4, "1")])
    assert sold.equity.iloc[-1] == 1100


def test_a_short_position_pays_the_dividend() -> None:
    # short 100 at 10: cash 2000; pays 100 × 0.25; covered at 10: 1000 - 25
    sim = play(table({"A": [10.0] * 10}), {"A": {0: -1.0, 6: 0.0}}, actions=[dividend("A", 4, "0.25")])
    assert sim.dividends["amount"].tolist() == [-25]
    assert sim.equity.iloc[-1] == 975


def test_a_dividend_and_a_split_on_one_day_pay_per_share_of_the_day_before() -> None:
    # 100 shares, dividend 0.50 and 2:1 on the same ex-date: 50.00 and 200 shares at 4.75: 950 + 50
    bars = table({"A": [10, 10, 10, 10, 4.75, 4.75, 4.75, 4.75, 4.75, 4.75]})
    sim = play(bars, {"A": {0: 1.0}}, actions=[split("A", 4, 2, 1), dividend("A", 4, "0.5")])
    assert sim.units["A"].iloc[-1] == 200
    assert sim.equity.iloc[4] == pytest.approx(1000)


def test_an_action_of_a_day_without_bars_comes_before_the_next_bar() -> None:
    bars = table({"A": [10.0] * 10}, index=days(20)[::2])
    sim = play(bars, {"A": {0: 1.0}}, actions=[dividend("A", 7, "1")])  # bars on days 0, 2, …, 18
    assert sim.dividends["time"].tolist() == [days(20)[8]]


def test_a_repeated_action_is_applied_and_named() -> None:
    twice = [dividend("A", 4, "0.25"), dividend("A", 4, "0.25")]
    sim = play(table({"A": [10.0] * 10}), {"A": {0: 1.0}}, actions=twice)
    assert sim.equity.iloc[-1] == 1050
    assert "given more than once" in sim.warnings[0]


def test_a_halted_symbol_waits_and_takes_the_newest_wish() -> None:
    # B has no bars in rows 3-5. Wishes at rows 2 (0.5), 3 (0.9) and 5 (0.2): filled at row 6's open of 20 on
    # the newest, 0.2 × equity. A is worth 500 throughout, so 0.2 × 1000 / 20 = 10 shares.
    b = [10, 10, 10, NAN, NAN, NAN, 20, 22, 22, 22]
    sim = play(table({"A": [5.0] * 10, "B": b}), {"A": {0: 0.5}, "B": {2: 0.5, 3: 0.9, 5: 0.2}})
    assert sim.units["B"].tolist() == [0, 0, 0, 0, 0, 0, 10, 10, 10, 10]
    assert sim.equity.iloc[7] == 1020


def test_a_position_in_a_halted_symbol_is_worth_its_last_close() -> None:
    # 50 B at 10; closes 11, then no bars for three rows, then opens at 8
    opens = [10, 10, 10, NAN, NAN, NAN, 8, 8, 8, 8]
    closes = [10, 10, 11, NAN, NAN, NAN, 9, 9, 9, 9]
    sim = play(table({"B": opens}, {"B": closes}), {"B": {0: 0.5}})
    assert sim.equity.tolist() == [1000, 1000, 1050, 1050, 1050, 1050, 950, 950, 950, 950]


def test_a_split_inside_a_halt_keeps_the_value() -> None:
    # 50 shares at 10, 2:1 on row 4 while halted: 100 shares at 10 / 2, then a first bar at 6
    sim = play(
        table({"B": [10, 10, 10, NAN, NAN, NAN, 6, 6, 6, 6]}), {"B": {0: 0.5}}, actions=[split("B", 4, 2, 1)]
    )
    assert sim.units["B"].iloc[[3, 4]].tolist() == [50, 100]
    assert sim.equity.tolist() == [1000] * 6 + [1100] * 4


def test_a_delisted_position_is_closed_at_its_last_close_and_later_wishes_are_refused() -> None:
    # 50 B at 10; last session row 4 closes at 7. Before row 5 it is sold at 7 × (1 - 0.01) with 0.5 %:
    # 346.50 - 1.7325 = 344.7675; cash was 1000 - 505 - 2.525 = 492.475 → 837.2425.
    costs = CostModel("paper", commission_bps=50, slippage_bps=100)
    b = [10, 10, 10, 10, 7] + [NAN] * 5
    bars = table({"A": [5.0] * 10, "B": b})
    sim = play(bars, {"B": [0.5] + [NAN] * 5 + [0.5] * 4}, costs=costs, delisted={"B": day(4)})
    assert sim.equity.iloc[5] == pytest.approx(837.2425)
    assert sim.units["B"].iloc[[4, 5]].tolist() == [50, 0]
    last = sim.orders.iloc[-1]
    assert (last["reason"], last["reference_price"], last["time"]) == ("delisted", 7, bars.index[5])
    assert sim.warnings == ("Refused for delisted symbols: 4 wishes, first at 2024-01-07.",)
    assert sim.refused == 4


def test_a_short_position_in_a_delisted_symbol_is_covered() -> None:
    b = [10, 10, 10, 10, 4] + [NAN] * 5
    sim = play(table({"A": [5.0] * 10, "B": b}), {"B": {0: -0.5}}, delisted={"B": day(4)})
    assert sim.equity.iloc[-1] == 1300  # 50 × (10 - 4)


def test_prices_after_the_delisting_do_not_exist() -> None:
    sim = play(
        table({"A": [10, 10, 10, 10, 10, 99, 99, 99, 99, 99]}), {"A": {0: 1.0}}, delisted={"A": day(4)}
    )
    assert sim.equity.max() == 1000


def test_prices_that_just_end_are_named_and_keep_the_last_value() -> None:
    sim = play(table({"A": [5.0] * 10, "B": [10, 10, 12] + [NAN] * 7}), {"B": {0: 0.5}})
    assert sim.equity.tolist() == [1000, 1000] + [1100] * 8
    assert sim.warnings == (
        "The prices of B end at 2024-01-03 without a known delisting; the position is valued at that close.",
    )


def test_a_symbol_listed_in_the_middle_is_bought_at_its_first_open() -> None:
    # the wish of row 0 waits for row 6: 0.5 × 1000 / 20 = 25 shares, up to 24: + 100
    b = [NAN] * 6 + [20, 20, 24, 24]
    sim = play(table({"A": [5.0] * 10, "B": b}), {"B": {0: 0.5}})
    assert sim.units["B"].tolist() == [0] * 6 + [25] * 4
    assert sim.equity.iloc[-1] == 1100
    assert np.isfinite(sim.value.to_numpy()).all()


def test_a_symbol_without_any_price_does_nothing_but_a_warning() -> None:
    sim = play(table({"A": [10.0] * 10, "B": [NAN] * 10}), {"A": {0: 0.5}, "B": {0: 0.5}})
    assert sim.equity.tolist() == [1000] * 10
    assert sim.warnings == ("B has no prices in this period: 1 wish waited in vain.",)


def test_sells_come_before_buys() -> None:
    # all in A, then all in B: B can be paid with what A brings at the same open
    bars = table({"B": [10.0] * 10, "A": [20.0] * 10})
    sim = play(bars, {"A": {0: 1.0, 3: 0.0}, "B": {3: 1.0}})
    assert sim.orders["side"].tolist() == ["buy", "sell", "buy"]
    assert sim.units.iloc[-1].tolist() == [100, 0]


def test_buys_beyond_the_cash_are_cut_smallest_first_and_named() -> None:
    # 0.5 + 0.8 of 1000: A (500) first, B cut from 800 to 500
    sim = play(table({"A": [10.0] * 10, "B": [10.0] * 10}), {"A": {0: 0.5}, "B": {0: 0.8}})
    assert sim.units.iloc[-1].tolist() == [50, 50]
    assert sim.warnings == (
        (
            "Cash was short: 1 order cut and 0 orders refused, first at 2024-01-02. Weights that sum to more than 1 "
            "need money that is not there."
        ),
    )
    assert (sim.cut, sim.refused) == (1, 0)


def test_the_costs_of_a_fully_invested_portfolio_are_no_warning() -> None:
    costs = CostModel("paper", commission_bps=10, slippage_bps=10)
    sim = play(table({"A": [10.0] * 10, "B": [10.0] * 10}), {"A": {0: 0.5}, "B": {0: 0.5}}, costs=costs)
    assert sim.cash.iloc[-1] == 0
    assert sim.warnings == ()


def test_long_and_short_at_once() -> None:
    # +100 % A, -50 % B: A doubles, B halves: 1000 + 1000 + 250
    bars = table({"A": [10, 10, 10, 20, 20, 20, 20, 20, 20, 20], "B": [10, 10, 10, 5, 5, 5, 5, 5, 5, 5]})
    sim = play(bars, {"A": {0: 1.0}, "B": {0: -0.5}})
    assert sim.equity.iloc[-1] == 2250
    assert sorted(sim.trades["direction"]) == ["long", "short"]


def test_a_reversal_closes_one_trade_and_opens_another() -> None:
    # +50 at 10 (0.5), at 12 reversed to -0.5 × 1100 / 12 = -45.83, covered at 6: + 45.83 × 6 = 275
    bars = table({"A": [10, 10, 10, 12, 12, 12, 6, 6, 6, 6]})
    sim = play(bars, {"A": {0: 0.5, 2: -0.5, 5: 0.0}})
    assert sim.trades["direction"].tolist() == ["long", "short"]
    assert sim.trades["pnl"].tolist() == pytest.approx([100, 275])
    assert sim.trades["entered_at"].tolist() == [bars.index[1], bars.index[3]]
    assert sim.trades["exited_at"].tolist() == [bars.index[3], bars.index[6]]
    assert len(sim.orders) == 3


def test_fill_close_trades_at_the_deciding_close_and_says_so() -> None:
    bars = table({"A": [9, 11, 19, 21, 9, 9, 9, 9, 9, 9]}, {"A": [10, 12, 20, 25, 9, 9, 9, 9, 9, 9]})
    sim = play(bars, {"A": {0: 1.0, 3: 0.0}}, fill="close")
    assert sim.equity.tolist() == [1000, 1200, 2000, 2500] + [2500] * 6
    assert "optimistic" in sim.warnings[0]
    # entered at the close of row 0, so its own bar does not count: lowest after it is 11
    assert sim.trades["mae_pct"].tolist() == [0.0]
    assert sim.trades["mfe_pct"].tolist() == pytest.approx([150.0])


def test_minute_bars_take_corporate_actions_before_the_first_bar_of_the_session() -> None:
    index = pd.DatetimeIndex(
        [f"2024-01-0{d}T{h}:00Z" for d in (1, 2) for h in ("15", "16", "17", "18", "19")], name="time"
    ).as_unit("us")
    sessions = pd.DatetimeIndex(["2024-01-01"] * 5 + ["2024-01-02"] * 5)
    bars = table({"A": [10.0] * 5 + [5.0] * 5}, index=index, timeframe="1m", session_of_row=sessions)
    sim = play(bars, {"A": {1: 1.0}}, actions=[split("A", 1, 2, 1), dividend("A", 1, "0.1")])
    assert sim.units["A"].tolist() == [0, 0, 100, 100, 100, 200, 200, 200, 200, 200]
    assert sim.dividends["time"].tolist() == [index[5]]
    assert sim.equity.iloc[-1] == 1010


def test_a_total_loss_stops_trading_and_stays() -> None:
    # short 100 at 10 (cash 2000); at 25 the shares cost 2500: equity -500, covered there, nothing after
    bars = table({"A": [10, 10, 10, 25, 5, 5, 5, 5, 5, 5]})
    sim = play(bars, {"A": [-1.0] + [NAN] * 3 + [1.0] * 6})
    assert sim.equity.tolist() == [1000, 1000, 1000] + [-500] * 7
    assert sim.units["A"].iloc[-1] == 0
    assert sim.orders["reason"].tolist() == ["target", "total loss"]
    assert sim.ruined_at == bars.index[3]
    assert sim.warnings[0].startswith("Total loss: equity fell to zero or below at 2024-01-04")


def test_a_payment_larger_than_the_cash_is_owed_until_sells_bring_money() -> None:
    # 130 % A, 30 % B short at 10: cash 0. B pays 1.00 on 30 shares: owes 30, equity 970.
    # Row 6: half the weights: sells 65 A… sized on 970: A 0.65 × 970 = 630.5 → 63.05, B -14.55.
    # Cash: 0 - 30 + (130 - 63.05) × 10 - (30 - 14.55) × 10 = 485.
    bars = table({"A": [10.0] * 10, "B": [10.0] * 10})
    given = {"A": {0: 1.3, 5: 0.65}, "B": {0: -0.3, 5: -0.15}}
    sim = play(bars, given, actions=[dividend("B", 3, "1")])
    assert sim.cash.iloc[[2, 3, 5, 6]].tolist() == pytest.approx([0, -30, -30, 485])
    assert sim.equity.tolist() == pytest.approx([1000] * 3 + [970] * 7)
    assert (
        "Payments were larger than the cash at hand 1 time, first at 2024-01-04, at most by 30.00"
        in (sim.warnings[0])
    )


def test_while_money_is_owed_only_what_sells_leave_over_buys() -> None:
    # as above, but row 6 wishes to move from A to C: sells 65 × 10 = 650, repays 30, 620 left for C
    bars = table({"A": [10.0] * 10, "B": [10.0] * 10, "C": [10.0] * 10})
    given = {"A": {0: 1.3, 5: 65 * 10 / 970}, "B": {0: -0.3}, "C": {5: 1.0}}
    sim = play(bars, given, actions=[dividend("B", 3, "1")])
    assert sim.units.iloc[-1].tolist() == pytest.approx([65, -30, 62])
    assert sim.cash.iloc[-1] == pytest.approx(0, abs=1e-9)


def test_one_bar_is_explained() -> None:
    sim = play(table({"A": [10.0]}), {"A": {0: 1.0}})
    assert sim.equity.tolist() == [1000]
    assert sim.orders.empty
    assert sim.trades.empty
    assert sim.warnings == (
        "There is only one bar: a wish decided at its close has no later bar to be filled at.",
    )


def test_no_wish_is_no_trade() -> None:
    sim = play(table({"A": [10.0] * 10}), {})
    assert sim.equity.tolist() == [1000] * 10
    assert (len(sim.orders), len(sim.trades), len(sim.dividends)) == (0, 0, 0)
    assert set(sim.paid.values()) == {0.0}


@pytest.mark.parametrize("dtype", [bool, int, "Int64", "boolean"])
def test_targets_may_be_whole_numbers_or_truths(dtype: str | type) -> None:
    bars = table({"A": [10.0] * 10})
    targets = pd.DataFrame({"A": [1] * 10}, index=bars.index, columns=bars.close.columns).astype(dtype)
    sim = simulate(Market(bars), targets, FREE, Rules(cash=1000))
    assert sim.units["A"].iloc[-1] == 100


def test_a_constant_price_and_weight_trade_once() -> None:
    sim = play(table({"A": [7.77] * 10}), {"A": [1.0] * 10})
    assert len(sim.orders) == 1


def _raises(error: type[Exception], code: str, bars: Bars, targets: pd.DataFrame, **market: object) -> None:
    with pytest.raises(error) as caught:
        simulate(Market(bars, **market), targets, FREE, Rules())  # type: ignore[arg-type]
    assert caught.value.code == code


def test_what_cannot_be_simulated_is_refused() -> None:
    bars = table({"A": [10.0] * 10})
    fine = wishes(bars, {"A": {0: 1.0}})
    _raises(DataQualityError, "NO_BARS", bars.rows(0, 0), fine.iloc[:0])
    _raises(DataQualityError, "NOT_RAW", replace(bars, adjust="all"), fine)
    _raises(DataQualityError, "BAD_PRICE", table({"A": [10.0] * 9 + [0.0]}), fine)
    _raises(DataQualityError, "BAD_PRICE", table({"A": [10.0] * 9 + [-1.0]}), fine)
    _raises(DataQualityError, "TARGETS_INFINITE", bars, fine.replace(1.0, np.inf))
    _raises(UsageError, "TARGETS_SHAPE", bars, fine.iloc[1:])
    _raises(UsageError, "TARGETS_SHAPE", bars, fine.rename(columns={"A": "B"}))
    _raises(UsageError, "TARGETS_TYPE", bars, fine.astype(object).replace(1.0, "much"))
    euro = CorporateAction(
        "A", "dividend", day(3), cash_amount=dividend("A", 3, "1").cash_amount, currency="EUR"
    )
    _raises(DataQualityError, "MIXED_CURRENCIES", bars, fine, actions=(euro, dividend("A", 4, "1")))


@pytest.mark.parametrize("rules", [{"cash": 0.0}, {"cash": float("inf")}, {"fill": "yesterday"}])
def test_impossible_rules_are_refused(rules: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Rules(**rules)  # type: ignore[arg-type]


def test_the_caller_s_frames_are_not_touched() -> None:
    bars = table({"A": [10, 10, 10, 10, 10, 99, 99, 99, 99, 99]})
    targets = wishes(bars, {"A": {0: 1.0}})
    before, wished = bars.fingerprint(), targets.copy()
    simulate(Market(bars, delisted={"A": day(4)}), targets, FREE, Rules())
    assert bars.fingerprint() == before
    pd.testing.assert_frame_equal(targets, wished)


def test_simulating_does_not_load_vectorbt_and_leaves_nothing_in_its_name() -> None:
    # other tests of this process may have loaded all of vectorbt; then there is nothing to lend
    loaded = "vectorbt" in sys.modules
    play(table({"A": [10.0] * 10}), {"A": {0: 1.0}})
    assert ("vectorbt" in sys.modules) == loaded
    assert loaded or "vectorbt.portfolio.enums" not in sys.modules


def test_the_engine_names_its_versions() -> None:
    found = engine.engine_versions()
    assert found["vectorbt"] == found["vectorbt-rust"]
    assert set(found) == {"vectorbt", "vectorbt-rust", "numpy", "qfund"}

"""Every metric is a number or a reason, and the ones that count are checked against paper."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from qfund.backtest.costs import PRESETS, CostModel
from qfund.backtest.engine import Market, Rules, Simulation, simulate
from qfund.backtest.metrics import Metric, compute, conventions
from qfund.market.sessions import sessions_per_year
from tests.backtest.paper import NAN, day, dividend, play, table
from tests.backtest.test_ledger import World, worlds

BOLD = {
    *("start_equity", "end_equity", "net_profit", "total_return", "cagr", "benchmark_return"),
    *("annual_volatility", "max_drawdown", "max_drawdown_start", "max_drawdown_trough"),
    *("max_drawdown_recovery", "longest_drawdown_days", "sharpe", "psr", "dsr", "sortino", "calmar"),
    *("information_ratio", "beta", "alpha", "correlation", "trades", "win_rate", "win_rate_long"),
    *("win_rate_short", "profit_factor", "expectancy", "avg_holding", "max_win_streak", "max_loss_streak"),
    *("max_gross", "avg_gross", "avg_net", "turnover", "fees", "cost_drag_bps", "trials"),
}


def measured(sim: Simulation, benchmark: pd.Series | None = None, **more: object) -> dict[str, object]:
    found = compute(sim, calendar="XNYS", benchmark=benchmark, **more)  # type: ignore[arg-type]
    assert_sound(found)
    return {name: metric.value for name, metric in found.items()}


def assert_sound(found: dict[str, Metric]) -> None:
    for name, metric in found.items():
        assert (metric.value is None) == (metric.reason is not None), name
        assert not isinstance(metric.value, float) or math.isfinite(metric.value), name
        assert isinstance(metric.value, (float, int, str, type(None))), name
        assert not isinstance(metric.value, np.generic), name


def test_ten_rows_on_paper() -> None:
    # 100 shares at 10; equity 1000 1000 1100 1210 1089 1089 1210 1331 1331 1331 over nine calendar days
    closes = [10, 10, 11, 12.1, 10.89, 10.89, 12.1, 13.31, 13.31, 13.31]
    sim = play(table({"A": [10.0] * 2 + closes[2:]}, {"A": closes}), {"A": {0: 1.0}})
    found = measured(sim)
    assert found["total_return"] == pytest.approx(0.331)
    assert found["net_profit"] == pytest.approx(331)
    years = 9 / 365.25
    assert found["cagr"] == pytest.approx(1.331 ** (1 / years) - 1)
    assert found["max_drawdown"] == pytest.approx(-0.1)
    assert found["max_drawdown_daily"] == pytest.approx(-0.1)
    assert found["max_drawdown_start"] == "2024-01-04"
    assert found["max_drawdown_trough"] == "2024-01-05"
    assert found["max_drawdown_recovery"] == "2024-01-07"
    assert found["longest_drawdown_days"] == 3
    assert found["calmar"] == pytest.approx((1.331 ** (1 / years) - 1) / 0.1)
    returns = np.array([0, 0.1, 0.1, -0.1, 0, 1 / 9, 0.1, 0, 0])
    per_year = sessions_per_year("XNYS", day(0), day(9))
    assert found["sharpe"] == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(per_year))
    # one return of -0.1 below zero: √(0.01 / 9)
    assert found["sortino"] == pytest.approx(returns.mean() / (0.1 / 3) * math.sqrt(per_year))
    assert found["annual_volatility"] == pytest.approx(returns.std(ddof=1) * math.sqrt(per_year))
    assert found["time_underwater"] == pytest.approx(0.2)
    assert (found["avg_gross"], found["max_gross"]) == pytest.approx((0.9, 1.0))
    assert found["positive_days"] == pytest.approx(4 / 9)
    assert (found["trades"], found["open_trades"], found["win_rate"]) == (1, 1, None)


def test_trades_on_paper() -> None:
    # four trades on 1000, 10 shares each: +20, -10, -10, +40
    opens = [10, 10, 12, 12, 11, 11, 10, 10, 14, 14]
    given_ = {"A": [0.1, 0.0, 0.12 / 1.02, 0.0, 0.11 / 1.01, 0.0, 0.1, 0.0, NAN, NAN]}
    sim = play(table({"A": opens}), given_)
    assert sim.trades["pnl"].tolist() == pytest.approx([20, -10, -10, 40], rel=1e-9)
    found = measured(sim)
    assert (found["trades"], found["closed_trades"], found["win_rate"]) == (4, 4, 0.5)
    assert found["profit_factor"] == pytest.approx(3.0)
    assert found["expectancy"] == pytest.approx(10.0)
    assert found["expectancy_r"] == pytest.approx(1.0)
    assert found["payoff"] == pytest.approx(3.0)
    assert found["kelly"] == pytest.approx(0.5 - 0.5 / 3)
    assert found["expectancy_pct"] == pytest.approx((0.2 - 10 / 120 - 10 / 110 + 0.4) / 4)
    assert (found["max_win_streak"], found["max_loss_streak"], found["current_streak"]) == (1, 2, 1)
    assert (found["avg_holding"], found["win_rate_long"], found["win_rate_short"]) == (1.0, 0.5, None)


def test_costs_and_turnover_on_paper() -> None:
    # buy 500, hold, sell 500; 1 % commission: 5 + 5; average of the ten closes 1000, 8 × 995 and 990
    bars = table({"A": [10.0] * 10})
    sim = play(bars, {"A": {0: 0.5, 8: 0.0}}, costs=CostModel("p", commission_bps=100))
    found = measured(sim)
    assert sim.equity.tolist() == pytest.approx([1000] + [995] * 8 + [990])
    average, years = (1000 + 8 * 995 + 990) / 10, 9 / 365.25
    assert (found["fees"], found["costs"], found["spread"]) == pytest.approx((10, 10, 0))
    assert found["turnover"] == pytest.approx(500 / average / years)
    assert found["cost_drag_bps"] == pytest.approx(10 / average / years * 1e4)
    assert found["gross_return"] == pytest.approx(0.0)
    assert (found["orders"], found["avg_order"]) == (2, 500)


def test_against_a_benchmark_with_twice_the_moves() -> None:
    closes = [10, 10, 11, 12.1, 10.89, 10.89, 12.1, 13.31, 13.31, 13.31]
    sim = play(table({"A": [10.0] * 2 + closes[2:]}, {"A": closes}), {"A": {0: 1.0}})
    own = sim.equity.pct_change().fillna(0.0)
    benchmark = (1000 * (1 + 2 * own).cumprod()).rename("benchmark")
    found = measured(sim, benchmark)
    assert (found["beta"], found["correlation"], found["r_squared"]) == pytest.approx((0.5, 1.0, 1.0))
    assert found["alpha"] == pytest.approx(0.0, abs=1e-12)
    assert found["information_ratio"] == pytest.approx(-found["sharpe"])  # excess is minus the own return
    assert found["up_capture"] == pytest.approx(0.5)
    assert found["benchmark_return"] == pytest.approx(benchmark.iloc[-1] / 1000 - 1)


def test_every_bold_metric_is_there_and_no_benchmark_is_a_reason() -> None:
    found = compute(play(table({"A": [10.0] * 10}), {}), calendar="XNYS", benchmark=None)
    assert found.keys() >= BOLD
    assert found["beta"] == Metric(None, "no benchmark was given")


@pytest.mark.parametrize(
    "closes",
    [[10.0], [10.0, 10.0], [10.0] * 10, [10, 10, 0.0001] + [0.0001] * 7],
    ids=["one bar", "two bars", "constant", "nearly nothing left"],
)
@pytest.mark.parametrize("weight", [NAN, 0.0, 1.0, -1.0])
def test_degenerate_runs_have_a_reason_for_every_null(closes: list[float], weight: float) -> None:
    sim = play(table({"A": closes}), {"A": {0: weight}}, costs=PRESETS["us-equities"])
    measured(sim, sim.equity)


def test_a_total_loss_has_a_cagr_of_minus_one_and_no_infinite_figure() -> None:
    sim = play(table({"A": [10, 10, 10, 25, 5, 5, 5, 5, 5, 5]}), {"A": {0: -1.0}})
    found = measured(sim, sim.equity)
    assert found["cagr"] == -1.0
    assert found["total_return"] == -1.5
    assert found["max_drawdown"] == -1.5
    assert found["log_return"] is None


@given(worlds())
@settings(max_examples=60, deadline=None)
def test_no_market_makes_a_figure_infinite(world: World) -> None:
    sim = simulate(world.market, world.targets, world.costs, world.rules)
    measured(sim, sim.equity.clip(lower=1.0), trials=7, risk_free=0.03)


def test_minute_bars_are_measured_at_session_closes() -> None:
    index = pd.DatetimeIndex(
        [f"2024-01-0{d}T{h}:00Z" for d in (2, 3, 4) for h in ("15", "18", "21")], name="time"
    )
    sessions = pd.DatetimeIndex(np.repeat(["2024-01-02", "2024-01-03", "2024-01-04"], 3))
    closes = [10, 10, 11, 5, 5, 11, 11, 11, 12.1]
    bars = table(
        {"A": [10, 10, *closes[2:]]}, {"A": closes}, index=index, timeframe="1m", session_of_row=sessions
    )
    sim = play(bars, {"A": {0: 1.0}})
    found = measured(sim)
    assert (found["sessions"], found["bars"]) == (3, 9)
    # the first session moved from 1000 to 1100, so it is a return
    returns = np.array([0.1, 0.0, 0.1])
    per_year = sessions_per_year("XNYS", sessions[0].date(), sessions[-1].date())
    assert found["sharpe"] == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(per_year))
    # 1100 → 500 within a session: seen by the bars, not by the closes
    assert found["max_drawdown"] == pytest.approx(-6 / 11)
    assert found["max_drawdown_daily"] == 0.0
    assert found["max_drawdown_start"] == "2024-01-02T21:00:00+00:00"


def test_dividends_are_counted() -> None:
    sim = play(table({"A": [10.0] * 10}), {"A": {0: 1.0}}, actions=[dividend("A", 3, "0.5")])
    assert measured(sim)["dividends"] == 50


def test_more_trials_deflate_the_sharpe_ratio() -> None:
    draw = np.random.default_rng(5)
    prices = (50 * np.cumprod(1 + draw.normal(0.001, 0.01, 300))).tolist()
    sim = play(table({"A": prices}), {"A": {0: 1.0}})
    once, often = measured(sim), measured(sim, trials=50)
    assert once["dsr"] == once["psr"]
    assert often["dsr"] < once["dsr"]
    assert often["trials"] == 50


def test_the_line_under_every_report_says_how_it_was_computed() -> None:
    # 251 sessions in the 365 days up to 2024-01-10: 251 / (365 / 365.25) = 251.17
    bars = table({"A": [10.0] * 10})
    rules = Rules(cash=1000, fractional=False)
    sim = simulate(Market(bars), pd.DataFrame(NAN, bars.index, bars.close.columns), PRESETS["none"], rules)
    line = conventions(
        sim, calendar="XNYS", costs=PRESETS["us-equities"], rules=rules, fingerprint="f3a9", as_of=None
    )
    assert line == (
        "calendar XNYS 251.2/yr · rf 0 % · returns daily close-to-close · costs us-equities (commission 1 bps, "
        "half spread 2 bps, slippage 2 bps) · fills next_open · whole shares · data f3a9 as-of all that is stored"
    )

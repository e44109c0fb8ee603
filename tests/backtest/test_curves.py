"""Drawdowns, calendar returns and rolling ratios of equity curves small enough to check by eye."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from qfund.backtest.curves import daily, drawdown, drawdowns, monthly, returns_by, rolling_sharpe, yearly


def curve(values: list[float], start: str = "2024-01-01", freq: str = "D") -> pd.Series:
    return pd.Series(values, index=pd.date_range(start, periods=len(values), freq=freq), dtype=float)


def test_drawdowns_have_a_peak_a_trough_and_a_recovery() -> None:
    # peak 120 on day 2, trough 90 on day 4 (-25 %), back at 120 on day 6; then 110 of 130: -2/13, open
    equity = curve([100, 120, 108, 90, 110, 120, 130, 117, 110])
    assert drawdown(equity).tolist() == pytest.approx([0, 0, -0.1, -0.25, -1 / 12, 0, 0, -0.1, -2 / 13])
    table = drawdowns(equity)
    assert table["depth"].tolist() == pytest.approx([-0.25, -2 / 13])
    assert [str(day.date()) for day in table["peak"]] == ["2024-01-02", "2024-01-07"]
    assert [str(day.date()) for day in table["trough"]] == ["2024-01-04", "2024-01-09"]
    assert str(table["recovered"].iloc[0].date()) == "2024-01-06"
    assert table["recovered"].iloc[1] is pd.NaT
    assert table["days"].tolist() == [4, 2]
    assert len(drawdowns(equity, 1)) == 1


def test_an_equity_that_only_rises_has_no_drawdown() -> None:
    table = drawdowns(curve([1, 2, 3]))
    assert table.empty
    assert list(table.columns) == ["peak", "trough", "recovered", "depth", "days"]


def test_months_and_years_start_where_the_one_before_ended() -> None:
    # Nov 100 → 110, Dec → 99, Jan → 198
    equity = pd.Series(
        [100.0, 110, 120, 99, 150, 198],
        index=pd.DatetimeIndex(
            ["2023-11-01", "2023-11-30", "2023-12-10", "2023-12-29", "2024-01-05", "2024-01-31"]
        ),
    )
    table = monthly(equity)
    assert table.index.tolist() == [2023, 2024]
    assert list(table.columns) == list(range(1, 13))
    assert table.loc[2023, [11, 12]].tolist() == pytest.approx([0.10, -0.10])
    assert table.loc[2024, 1] == pytest.approx(1.0)
    assert int(table.notna().sum().sum()) == 3
    assert yearly(equity).to_dict() == pytest.approx({2023: -0.01, 2024: 1.0})
    assert returns_by(daily(equity), "M") == pytest.approx([0.10, -0.10, 1.0])


def test_minute_bars_are_taken_at_the_close_of_their_session() -> None:
    index = pd.DatetimeIndex(["2024-01-02T23:00Z", "2024-01-03T01:00Z", "2024-01-03T23:00Z"])
    equity = pd.Series([1.0, 2.0, 3.0], index=index)
    sessions = pd.DatetimeIndex(["2024-01-03", "2024-01-03", "2024-01-04"])
    assert daily(equity, sessions).to_dict() == {sessions[0]: 2.0, sessions[2]: 3.0}
    assert daily(equity).tolist() == [1.0, 3.0]


def test_a_rolling_ratio_is_the_ratio_of_each_window() -> None:
    draw = np.random.default_rng(3)
    equity = curve((100 * np.cumprod(1 + draw.normal(0, 0.01, 40))).tolist(), freq="B")
    rolled = rolling_sharpe(equity, 20, "XNYS")
    assert rolled.iloc[:20].isna().all()
    window = equity.pct_change().iloc[-20:]
    per_year = rolled.iloc[-1] ** 2 / (window.mean() / window.std()) ** 2
    assert 248 <= per_year <= 254
    assert rolling_sharpe(curve([100.0] * 40), 20, "XNYS").isna().all()


def test_a_lost_account_has_no_later_returns() -> None:
    equity = curve([100, 50, -10, -10] + [-10] * 40, freq="D")
    assert yearly(equity).tolist() == pytest.approx([-1.1])
    assert np.isfinite(rolling_sharpe(equity, 2, "XNYS").dropna()).all()

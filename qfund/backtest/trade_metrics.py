"""Trade metrics: what the round trips of a simulation say.

Promises: figures of won and lost money come from closed trades only; open ones are counted and valued apart.
An undefined figure carries its reason, see :mod:`qfund.backtest.ratios`.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from qfund.backtest.ratios import Metric, absent, metric, quotient

NO_TRADES = "no trade was closed"
NO_WINS = "no trade won"
NO_LOSSES = "no trade lost"


def trade_metrics(trades: pd.DataFrame, years: float) -> dict[str, Metric]:
    """Every figure of the trades.

    Args:
        trades: as :func:`qfund.backtest.trades.round_trips` returns them.
        years: length of the period, for the number of trades a year.
    """
    closed = trades[trades["status"] == "closed"].sort_values("exited_at", kind="stable")
    still = trades[trades["status"] == "open"]
    long = trades["direction"] == "long"
    return {
        "trades": Metric(len(trades)),
        "closed_trades": Metric(len(closed)),
        "open_trades": Metric(len(still)),
        "long_trades": Metric(int(long.sum())),
        "short_trades": Metric(int((~long).sum())),
        "long_pnl": metric(float(trades.loc[long, "pnl"].sum())),
        "short_pnl": metric(float(trades.loc[~long, "pnl"].sum())),
        "open_pnl": metric(float(still["pnl"].sum())),
        "trades_per_year": quotient(len(trades), years, "the period is shorter than a day"),
        **_money(closed),
        **_percent(closed),
        **_holding(closed),
        **_streaks(np.sign(closed["pnl"].to_numpy(dtype=float))),
    }


def _money(closed: pd.DataFrame) -> dict[str, Metric]:
    pnl = closed["pnl"].to_numpy(dtype=float)
    long = (closed["direction"] == "long").to_numpy()
    wins, losses = pnl[pnl > 0], pnl[pnl < 0]
    win_rate = quotient(len(wins), len(pnl), NO_TRADES)
    payoff = _payoff(wins, losses)
    average_loss = -float(losses.mean()) if len(losses) else 0.0
    expectancy = _mean(pnl, NO_TRADES)
    return {
        "win_rate": win_rate,
        "win_rate_long": quotient(int((pnl[long] > 0).sum()), int(long.sum()), "no long trade was closed"),
        "win_rate_short": quotient(
            int((pnl[~long] > 0).sum()), int((~long).sum()), "no short trade was closed"
        ),
        "loss_rate": quotient(len(losses), len(pnl), NO_TRADES),
        "draws": Metric(int((pnl == 0).sum())),
        "profit_factor": quotient(
            float(wins.sum()), -float(losses.sum()), NO_LOSSES if len(pnl) else NO_TRADES
        ),
        "expectancy": expectancy,
        "expectancy_r": quotient(_or_nan(expectancy), average_loss, NO_LOSSES if len(pnl) else NO_TRADES),
        "payoff": payoff,
        "avg_win": _mean(wins, NO_WINS),
        "avg_loss": _mean(losses, NO_LOSSES),
        "largest_win": _most(wins, NO_WINS),
        "largest_loss": metric(float(losses.min())) if len(losses) else absent(NO_LOSSES),
        "sqn": _sqn(pnl),
        "kelly": _kelly(win_rate, payoff),
    }


def _percent(closed: pd.DataFrame) -> dict[str, Metric]:
    """Returns of trades as fractions of the money put in."""
    each = closed["pnl_pct"].to_numpy(dtype=float) / 100
    rise = closed["mfe_pct"].to_numpy(dtype=float) / 100
    fall = closed["mae_pct"].to_numpy(dtype=float) / 100
    return {
        "expectancy_pct": _mean(each, NO_TRADES),
        "median_trade": metric(float(np.median(each))) if len(each) else absent(NO_TRADES),
        "best_trade": _most(each, NO_TRADES),
        "worst_trade": metric(float(each.min())) if len(each) else absent(NO_TRADES),
        "avg_mfe": _mean(rise, NO_TRADES),
        "avg_mae": _mean(fall, NO_TRADES),
        "edge_ratio": quotient(
            float(rise.mean()) if len(rise) else 0.0,
            -float(fall.mean()) if len(fall) else 0.0,
            "no trade was ever under water" if len(fall) else NO_TRADES,
        ),
    }


def _holding(closed: pd.DataFrame) -> dict[str, Metric]:
    """Bars between entry and exit."""
    bars = closed["bars"].to_numpy(dtype=float)
    pnl = closed["pnl"].to_numpy(dtype=float)
    return {
        "avg_holding": _mean(bars, NO_TRADES),
        "avg_holding_wins": _mean(bars[pnl > 0], NO_WINS),
        "avg_holding_losses": _mean(bars[pnl < 0], NO_LOSSES),
        "max_holding": _most(bars, NO_TRADES),
        "min_holding": metric(float(bars.min())) if len(bars) else absent(NO_TRADES),
    }


def _streaks(signs: np.ndarray) -> dict[str, Metric]:
    longest = {1.0: 0, -1.0: 0}
    run, last = 0, 0.0
    for sign in signs:
        run = run + 1 if sign == last and sign != 0 else int(sign != 0)
        last = float(sign)
        if last:
            longest[last] = max(longest[last], run)
    return {
        "max_win_streak": Metric(longest[1.0]),
        "max_loss_streak": Metric(longest[-1.0]),
        "current_streak": Metric(run if last >= 0 else -run),
    }


def _sqn(pnl: np.ndarray) -> Metric:
    """Mean over deviation of the trades' profit, × √count. Source: Tharp (2008), system quality number."""
    if len(pnl) < 2:
        return absent("fewer than two closed trades")
    spread = float(np.std(pnl, ddof=1))
    return quotient(math.sqrt(len(pnl)) * float(pnl.mean()), spread, "the trades do not vary")


def _kelly(win_rate: Metric, payoff: Metric) -> Metric:
    """``p - (1 - p) / payoff``. Source: Kelly (1956)."""
    if not isinstance(win_rate.value, float) or not isinstance(payoff.value, float):
        return absent(win_rate.reason or payoff.reason or NO_TRADES)
    return metric(win_rate.value - (1 - win_rate.value) / payoff.value)


def _payoff(wins: np.ndarray, losses: np.ndarray) -> Metric:
    if not len(wins) or not len(losses):
        return absent(NO_WINS if not len(wins) else NO_LOSSES)
    return metric(float(wins.mean()) / -float(losses.mean()))


def _mean(values: np.ndarray, reason: str) -> Metric:
    return metric(float(values.mean())) if len(values) else absent(reason)


def _most(values: np.ndarray, reason: str) -> Metric:
    return metric(float(values.max())) if len(values) else absent(reason)


def _or_nan(found: Metric) -> float:
    return float(found.value) if isinstance(found.value, (int, float)) else math.nan

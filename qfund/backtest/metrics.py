"""Metrics: every figure of a simulation by name, and the line that says how they were computed.

Promises: the names are stable; returns, drawdowns and probabilities are fractions (0.12 is 12 %), losses and
drawdowns negative; a figure that is undefined is None with a reason, never infinite. Conventions:
``docs/guides/conventions.md``. Nothing here trades or draws.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd

from qfund.backtest.costs import CostModel
from qfund.backtest.curves import daily, drawdown, drawdowns, monthly, rolling_sharpe, yearly
from qfund.backtest.inputs import Rules
from qfund.backtest.performance import (
    ONE_SESSION,
    RUINED,
    Path,
    benchmark_metrics,
    calendar_metrics,
    path_of,
    ratio_metrics,
    return_metrics,
    risk_metrics,
)
from qfund.backtest.ratios import Metric, absent, metric, quotient
from qfund.backtest.simulation import Simulation
from qfund.backtest.trade_metrics import trade_metrics
from qfund.market.sessions import sessions_per_year

__all__ = [
    "Metric",
    "compute",
    "conventions",
    "daily",
    "drawdown",
    "drawdowns",
    "monthly",
    "rolling_sharpe",
    "yearly",
]


def compute(
    sim: Simulation,
    *,
    calendar: str,
    benchmark: pd.Series | None,
    risk_free: float = 0.0,
    trials: int = 1,
) -> dict[str, Metric]:
    """Every metric of a simulation, in the order of a report.

    Args:
        sim: what happened.
        calendar: ``exchange_calendars`` name; its sessions annualise.
        benchmark: equity of the alternative on the same cash, index of the simulation; None for none.
        risk_free: a year, simple.
        trials: runs of this strategy so far, this one counted; deflates the Sharpe ratio.
    """
    path = path_of(sim.equity, sim, calendar, risk_free)
    other = None if benchmark is None else path_of(benchmark, sim, calendar, risk_free)
    return {
        **_period(sim, path),
        **return_metrics(sim, path, other),
        **calendar_metrics(path),
        **risk_metrics(path),
        **ratio_metrics(path, trials),
        **benchmark_metrics(path, other),
        **trade_metrics(sim.trades, path.years),
        **_exposure(sim),
        **_costs(sim, path),
    }


def conventions(
    sim: Simulation,
    *,
    calendar: str,
    costs: CostModel,
    rules: Rules,
    fingerprint: str,
    as_of: datetime | None,
    risk_free: float = 0.0,
) -> str:
    """The line under every report: how the numbers were computed."""
    first, last = sim.sessions[0].date(), sim.sessions[-1].date()
    shares = "fractional shares" if rules.fractional else "whole shares"
    known = "all that is stored" if as_of is None else as_of.isoformat()
    return " · ".join(
        [
            f"calendar {calendar} {sessions_per_year(calendar, first, last):.1f}/yr",
            f"rf {100 * risk_free:g} %",
            "returns daily close-to-close",
            f"costs {costs.describe()}",
            f"fills {rules.fill}",
            shares,
            f"data {fingerprint} as-of {known}",
        ]
    )


def _period(sim: Simulation, path: Path) -> dict[str, Metric]:
    return {
        "since": Metric(str(sim.sessions[0].date())),
        "until": Metric(str(sim.sessions[-1].date())),
        "sessions": Metric(len(path.closes)),
        "bars": Metric(len(sim.equity)),
        "symbols": Metric(sim.units.shape[1]),
    }


def _exposure(sim: Simulation) -> dict[str, Metric]:
    equity = sim.equity.to_numpy(dtype=float)
    value = sim.value.to_numpy(dtype=float)
    alive = equity > 0
    long, short = np.maximum(value, 0).sum(axis=1), np.minimum(value, 0).sum(axis=1)
    if not alive.any():
        gross = net = np.zeros(1)
    else:
        gross = (long - short)[alive] / equity[alive]
        net = (long + short)[alive] / equity[alive]
    total = long - short
    held = total > 0
    share = (value[held] ** 2).sum(axis=1) / total[held] ** 2
    return {
        "max_gross": metric(float(gross.max())),
        "avg_gross": metric(float(gross.mean())),
        "max_net": metric(float(net.max())),
        "min_net": metric(float(net.min())),
        "avg_net": metric(float(net.mean())),
        "time_in_market": metric(float(held.mean())),
        "concentration": _mean(share, "nothing was ever held"),
        "min_cash": metric(float(sim.cash.min())),
        "max_cash": metric(float(sim.cash.max())),
    }


def _costs(sim: Simulation, path: Path) -> dict[str, Metric]:
    """Orders and what they cost; turnover is half of all buying and selling, of average equity, a year."""
    orders = sim.orders
    traded = orders["shares"].to_numpy() * orders["price"].to_numpy()
    average = float(path.closes.mean())
    paid = {name: float(amount) for name, amount in sim.paid.items()}
    total = sum(paid.values())
    base = average * path.years if average > 0 else 0.0
    few = ONE_SESSION if path.years <= 0 else RUINED
    return {
        "orders": Metric(len(orders)),
        "orders_cut": Metric(sim.cut),
        "orders_refused": Metric(sim.refused),
        "avg_order": _mean(traded, "no order was filled"),
        "volume": metric(float(traded.sum())),
        "turnover": quotient(float(traded.sum()) / 2, base, few),
        "fees": metric(paid["commission"]),
        "spread": metric(paid["spread"]),
        "slippage": metric(paid["slippage"]),
        "costs": metric(total),
        "cost_drag_bps": quotient(total * 1e4, base, few),
        "dividends": metric(float(sim.dividends["amount"].sum())),
    }


def _mean(values: np.ndarray, reason: str) -> Metric:
    return metric(float(values.mean())) if len(values) else absent(reason)

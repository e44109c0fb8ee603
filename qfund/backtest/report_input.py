"""Everything a report shows, as plain things.

Promises: nothing here needs an engine, a store or a strategy, so that a stored run can be reported as well as
a fresh one, and a test can write one by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from qfund.backtest.metrics import Metric


@dataclass(frozen=True, eq=False)
class ReportInput:
    """What one report is made from.

    Attributes:
        title: name of the strategy.
        description: what it does, one sentence; may be empty.
        run_id: identity of the run.
        generated_at: when the report was asked for, timezone-aware; the only clock on the page.
        universe: the symbols, in order.
        timeframe: ``1d`` or ``1m``.
        sessions: the session of each bar, naive midnights; the index of the equity itself for daily bars.
        calendar: ``exchange_calendars`` name, for the rolling ratio's sessions per year.
        currency: of every amount, ISO code.
        params: parameter → value.
        metrics: name → value or reason, as ``metrics.compute`` returns them.
        equity: account value after each bar; float64, currency units, index sessions
            (naive) or bar ends (UTC).
        benchmark: the same cash in the benchmark, same index, or None.
        benchmark_name: for people, ``equal parts, bought and held``.
        gross: value long plus value short, as a fraction of equity; same index.
        net: value long minus value short, as a fraction of equity; same index.
        turnover: value bought plus value sold in each bar, as a fraction of equity; same index.
        trades: one row per trade, the columns of ``Simulation.trades``.
        dividends: received less paid over the run, currency units.
        costs: ``commission``, ``spread``, ``slippage`` → currency units paid.
        contribution: symbol → net profit, currency units.
        warnings: plain sentences, most serious first.
        provenance: name and value of everything that made the run, in order.
        conventions: the line that says how the numbers were computed.
        command: what repeats the run, as typed in a shell.
    """

    title: str
    description: str
    run_id: str
    generated_at: datetime
    universe: tuple[str, ...]
    timeframe: str
    sessions: pd.DatetimeIndex
    calendar: str
    currency: str
    params: Mapping[str, object]
    metrics: Mapping[str, Metric]
    equity: pd.Series
    benchmark: pd.Series | None
    benchmark_name: str
    gross: pd.Series
    net: pd.Series
    turnover: pd.Series
    trades: pd.DataFrame
    dividends: float
    costs: Mapping[str, float]
    contribution: pd.Series
    warnings: tuple[str, ...]
    provenance: tuple[tuple[str, str], ...]
    conventions: str
    command: str

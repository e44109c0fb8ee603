"""A finished backtest in the two forms that outlive it: the stored run, and what its report shows.

Promises: both say the same numbers, taken from the result as they are. Nothing here computes a metric, writes
a file or reads the clock.
"""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from qfund.backtest.report import ReportInput
from qfund.backtest.run import Backtest, Wish
from qfund.backtest.simulation import Simulation
from qfund.store.runs import RunRecord


def run_record(result: Backtest, *, report: Path | None, git_commit: str | None) -> RunRecord:
    """The run as the store keeps it: what made it, equity, trades, last positions, metrics."""
    simulation = result.simulation
    gross, net = exposure(simulation)
    equity = pd.DataFrame(
        {
            "equity": simulation.equity,
            "cash": simulation.cash,
            "gross": gross,
            "net": net,
            "benchmark": result.benchmark,
        }
    )
    identity = result.identity
    return RunRecord(
        run_id=result.run_id,
        run_type="backtest",
        strategy=result.loaded.name,
        code_sha256=result.loaded.code_sha256,
        params=dict(result.strategy.params),
        symbols=result.raw.symbols,
        timeframe=result.raw.timeframe,
        adjust=result.data.signals.adjust,
        since=result.raw.sessions[0].date(),
        until=result.raw.sessions[-1].date(),
        data_asof=result.data.raw.as_of or result.started_at,
        data_fingerprint=str(identity["data"]),
        costs=_mapping(identity["costs"]),
        rules=_mapping(identity["rules"])
        | {"source": result.data.source, "benchmark": result.benchmark_name},
        engine=_mapping(identity["engine"]),
        metrics={
            name: {"value": metric.value, "reason": metric.reason} for name, metric in result.metrics.items()
        },
        warnings=result.warnings,
        git_commit=git_commit,
        started_at=result.started_at,
        ended_at=result.ended_at,
        report_path=None if report is None else str(report),
        equity=equity,
        trades=simulation.trades,
        positions=_last_positions(simulation),
        orders=len(simulation.orders),
    )


def report_input(
    result: Backtest, *, command: str, generated_at: datetime, git_commit: str | None
) -> ReportInput:
    """What the report shows; ``generated_at`` is the only clock on its page."""
    simulation = result.simulation
    gross, net = exposure(simulation)
    # its own words only: getdoc would hand on those of the class that it extends
    doc = inspect.cleandoc(result.loaded.cls.__doc__ or "")
    return ReportInput(
        title=result.loaded.name,
        description=" ".join(doc.partition("\n\n")[0].split()),
        run_id=result.run_id,
        generated_at=generated_at,
        universe=result.raw.symbols,
        timeframe=result.raw.timeframe,
        sessions=result.raw.sessions,
        calendar=result.raw.calendar,
        currency="USD",
        params=dict(result.strategy.params),
        metrics=result.metrics,
        equity=simulation.equity,
        benchmark=result.benchmark,
        benchmark_name=result.benchmark_name,
        gross=gross,
        net=net,
        turnover=turnover(simulation),
        trades=simulation.trades,
        dividends=float(simulation.dividends["amount"].sum()),
        costs=simulation.paid,
        contribution=contribution(simulation),
        warnings=result.warnings,
        provenance=_provenance(result, git_commit),
        conventions=result.conventions,
        command=command,
    )


def exposure(simulation: Simulation) -> tuple[pd.Series, pd.Series]:
    """Gross and net exposure after each bar as fractions of equity; NaN where nothing is left."""
    equity = simulation.equity.where(simulation.equity > 0)
    gross = simulation.value.abs().sum(axis=1) / equity
    net = simulation.value.sum(axis=1) / equity
    return gross, net


def turnover(simulation: Simulation) -> pd.Series:
    """Value bought plus value sold in each bar, as a fraction of the equity after it."""
    orders = simulation.orders
    traded = (orders["shares"] * orders["price"]).groupby(orders["time"]).sum()
    equity = simulation.equity.where(simulation.equity > 0)
    return (traded.reindex(equity.index).fillna(0.0) / equity).rename("turnover")


def contribution(simulation: Simulation) -> pd.Series:
    """Net profit of each symbol, open trades included, in currency units; index symbols."""
    trades = simulation.trades
    earned = trades["pnl"].astype(float).groupby(trades["symbol"].astype(str)).sum()
    return earned.reindex([str(symbol) for symbol in simulation.units.columns]).fillna(0.0)


def repeat_command(
    result: Backtest, wish: Wish, *, costs: str, cost: Mapping[str, str], as_of: datetime | None
) -> str:
    """The command line that repeats the run on the same stored data.

    Args:
        result: the run.
        wish: what was asked for.
        costs: the preset.
        cost: what was changed of the preset.
        as_of: the moment whose knowledge was used.
    """
    words = ["qfund", "backtest", result.loaded.asked_for]
    for name, value in result.strategy.params.items():
        words += ["-p", f"{name}={value}"]
    since: date = result.raw.sessions[0].date()
    until: date = result.raw.sessions[-1].date()
    members = result.data.membership
    words += ["--universe", members.universe] if members else ["--symbols", ",".join(result.raw.symbols)]
    words += ["--vendor", result.data.vendor]
    words += ["--timeframe", result.raw.timeframe, "--since", str(since), "--until", str(until)]
    words += ["--adjust", result.data.signals.adjust, "--cash", _exact(wish.rules.cash)]
    words += ["--costs", costs]
    for name, value in cost.items():
        words += ["--cost", f"{name}={value}"]
    words.append("--fractional" if wish.rules.fractional else "--whole-shares")
    words += ["--fill", wish.rules.fill]
    if wish.benchmark:
        words += ["--benchmark", wish.benchmark]
    if as_of is not None:
        words += ["--as-of", as_of.isoformat()]
    return shlex.join(words)


def _exact(amount: float) -> str:
    """A number with every digit it has: ``100000``, ``1234567.89``."""
    return str(int(amount)) if amount == int(amount) else repr(amount)


def _last_positions(simulation: Simulation) -> pd.DataFrame:
    """What is held after the last bar: columns symbol, shares, price, value; only what is not zero."""
    if simulation.units.empty:
        return pd.DataFrame({"symbol": [], "shares": [], "price": [], "value": []})
    shares = simulation.units.iloc[-1].to_numpy(dtype=float)
    value = simulation.value.iloc[-1].to_numpy(dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        price = value / shares
    frame = pd.DataFrame(
        {
            "symbol": [str(symbol) for symbol in simulation.units.columns],
            "shares": shares,
            "price": price,
            "value": value,
        }
    )
    return frame[frame["shares"] != 0].reset_index(drop=True)


def _provenance(result: Backtest, git_commit: str | None) -> tuple[tuple[str, str], ...]:
    data = result.data
    pairs = [
        ("Strategy", f"{result.loaded.name}, code {result.loaded.code_sha256[:12]}"),
        ("Data", f"{data.source}, fingerprint {result.identity['data']}"),
        ("Known as of", str(data.raw.as_of or "all that is stored")),
        ("Prices seen", f"adjusted: {data.signals.adjust}; money on raw prices"),
        (
            "Engine",
            ", ".join(f"{name} {version}" for name, version in _mapping(result.identity["engine"]).items()),
        ),
    ]
    if git_commit:
        pairs.append(("Commit", git_commit))
    if result.verdict is not None:
        pairs.append(("Look-ahead", f"none found at {result.verdict.checked} moments"))
    return tuple(pairs)


def _mapping(value: object) -> dict[str, object]:
    if not isinstance(value, Mapping):
        raise TypeError(f"expected a mapping, got {type(value).__name__}")
    return {str(key): item for key, item in value.items()}

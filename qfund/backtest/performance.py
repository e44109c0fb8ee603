"""Performance: what an equity curve returned, risked, and did against a benchmark.

Promises: returns are taken from session close to session close, up to a total loss where there is one; a
figure that is undefined is None with a reason. Trades, holdings and costs are measured elsewhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from qfund.backtest import ratios
from qfund.backtest.curves import daily, drawdown, drawdowns, returns_by
from qfund.backtest.ratios import Metric, absent, metric, quotient
from qfund.backtest.simulation import Simulation
from qfund.market.sessions import DAYS_PER_YEAR, sessions_per_year

NO_BENCHMARK = "no benchmark was given"
ONE_SESSION = "the period is a single session"
RUINED = "nothing is left"
NEVER_BELOW = "equity never fell below its peak"
TRAILING = {"3m": 3, "6m": 6, "1y": 12, "3y": 36, "5y": 60, "10y": 120}  # months


@dataclass(frozen=True, eq=False)
class Path:
    """An equity curve, ready to be measured.

    Attributes:
        equity: money after each bar, the first one not below the starting cash, so that its costs count.
        closes: money at the close of each session.
        returns: float64 (n,), close to close, up to a total loss.
        places: int64 (n,), the session each return ends at, counted from 0.
        per_year: sessions a year on the calendar.
        years: calendar years from the first to the last session, ACT/365.25.
        start: cash before the first bar.
        risk_free: a year, simple.
    """

    equity: pd.Series
    closes: pd.Series
    returns: np.ndarray
    places: np.ndarray
    per_year: float
    years: float
    start: float
    risk_free: float

    @property
    def growth(self) -> float:
        """Last equity over starting cash."""
        return float(self.closes.iloc[-1]) / self.start

    @property
    def deepest(self) -> float:
        """The deepest drawdown at the close of any bar, as a positive fraction."""
        return -float(drawdown(self.equity).min())

    def cagr(self) -> Metric:
        """``(end / start)^(1 / years) - 1`` with calendar years; -1 when nothing is left."""
        if self.years <= 0:
            return absent(ONE_SESSION)
        return metric(-1.0) if self.growth <= 0 else metric(self.growth ** (1 / self.years) - 1)


def path_of(equity: pd.Series, sim: Simulation, calendar: str, risk_free: float) -> Path:
    """The path of an equity series on the bars and the starting cash of a simulation."""
    closes = daily(equity, sim.sessions)
    index = pd.DatetimeIndex(closes.index)
    values = closes.to_numpy(dtype=float)
    # a first session in which nothing could happen is the base, not a return of zero
    skip = values[0] == sim.cash_start
    base = values if skip else np.concatenate([[sim.cash_start], values])
    lost = np.flatnonzero(base <= 0)
    base = base[: lost[0] + 1] if len(lost) else base
    raised = equity.astype(float).copy()
    if len(raised) > 1:
        raised.iloc[0] = max(float(raised.iloc[0]), sim.cash_start)
    return Path(
        equity=raised,
        closes=closes,
        returns=base[1:] / base[:-1] - 1,
        places=np.arange(len(base) - 1) + int(skip),
        per_year=sessions_per_year(calendar, index[0].date(), index[-1].date()),
        years=(index[-1] - index[0]).days / DAYS_PER_YEAR,
        start=sim.cash_start,
        risk_free=risk_free,
    )


def return_metrics(sim: Simulation, path: Path, other: Path | None) -> dict[str, Metric]:
    """Profit and return, of the strategy and of the benchmark."""
    end = float(sim.equity.iloc[-1])
    profit = end - path.start
    paid = sum(sim.paid.values())
    growth = path.growth
    mean = float(path.returns.mean()) if len(path.returns) else math.nan
    none = absent(NO_BENCHMARK)
    return {
        "start_equity": metric(path.start),
        "end_equity": metric(end),
        "net_profit": metric(profit),
        "total_return": metric(profit / path.start),
        "gross_return": metric((profit + paid) / path.start),
        "cagr": path.cagr(),
        "annual_return": metric(mean * path.per_year, ONE_SESSION),
        "log_return": metric(math.log(growth)) if growth > 0 else absent(RUINED),
        "benchmark_return": none if other is None else metric(other.growth - 1),
        "benchmark_cagr": none if other is None else other.cagr(),
        "excess_return": none if other is None else metric(growth - other.growth),
    }


def calendar_metrics(path: Path) -> dict[str, Metric]:
    """Days, months and years; and what the last months and years returned."""
    found: dict[str, Metric] = {}
    groups = {
        "day": path.returns,
        "month": returns_by(path.closes, "M"),
        "year": returns_by(path.closes, "Y"),
    }
    for name, values in groups.items():
        few = absent(f"no {name} with a return")
        known = len(values) > 0
        found[f"best_{name}"] = metric(float(values.max())) if known else few
        found[f"worst_{name}"] = metric(float(values.min())) if known else few
        found[f"avg_{name}"] = metric(float(values.mean())) if known else few
        found[f"positive_{name}s"] = metric(float((values > 0).mean())) if known else few
    months = groups["month"]
    found["avg_up_month"] = _mean(months[months > 0], "no month gained")
    found["avg_down_month"] = _mean(months[months < 0], "no month lost")
    return found | _trailing(path.closes)


def _trailing(closes: pd.Series) -> dict[str, Metric]:
    """Returns up to the last session; a year each from three years on."""
    index = pd.DatetimeIndex(closes.index)
    last, end = index[-1], float(closes.iloc[-1])
    starts = {"mtd": last.replace(day=1), "ytd": last.replace(month=1, day=1)}
    found = {}
    for name, day in starts.items():
        found[f"return_{name}"] = _since(closes, int(index.searchsorted(day)) - 1, end, 1.0)
    for name, months in TRAILING.items():
        place = int(index.searchsorted(last - pd.DateOffset(months=months), "right")) - 1
        found[f"return_{name}"] = _since(closes, place, end, max(1.0, months / 12))
    return found


def _since(closes: pd.Series, place: int, end: float, years: float) -> Metric:
    if place < 0:
        return absent("the history is shorter")
    start = float(closes.iloc[place])
    if start <= 0 or end <= 0:
        return absent(RUINED)
    return metric((end / start) ** (1 / years) - 1)


def risk_metrics(path: Path) -> dict[str, Metric]:
    """Volatility, tails and drawdowns."""
    returns, year = path.returns, math.sqrt(path.per_year)
    spread = ratios.deviation(returns)
    below = ratios.downside(returns, path.risk_free / path.per_year)
    kurt = ratios.kurtosis(returns)
    return {
        "annual_volatility": metric(spread * year, ratios.TOO_FEW),
        "annual_variance": metric(spread**2 * path.per_year, ratios.TOO_FEW),
        "downside_deviation": metric(below * year, ratios.TOO_FEW),
        "skew": ratios.skewness(returns),
        "excess_kurtosis": metric(kurt.value - 3) if isinstance(kurt.value, float) else kurt,
        "var_95": ratios.quantile(returns, 0.05),
        "var_99": ratios.quantile(returns, 0.01),
        "var_95_cornish_fisher": ratios.cornish_fisher(returns, 0.05),
        "cvar_95": ratios.shortfall(returns, 0.05),
        "tail_ratio": _tail_ratio(returns),
        **_falls(path),
    }


def _tail_ratio(returns: np.ndarray) -> Metric:
    if len(returns) == 0:
        return absent("no returns")
    left = abs(float(np.quantile(returns, 0.05)))
    return quotient(abs(float(np.quantile(returns, 0.95))), left, "the worst twentieth lost nothing")


def _falls(path: Path) -> dict[str, Metric]:
    """Drawdowns, from the starting cash on: the deepest by bars and by closes, and how long they took."""
    table = drawdowns(path.equity)
    depths = _daily_depths(path)
    dry = absent(NEVER_BELOW)
    found = {
        "max_drawdown": metric(-path.deepest),
        "max_drawdown_daily": metric(float(depths.min())),
        "max_drawdown_start": dry,
        "max_drawdown_trough": dry,
        "max_drawdown_recovery": dry,
        "max_drawdown_days": dry,
        "longest_drawdown_days": dry,
        "avg_drawdown": dry,
        "avg_drawdown_days": dry,
        "drawdowns": Metric(len(table)),
        "time_underwater": metric(float((depths < 0).mean())),
        "ulcer_index": metric(float(np.sqrt(np.mean(depths**2)))),
        "pain_index": metric(float(-depths.mean())),
        "recovery_factor": quotient(path.growth - 1, path.deepest, NEVER_BELOW),
    }
    if table.empty:
        return found
    worst = table.iloc[0]
    back = absent("not recovered yet") if worst["recovered"] is pd.NaT else _moment(worst["recovered"])
    return found | {
        "max_drawdown_start": _moment(worst["peak"]),
        "max_drawdown_trough": _moment(worst["trough"]),
        "max_drawdown_recovery": back,
        "max_drawdown_days": Metric(int(worst["days"])),
        "longest_drawdown_days": Metric(int(table["days"].max())),
        "avg_drawdown": metric(float(table["depth"].mean())),
        "avg_drawdown_days": metric(float(table["days"].mean())),
    }


def _daily_depths(path: Path) -> np.ndarray:
    """Drawdowns at session closes, the starting cash counted as the first peak."""
    closes = path.closes.copy()
    if len(closes) > 1:
        closes.iloc[0] = max(float(closes.iloc[0]), path.start)
    return np.asarray(drawdown(closes).to_numpy())


def _moment(time: pd.Timestamp) -> Metric:
    whole = time.tz is None and time == time.normalize()
    return Metric(str(time.date()) if whole else time.isoformat())


def ratio_metrics(path: Path, trials: int) -> dict[str, Metric]:
    """Reward for risk."""
    returns, per_year, free = path.returns, path.per_year, path.risk_free
    depths = _daily_depths(path)
    cagr, sharpe = path.cagr(), ratios.sharpe(returns, per_year, free)
    sortino = ratios.sortino(returns, per_year, free)
    growth = cagr.value if isinstance(cagr.value, float) else math.nan
    dry = cagr.reason or NEVER_BELOW
    return {
        "sharpe": sharpe,
        **_confidence(sharpe, path, trials),
        "sharpe_autocorrelated": ratios.sharpe_autocorrelated(returns, per_year, free),
        "sortino": sortino,
        "sortino_sqrt2": _times(sortino, 1 / math.sqrt(2)),
        "calmar": quotient(growth, path.deepest, dry),
        "calmar_36m": _calmar_36m(path),
        "omega": ratios.omega(returns, free / per_year),
        "gain_to_pain": ratios.gain_to_pain(returns),
        "gain_to_pain_monthly": ratios.gain_to_pain(returns_by(path.closes, "M")),
        "martin": quotient(growth - free, float(np.sqrt(np.mean(depths**2))), dry),
        "risk_return": _times(sharpe, 1 / math.sqrt(per_year)),
    }


def _confidence(sharpe: Metric, path: Path, trials: int) -> dict[str, Metric]:
    """How sure one can be of the Sharpe ratio: interval, PSR, DSR, track record needed."""
    names = ("sharpe_low", "sharpe_high", "psr", "dsr", "track_record_needed")
    count = {"trials": Metric(trials)}
    skew, kurt = ratios.skewness(path.returns).value, ratios.kurtosis(path.returns).value
    if not (isinstance(sharpe.value, float) and isinstance(skew, float) and isinstance(kurt, float)):
        return {name: absent(sharpe.reason or ratios.NO_SPREAD) for name in names} | count
    each, size = sharpe.value / math.sqrt(path.per_year), len(path.returns)
    variance = (1 - skew * each + (kurt - 1) / 4 * each**2) / (size - 1)
    # Mertens (2002): the same error as in the probabilistic ratio; 1.96 deviations to each side
    error = 1.96 * math.sqrt(variance * path.per_year) if variance > 0 else math.nan
    return {
        "sharpe_low": metric(sharpe.value - error),
        "sharpe_high": metric(sharpe.value + error),
        "psr": ratios.probabilistic_sharpe(each, size, skew, kurt),
        "dsr": ratios.deflated_sharpe(each, size, skew, kurt, trials=trials),
        "track_record_needed": ratios.track_record_needed(each, skew, kurt),
    } | count


def _calmar_36m(path: Path) -> Metric:
    index = pd.DatetimeIndex(path.closes.index)
    place = int(index.searchsorted(index[-1] - pd.DateOffset(months=36), "right")) - 1
    if place < 0:
        return absent("the history is shorter than 36 months")
    part = path.closes.iloc[place:]
    growth = _since(part, 0, float(part.iloc[-1]), 3.0)
    if not isinstance(growth.value, float):
        return growth
    return quotient(growth.value, -float(drawdown(part).min()), NEVER_BELOW)


def benchmark_metrics(path: Path, other: Path | None) -> dict[str, Metric]:
    """The strategy against the benchmark, session by session."""
    names = (
        *("beta", "alpha", "correlation", "r_squared", "tracking_error", "information_ratio"),
        *("treynor", "m2", "up_capture", "down_capture"),
    )
    if other is None:
        return dict.fromkeys(names, absent(NO_BENCHMARK))
    _, mine, theirs = np.intersect1d(path.places, other.places, return_indices=True)
    own, peer = path.returns[mine], other.returns[theirs]
    if len(own) < 2:
        return dict.fromkeys(names, absent(ratios.TOO_FEW))
    free = path.risk_free / path.per_year
    spread, peer_spread = ratios.deviation(own), ratios.deviation(peer)
    both = float(np.cov(own, peer, ddof=1)[0, 1])
    still = "the benchmark does not vary"
    beta = quotient(both, peer_spread**2, still)
    slope = beta.value if isinstance(beta.value, float) else math.nan
    # rounding may carry it past one
    bounded = max(-spread * peer_spread, min(both, spread * peer_spread))
    correlation = quotient(bounded, spread * peer_spread, "the strategy or the benchmark does not vary")
    excess = own - peer
    alpha = (own.mean() - free - slope * (peer.mean() - free)) * path.per_year
    tracking = ratios.deviation(excess)
    sharpe = ratios.sharpe(own, path.per_year, path.risk_free)
    return {
        "beta": beta,
        "alpha": metric(float(alpha), still),
        "correlation": correlation,
        "r_squared": _square(correlation),
        "tracking_error": metric(tracking * math.sqrt(path.per_year)),
        "information_ratio": quotient(
            float(excess.mean()) * math.sqrt(path.per_year), tracking, "it never differs from the benchmark"
        ),
        "treynor": quotient((float(own.mean()) - free) * path.per_year, slope, still),
        "m2": _m2(sharpe, peer_spread, path),
        "up_capture": _capture(own, peer, peer > 0, "the benchmark never rose"),
        "down_capture": _capture(own, peer, peer < 0, "the benchmark never fell"),
    }


def _m2(sharpe: Metric, peer_spread: float, path: Path) -> Metric:
    """The return a year at the benchmark's volatility. Source: Modigliani and Modigliani (1997)."""
    if not isinstance(sharpe.value, float):
        return sharpe
    return metric(path.risk_free + sharpe.value * peer_spread * math.sqrt(path.per_year))


def _capture(own: np.ndarray, peer: np.ndarray, when: np.ndarray, reason: str) -> Metric:
    if not when.any():
        return absent(reason)
    return quotient(float(own[when].mean()), float(peer[when].mean()), reason)


def _mean(values: np.ndarray, reason: str) -> Metric:
    return metric(float(values.mean())) if len(values) else absent(reason)


def _times(found: Metric, factor: float) -> Metric:
    return metric(found.value * factor) if isinstance(found.value, float) else found


def _square(found: Metric) -> Metric:
    return metric(found.value**2) if isinstance(found.value, float) else found

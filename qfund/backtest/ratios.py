"""Ratios: the formulas of risk and reward on a series of returns.

Promises: a figure that is not defined is a :class:`Metric` without a value and with a reason, never infinite
and never NaN. Every function is pure; returns are fractions per period, and a ratio is annualised by the
number of periods a year that the caller counted on the exchange's calendar.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

EULER_GAMMA = 0.5772156649015329
STILL = 1e-14  # a deviation below this is rounding: the returns do not vary
NO_SPREAD = "the returns do not vary"
TOO_FEW = "fewer than two returns"

_NORMAL = NormalDist()


@dataclass(frozen=True)
class Metric:
    """One figure of a report.

    Attributes:
        value: the figure, or None where it is not defined.
        reason: why there is none; None where there is one.
    """

    value: float | int | str | None
    reason: str | None = None


def metric(value: float, reason: str = "not defined here") -> Metric:
    """A figure, or the reason where ``value`` is not finite."""
    number = float(value)
    return Metric(number) if math.isfinite(number) else Metric(None, reason)


def absent(reason: str) -> Metric:
    """A figure that is not defined."""
    return Metric(None, reason)


def quotient(part: float, whole: float, reason: str) -> Metric:
    """``part / whole``, or the reason where ``whole`` is zero or either is not finite."""
    if whole == 0 or not (math.isfinite(part) and math.isfinite(whole)):
        return absent(reason)
    return metric(part / whole, reason)


def deviation(returns: np.ndarray) -> float:
    """Sample standard deviation (ddof 1); NaN for fewer than two, exactly 0 when only rounding is left."""
    if len(returns) < 2:
        return math.nan
    spread = float(np.std(returns, ddof=1))
    return 0.0 if spread < STILL else spread


def sharpe(returns: np.ndarray, per_year: float, risk_free: float = 0.0) -> Metric:
    """Arithmetic mean of the excess returns over their deviation (ddof 1), × √periods a year.

    Args:
        returns: float64 (n,), per period.
        per_year: periods a year.
        risk_free: a year, simple, spread evenly over its periods.

    Source: Sharpe (1994), "The Sharpe Ratio", Journal of Portfolio Management 21(1).
    """
    spread = deviation(returns)
    if math.isnan(spread):
        return absent(TOO_FEW)
    excess = float(np.mean(returns)) - risk_free / per_year
    return quotient(excess * math.sqrt(per_year), spread, NO_SPREAD)


def sharpe_autocorrelated(returns: np.ndarray, per_year: float, risk_free: float = 0.0) -> Metric:
    """Sharpe ratio annualised for returns that follow each other (up to five lags).

    ``SR × q / √(q + 2 Σ (q - k) ρ_k)`` with q periods a year. Source: Lo (2002), "The Statistics of Sharpe
    Ratios", Financial Analysts Journal 58(4), equation 20.
    """
    spread = deviation(returns)
    if math.isnan(spread) or len(returns) < 20:
        return absent("fewer than twenty returns")
    if spread == 0:
        return absent(NO_SPREAD)
    centred = returns - np.mean(returns)
    power = float(centred @ centred)
    lags = range(1, 6)
    rho = [float(centred[k:] @ centred[:-k]) / power for k in lags]
    inside = per_year + 2 * sum((per_year - k) * r for k, r in zip(lags, rho, strict=True))
    if inside <= 0:
        return absent("the autocorrelation is too strong to annualise")
    each = (float(np.mean(returns)) - risk_free / per_year) / spread
    return metric(each * per_year / math.sqrt(inside))


def downside(returns: np.ndarray, target: float) -> float:
    """Root of the mean squared shortfall below ``target`` over *all* returns; NaN without returns."""
    if len(returns) == 0:
        return math.nan
    return float(np.sqrt(np.mean(np.minimum(returns - target, 0.0) ** 2)))


def sortino(returns: np.ndarray, per_year: float, risk_free: float = 0.0) -> Metric:
    """Mean excess return over the downside deviation about the same target, × √periods a year.

    Source: Sortino and Price (1994), "Performance Measurement in a Downside Risk Framework".
    """
    if len(returns) < 2:
        return absent(TOO_FEW)
    target = risk_free / per_year
    below = downside(returns, target)
    excess = (float(np.mean(returns)) - target) * math.sqrt(per_year)
    return quotient(excess, 0.0 if below < STILL else below, "no return fell below the target")


def skewness(returns: np.ndarray) -> Metric:
    """Third standardised moment of the population."""
    return _moment(returns, 3)


def kurtosis(returns: np.ndarray) -> Metric:
    """Fourth standardised moment of the population, raw: 3 for a normal distribution."""
    return _moment(returns, 4)


def _moment(returns: np.ndarray, order: int) -> Metric:
    if len(returns) < 2:
        return absent(TOO_FEW)
    centred = returns - np.mean(returns)
    spread = float(np.sqrt(np.mean(centred**2)))
    if spread < STILL:
        return absent(NO_SPREAD)
    return metric(float(np.mean((centred / spread) ** order)))


def probabilistic_sharpe(ratio: float, count: int, skew: float, kurt: float, against: float = 0.0) -> Metric:
    """Probability that the true Sharpe ratio is above ``against``.

    ``Φ((SR - SR*) √(T - 1) / √(1 - γ3 SR + (γ4 - 1) SR² / 4))``, ratios per period, γ4 raw (3 for a normal).
    Source: Bailey and López de Prado (2012), "The Sharpe Ratio Efficient Frontier", equation 9.

    Args:
        ratio: estimated Sharpe ratio per period.
        count: number of returns T.
        skew: of the returns.
        kurt: raw kurtosis of the returns.
        against: threshold, per period.
    """
    if count < 2:
        return absent(TOO_FEW)
    variance = 1 - skew * ratio + (kurt - 1) / 4 * ratio**2
    if variance <= 0:
        return absent("skew and kurtosis leave the ratio without an error")
    return metric(_NORMAL.cdf((ratio - against) * math.sqrt(count - 1) / math.sqrt(variance)))


def expected_best_sharpe(trials: int, variance: float) -> float:
    """The best Sharpe ratio to expect of ``trials`` strategies without skill.

    ``√V ((1 - γ) Φ⁻¹(1 - 1/N) + γ Φ⁻¹(1 - 1/(N e)))``, zero for one trial. Source: Bailey and López de Prado
    (2014), "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5), equation 1.

    Args:
        trials: independent trials N, 1 or more.
        variance: of the trials' Sharpe ratios, per period.
    """
    if trials <= 1:
        return 0.0
    far = _NORMAL.inv_cdf(1 - 1 / trials)
    farther = _NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - EULER_GAMMA) * far + EULER_GAMMA * farther)


def deflated_sharpe(
    ratio: float, count: int, skew: float, kurt: float, *, trials: int, variance: float | None = None
) -> Metric:
    """Probability that the true Sharpe ratio is above what the best of ``trials`` would show by luck.

    Args:
        ratio: estimated Sharpe ratio per period.
        count: number of returns T.
        skew: of the returns.
        kurt: raw kurtosis of the returns.
        trials: strategies that were tried, this one counted.
        variance: of the trials' ratios per period; None takes ``1 / (T - 1)``, the variance of the
            estimate of a strategy without skill.

    Source: as :func:`expected_best_sharpe`, equation 2.
    """
    if count < 2:
        return absent(TOO_FEW)
    spread = 1 / (count - 1) if variance is None else variance
    return probabilistic_sharpe(ratio, count, skew, kurt, expected_best_sharpe(trials, spread))


def track_record_needed(ratio: float, skew: float, kurt: float, confidence: float = 0.95) -> Metric:
    """Returns needed before the ratio is above zero with ``confidence`` (MinTRL).

    Source: Bailey and López de Prado (2012), equation 11.
    """
    if ratio <= 0:
        return absent("the Sharpe ratio is not above zero")
    variance = 1 - skew * ratio + (kurt - 1) / 4 * ratio**2
    if variance <= 0:
        return absent("skew and kurtosis leave the ratio without an error")
    return metric(1 + variance * (_NORMAL.inv_cdf(confidence) / ratio) ** 2)


def omega(returns: np.ndarray, target: float = 0.0) -> Metric:
    """Sum of the gains above ``target`` over the sum of the shortfalls below it.

    Source: Keating and Shadwick (2002), "A Universal Performance Measure".
    """
    gains = float(np.maximum(returns - target, 0.0).sum())
    losses = float(np.maximum(target - returns, 0.0).sum())
    return quotient(gains, losses, "no return fell below the target")


def gain_to_pain(returns: np.ndarray) -> Metric:
    """Sum of the returns over the sum of the losses without their sign. Source: Schwager (2012)."""
    losses = float(-np.minimum(returns, 0.0).sum())
    return quotient(float(returns.sum()), losses, "no period lost")


def quantile(returns: np.ndarray, level: float) -> Metric:
    """The return that only ``level`` of the periods fell below (historical value at risk), as a fraction."""
    if len(returns) == 0:
        return absent("no returns")
    return metric(float(np.quantile(returns, level)))


def shortfall(returns: np.ndarray, level: float) -> Metric:
    """Mean of the returns at or below the quantile (expected shortfall)."""
    if len(returns) == 0:
        return absent("no returns")
    return metric(float(returns[returns <= np.quantile(returns, level)].mean()))


def cornish_fisher(returns: np.ndarray, level: float) -> Metric:
    """Value at risk of a normal distribution bent by skew and kurtosis.

    Source: Favre and Galeano (2002), "Mean-Modified Value-at-Risk Optimization with Hedge Funds".
    """
    skew, kurt = skewness(returns).value, kurtosis(returns).value
    if not isinstance(skew, float) or not isinstance(kurt, float):
        return absent(TOO_FEW if len(returns) < 2 else NO_SPREAD)
    z = _NORMAL.inv_cdf(level)
    excess = kurt - 3
    bent = z + (z**2 - 1) * skew / 6 + (z**3 - 3 * z) * excess / 24 - (2 * z**3 - 5 * z) * skew**2 / 36
    return metric(float(np.mean(returns)) + bent * deviation(returns))

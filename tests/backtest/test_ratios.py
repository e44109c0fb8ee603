"""Each formula has a value that was worked by hand or published."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qfund.backtest import ratios
from qfund.backtest.ratios import Metric

# mean 0.01; deviations 0.01, -0.03, 0.02, 0 → squares 1, 9, 4, 0 (e-4) = 14e-4; ddof 1: √(14e-4 / 3)
FOUR = np.array([0.02, -0.02, 0.03, 0.01])
FLAT = np.array([0.01, 0.01, 0.01])


def value(metric: Metric) -> float:
    assert isinstance(metric.value, float)
    assert metric.reason is None
    return metric.value


def test_sharpe() -> None:
    each = 0.01 / math.sqrt(14e-4 / 3)
    assert value(ratios.sharpe(FOUR, 252)) == pytest.approx(each * math.sqrt(252))
    # 2.52 % a year is 0.0001 a period
    less = 0.0099 / math.sqrt(14e-4 / 3)
    assert value(ratios.sharpe(FOUR, 252, 0.0252)) == pytest.approx(less * math.sqrt(252))


def test_sortino_counts_every_period_in_the_downside() -> None:
    # only -0.02 falls below 0: √(0.0004 / 4) = 0.01; mean 0.01
    assert value(ratios.sortino(FOUR, 252)) == pytest.approx(math.sqrt(252))


def test_moments_are_of_the_population_and_kurtosis_is_raw() -> None:
    # ±1: skew 0, kurtosis 1. One 3 and three -1: mean 0, variance 3, third moment (27 - 3) / 4 = 6
    two = np.array([1.0, -1.0])
    assert value(ratios.skewness(two)) == pytest.approx(0)
    assert value(ratios.kurtosis(two)) == pytest.approx(1)
    four = np.array([3.0, -1.0, -1.0, -1.0])
    assert value(ratios.skewness(four)) == pytest.approx(6 / 3**1.5)
    assert value(ratios.kurtosis(four)) == pytest.approx(((81 + 3) / 4) / 9)


def test_the_deflated_sharpe_ratio_of_the_paper() -> None:
    # Bailey and López de Prado (2014), the numerical example: annual ratio 2.5, 1,250 daily returns, skew -3,
    # kurtosis 10, 100 trials whose annual ratios have variance 0.5: SR0 = 0.1132, DSR = 0.9004
    each, variance = 2.5 / math.sqrt(250), 0.5 / 250
    assert ratios.expected_best_sharpe(100, variance) == pytest.approx(0.1132, abs=5e-5)
    found = ratios.deflated_sharpe(each, 1250, -3, 10, trials=100, variance=variance)
    assert value(found) == pytest.approx(0.9004, abs=5e-5)


def test_one_trial_deflates_nothing_and_more_deflate_more() -> None:
    psr = value(ratios.probabilistic_sharpe(0.1, 500, 0, 3))
    # Φ(0.1 × √499 / √(1 + 0.005)) = Φ(2.2283)
    assert psr == pytest.approx(0.98707, abs=1e-5)
    assert value(ratios.deflated_sharpe(0.1, 500, 0, 3, trials=1)) == psr
    deflated = [value(ratios.deflated_sharpe(0.1, 500, 0, 3, trials=n)) for n in (1, 2, 10, 1000)]
    assert deflated == sorted(deflated, reverse=True)


def test_the_track_record_needed_makes_the_probability_exactly_the_confidence() -> None:
    needed = value(ratios.track_record_needed(0.1, -0.5, 5))
    variance = 1 + 0.05 + (5 - 1) / 4 * 0.01
    assert needed == pytest.approx(1 + variance * (1.6448536 / 0.1) ** 2, rel=1e-6)
    assert value(ratios.probabilistic_sharpe(0.1, round(needed), -0.5, 5)) == pytest.approx(0.95, abs=1e-3)


def test_omega_and_gain_to_pain() -> None:
    # gains 0.06, losses 0.02; sum 0.04
    assert value(ratios.omega(FOUR)) == pytest.approx(3)
    assert value(ratios.gain_to_pain(FOUR)) == pytest.approx(2)


def test_tails() -> None:
    returns = np.arange(-10, 11) / 100  # quantiles of 21 evenly spaced values fall on them
    assert value(ratios.quantile(returns, 0.05)) == pytest.approx(-0.09)
    assert value(ratios.shortfall(returns, 0.05)) == pytest.approx(-0.095)
    normal = np.random.default_rng(1).normal(0, 0.01, 100_000)
    assert value(ratios.cornish_fisher(normal, 0.05)) == pytest.approx(-0.01645, rel=0.02)


def test_autocorrelation_lowers_the_ratio_of_trending_returns() -> None:
    draw = np.random.default_rng(2).normal(0.001, 0.01, 5000)
    trending = (draw[1:] + draw[:-1]) / 2
    plain, corrected = ratios.sharpe(trending, 252), ratios.sharpe_autocorrelated(trending, 252)
    # an average of two has autocorrelation 0.5 at lag one: √(252 / (252 + 251)) of the plain ratio
    assert value(corrected) / value(plain) == pytest.approx(math.sqrt(252 / 503), rel=0.05)


@pytest.mark.parametrize("returns", [np.array([]), np.array([0.01]), FLAT, np.zeros(50)])
@pytest.mark.parametrize(
    "formula",
    [
        lambda r: ratios.sharpe(r, 252),
        lambda r: ratios.sharpe_autocorrelated(r, 252),
        lambda r: ratios.sortino(r, 252),
        ratios.skewness,
        ratios.kurtosis,
        ratios.omega,
        ratios.gain_to_pain,
        lambda r: ratios.quantile(r, 0.05),
        lambda r: ratios.shortfall(r, 0.05),
        lambda r: ratios.cornish_fisher(r, 0.05),
    ],
)
def test_what_is_undefined_has_a_reason_and_is_never_infinite(formula, returns) -> None:
    found = formula(returns)
    assert (found.value is None) == (found.reason is not None)
    assert found.value is None or math.isfinite(found.value)


def test_undefined_probabilities_have_a_reason() -> None:
    assert ratios.probabilistic_sharpe(0.1, 1, 0, 3).reason
    assert ratios.probabilistic_sharpe(1.0, 100, 5, 3).reason
    assert ratios.deflated_sharpe(0.1, 1, 0, 3, trials=3).reason
    assert ratios.track_record_needed(-0.1, 0, 3).reason

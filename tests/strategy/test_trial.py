"""Decisions are compared as numbers, and those that hang on rounding are known as such."""

import numpy as np
import pytest

from qfund import Strategy
from qfund.market.bars import FIELDS, Bars
from qfund.strategy.synthetic import synthetic_bars
from qfund.strategy.trial import Trial, differing


class Rising(Strategy):
    def targets(self, bars):
        return (bars.close > bars.close.shift(1)).astype(float) / 2


def test_nan_differs_from_a_number_and_not_from_itself():
    one = np.array([[np.nan, np.nan, 0.0, np.inf, 1.0, 1.0]])
    other = np.array([[np.nan, 0.0, 1e-7, np.inf, 1.1, -np.inf]])

    assert differing(one, other, 1e-6).tolist() == [[False, True, False, False, True, True]]


@pytest.mark.parametrize("rising", [True, False])
def test_ties_are_fragile_and_clear_decisions_are_not(rising):
    rows = 200
    prices = np.linspace(10.0, 20.0, rows) if rising else np.full(rows, 10.0)
    index = synthetic_bars(("A",), rows=rows).index
    bars = Bars.from_arrays(index, ["A"], dict.fromkeys(FIELDS, prices[:, None]))
    trial = Trial(Rising, bars, np.random.default_rng(0))

    assert trial.fragile.any() != rising


def test_each_evaluation_gets_a_fresh_instance_and_the_whole_is_evaluated_once():
    made = []

    class Counted(Rising):
        def __init__(self, **params):
            super().__init__(**params)
            made.append(self)

    trial = Trial(Counted, synthetic_bars(rows=30), np.random.default_rng(0))
    assert trial.whole is trial.whole
    trial.attempt(trial.bars.rows(None, 5))

    assert trial.evaluations == 2
    assert len(made) == 3  # one was asked for its warm-up

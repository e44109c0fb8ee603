"""Other histories keep the past to the bit and never touch the bars they are made from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfund.market.bars import FIELDS
from qfund.strategy.synthetic import synthetic_bars
from qfund.strategy.variation import FUTURES, shaken, until, with_future

BARS = synthetic_bars(rows=60)


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("future", FUTURES)
@given(row=st.integers(0, 58))
def test_the_past_is_kept_and_the_future_is_another(future, row):
    before = BARS.fingerprint()
    other = with_future(BARS, row, future, rng())

    assert until(other, row).fingerprint() == until(BARS, row).fingerprint()
    assert other.rows(row + 1).fingerprint() != BARS.rows(row + 1).fingerprint()
    assert other.index.equals(BARS.index)
    assert BARS.fingerprint() == before


@pytest.mark.parametrize("future", FUTURES)
def test_a_bar_stays_a_bar(future):
    other = with_future(BARS, 30, future, rng())
    known = other.close.notna()

    for name in FIELDS[:4]:
        assert (getattr(other, name)[known] <= other.high[known] * (1 + 1e-12)).to_numpy()[known].all()
        assert (getattr(other, name)[known] >= other.low[known] * (1 - 1e-12)).to_numpy()[known].all()


def test_nothing_follows_the_last_row():
    assert with_future(BARS, 59, "noise", rng()).fingerprint() == BARS.fingerprint()
    assert until(BARS, 9).close.shape == (10, 6)


def test_shaking_is_minute_and_keeps_holes_and_zero_volumes():
    other = shaken(BARS, rng())
    change = np.abs(other.close / BARS.close - 1).to_numpy()

    assert 0 < np.nanmax(change) < 1e-8
    assert (other.close.isna() == BARS.close.isna()).to_numpy().all()
    assert np.allclose(
        (other.high / BARS.high).to_numpy(), (other.low / BARS.low).to_numpy(), equal_nan=True, rtol=1e-14
    )

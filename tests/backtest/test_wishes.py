"""A wish is filled at the next bar of its own symbol, the newest one only, and never before it was decided."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from qfund.backtest.wishes import _waiting, due

NAN = float("nan")


def test_without_gaps_wishes_move_by_one_bar_or_none() -> None:
    weights = np.array([[0.5, NAN], [NAN, NAN], [NAN, 0.2], [0.9, NAN]])
    traded = np.ones(weights.shape, dtype=bool)
    after = due(weights, traded, "next_open")
    assert after.rows.tolist() == [1, 3]
    assert np.array_equal(after.weights, [[0.5, NAN], [NAN, 0.2]], equal_nan=True)
    assert due(weights, traded, "close").rows.tolist() == [0, 2, 3]


def test_gaps_hold_a_wish_back_and_a_newer_one_replaces_it() -> None:
    weights = np.array([[0.1], [0.2], [0.3], [NAN], [0.4], [NAN]])
    traded = np.array([[True], [False], [False], [True], [True], [True]])
    after = due(weights, traded, "next_open")
    assert (after.rows.tolist(), after.weights[:, 0].tolist()) == ([3, 5], [0.3, 0.4])
    same = due(weights, traded, "close")
    assert (same.rows.tolist(), same.weights[:, 0].tolist()) == ([0, 3, 4], [0.1, 0.3, 0.4])


@given(
    arrays.arrays(float, (8, 2), elements=st.sampled_from([NAN, 0.0, 0.5])),
    arrays.arrays(bool, (8, 2)),
    st.sampled_from(["next_open", "close"]),
)
def test_the_gap_rule_is_the_plain_loop(weights, traded, fill) -> None:
    expected = np.full(weights.shape, NAN)
    for column in range(2):
        pending = NAN
        for row in range(8):
            if fill == "close" and not np.isnan(weights[row, column]):
                pending = weights[row, column]
            if traded[row, column]:
                expected[row, column], pending = pending, NAN
            if fill == "next_open" and not np.isnan(weights[row, column]):
                pending = weights[row, column]
    assert np.array_equal(_waiting(weights, traded, fill), expected, equal_nan=True)

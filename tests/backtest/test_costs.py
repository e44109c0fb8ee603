"""Costs are complete, never zero by silence, and can be changed by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfund.backtest.costs import PRESETS, CostModel, preset
from qfund.errors import NotFoundError, UsageError


def test_only_the_preset_called_none_is_free() -> None:
    assert [name for name, model in PRESETS.items() if model.free] == ["none"]
    assert all(name == model.name for name, model in PRESETS.items())


def test_the_commission_schedule_worked_by_hand() -> None:
    # 0.005 a share, at least 1.00, at most 1 % of the order:
    # 100 × 25.00 → 0.50 → 1.00; 1,000 × 25.00 → 5.00; 1,000 × 0.25 = 250 → 5.00, capped at 2.50
    shares = np.array([100.0, 1000.0, 1000.0, 0.0])
    value = shares * np.array([25.0, 25.0, 0.25, 25.0])
    assert PRESETS["per-share"].commission(shares, value).tolist() == [1.0, 5.0, 2.5, 0.0]


SCHEDULES = st.builds(
    CostModel,
    name=st.just("any"),
    commission_bps=st.floats(0, 50),
    commission_per_share=st.floats(0, 1),
    commission_min=st.floats(0, 5),
    commission_max_bps=st.none() | st.floats(0, 200),
)


@given(SCHEDULES, st.floats(0.01, 5000), st.floats(0, 1e6))
def test_what_is_affordable_is_paid_for_and_one_more_is_not(
    model: CostModel, price: float, cash: float
) -> None:
    shares = float(model.affordable(np.asarray(cash), np.asarray(price)))

    def bill(count: float) -> float:
        return count * price + float(model.commission(np.asarray(count), np.asarray(count * price)))

    assert bill(shares) <= cash * (1 + 1e-9) + 1e-9
    assert bill(shares * (1 + 1e-6) + 1e-6) > cash


def test_amounts_are_changed_by_name_and_the_name_says_so() -> None:
    model = preset("us-equities", {"slippage_bps": "5"})
    assert (model.slippage_bps, model.name) == (5.0, "us-equities changed")
    assert preset("us-equities") is PRESETS["us-equities"]
    assert preset("us-equities", {"slippage_bps": 2}) is PRESETS["us-equities"]


def test_unknown_presets_and_amounts_get_the_nearest_name() -> None:
    with pytest.raises(NotFoundError, match="Did you mean us-equities") as unknown:
        preset("us-equity")
    assert unknown.value.exit_code == 11
    with pytest.raises(UsageError, match="Did you mean slippage_bps"):
        preset("none", {"slipage_bps": 5})


@pytest.mark.parametrize("amount", [-1, float("nan"), float("inf"), "much"])
def test_amounts_that_no_broker_charges_are_refused(amount: float | str) -> None:
    with pytest.raises(UsageError):
        preset("none", {"commission_bps": amount})


def test_a_price_cannot_slip_to_nothing() -> None:
    with pytest.raises(UsageError, match="10,000"):
        CostModel("mad", half_spread_bps=5000, slippage_bps=5000)


def test_one_line_tells_every_amount() -> None:
    assert PRESETS["none"].describe() == "none (no costs at all)"
    assert PRESETS["us-equities"].describe() == (
        "us-equities (commission 1 bps, half spread 2 bps, slippage 2 bps)"
    )
    assert PRESETS["per-share"].describe() == (
        "per-share (commission 0.005 a share, at least 1 an order, at most 100 bps an order, "
        "half spread 2 bps, slippage 2 bps)"
    )

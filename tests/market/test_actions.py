"""Adjustment factors, worked by hand."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from qfund.market.actions import CorporateAction, factors

EX = date(2024, 6, 10)


def split(new: str, old: str) -> CorporateAction:
    return CorporateAction("A", "split", EX, new_rate=Decimal(new), old_rate=Decimal(old))


def dividend(amount: str) -> CorporateAction:
    return CorporateAction("A", "dividend", EX, cash_amount=Decimal(amount))


@pytest.mark.parametrize(
    ("new", "old", "price", "volume"),
    [("2", "1", 0.5, 2.0), ("1", "10", 10.0, 0.1), ("3", "2", 2 / 3, 1.5), ("10", "1", 0.1, 10.0)],
)
def test_a_split_scales_price_and_volume_inversely(new: str, old: str, price: float, volume: float) -> None:
    found = factors(split(new, old), None)
    assert found.price == pytest.approx(price, rel=1e-15)
    assert found.volume == pytest.approx(volume, rel=1e-15)


def test_a_dividend_lowers_earlier_prices_by_its_share_of_the_last_close() -> None:
    # 0.50 paid out of a close of 20.00 leaves 97.5 % of it.
    assert factors(dividend("0.50"), 20.0).price == 0.975
    assert factors(dividend("0.50"), 20.0).volume == 1.0


@pytest.mark.parametrize("close", [None, 0.5, 0.1, float("nan")])
def test_a_dividend_that_does_not_fit_the_close_is_refused(close: float | None) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        factors(dividend("0.50"), close)


def test_actions_without_usable_numbers_do_not_exist() -> None:
    with pytest.raises(ValueError, match="two positive rates"):
        CorporateAction("A", "split", EX, new_rate=Decimal(2))
    with pytest.raises(ValueError, match="two positive rates"):
        split("-1", "2")
    with pytest.raises(ValueError, match="positive amount"):
        dividend("0")


def test_a_factor_that_the_vendor_publishes_is_believed() -> None:
    told = CorporateAction("A", "dividend", EX, cash_amount=Decimal("0.5"), price_factor=0.9756)
    assert factors(told, None).price == 0.9756
    assert factors(told, 20.0).volume == 1.0
    with pytest.raises(ValueError, match="no price factor"):
        CorporateAction("A", "dividend", EX, cash_amount=Decimal("0.5"), price_factor=0.0)

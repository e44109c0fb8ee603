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


def spinoff(new: str, old: str) -> CorporateAction:
    return CorporateAction("A", "spinoff", EX, new_rate=Decimal(new), old_rate=Decimal(old), other_symbol="B")


def test_a_spin_off_lowers_earlier_prices_by_the_value_of_what_is_received() -> None:
    # One B for four A; B closes at 40 on the ex-date, A closed at 100 before: 1/4 x 40 = 10 of 100 are handed out.
    found = factors(spinoff("1", "4"), 100.0, 40.0)
    assert (found.price, found.volume) == (0.9, 1.0)


@pytest.mark.parametrize(
    ("before", "received", "why"),
    [(100.0, None, "no close of B"), (None, 40.0, "does not fit"), (10.0, 40.0, "worth 10 for each share")],
)
def test_a_spin_off_that_cannot_be_valued_has_no_factor(
    before: float | None, received: float | None, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        factors(spinoff("1", "4"), before, received)


def test_a_stock_dividend_of_five_percent_is_a_split_of_105_for_100() -> None:
    # 105 shares of 100 are 100 shares of 105.
    found = factors(split("1.05", "1"), None)
    assert found.price == pytest.approx(100 / 105, rel=1e-15)
    assert found.volume == pytest.approx(1.05, rel=1e-15)


def test_a_name_change_or_a_merger_changes_no_price() -> None:
    for kind in ("name_change", "cash_merger", "unit_split"):
        with pytest.raises(ValueError, match="changes no price"):
            factors(CorporateAction("A", kind, EX, other_symbol="B"), 100.0)

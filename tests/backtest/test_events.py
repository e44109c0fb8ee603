"""Spin-offs in the money: a distribution of value, worked on paper."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from qfund.market.actions import CorporateAction
from tests.backtest.paper import NAN, day, dividend, play, split, table


def spinoff(number: int, factor: float | None = 0.9) -> CorporateAction:
    """One B for four A before row ``number``."""
    return CorporateAction(
        "A",
        "spinoff",
        day(number),
        new_rate=Decimal(1),
        old_rate=Decimal(4),
        other_symbol="B",
        price_factor=factor,
    )


def test_a_spin_off_pays_its_value_in_cash_and_says_so() -> None:
    # 10 A at 100; before row 5 a tenth of the close of 100 is handed out: 10 x 10.00. A goes on at 90.
    sim = play(table({"A": [100.0] * 5 + [90.0] * 5}), {"A": {0: 1.0}}, actions=[spinoff(5)])
    assert sim.equity.tolist() == pytest.approx([1000] * 10)
    [paid] = sim.dividends.to_dict("records")
    assert (paid["shares"], paid["per_share"], paid["amount"]) == (10, pytest.approx(10), pytest.approx(100))
    [told] = sim.warnings
    assert told == (
        "The spin-off of B from A on 2024-01-06 is paid in cash: 10.00% of the close before, for each share; "
        "B is not received."
    )


def test_a_short_position_pays_for_a_spin_off() -> None:
    # short 10 at 100: cash 2000; hands out 10 x 10; covered at 90: 2000 - 100 - 900
    sim = play(table({"A": [100.0] * 5 + [90.0] * 5}), {"A": {0: -1.0, 6: 0.0}}, actions=[spinoff(5)])
    assert sim.equity.iloc[-1] == pytest.approx(1000)


def test_a_split_on_the_same_day_comes_after_the_spin_off() -> None:
    # 10 A at 100: 10 x 10.00 in cash, then 2:1: 20 at 45.
    sim = play(
        table({"A": [100.0] * 5 + [45.0] * 5}), {"A": {0: 1.0}}, actions=[split("A", 5, 2, 1), spinoff(5)]
    )
    assert sim.units["A"].iloc[-1] == 20
    assert sim.equity.iloc[-1] == pytest.approx(1000)


def test_a_split_while_the_share_does_not_trade_halves_what_each_share_receives() -> None:
    # 10 A at 100, no bars in rows 4 to 6; 2:1 before row 5: 20 shares, a tenth of 50 for each before row 6.
    prices = [100.0] * 4 + [NAN] * 3 + [45.0] * 3
    sim = play(
        table({"A": prices, "C": [1.0] * 10}), {"A": {0: 1.0}}, actions=[split("A", 5, 2, 1), spinoff(6)]
    )
    assert sim.dividends[["shares", "per_share"]].to_numpy().tolist() == [[20, pytest.approx(5)]]
    assert sim.equity.iloc[-1] == pytest.approx(1000)


def test_what_cannot_be_applied_is_ignored_by_the_money_and_never_a_crash() -> None:
    odd = [
        spinoff(5, factor=None),
        spinoff(0),
        spinoff(20),
        replace(spinoff(5), kind="stock_merger"),
        CorporateAction("A", "name_change", day(5), other_symbol="Z"),
        CorporateAction("A", "unit_split", day(5), new_rate=Decimal(3), old_rate=Decimal(1)),
    ]
    sim = play(table({"A": [100.0] * 10}), {"A": {0: 1.0}}, actions=odd)
    assert (sim.equity.iloc[-1], len(sim.dividends), sim.warnings) == (1000, 0, ())


def test_a_spin_off_before_the_first_price_pays_nothing() -> None:
    sim = play(table({"A": [NAN] * 6 + [90.0] * 4, "C": [1.0] * 10}), {"A": {6: 1.0}}, actions=[spinoff(5)])
    assert sim.dividends.empty


def test_dividends_and_spin_offs_of_one_day_are_both_of_the_close_before() -> None:
    # 10 A at 100: 10 x 2.00 and 10 x 10.00
    sim = play(
        table({"A": [100.0] * 5 + [88.0] * 5}), {"A": {0: 1.0}}, actions=[spinoff(5), dividend("A", 5, "2")]
    )
    assert sim.equity.iloc[-1] == pytest.approx(1000)

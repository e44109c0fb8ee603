"""What cannot be simulated is refused before anything is, with the place of the fault."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qfund.backtest.inputs import Market, Rules, tape, weights
from qfund.errors import DataQualityError, UsageError
from tests.backtest.paper import NAN, day, table, wishes


def refused(bars, code: str) -> str:
    with pytest.raises(DataQualityError) as caught:
        tape(Market(bars))
    assert caught.value.code == code
    return caught.value.message


def test_no_bars_and_adjusted_bars_are_no_market() -> None:
    bars = table({"A": [10.0, 11.0]})
    refused(bars.rows(0, 0), "NO_BARS")
    assert "split" in refused(replace(bars, adjust="split"), "NOT_RAW")


@pytest.mark.parametrize("price", [0.0, -1.0, float("inf")])
def test_an_impossible_price_is_named_with_its_symbol(price: float) -> None:
    with pytest.raises(DataQualityError, match="B"):
        tape(Market(table({"A": [10.0, 11.0], "B": [10.0, price]})))


def test_prices_after_a_delisting_do_not_exist() -> None:
    market = Market(table({"A": [10.0, 11.0, 12.0]}), delisted={"A": day(1)})
    found = tape(market)
    assert found.traded[:, 0].tolist() == [True, True, False]
    assert np.isnan(found.close[2, 0])
    assert market.raw.close.iloc[2, 0] == 12.0, "the caller's frame is not touched"


def test_the_row_of_a_day_is_the_first_session_on_or_after_it() -> None:
    found = tape(Market(table({"A": [10.0, 11.0, 12.0]})))
    assert [found.row_of(day(number)) for number in (0, 2, 9)] == [0, 2, 3]


def test_targets_must_have_the_times_and_symbols_of_the_bars() -> None:
    market = Market(table({"A": [10.0, 11.0]}))
    with pytest.raises(UsageError, match="1 × 1 against 2 × 1"):
        weights(market, wishes(market.raw, {"A": {0: 1.0}}).iloc[:1])
    with pytest.raises(UsageError, match="not all numbers"):
        weights(
            market, pd.DataFrame({"A": ["x", "y"]}, index=market.raw.index, columns=market.raw.close.columns)
        )
    with pytest.raises(DataQualityError, match="infinite"):
        weights(market, wishes(market.raw, {"A": [float("inf"), NAN]}))


@pytest.mark.parametrize("cash", [0.0, -1.0, NAN, float("inf")])
def test_an_account_starts_with_money(cash: float) -> None:
    with pytest.raises(UsageError, match="cash"):
        Rules(cash=cash)
    with pytest.raises(UsageError, match="next_open"):
        Rules(fill="open")  # type: ignore[arg-type]

"""Bars keep their shape, cut by session, and have a fingerprint that notices any change."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfund.market.bars import FIELDS, Bars


def daily(rows: int = 5, symbols: tuple[str, ...] = ("A", "B"), start: str = "2024-01-02") -> Bars:
    index = pd.DatetimeIndex(pd.bdate_range(start, periods=rows).as_unit("us").to_numpy(), name="session")
    shape = (rows, len(symbols))
    base = np.arange(rows * len(symbols), dtype=float).reshape(shape) + 10
    fields = {name: base + i for i, name in enumerate(FIELDS)}
    return Bars.from_arrays(index, symbols, fields)


def minutes() -> Bars:
    """Two bars late on Friday and one on Monday, New York time."""
    index = pd.DatetimeIndex(
        ["2024-11-01 19:59", "2024-11-01 20:00", "2024-11-04 14:31"], tz="UTC", name="time"
    ).as_unit("us")
    session = pd.DatetimeIndex(["2024-11-01", "2024-11-01", "2024-11-04"]).as_unit("us")
    fields = {name: np.ones((3, 1)) for name in FIELDS}
    return Bars.from_arrays(index, ["A"], fields, timeframe="1m", session_of_row=session)


def test_bars_know_their_symbols_and_length() -> None:
    assert daily().symbols == ("A", "B")
    assert len(daily()) == 5


def test_between_includes_both_ends_and_none_leaves_a_side_open() -> None:
    bars = daily()
    cut = bars.between(date(2024, 1, 3), date(2024, 1, 4))
    assert [str(day.date()) for day in cut.index] == ["2024-01-03", "2024-01-04"]
    assert len(bars.between(None, date(2024, 1, 2))) == 1
    assert len(bars.between(date(2024, 1, 8), None)) == 1
    assert len(bars.between(date(2030, 1, 1), None)) == 0


def test_minute_bars_are_cut_by_session_not_by_utc_day() -> None:
    bars = minutes()
    assert len(bars.between(date(2024, 11, 1), date(2024, 11, 1))) == 2
    assert list(bars.rows(2).sessions) == [pd.Timestamp("2024-11-04")]


def test_select_orders_the_columns_and_refuses_a_stranger() -> None:
    assert daily().select(["B"]).symbols == ("B",)
    with pytest.raises(KeyError):
        daily().select(["C"])


@given(row=st.integers(0, 4), column=st.integers(0, 1), field=st.sampled_from(FIELDS))
def test_one_changed_value_changes_the_fingerprint(row: int, column: int, field: str) -> None:
    one, other = daily(), daily()
    getattr(other, field).iloc[row, column] += 0.01
    assert one.fingerprint() == daily().fingerprint()
    assert one.fingerprint() != other.fingerprint()


def test_the_fingerprint_notices_symbols_times_and_adjustment() -> None:
    prints = {
        daily().fingerprint(),
        daily(symbols=("A", "C")).fingerprint(),
        daily(start="2024-01-03").fingerprint(),
        daily().select(["B", "A"]).fingerprint(),
        daily(rows=4).fingerprint(),
    }
    assert len(prints) == 5


def test_every_nan_has_the_same_fingerprint() -> None:
    one, other = daily(), daily()
    one.close.iloc[0, 0] = np.nan
    other.close.iloc[0, 0] = np.float64(np.frombuffer(b"\x01\x00\x00\x00\x00\x00\xf8\xff", "<f8")[0])
    assert one.fingerprint() == other.fingerprint()

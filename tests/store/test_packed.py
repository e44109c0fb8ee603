"""What is packed comes back to the last bit, whatever the prices; and plain SQL reads the same."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfund.store import packed
from tests.support.stored import Shelf, at

DAY = date(2024, 1, 2)


def one_session(*rows: tuple[float, ...]) -> packed.Minutes:
    size = len(rows)
    return packed.Minutes(
        ids=np.ones(size, np.int32),
        days=np.full(size, 19_724, np.int32),
        minutes=19_724 * 1440 + 870 + np.arange(size, dtype=np.int64),
        values=np.array(rows, dtype=np.float64).T.copy(),
        held=np.arange(size, dtype=np.int64),
        runs=np.ones(size, np.int32),
    )


@pytest.mark.parametrize(
    ("price", "decimals"),
    [
        (123.45, 2),
        (0.0123, 4),
        (1.10001, 5),
        (0.000012345, 9),
        (1e7, 2),
        (1 / 3, None),
        (60_000.123456, None),  # whole parts of a millionth, but too many for an integer
    ],
)
def test_prices_are_kept_as_whole_ticks_where_that_loses_nothing(store, price, decimals):
    shelf = Shelf(store, timeframe="1m")
    shelf.write([("A", at(2024, 1, 2, 14, 30), DAY, price, price, price, price, 5)])
    with store.sql.connect() as connection:
        assert connection.exec_driver_sql("SELECT decimals FROM sec.bar_1m_day").all() == [(decimals,)]
        assert connection.exec_driver_sql("SELECT open, volume FROM sec.bar_1m").all() == [(price, 5.0)]
    assert shelf.read("A").open["A"].tolist() == [price]


def test_each_session_has_its_own_form(store):
    shelf = Shelf(store, timeframe="1m")
    start = at(2024, 1, 2, 14, 30)
    rows = [
        ("A", start, DAY, 1.25, 1.25, 1.25, 1.25, 5),
        ("B", start, DAY, 1 / 3, 1 / 3, 1 / 3, 1 / 3, 0.5),
        ("C", start, DAY, 1.2345, 1.2345, 1.2345, 1.2345, 2.0**40),
        ("D", start, DAY, 1 / 7, 1 / 7, 1 / 7, 1 / 7, 9),
    ]
    shelf.write(rows)
    read = shelf.read("A", "B", "C", "D")
    assert read.close.iloc[0].tolist() == [1.25, 1 / 3, 1.2345, 1 / 7]
    assert read.volume.iloc[0].tolist() == [5, 0.5, 2.0**40, 9]


decimal_prices = st.integers(0, 9).flatmap(
    lambda places: st.integers(1, 10**10).map(lambda whole: float(f"{whole}e-{places}"))
)
any_price = st.one_of(decimal_prices, st.floats(0, 1e12, allow_nan=False))
any_volume = st.one_of(st.integers(0, 10**12).map(float), st.floats(0, 1e9, allow_nan=False))
bar = st.tuples(any_price, any_price, any_price, any_price, any_volume)


@given(st.lists(st.lists(bar, min_size=1, max_size=4), min_size=1, max_size=5))
def test_any_values_come_back_to_the_last_bit(sessions):
    parts = [one_session(*rows) for rows in sessions]
    whole = parts[0]
    for number, part in enumerate(parts[1:], 2):
        moved = packed.Minutes(part.ids * number, part.days, part.minutes, part.values, part.held, part.runs)
        whole = packed.joined(whole, moved)
    starts = whole.starts
    columns = packed._values(whole, starts)
    size = len(starts)
    lengths = np.diff(np.append(starts, len(whole)))
    for name in packed.ARRAYS:
        if name not in columns and name != "minute":
            kind = pa.int16() if name == "decimals" else pa.list_(pa.float64())
            columns[name] = pa.nulls(size, kind)
    again = packed._unpacked_values(pa.table(columns), lengths)
    assert again.tobytes() == np.abs(whole.values).tobytes()

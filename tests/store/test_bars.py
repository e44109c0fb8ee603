"""Bars in and out: counted, never lost, as of a moment."""

from __future__ import annotations

from contextlib import closing
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qfund.errors import DataQualityError, NotFoundError, UsageError
from qfund.market.bars import FIELDS
from qfund.market.sessions import sessions
from qfund.store import bars, daily_reading, securities
from qfund.store.bars import Written
from qfund.store.reading import Selection
from tests.support.stored import Shelf, at, daily_table, flat, minute, soon

D = [date(2024, 1, 2) + timedelta(days=k) for k in range(12)]


def query(store, text):
    with store.sql.connect() as connection:
        return connection.exec_driver_sql(text).all()


# ---------------------------------------------------------------- daily


def test_a_first_write_is_new_and_a_second_equal_one_writes_nothing(store):
    shelf = Shelf(store)
    rows = [("A", D[0], 10, 12, 9, 11, 100), ("B", D[0], 1, 1, 1, 1, 0), ("A", D[1], 11, 11, 11, 11, 5)]
    assert shelf.write(rows) == Written(new=3)
    before = query(store, "SELECT xmin, * FROM sec.bar_1d ORDER BY instrument_id, session")
    assert shelf.write(reversed(rows), run=2) == Written(same=3)
    assert query(store, "SELECT xmin, * FROM sec.bar_1d ORDER BY instrument_id, session") == before


def test_a_restatement_keeps_the_old_value_and_who_wrote_it(store):
    shelf = Shelf(store)
    shelf.write([("A", D[0], 10, 12, 9, 11, 100), flat("A", D[1], 5)], run=1)
    assert shelf.write(
        [("A", D[0], 10, 12, 9, 11.5, 100), flat("A", D[1], 5), flat("A", D[2], 6)], run=2
    ) == Written(1, 1, 1)
    assert query(
        store, "SELECT open, high, low, close, volume, old_run_id, new_run_id FROM sec.bar_revision"
    ) == [(10, 12, 9, 11, 100, 1, 2)]
    assert shelf.read("A").close["A"].tolist() == [11.5, 5, 6]
    assert query(store, f"SELECT ingest_run_id FROM sec.bar_1d WHERE session = '{D[0]}'") == [(2,)]


def test_optional_columns_are_kept_and_nulls_in_them_are_equal(store):
    import pyarrow as pa

    shelf = Shelf(store)
    shelf.list("A")
    table = daily_table([flat("A", D[0], 5), flat("A", D[1], 6)])
    table = table.append_column("vwap", pa.array([5.5, None], pa.float64())).append_column(
        "trades", pa.array([7, None], pa.int64())
    )
    for expected in (Written(new=2), Written(same=2)):
        with store.transaction() as conn:
            assert bars.write_bars(conn, shelf.series, table, shelf.ids, ingest_run_id=1) == expected
    assert query(store, "SELECT vwap, trades FROM sec.bar_1d ORDER BY session") == [(5.5, 7), (None, None)]


def test_repeated_equal_rows_count_once_and_different_ones_are_refused(store):
    shelf = Shelf(store)
    assert shelf.write([flat("A", D[1], 5), flat("A", D[0], 4), flat("A", D[1], 5)]) == Written(new=2)
    with pytest.raises(
        DataQualityError, match=r"Two different bars came for A at 2024-01-04: open 7.0 and 8.0"
    ) as told:
        shelf.write([flat("A", D[2], 7), flat("A", D[3], 1), flat("A", D[2], 8)])
    assert told.value.code == "TWO_BARS"
    assert len(shelf.read("A")) == 2


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None])
def test_a_value_that_is_none_or_not_finite_is_refused(store, bad):
    with pytest.raises(DataQualityError):
        Shelf(store).write([("A", D[0], 1, 1, 1, bad, 1)])


@pytest.mark.parametrize("row", [(10, 9, 8, 9, 1), (10, 11, 10.5, 10.5, 1), (1, 1, 1, 1, -1)])
def test_impossible_bars_are_refused_by_the_database_and_nothing_of_the_write_is_kept(store, row):
    shelf = Shelf(store)
    with pytest.raises(DataQualityError, match="check constraint"):
        shelf.write([flat("A", D[0], 1), ("A", D[1], *row)])
    assert query(store, "SELECT count(*) FROM sec.bar_1d") == [(0,)]


def test_bars_of_a_symbol_without_a_number_are_refused(store):
    shelf = Shelf(store)
    with store.transaction() as conn, pytest.raises(NotFoundError, match="'Z', which was not asked for"):
        bars.write_bars(conn, shelf.series, daily_table([flat("Z", D[0], 1)]), {}, ingest_run_id=1)


def changes_its_mind(store, shelf):
    table = daily_table([flat("A", D[0], 1)])
    with store.transaction() as conn:
        assert bars.write_bars(conn, shelf.series, table, shelf.ids, ingest_run_id=1) == Written(new=1)
        raise RuntimeError("the caller changes its mind")


def test_the_write_belongs_to_the_callers_transaction(store):
    shelf = Shelf(store)
    shelf.list("A")
    with pytest.raises(RuntimeError, match="changes its mind"):
        changes_its_mind(store, shelf)
    assert len(shelf.read("A")) == 0


def test_an_empty_table_is_nothing(store):
    shelf = Shelf(store)
    shelf.list("A")
    assert shelf.write([]) == Written()


def test_missing_bars_are_nan_and_only_traded_sessions_are_rows(store):
    shelf = Shelf(store)
    shelf.write([flat("A", D[0], 1), flat("B", D[2], 2), flat("B", D[6], 3)])
    read = shelf.read("B", "A")
    assert read.symbols == ("B", "A")
    assert [stamp.date() for stamp in read.index] == [D[0], D[2], D[6]]
    np.testing.assert_array_equal(read.close.to_numpy(), [[np.nan, 1], [2, np.nan], [3, np.nan]])
    assert read.index.name == "session"
    assert read.index.tz is None


def test_a_session_that_the_calendar_does_not_have_is_shown_all_the_same(store):
    shelf = Shelf(store)
    saturday = date(2024, 1, 6)
    shelf.write([flat("A", D[0], 1), flat("A", saturday, 2), flat("A", date(2024, 1, 8), 3)])
    assert shelf.read("A").close["A"].to_dict() == {
        pd.Timestamp(D[0]): 1,
        pd.Timestamp(saturday): 2,
        pd.Timestamp(2024, 1, 8): 3,
    }


def test_many_bars_come_from_one_snapshot_each_in_its_place(store):
    """So many that several connections fetch them; expected is what was written."""
    days, names = sessions("XNYS", date(2018, 1, 2), date(2022, 12, 30)), [f"S{n:03d}" for n in range(180)]
    prices = np.random.default_rng(3).integers(1, 1000, (len(names), len(days))).astype(float)
    saturday, tuesday = date(2020, 2, 1), date(2023, 1, 3)  # not in the calendar; after all others

    def rows(when, values):
        return [flat(name, day, p, p + 1) for name, line in zip(names, values, strict=True)
                for day, p in zip(when, line, strict=True)]  # fmt: skip

    shelf = Shelf(store)
    shelf.write([*rows([day.date() for day in days], prices), flat("S100", saturday, 7)])
    with closing(store.pooled()) as connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SELECT count(*) FROM sec.bar_1d")  # from here on, nothing that others write is seen
        shelf.write(rows([tuesday], np.ones((len(names), 1))), run=2)
        numbers = np.array([shelf.ids[name] for name in reversed(names)], dtype=np.int32)
        wanted = Selection(shelf.series, numbers, days[0].date(), tuesday, None, hides=False)
        block = daily_reading.read(store, cursor, wanted, "XNYS")
    closes = pd.DataFrame(block.frames()["close"], index=block.index, columns=list(reversed(names)))
    assert closes.loc[pd.Timestamp(saturday)].dropna().to_dict() == {"S100": 7}
    expected = pd.DataFrame(prices.T, index=days, columns=names)
    later = shelf.read(*names)
    for found in (closes, later.close[:-1]):
        weekdays = found.drop(index=pd.Timestamp(saturday))[names]
        np.testing.assert_array_equal(weekdays.to_numpy(), expected.to_numpy())
        assert list(weekdays.index) == list(days)
    assert (later.volume.iloc[-1] == 2).all()


def test_a_read_is_bounded_and_may_be_empty(store):
    shelf = Shelf(store)
    shelf.write([flat("A", day, 1) for day in D[:4]])
    shelf.list("NEVER")
    assert len(shelf.read("A", since=D[1], until=D[2])) == 2
    empty = shelf.read("NEVER")
    assert len(empty) == 0
    assert empty.close.shape == (0, 1)
    assert len(shelf.read("A", since=D[9])) == 0


def test_unknown_symbols_are_named_with_the_nearest(store):
    shelf = Shelf(store)
    shelf.write([flat("AAPL", D[0], 1)])
    with pytest.raises(NotFoundError, match=r"'APPL' is not stored\. Did you mean AAPL"):
        shelf.read("APPL")


def test_feeds_do_not_mix(store):
    one, other = Shelf(store, feed="sip"), Shelf(store, feed="iex")
    one.write([flat("A", D[0], 1)])
    other.write([flat("A", D[0], 2)])
    assert one.read("A").close["A"].tolist() == [1]
    assert other.read("A").close["A"].tolist() == [2]


def test_raw_prices_cannot_be_had_from_an_adjusted_series(store):
    series = securities.series(store, vendor="acme", basis="all", timeframe="1d")
    with pytest.raises(UsageError, match="cannot be had"):
        bars.read_bars(store, ["A"], series=series, since=D[0], until=D[1])


# ---------------------------------------------------------------- against a model

prices = st.sampled_from([1.0, 1.5, 2.25])
writes = st.lists(
    st.dictionaries(
        st.tuples(st.sampled_from("ABC"), st.integers(0, 6)),
        st.tuples(prices, st.sampled_from([0.0, 10.0])),
        max_size=12,
    ),
    max_size=5,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(writes)
def test_any_sequence_of_writes_counts_and_holds_what_a_dictionary_would(store, sequence):
    with store.sql.begin() as connection:
        connection.exec_driver_sql("TRUNCATE sec.bar_1d, sec.bar_revision")
    shelf, model, changes = Shelf(store), {}, 0
    shelf.list("A", "B", "C")
    for batch in sequence:
        new = sum(key not in model for key in batch)
        changed = sum(key in model and model[key] != value for key, value in batch.items())
        written = shelf.write([flat(key[0], D[key[1]], *value) for key, value in batch.items()])
        assert written == Written(new, changed, len(batch) - new - changed)
        model |= batch
        changes += changed
    read = shelf.read("A", "B", "C")
    stored = {
        (symbol, D.index(stamp.date())): (
            float(read.close.loc[stamp, symbol]),
            float(read.volume.loc[stamp, symbol]),
        )
        for stamp in read.index
        for symbol in "ABC"
        if not np.isnan(read.close.loc[stamp, symbol])
    }
    assert stored == model
    assert query(store, "SELECT count(*) FROM sec.bar_revision") == [(changes,)]


# ---------------------------------------------------------------- as of a moment


def test_as_of_shows_old_values_and_hides_what_came_later(store):
    shelf = Shelf(store)
    shelf.write([flat("A", D[0], 1), flat("A", D[1], 1)])
    first = soon()
    shelf.write([flat("A", D[1], 2), flat("A", D[2], 2)])
    second = soon()
    shelf.write([flat("A", D[1], 3), flat("A", D[2], 3), flat("B", D[0], 9)])
    assert shelf.read("A", "B", as_of=first).close["A"].tolist() == [1, 1]
    assert shelf.read("A", as_of=second).close["A"].tolist() == [1, 2, 2]
    assert shelf.read("A", as_of=soon()).close["A"].tolist() == [1, 3, 3]
    assert shelf.read("A", "B", as_of=first).close["B"].isna().all()


def test_the_same_moment_gives_the_same_fingerprint_after_new_data(store):
    shelf = Shelf(store)
    shelf.write([flat("A", D[0], 1), flat("A", D[1], 1)])
    moment = soon()
    before = shelf.read("A", as_of=moment).fingerprint()
    shelf.write([flat("A", D[0], 7), flat("A", D[2], 2)])
    assert shelf.read("A", as_of=moment).fingerprint() == before


def test_before_the_store_knew_the_vendor_as_of_means_sessions_over_by_then(store):
    shelf = Shelf(store)
    shelf.write([flat("A", day, 1) for day in (D[0], D[1], D[2])])
    shelf.write([flat("A", D[0], 2)])
    assert shelf.read("A", as_of=at(2024, 1, 3, 21, 0)).close["A"].tolist() == [1, 1]  # NYSE closes at 21:00Z
    assert shelf.read("A", as_of=at(2024, 1, 3, 20, 59)).close["A"].tolist() == [1]
    assert len(shelf.read("A", as_of=at(1999, 1, 1))) == 0


def test_a_moment_without_a_time_zone_is_refused(store):
    shelf = Shelf(store)
    shelf.write([flat("A", D[0], 1)])
    with pytest.raises(UsageError, match="time zone"):
        shelf.read("A", as_of=soon().replace(tzinfo=None))


# ---------------------------------------------------------------- minutes


def open_of(day: date, after: int = 0):
    return at(day.year, day.month, day.day, 14, 30) + timedelta(minutes=after)


def test_minutes_are_packed_by_session_and_come_back_at_the_ends_of_their_bars(store):
    shelf = Shelf(store, timeframe="1m", feed="synthetic")
    rows = [minute("A", open_of(D[0], k), 10 + k) for k in (0, 1, 3)] + [minute("B", open_of(D[1], 389), 5)]
    assert shelf.write(rows) == Written(new=4)
    assert shelf.write(rows) == Written(same=4)
    read = shelf.read("A", "B")
    assert read.index.tolist() == [pd.Timestamp(open_of(D[0], k + 1)) for k in (0, 1, 3)] + [
        pd.Timestamp(open_of(D[1], 390))
    ]
    assert read.sessions.tolist() == [pd.Timestamp(D[0])] * 3 + [pd.Timestamp(D[1])]
    np.testing.assert_array_equal(read.close["A"], [10, 11, 13, np.nan])
    assert query(store, "SELECT session, minute FROM sec.bar_1m_day ORDER BY session") == [
        (D[0], [0, 1, 3]),
        (D[1], [389]),
    ]
    assert query(store, "SELECT count(*), min(ts), max(ts) FROM sec.bar_1m") == [
        (4, open_of(D[0]), open_of(D[1], 389))
    ]
    assert query(store, "SELECT relname FROM pg_class WHERE relname ~ '^bar_1m_day_[0-9]+$'") == [
        ("bar_1m_day_2024",)
    ]


def test_minutes_merge_into_a_session_that_is_there_in_part(store):
    shelf = Shelf(store, timeframe="1m")
    shelf.write([minute("A", open_of(D[0], k), 1) for k in (0, 1)] + [minute("A", open_of(D[1]), 1)])
    first = soon()
    again = [
        minute("A", open_of(D[0], 1), 2),
        minute("A", open_of(D[0], 2), 3),
        minute("A", open_of(D[1]), 1),
    ]
    assert shelf.write(again, run=2) == Written(new=1, changed=1, same=1)
    assert shelf.read("A").close["A"].tolist() == [1, 2, 3, 1]
    assert shelf.read("A", as_of=first).close["A"].tolist() == [1, 1, 1]
    assert query(
        store, "SELECT session, minute, close, old_run_id, new_run_id FROM sec.session_revision"
    ) == [(D[0], [0, 1], [1, 1], 1, 2)]


def test_minute_bars_across_years_and_clock_changes(store):
    shelf = Shelf(store, timeframe="1m")
    starts = [
        at(2023, 12, 29, 14, 30),
        at(2024, 3, 8, 14, 30),
        at(2024, 3, 11, 13, 30),
        at(2024, 7, 3, 13, 30),
    ]
    shelf.write([minute("A", start, 1) for start in starts])
    assert query(store, "SELECT minute FROM sec.bar_1m_day") == [([0],)] * 4
    assert [stamp - timedelta(minutes=1) for stamp in shelf.read("A").index] == starts


def test_before_the_open_is_a_negative_minute(store):
    shelf = Shelf(store, timeframe="1m")
    shelf.write([minute("A", open_of(D[0], -30), 1)])
    assert query(store, "SELECT minute FROM sec.bar_1m_day") == [([-30],)]
    assert shelf.read("A").index.tolist() == [pd.Timestamp(open_of(D[0], -29))]


@pytest.mark.parametrize("start", [at(2024, 1, 2, 14, 30) + timedelta(seconds=1), at(2024, 1, 12, 14, 30)])
def test_a_bar_off_the_minute_or_far_from_its_session_is_refused(store, start):
    with pytest.raises(DataQualityError):
        Shelf(store, timeframe="1m").write([("A", start, D[0], 1, 1, 1, 1, 1)])


minute_writes = st.lists(
    st.dictionaries(
        st.tuples(st.sampled_from("AB"), st.integers(0, 1), st.integers(0, 4)), prices, max_size=8
    ),
    max_size=4,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(minute_writes)
def test_any_sequence_of_minute_writes_counts_and_holds_what_a_dictionary_would(store, sequence):
    with store.sql.begin() as connection:
        connection.exec_driver_sql("TRUNCATE sec.bar_1m_day, sec.session_revision")
    shelf, model = Shelf(store, timeframe="1m"), {}
    shelf.list("A", "B")
    for batch in sequence:
        new = sum(key not in model for key in batch)
        changed = sum(key in model and model[key] != value for key, value in batch.items())
        written = shelf.write([minute(s, open_of(D[d], m), p) for (s, d, m), p in batch.items()])
        assert written == Written(new, changed, len(batch) - new - changed)
        model |= batch
    read = shelf.read("A", "B")
    places = {open_of(D[d], m + 1): (d, m) for d in (0, 1) for m in range(5)}
    stored = {
        (symbol, *places[stamp.to_pydatetime()]): float(read.close.loc[stamp, symbol])
        for stamp in read.index
        for symbol in "AB"
        if not np.isnan(read.close.loc[stamp, symbol])
    }
    assert stored == model


# ---------------------------------------------------------------- all fields


@pytest.mark.parametrize("timeframe", ["1d", "1m"])
def test_every_field_comes_back_to_the_last_bit(store, timeframe):
    shelf = Shelf(store, timeframe=timeframe)
    values = (0.1 + 0.2, 1 / 3 + 5, 1e-9, 2 / 7, 1e15 / 3)
    head = ("A", D[0]) if timeframe == "1d" else ("A", open_of(D[0]), D[0])
    shelf.write([(*head, *values)])
    read = shelf.read("A")
    assert tuple(getattr(read, name)["A"].iloc[0] for name in FIELDS) == values

"""Every row of an answer is stored, rejected with a reason, or counted as a repeat; none vanishes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfund.errors import UpstreamError
from qfund.ingest.check import REASONS, check
from qfund.vendors.contract import DAILY_SCHEMA, MINUTE_SCHEMA, BarRequest, Offer

NAN, INF = float("nan"), float("inf")
DAY, HALF_DAY = date(2012, 7, 2), date(2012, 7, 3)
NOW = datetime(2013, 1, 1, tzinfo=UTC)
GOOD = ("A", DAY, 10.0, 11.0, 9.0, 10.5, 100.0)


def daily(*rows):
    return pa.table([list(column) for column in zip(*rows, strict=True)], schema=DAILY_SCHEMA)


def run(table, *, timeframe="1d", since=DAY, until=date(2012, 7, 6), now=NOW, settle=timedelta(0)):
    offer = Offer(timeframe, "f", first=date(2000, 1, 1), last=None, sessions_per_request=99, settle=settle)
    return check(table, BarRequest(("A", "B"), timeframe, since, until), offer, calendar="XNYS", now=now)


def bad(**changes):
    names = DAILY_SCHEMA.names
    return tuple(changes.get(name, value) for name, value in zip(names, GOOD, strict=True))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (bad(symbol="Z"), "symbol"),
        (bad(symbol=None), "symbol"),
        (bad(session=None), "time"),
        (bad(session=date(2012, 7, 4)), "not_a_session"),
        (bad(session=date(2012, 7, 7)), "outside_span"),
        (bad(session=date(2012, 6, 29)), "outside_span"),
        (bad(open=NAN), "not_a_number"),
        (bad(close=None), "not_a_number"),
        (bad(high=INF), "not_a_number"),
        (bad(volume=NAN), "not_a_number"),
        (bad(low=0.0), "not_positive"),
        (bad(open=-1.0), "not_positive"),
        (bad(high=10.4), "order"),
        (bad(low=10.1), "order"),
        (bad(volume=-1.0), "negative_volume"),
    ],
)
def test_each_fault_has_its_reason(row, reason):
    checked = run(daily(("B", *GOOD[1:]), row))
    assert checked.good.to_pylist() == daily(("B", *GOOD[1:])).to_pylist()
    assert checked.rejected["reason"].to_pylist() == [reason]
    assert reason in REASONS


def test_a_bar_that_is_not_over_is_rejected_until_it_has_settled():
    close = datetime(2012, 7, 2, 20, 0, tzinfo=UTC)
    wait = timedelta(minutes=20)
    early = run(daily(GOOD), now=close + timedelta(minutes=19), settle=wait)
    assert early.rejected["reason"].to_pylist() == ["not_final"]
    assert len(run(daily(GOOD), now=close + wait, settle=wait).good) == 1


def test_exact_repeats_are_counted_and_kept_once():
    checked = run(daily(GOOD, GOOD, GOOD))
    assert (len(checked.good), len(checked.rejected), checked.repeated) == (1, 0, 2)


def test_different_bars_of_one_time_are_all_rejected():
    checked = run(daily(GOOD, bad(close=10.6), bad(session=HALF_DAY)))
    assert checked.rejected["reason"].to_pylist() == ["conflict", "conflict"]
    assert checked.good["session"].to_pylist() == [HALF_DAY]


def test_a_good_bar_beside_a_broken_one_of_its_time_is_doubtful():
    checked = run(daily(GOOD, bad(close=NAN)))
    assert sorted(checked.rejected["reason"].to_pylist()) == ["conflict", "not_a_number"]


def minute(hour, minute_, second=0, *, session=HALF_DAY, day=3):
    stamp = datetime(2012, 7, day, hour, minute_, second, tzinfo=UTC)
    row = ("A", stamp, session, *GOOD[2:])
    return pa.table([[value] for value in row], schema=MINUTE_SCHEMA)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (minute(13, 30), None),
        (minute(16, 59), None),  # the last minute of a half day: it closed at 13:00 in New York
        (minute(17, 0), "outside_hours"),
        (minute(13, 29), "outside_hours"),
        (minute(14, 0, 30), "outside_hours"),
        (minute(14, 0, session=DAY), "outside_hours"),
        (minute(14, 0, session=date(2012, 7, 4), day=4), "not_a_session"),
        (minute(19, 59, session=DAY, day=2), None),
    ],
)
def test_minutes_lie_in_their_session(table, reason):
    checked = run(table, timeframe="1m")
    assert checked.rejected["reason"].to_pylist() == ([reason] if reason else [])


def test_a_minute_is_final_at_its_end():
    table = minute(14, 0)
    end = datetime(2012, 7, 3, 14, 1, tzinfo=UTC)
    assert len(run(table, timeframe="1m", now=end).good) == 1
    assert run(table, timeframe="1m", now=end - timedelta(seconds=1)).rejected["reason"].to_pylist() == [
        "not_final"
    ]


def test_an_empty_answer_is_fine():
    checked = run(DAILY_SCHEMA.empty_table())
    assert (len(checked.good), len(checked.rejected), checked.repeated) == (0, 0, 0)
    assert checked.rejected.column_names == [*DAILY_SCHEMA.names, "reason"]


def test_integers_are_read_as_floats_and_further_columns_ignored():
    table = daily(GOOD)
    whole = table.set_column(6, "volume", pa.array([100], pa.int64())).append_column("vwap", pa.array([1.0]))
    assert run(whole).good.equals(table)


@pytest.mark.parametrize(
    "table",
    [
        daily(GOOD).drop_columns(["low"]),
        daily(GOOD).set_column(2, "open", pa.array(["ten"])),
        daily(GOOD).set_column(1, "session", pa.array(["Tuesday"])),
    ],
)
def test_an_answer_in_another_shape_is_the_vendors_fault(table):
    with pytest.raises(UpstreamError) as caught:
        run(table)
    assert caught.value.code == "BAD_ANSWER"


values = st.sampled_from([NAN, INF, -1.0, 0.0, 9.0, 10.0, 11.0])
rows = st.tuples(
    st.sampled_from(["A", "B", "Z"]),
    st.dates(date(2012, 6, 29), date(2012, 7, 8)),
    values, values, values, values, values,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(rows, min_size=1, max_size=12))
def test_no_row_vanishes_and_every_good_row_is_sound(made):
    checked = run(daily(*made))
    assert len(checked.good) + len(checked.rejected) + checked.repeated == len(made)
    good = checked.good.to_pylist()
    assert len({(row["symbol"], row["session"]) for row in good}) == len(good)
    for row in good:
        assert row["symbol"] in ("A", "B")
        assert 0 < row["low"] <= min(row["open"], row["close"])
        assert max(row["open"], row["close"]) <= row["high"] < INF
        assert row["volume"] >= 0

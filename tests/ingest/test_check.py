"""Every row of an answer is stored, rejected with a reason, counted as a repeat, or left out as not wanted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfund.errors import NotFoundError, UpstreamError
from qfund.ingest.check import LEFT_OUT, REASONS, Checked, check, pardoned, rejected_too
from qfund.vendors.contract import DAILY_SCHEMA, MINUTE_SCHEMA, BarRequest, Offer
from qfund.vendors.sample import FIRST, LAST, Sample

NAN, INF = float("nan"), float("inf")
DAY, HALF_DAY = date(2012, 7, 2), date(2012, 7, 3)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = ("A", DAY, 10.0, 11.0, 9.0, 10.5, 100.0)
DAILY = Offer("1d", "f", first=date(2000, 1, 1), last=None, sessions_per_request=99)
MINUTES = replace(DAILY, timeframe="1m")
FX = replace(MINUTES, calendar="FX", hours="always", market="fx")


def daily(*rows):
    return pa.table([list(column) for column in zip(*rows, strict=True)], schema=DAILY_SCHEMA)


def run(table, *, offer=DAILY, since=DAY, until=date(2012, 7, 6), now=NOW):
    return check(table, BarRequest(("A", "B"), offer.timeframe, since, until, offer), now=now)


def bad(**changes):
    names = DAILY_SCHEMA.names
    return tuple(changes.get(name, value) for name, value in zip(names, GOOD, strict=True))


def minute(text, *, session=None, symbol="A", **changes):
    """A minute bar that starts at an ISO time in UTC; without a session unless one is named."""
    start = datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None
    values = [changes.get(name, value) for name, value in zip(MINUTE_SCHEMA.names[3:], GOOD[2:], strict=True)]
    return (symbol, start, session, *values)


def minutes(*rows):
    return pa.table([list(column) for column in zip(*rows, strict=True)], schema=MINUTE_SCHEMA)


def reasons(checked):
    return checked.rejected["reason"].to_pylist()


# ---------------------------------------------------------------- daily bars


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (bad(symbol="Z"), "symbol"),
        (bad(symbol=None), "symbol"),
        (bad(session=None), "wrong_zone"),
        (bad(session=date(2012, 7, 4)), "not_a_session"),
        (bad(session=date(2012, 7, 7)), "outside_span"),
        (bad(session=date(2012, 6, 29)), "outside_span"),
        (bad(open=NAN), "not_a_number"),
        (bad(close=None), "not_a_number"),
        (bad(high=INF), "not_a_number"),
        (bad(volume=NAN), "not_a_number"),
        (bad(volume=-INF), "not_a_number"),
        (bad(low=0.0), "not_positive"),
        (bad(open=-1.0), "not_positive"),
        (bad(high=10.4), "order"),
        (bad(low=10.1), "order"),
        (bad(volume=-1.0), "negative_volume"),
        (bad(volume=1e18), "impossible_volume"),
        (bad(volume=0.0), "zero_volume"),
    ],
)
def test_each_fault_has_its_reason(row, reason):
    checked = run(daily(("B", *GOOD[1:]), row))
    assert checked.good.to_pylist() == daily(("B", *GOOD[1:])).to_pylist()
    assert reasons(checked) == [reason]
    assert reason in REASONS


def test_bars_without_a_trade_are_fine_where_the_vendor_sends_them():
    assert len(run(daily(bad(volume=0.0)), offer=replace(DAILY, quiet_bars=True)).good) == 1


def test_coins_of_a_millionth_of_a_cent_may_trade_in_trillions():
    coins = replace(DAILY, calendar="24/7", hours="always")
    assert len(run(daily(bad(volume=1e13)), offer=coins).good) == 1
    assert reasons(run(daily(bad(volume=1e18)), offer=coins)) == ["impossible_volume"]


def test_the_bar_of_a_day_that_has_not_settled_is_left_out_and_not_a_fault():
    close = datetime(2012, 7, 2, 20, 0, tzinfo=UTC)
    slow = replace(DAILY, settle=timedelta(minutes=20))
    early = run(daily(GOOD), offer=slow, now=close + timedelta(minutes=19))
    assert (len(early.good), len(early.rejected), early.left_out) == (0, 0, {"not_final": 1})
    assert len(run(daily(GOOD), offer=slow, now=close + timedelta(minutes=20)).good) == 1


def test_the_bar_of_a_day_that_has_not_begun_is_a_fault():
    before_the_open = datetime(2012, 7, 2, 13, 29, tzinfo=UTC)
    assert reasons(run(daily(GOOD), now=before_the_open)) == ["future"]


def test_exact_repeats_are_counted_and_kept_once():
    checked = run(daily(GOOD, GOOD, GOOD))
    assert (len(checked.good), len(checked.rejected), checked.repeated) == (1, 0, 2)
    broken = bad(close=NAN)
    checked = run(daily(broken, bad(close=None)))
    assert (len(checked.rejected), checked.repeated) == (1, 1)


def test_different_bars_of_one_time_are_all_rejected():
    checked = run(daily(GOOD, bad(close=10.6), bad(session=HALF_DAY)))
    assert reasons(checked) == ["conflict", "conflict"]
    assert checked.good["session"].to_pylist() == [HALF_DAY]


def test_a_repeat_between_two_that_differ_changes_nothing():
    checked = run(daily(GOOD, bad(close=10.6), GOOD))
    assert reasons(checked) == ["conflict", "conflict"]
    assert checked.repeated == 1


def test_a_good_bar_beside_a_broken_one_of_its_time_is_doubtful():
    checked = run(daily(GOOD, bad(close=NAN)))
    assert sorted(reasons(checked)) == ["conflict", "not_a_number"]


def test_good_bars_come_out_by_symbol_and_time():
    rows = [(s, d, *GOOD[2:]) for s in "BA" for d in (date(2012, 7, 6), DAY, HALF_DAY)]
    good = run(daily(*rows)).good
    keys = list(zip(good["symbol"].to_pylist(), good["session"].to_pylist(), strict=True))
    assert keys == sorted(keys)


# ---------------------------------------------------------------- days that bite


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        (date(2024, 2, 29), None),  # the leap day
        (date(2024, 3, 29), "not_a_session"),  # Good Friday
        (date(2025, 1, 9), "not_a_session"),  # the mourning for Jimmy Carter
        (date(2001, 9, 10), None),
        (date(2001, 9, 11), "not_a_session"),
        (date(2001, 9, 14), "not_a_session"),
        (date(2001, 9, 17), None),
        (date(2012, 10, 29), "not_a_session"),  # Hurricane Sandy
        (date(2012, 10, 30), "not_a_session"),
        (date(2012, 10, 31), None),
        (date(2023, 11, 24), None),
    ],
)
def test_a_daily_bar_of_a_closed_day_is_rejected(day, reason):
    checked = run(daily(bad(session=day)), since=date(2000, 1, 3), until=date(2025, 12, 31))
    assert reasons(checked) == ([reason] if reason else [])


@pytest.mark.parametrize(
    ("start", "fits"),
    [
        ("2024-03-08 14:30", True),  # winter: New York is five hours behind
        ("2024-03-08 14:29", False),
        ("2024-03-08 20:59", True),
        ("2024-03-08 21:00", False),
        ("2024-03-11 13:30", True),  # summer: four
        ("2024-03-11 13:29", False),
        ("2024-03-11 19:59", True),
        ("2024-03-11 20:00", False),
        ("2024-11-01 13:30", True),
        ("2024-11-01 20:00", False),
        ("2024-11-04 14:29", False),
        ("2024-11-04 20:59", True),
        ("2023-11-24 17:59", True),  # half days end at 13:00 in New York
        ("2023-11-24 18:00", False),
        ("2024-07-03 16:59", True),
        ("2024-07-03 17:00", False),
    ],
)
def test_minutes_lie_between_open_and_close_and_get_their_session(start, fits):
    checked = run(minutes(minute(start)), offer=MINUTES, since=date(2023, 1, 3), until=date(2024, 12, 31))
    rows = checked.good if fits else checked.rejected
    assert rows["session"].to_pylist() == [date.fromisoformat(start[:10])]
    assert reasons(checked) == ([] if fits else ["outside_hours"])


@pytest.mark.parametrize(
    ("start", "session", "reason"),
    [
        ("2024-03-08 21:59", date(2024, 3, 8), None),  # Friday 16:59 in New York
        ("2024-03-08 22:00", date(2024, 3, 8), "outside_hours"),  # after Friday's end
        ("2024-03-09 12:00", date(2024, 3, 9), "not_a_session"),  # Saturday
        ("2024-03-10 20:59", date(2024, 3, 10), "not_a_session"),  # Sunday, a minute before the open
        ("2024-03-10 21:00", date(2024, 3, 11), None),  # Sunday 17:00, the day the clock was changed
        ("2024-03-11 20:59", date(2024, 3, 11), None),
        ("2024-03-11 21:00", date(2024, 3, 12), None),
        ("2024-11-03 22:00", date(2024, 11, 4), None),  # Sunday 17:00 in winter
        ("2024-11-03 21:59", date(2024, 11, 3), "not_a_session"),
    ],
)
def test_the_currencies_week_opens_on_sunday_evening(start, session, reason):
    checked = run(minutes(minute(start)), offer=FX, since=date(2024, 3, 4), until=date(2024, 11, 8))
    assert reasons(checked) == ([reason] if reason else [])
    rows = checked.rejected if reason else checked.good
    assert rows["session"].to_pylist() == [session]


def test_mornings_and_evenings_belong_to_extended_hours():
    extended = replace(MINUTES, hours="extended")
    inside = ["2024-03-08 09:00", "2024-03-09 00:59", "2024-03-11 08:00", "2024-03-11 23:59"]
    outside = ["2024-03-08 08:59", "2024-03-09 01:00", "2024-03-11 07:59", "2024-03-12 00:00"]
    span = {"since": date(2024, 3, 8), "until": date(2024, 3, 11)}
    checked = run(minutes(*map(minute, inside)), offer=extended, **span)
    assert checked.good["session"].to_pylist() == [date(2024, 3, 8)] * 2 + [date(2024, 3, 11)] * 2
    assert reasons(run(minutes(*map(minute, outside)), offer=extended, **span)) == ["outside_hours"] * 4


def test_a_day_of_coins_ends_at_midnight():
    coins = replace(MINUTES, calendar="24/7", hours="always")
    span = {"since": date(2024, 2, 28), "until": date(2024, 2, 29)}
    checked = run(minutes(minute("2024-02-29 23:59"), minute("2024-03-01 00:00")), offer=coins, **span)
    assert checked.good["session"].to_pylist() == [date(2024, 2, 29)]
    assert reasons(checked) == ["outside_span"]


# ---------------------------------------------------------------- minute bars


SPAN = {"offer": MINUTES, "since": DAY, "until": date(2012, 7, 6)}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (minute("2012-07-03 13:30", session=HALF_DAY), None),
        (minute("2012-07-03 14:00", session=DAY), "outside_hours"),
        (minute("2012-07-04 14:00", session=date(2012, 7, 4)), "not_a_session"),
        (minute("2012-07-04 14:00"), "not_a_session"),
        (minute("2012-07-09 14:00"), "outside_span"),
        (minute("2012-07-03 14:00:30"), "not_a_minute"),
        (minute(None, session=HALF_DAY), "time"),
        (minute(None), "time"),
        (minute("2012-07-03 14:00", symbol="Z"), "symbol"),
        (minute("2012-07-03 14:00", high=1.0), "order"),
    ],
)
def test_each_fault_of_a_minute_has_its_reason(row, reason):
    checked = run(minutes(row), **SPAN)
    assert reasons(checked) == ([reason] if reason else [])


def test_two_bars_of_one_minute_conflict_also_when_only_their_sessions_differ():
    checked = run(minutes(minute("2012-07-03 14:00"), minute("2012-07-03 14:00", session=DAY)), **SPAN)
    assert sorted(reasons(checked)) == ["conflict", "outside_hours"]
    both = [minute("2012-07-03 14:00"), minute("2012-07-03 14:00", session=HALF_DAY)]
    assert run(minutes(*both), **SPAN).repeated == 1


def test_a_minute_is_final_at_its_end_plus_the_time_it_needs_to_settle():
    table = minutes(minute("2012-07-03 14:00"))
    end = datetime(2012, 7, 3, 14, 1, tzinfo=UTC)
    slow = replace(MINUTES, settle=timedelta(seconds=30))
    span = {"since": DAY, "until": date(2012, 7, 6), "offer": slow}
    assert len(run(table, now=end + timedelta(seconds=30), **span).good) == 1
    assert run(table, now=end + timedelta(seconds=29), **span).left_out == {"not_final": 1}
    assert reasons(run(table, now=end - timedelta(seconds=61), **span)) == ["future"]


def test_a_forming_bar_that_came_twice_is_no_conflict():
    rows = [minute("2012-07-03 14:00"), minute("2012-07-03 14:00", close=10.6)]
    checked = run(minutes(*rows), **SPAN, now=datetime(2012, 7, 3, 14, 0, 30, tzinfo=UTC))
    assert (len(checked.rejected), checked.left_out) == (0, {"not_final": 2})


def test_minutes_outside_regular_hours_are_left_out_where_answers_hold_them():
    more = replace(MINUTES, answers_more=True)
    table = minutes(
        minute("2012-07-03 12:00"), minute("2012-07-03 14:00"), minute("2012-07-03 17:00", close=NAN)
    )
    checked = run(table, offer=more, since=DAY, until=date(2012, 7, 6))
    assert (len(checked.good), len(checked.rejected), checked.left_out) == (1, 0, {"outside_hours": 2})
    assert set(checked.left_out) <= set(LEFT_OUT)


# ---------------------------------------------------------------- shapes


def test_an_empty_answer_is_fine():
    for offer, schema in ((DAILY, DAILY_SCHEMA), (MINUTES, MINUTE_SCHEMA)):
        checked = run(schema.empty_table(), offer=offer)
        assert (len(checked.good), len(checked.rejected), checked.repeated, checked.rows) == (0, 0, 0, 0)
        assert checked.rejected.column_names == [*schema.names, "reason"]


def test_a_span_without_a_session_takes_nothing():
    weekend = {"since": date(2012, 7, 7), "until": date(2012, 7, 8)}
    assert reasons(run(daily(bad(session=date(2012, 7, 7))), **weekend)) == ["not_a_session"]
    assert reasons(run(minutes(minute("2012-07-07 14:00")), offer=MINUTES, **weekend)) == ["not_a_session"]


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


def test_an_unknown_calendar_is_told():
    with pytest.raises(NotFoundError):
        run(daily(GOOD), offer=replace(DAILY, calendar="XNOPE"))


# ---------------------------------------------------------------- what others decide


def test_more_rows_can_be_rejected_later():
    checked = run(daily(GOOD, bad(session=HALF_DAY), bad(session=date(2012, 7, 5), close=NAN)))
    more = rejected_too(checked, {"stale": np.array([False, True]), "spike": np.array([False, True])})
    assert more.good["session"].to_pylist() == [DAY]
    assert reasons(more) == ["stale", "not_a_number"]
    assert more.rows == checked.rows == 3
    assert rejected_too(checked, {}) is checked


def test_what_a_person_accepted_is_fit_when_it_comes_again_just_so():
    one, other = bad(volume=0.0), bad(volume=0.0, close=10.6)
    assert len(pardoned(run(daily(one)), daily(one)).good) == 1
    assert reasons(pardoned(run(daily(other)), daily(bad(session=HALF_DAY, volume=0.0)))) == ["zero_volume"]
    conflict = pardoned(run(daily(GOOD, bad(close=10.6))), daily(GOOD))
    assert conflict.good.to_pylist() == daily(GOOD).to_pylist()
    assert (len(conflict.rejected), conflict.left_out, conflict.rows) == (0, {"given_up": 1}, 2)


# ---------------------------------------------------------------- promises over many answers

values = st.sampled_from([NAN, INF, -1.0, 0.0, 9.0, 10.0, 11.0, 1e13])
numbers = st.tuples(values, values, values, values, values)
daily_rows = st.tuples(
    st.sampled_from(["A", "B", "Z", None]),
    st.none() | st.dates(date(2012, 6, 29), date(2012, 7, 8)),
    numbers,
).map(lambda row: (*row[:2], *row[2]))
starts = st.integers(0, 60).map(lambda n: datetime(2012, 7, 2, 12, tzinfo=UTC) + timedelta(minutes=30 * n))
minute_rows = st.tuples(
    st.sampled_from(["A", "B", "Z", None]),
    st.none() | starts,
    st.none() | st.sampled_from([DAY, HALF_DAY, date(2012, 7, 4)]),
    numbers,
).map(lambda row: (*row[:3], *row[3]))
offers = st.builds(
    lambda timeframe, quiet, more: replace(DAILY, timeframe=timeframe, quiet_bars=quiet, answers_more=more),
    st.sampled_from(["1d", "1m"]),
    st.booleans(),
    st.booleans(),
)
moments = st.sampled_from([NOW, datetime(2012, 7, 3, 14, 0, 30, tzinfo=UTC)])


@settings(max_examples=300, deadline=None)
@given(st.data(), offers, moments)
def test_every_row_goes_out_once_and_its_place_in_the_answer_does_not_matter(data, offer, now):
    schema, rows = (DAILY_SCHEMA, daily_rows) if offer.timeframe == "1d" else (MINUTE_SCHEMA, minute_rows)
    made = data.draw(st.lists(rows, max_size=12))
    made += data.draw(st.lists(st.sampled_from(made), max_size=4)) if made else []

    def checked(some) -> Checked:
        columns = list(zip(*some, strict=True)) or [[] for _ in schema.names]
        return run(pa.table([list(column) for column in columns], schema=schema), offer=offer, now=now)

    one, other = checked(made), checked(data.draw(st.permutations(made)))
    assert one.rows == len(made)
    assert str(one.good.to_pylist()) == str(other.good.to_pylist())
    assert str(one.rejected.to_pylist()) == str(other.rejected.to_pylist())
    assert (one.repeated, one.left_out) == (other.repeated, other.left_out)
    good = one.good.to_pylist()
    key = "session" if offer.timeframe == "1d" else "ts"
    assert len({(row["symbol"], row[key]) for row in good}) == len(good)
    for row in good:
        assert row["symbol"] in ("A", "B")
        assert row["session"] is not None
        assert 0 < row["low"] <= min(row["open"], row["close"])
        assert max(row["open"], row["close"]) <= row["high"] < INF
        assert 0 <= row["volume"] <= 1e12
    for row in one.rejected.to_pylist():
        assert row["reason"] in REASONS


def test_the_whole_sample_passes():
    source = Sample()
    names = tuple(one.symbol for one in source.listings())
    for timeframe, since in (("1d", FIRST), ("1m", date(2011, 1, 3))):
        offer = source.capabilities.offer(timeframe)
        request = BarRequest(names, timeframe, since, LAST, offer)
        bars = pa.concat_tables([page.bars for page in source.bars(request)])
        checked = check(bars, request, now=NOW)
        assert len(checked.good) == len(bars)
        assert (len(checked.rejected), checked.repeated, checked.left_out) == (0, 0, {})

"""The truth says the same thing at the same moment, and corrections when they are due."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfund.market.actions import CorporateAction
from qfund.testing import Clock, Instrument, Moment, Name, Truth, When
from qfund.testing.paging import Asked, Paging, TokenError
from qfund.testing.series import Series
from qfund.vendors.contract import DAILY_SCHEMA, MINUTE_SCHEMA

NOW = datetime(2024, 3, 20, tzinfo=UTC)
DAY = date(2024, 3, 7)


def told(truth, key="AAPL", timeframe="1d", request=0, now=NOW):
    return truth.series(key, timeframe, Moment(now, request))


def test_made_up_bars_are_the_same_for_the_same_seed_and_differ_by_symbol():
    one, two = Truth(), Truth()
    for truth in (one, two):
        truth.walk("AAPL", "1d", date(2024, 1, 2), date(2024, 3, 8))
        truth.walk("MSFT", "1d", date(2024, 1, 2), date(2024, 3, 8))
    assert np.array_equal(told(one).values, told(two).values)
    assert not np.array_equal(told(one).values, told(one, "MSFT").values)


@given(st.integers(0, 1000), st.sampled_from([0.01, 0.00001, 1.0]), st.floats(0.0001, 0.2))
@settings(max_examples=50, deadline=None)
def test_made_up_bars_are_sound(seed, tick, spread):
    truth = Truth()
    truth.walk("AAPL", "1d", date(2024, 1, 2), date(2024, 3, 8), seed=seed, tick=tick, spread=spread)
    opened, high, low, close, volume = told(truth).values.T
    assert (high >= np.maximum(opened, close)).all()
    assert (low <= np.minimum(opened, close)).all()
    assert (low > 0).all()
    assert (volume >= 1).all()


def test_minutes_follow_the_session_its_half_days_and_summer_time():
    truth = Truth()
    truth.walk("AAPL", "1m", date(2024, 3, 8), date(2024, 3, 11))
    truth.walk("AAPL", "1m", date(2023, 11, 24), date(2023, 11, 24))
    times = [datetime.fromtimestamp(stamp, UTC) for stamp in told(truth, timeframe="1m").times.tolist()]
    by_day = {day: [one for one in times if one.date() == day] for day in {one.date() for one in times}}
    assert {day: len(found) for day, found in by_day.items()} == {
        date(2024, 3, 8): 390, date(2024, 3, 11): 390, date(2023, 11, 24): 210,
    }  # fmt: skip
    assert by_day[date(2024, 3, 8)][0].time() == time(14, 30)
    assert by_day[date(2024, 3, 11)][0].time() == time(13, 30)


def test_extended_minutes_go_from_4_to_20():
    truth = Truth()
    truth.walk("AAPL", "1m", DAY, DAY, extended=True)
    assert len(told(truth, timeframe="1m")) == 960
    assert truth.table("1m", DAY, DAY).num_rows == 390
    assert truth.table("1m", DAY, DAY, extended=True).num_rows == 960


def test_a_listing_bounds_the_walk():
    truth = Truth()
    truth.add(Instrument("AAPL", listed_on=date(2024, 3, 5), delisted_on=date(2024, 3, 7)))
    truth.walk("AAPL", "1d", date(2024, 3, 1), date(2024, 3, 15))
    assert len(told(truth)) == 3


def test_a_closed_day_has_no_session_and_an_early_one_ends_early():
    truth = Truth()
    truth.closed.add(date(2024, 3, 7))
    truth.early[date(2024, 3, 8)] = time(13)
    days = truth.sessions("XNYS", date(2024, 3, 6), date(2024, 3, 8))
    assert [day.day.day for day in days] == [6, 8]
    assert days[1].closes == datetime(2024, 3, 8, 18, tzinfo=UTC)


# --- corrections


def corrected(when: When) -> Truth:
    truth = Truth()
    truth.bars("AAPL", "1d", [(DAY, 10, 12, 9, 11, 100)])
    truth.correct("AAPL", "1d", DAY, when, close=11.5)
    return truth


@pytest.mark.parametrize(("when", "before", "after"), [
    (When(request=3), {"request": 2}, {"request": 3}),
    (When(now=NOW), {"now": NOW - timedelta(seconds=1)}, {"now": NOW}),
])  # fmt: skip
def test_a_correction_is_seen_from_its_moment_on(when, before, after):
    truth = corrected(when)
    assert told(truth, **before).values[0].tolist() == [10, 12, 9, 11, 100]
    assert told(truth, **after).values[0].tolist() == [10, 12, 9, 11.5, 100]


def test_a_late_bar_comes_and_a_wrong_one_goes():
    truth = corrected(When(request=3))
    late = DAY + timedelta(days=1)
    truth.correct("AAPL", "1d", late, When(request=4), open=1, high=2, low=1, close=2, volume=5)
    truth.withdraw("AAPL", "1d", DAY, When(request=5))
    assert [len(told(truth, request=number)) for number in (3, 4, 5)] == [1, 2, 1]


def test_a_late_bar_needs_all_its_values():
    truth = corrected(When())
    truth.correct("AAPL", "1d", DAY + timedelta(days=1), close=1)
    with pytest.raises(KeyError):
        told(truth)


def test_the_table_is_what_is_told_in_the_end():
    truth = corrected(When(request=3))
    assert truth.table("1d", DAY, DAY).schema == DAILY_SCHEMA
    assert truth.table("1m", DAY, DAY).schema == MINUTE_SCHEMA
    assert truth.table("1d", DAY, DAY)["close"].to_pylist() == [11.5]
    assert truth.table("1d", DAY, DAY, at=Moment(NOW, 1))["close"].to_pylist() == [11.0]


def test_an_action_is_told_from_its_announcement_on():
    truth = Truth()
    split = CorporateAction("AAPL", "split", DAY, new_rate=Decimal(2), old_rate=Decimal(1))
    filed = truth.act(split, when=When(now=NOW))
    assert truth.actions(Moment(NOW - timedelta(seconds=1))) == []
    assert truth.actions(Moment(NOW)) == [filed]
    assert filed.process_date == DAY


# --- names


def test_a_rename_and_a_ticker_that_was_used_again():
    truth = Truth()
    meta = truth.add(Instrument("meta", (Name("FB", until=date(2022, 6, 8)), Name("META", date(2022, 6, 9)))))
    old = truth.add(
        Instrument("old", (Name("ABC"),), listed_on=date(2000, 1, 3), delisted_on=date(2010, 1, 4))
    )
    new = truth.add(Instrument("new", (Name("ABC"),), listed_on=date(2015, 1, 5)))
    assert truth.holder("FB", date(2020, 1, 2)) is meta
    assert truth.holder("FB", date(2024, 1, 2)) is None
    assert truth.holder("META", date(2024, 1, 2)) is meta
    assert truth.holder("ABC", date(2009, 1, 2)) is old
    assert truth.holder("ABC", date(2012, 1, 3)) is old
    assert truth.holder("ABC", date(2024, 1, 2)) is new
    assert meta.name_on(date(2020, 1, 2)) == "FB"
    assert meta.last_name == "META"


def test_two_instruments_have_two_keys():
    truth = Truth()
    truth.add(Instrument("AAPL"))
    with pytest.raises(ValueError, match="already"):
        truth.add(Instrument("AAPL"))


# --- pages


@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(1, 20))
@settings(max_examples=100, deadline=None)
def test_pages_hold_each_bar_once_whatever_their_size(lengths, limit):
    asked = [
        Asked(f"S{number}", Series(np.arange(1, length + 3), np.ones((length + 2, 5))), 1, length + 1)
        for number, length in enumerate(lengths)
    ]
    found, token = [], None
    while True:
        page = Paging(limit, token, 0.0, daily=True).cut(asked)
        assert 1 <= page.rows <= limit
        found += [(bar.symbol, bar.time) for bar in page.bars()]
        token = page.token
        if token is None:
            break
    assert found == [(one.symbol, time) for one in asked for time in range(2, one.last + 1)]


@pytest.mark.parametrize("token", ["", "!", "QUFQTA==", "Tk9ORXwx"])
def test_a_token_of_somebody_else_is_refused(token):
    asked = [Asked("AAPL", Series(np.arange(3), np.ones((3, 5))), 0, 3)]
    with pytest.raises(TokenError):
        Paging(1, token, 0.0, daily=True).cut(asked)


# --- the clock


def test_a_clock_stands_runs_and_is_set():
    still = Clock(NOW)
    assert still.now() == still.now() == NOW
    still.advance(90)
    assert still.now() == NOW + timedelta(seconds=90)
    assert still.http_date() == "Wed, 20 Mar 2024 00:01:30 GMT"
    running = Clock(NOW, frozen=False)
    assert NOW <= running.now() <= running.now() < NOW + timedelta(minutes=5)
    assert abs(Clock().now() - datetime.now(UTC)) < timedelta(minutes=1)
    with pytest.raises(ValueError, match="no time zone"):
        Clock(datetime(2024, 1, 1))  # noqa: DTZ001 - that is the point

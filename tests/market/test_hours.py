"""Hours of a series, against what anyone can look up, also on the days the clock changes."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pytest

from qfund.market.hours import windows


def moment(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000_000)


def texts(micros):
    return [str(np.int64(one).astype("datetime64[us]"))[:16] for one in micros]


def test_regular_hours_follow_the_clock_and_half_days():
    found = windows("XNYS", "regular", date(2024, 3, 8), date(2024, 3, 11))
    assert texts(found.begins) == ["2024-03-08T14:30", "2024-03-11T13:30"]
    assert texts(found.ends) == ["2024-03-08T21:00", "2024-03-11T20:00"]
    half = windows("XNYS", "regular", date(2024, 7, 3), date(2024, 7, 5))
    assert texts(half.ends) == ["2024-07-03T17:00", "2024-07-05T20:00"]


def test_extended_hours_are_four_to_eight_in_new_york():
    found = windows("XNYS", "extended", date(2024, 11, 1), date(2024, 11, 4))
    assert texts(found.begins) == ["2024-11-01T08:00", "2024-11-04T09:00"]
    assert texts(found.ends) == ["2024-11-02T00:00", "2024-11-05T01:00"]
    assert texts(found.opens) == ["2024-11-01T13:30", "2024-11-04T14:30"]


def test_extended_hours_of_a_market_without_them_are_its_own():
    found = windows("24/7", "extended", date(2024, 2, 29), date(2024, 2, 29))
    assert texts(found.begins) == ["2024-02-29T00:00"]


@pytest.mark.parametrize(
    ("calendar", "time", "day"),
    [
        ("XNYS", "2024-03-08 14:30", date(2024, 3, 8)),
        ("XNYS", "2024-03-08 20:59", date(2024, 3, 8)),
        ("XNYS", "2024-03-08 21:00", None),
        ("XNYS", "2024-03-09 16:00", None),
        ("XNYS", "2001-09-12 15:00", None),
        ("FX", "2024-03-10 21:00", date(2024, 3, 11)),
        ("FX", "2024-03-10 20:59", None),
        ("24/7", "2024-03-10 20:59", date(2024, 3, 10)),
    ],
)
def test_a_minute_is_in_the_session_whose_hours_hold_it(calendar, time, day):
    span = (date(2001, 9, 1), date(2024, 3, 31)) if time < "2002" else (date(2024, 3, 1), date(2024, 3, 31))
    found = windows(calendar, "always", *span)
    (place,) = found.place_of_times(np.array([moment(time)]))
    assert (None if place < 0 else found.days[place].astype("datetime64[D]").item()) == day


@pytest.mark.parametrize(
    ("time", "day"),
    [
        ("2024-03-09 04:59", date(2024, 3, 8)),
        ("2024-03-09 05:00", date(2024, 3, 9)),
        ("2024-03-11 03:59", date(2024, 3, 10)),  # the clock has changed
        ("2024-03-11 04:00", date(2024, 3, 11)),
        ("1999-06-01 12:00", date(1999, 6, 1)),  # far from the span
        ("2031-06-01 12:00", date(2031, 6, 1)),
    ],
)
def test_a_moment_has_the_date_of_the_exchange(time, day):
    found = windows("XNYS", "regular", date(2024, 3, 8), date(2024, 3, 11))
    (number,) = found.local_days(np.array([moment(time)]))
    assert number.astype("datetime64[D]").item() == day


def test_a_span_without_sessions_holds_nothing():
    found = windows("XNYS", "regular", date(2024, 3, 9), date(2024, 3, 10))
    assert found.place_of_times(np.array([moment("2024-03-08 15:00")])).tolist() == [-1]
    assert found.place_of_days(np.array([19_790], dtype=np.int32)).tolist() == [-1]
    assert not found.round_the_clock


def test_only_markets_without_nights_are_round_the_clock():
    span = (date(2024, 3, 4), date(2024, 3, 15))
    assert windows("FX", "always", *span).round_the_clock
    assert windows("24/7", "always", *span).round_the_clock
    assert not windows("XNYS", "extended", *span).round_the_clock

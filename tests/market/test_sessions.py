"""Sessions, against dates that anyone can look up at the New York Stock Exchange."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from qfund.errors import NotFoundError
from qfund.market import sessions as book


def days(since: date, until: date) -> list[str]:
    return [str(day.date()) for day in book.sessions("XNYS", since, until)]


def test_the_exchange_was_closed_after_the_eleventh_of_september_2001() -> None:
    assert days(date(2001, 9, 10), date(2001, 9, 18)) == ["2001-09-10", "2001-09-17", "2001-09-18"]


def test_hurricane_sandy_and_the_mourning_day_of_2025_are_no_sessions() -> None:
    assert days(date(2012, 10, 26), date(2012, 10, 31)) == ["2012-10-26", "2012-10-31"]
    assert days(date(2025, 1, 8), date(2025, 1, 10)) == ["2025-01-08", "2025-01-10"]


def test_2024_had_252_sessions_and_three_half_days() -> None:
    year = (date(2024, 1, 1), date(2024, 12, 31))
    assert len(book.sessions("XNYS", *year)) == 252
    assert sorted(book.minutes_in_session("XNYS", *year))[:4] == [210, 210, 210, 390]


def test_opens_follow_new_york_across_the_clock_change() -> None:
    opens, closes = book.opens_and_closes("XNYS", date(2024, 3, 8), date(2024, 3, 11))
    assert [str(t) for t in opens] == ["2024-03-08 14:30:00+00:00", "2024-03-11 13:30:00+00:00"]
    assert [str(t) for t in closes] == ["2024-03-08 21:00:00+00:00", "2024-03-11 20:00:00+00:00"]


def test_an_empty_or_backward_span_has_no_sessions() -> None:
    assert days(date(2024, 3, 9), date(2024, 3, 10)) == []
    assert days(date(2024, 3, 11), date(2024, 3, 8)) == []


def test_sessions_are_naive_dates_and_instants_are_utc() -> None:
    found = book.sessions("XNYS", date(2024, 3, 8), date(2024, 3, 11))
    assert found.tz is None
    assert (found == found.normalize()).all()
    opens, _ = book.opens_and_closes("XNYS", date(2024, 3, 8), date(2024, 3, 11))
    assert str(opens.tz) == "UTC"


def test_sessions_a_year_are_counted_and_not_assumed() -> None:
    # 2023 had 250 sessions in 365 days: 250 / (365 / 365.25).
    found = book.sessions_per_year("XNYS", date(2023, 1, 1), date(2023, 12, 31))
    assert found == pytest.approx(250 * 365.25 / 365, rel=1e-12)
    # A span of a week is annualised over the year that ends with it.
    assert 249 < book.sessions_per_year("XNYS", date(2023, 12, 26), date(2023, 12, 29)) < 253


def test_an_unknown_calendar_names_the_nearest() -> None:
    with pytest.raises(NotFoundError, match="XNYS"):
        book.sessions("XNYZ", date(2024, 1, 1), date(2024, 1, 2))


def test_sessions_before_the_library_default_are_there() -> None:
    assert pd.Timestamp("1990-01-02") in book.sessions("XNYS", date(1990, 1, 1), date(1990, 1, 5))

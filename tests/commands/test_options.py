"""Options mean the same everywhere, and what cannot be read is told with the forms that can."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfund.commands.options import day, instant, params, period, symbols
from qfund.errors import UsageError

TODAY = date(2024, 3, 31)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2020-02-29", date(2020, 2, 29)),
        ("today", TODAY),
        ("Today", TODAY),
        ("0d", TODAY),
        ("5d", date(2024, 3, 26)),
        ("2w", date(2024, 3, 17)),
        ("1m", date(2024, 2, 29)),
        ("4m", date(2023, 11, 30)),
        ("1y", date(2023, 3, 31)),
        ("last", date(2024, 3, 28)),
    ],
)
def test_a_date_is_iso_or_so_long_ago(text, found):
    assert day(text, option="--since", today=TODAY, last=date(2024, 3, 28)) == found


def test_a_leap_day_a_year_ago_is_the_last_of_february():
    assert day("1y", option="--since", today=date(2024, 2, 29)) == date(2023, 2, 28)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2023-02-29", "2024-13-01", "5", "d", "-5d", "99999y", "last"]
)
def test_what_is_no_date_is_told_with_the_forms(text):
    with pytest.raises(UsageError, match=r"--since '.*' is no date: use an ISO date \(2024-01-31\), 5d"):
        day(text, option="--since", today=TODAY)


@given(st.text())
def test_any_text_is_a_date_or_a_usage_error(text):
    with contextlib.suppress(UsageError):
        assert isinstance(day(text, option="--until", today=TODAY), date)


def test_since_may_not_be_after_until():
    assert period("2024-01-01", "2024-01-01", today=TODAY) == (date(2024, 1, 1), date(2024, 1, 1))
    assert period(None, None, today=TODAY) == (None, None)
    with pytest.raises(UsageError, match="--since 2024-01-02 is after --until 2024-01-01") as caught:
        period("2024-01-02", "2024-01-01", today=TODAY)
    assert caught.value.fix == "swap them: --since 2024-01-01 --until 2024-01-02"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, None),
        ("2024-01-31", datetime(2024, 1, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        ("2024-01-31T15:00Z", datetime(2024, 1, 31, 15, tzinfo=UTC)),
        ("2024-01-31T15:00", datetime(2024, 1, 31, 15, tzinfo=UTC)),
        ("2024-01-31T15:00-05:00", datetime(2024, 1, 31, 20, tzinfo=UTC)),
        ("2024-01-31 15:00:30", datetime(2024, 1, 31, 15, 0, 30, tzinfo=UTC)),
    ],
)
def test_a_moment_is_utc_and_a_day_means_its_end(text, found):
    assert instant(text) == found


@pytest.mark.parametrize("text", ["", "noon", "2024-02-30", "2024-01-31T25:00"])
def test_what_is_no_moment_is_told(text):
    with pytest.raises(UsageError, match=r"--as-of '.*' is no moment"):
        instant(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, None),
        ("AAPL", ("AAPL",)),
        ("aapl,MSFT, ibm ,,aapl", ("AAPL", "MSFT", "IBM")),
        ("BRK.B EUR_USD", ("BRK.B", "EUR_USD")),
    ],
)
def test_symbols_are_a_list_each_once_in_order(text, found):
    assert symbols(text) == found


def test_symbols_come_from_a_file_with_comments(tmp_path):
    file = tmp_path / "universe.txt"
    file.write_text("# tech\naapl  # the fruit\nMSFT, IBM\n\n")
    assert symbols(f"@{file}") == ("AAPL", "MSFT", "IBM")


@pytest.mark.parametrize("text", ["", " , "])
def test_no_symbol_is_told(text):
    with pytest.raises(UsageError, match="names no symbol"):
        symbols(text)


def test_a_file_of_symbols_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        symbols(f"@{tmp_path}/none")
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="it is not text"):
        symbols(f"@{tmp_path}/binary")


def test_parameters_stay_text_and_may_hold_equal_signs_and_signs():
    assert params(None) == {}
    assert params(["fast=10", " slow = -30 ", "note=a=b", "empty="]) == {
        "fast": "10",
        "slow": "-30",
        "note": "a=b",
        "empty": "",
    }


@pytest.mark.parametrize("text", ["fast", "=10", ""])
def test_a_parameter_without_a_name_or_a_value_is_told(text):
    with pytest.raises(UsageError, match="is not of the form name=value"):
        params([text])


def test_a_parameter_given_twice_is_told():
    with pytest.raises(UsageError, match="-p fast is given twice"):
        params(["fast=1", "fast=2"])

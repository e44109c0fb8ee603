"""Words about dates are checked before anything is started, and ``last`` waits for the store."""

from __future__ import annotations

from datetime import date

import pytest

from qfund.commands.spans import check_early, is_last
from qfund.errors import UsageError

TODAY = date(2024, 3, 1)


def test_last_may_stand_on_either_side():
    for since, until in [("last", None), ("2024-01-01", "last"), ("Last", " last "), (None, None)]:
        check_early(since, until, today=TODAY)


@pytest.mark.parametrize(
    ("since", "until", "code"),
    [
        ("yesterday", "last", "BAD_DATE"),
        ("last", "2024-13-01", "BAD_DATE"),
        ("2024-02-01", "2024-01-01", "EMPTY_PERIOD"),
    ],
)
def test_what_is_wrong_in_any_case_is_refused(since, until, code):
    with pytest.raises(UsageError) as caught:
        check_early(since, until, today=TODAY)
    assert caught.value.code == code


def test_only_last_is_last():
    assert [is_last(text) for text in ("last", "LAST", "lastly", "2024-01-01", None)] == [
        True, True, False, False, False,
    ]  # fmt: skip

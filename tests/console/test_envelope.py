"""The document is valid JSON whatever the values, and each kind of value has one form."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfund.console.envelope import document, plain
from qfund.errors import NotFoundError, PartialError


class Color(Enum):
    RED = "red"


@dataclass(frozen=True)
class Row:
    day: date
    price: float


class Pair(NamedTuple):
    a: int
    b: int


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (float("nan"), None),
        (float("inf"), None),
        (float("-inf"), None),
        (1.0, 1.0),
        (True, True),
        (Decimal("0.10"), "0.10"),
        (Path("/a/b"), "/a/b"),
        (Color.RED, "red"),
        (date(2024, 1, 31), "2024-01-31"),
        (datetime(2024, 1, 31, 15, tzinfo=UTC), "2024-01-31T15:00:00Z"),
        (datetime(2024, 1, 31, 15, tzinfo=timezone(timedelta(hours=2))), "2024-01-31T13:00:00Z"),
        (datetime.fromisoformat("2024-01-31T15:00"), "2024-01-31T15:00:00"),
        (timedelta(seconds=90), 90.0),
        (Row(date(2024, 1, 31), float("nan")), {"day": "2024-01-31", "price": None}),
        ((1, 2), [1, 2]),
        (Pair(1, 2), [1, 2]),
        pytest.param({"b", "a"}, ["a", "b"], id="a set, whose order changes from run to run"),
        ({date(2024, 1, 31): 1, 7: 2, Color.RED: 3}, {"2024-01-31": 1, "7": 2, "red": 3}),
        (np.int64(3), 3),
        (np.float64("nan"), None),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.array([1.0, np.nan]), [1.0, None]),
        (pd.Timestamp("2024-01-31T15:00", tz="America/New_York"), "2024-01-31T20:00:00Z"),
        (pd.NaT, None),
        (pd.NA, None),
        (pd.Timedelta(minutes=1), 60.0),
        (pd.Series([1.5, np.nan]), [1.5, None]),
        (pd.DatetimeIndex(["2024-01-31"]), ["2024-01-31T00:00:00"]),
    ],
    ids=repr,
)
def test_each_kind_of_value_has_one_form(value, form):
    found = plain(value)
    assert found == form
    assert type(found) is type(form)


def test_a_value_without_an_agreed_form_is_a_fault_not_a_guess():
    with pytest.raises(TypeError, match="no JSON form agreed for object"):
        plain({"a": object()})
    with pytest.raises(TypeError):
        plain(b"bytes")


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.decimals()
    | st.dates()
    | st.datetimes()
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10
)


@given(values)
def test_any_value_becomes_a_document_that_a_strict_parser_reads(value):
    def refuse(word: str) -> None:
        raise AssertionError(word)

    text = document("x", exit_code=0, data={"value": value}, warnings=(), errors=())
    assert json.loads(text, parse_constant=refuse)["schema"] == "qfund.x/1"


def test_the_envelope_has_exactly_the_agreed_members():
    error = NotFoundError(
        "No AAPLE.",
        fix="qfund data status",
        details={"symbol": "AAPLE", "message": "not this"},
        code="UNKNOWN_SYMBOL",
    )
    told = json.loads(
        document(
            "data.status", exit_code=11, data={"n": 1}, warnings=["w"], errors=(error, PartialError("half"))
        )
    )
    assert told == {
        "schema": "qfund.data.status/1",
        "ok": False,
        "exit_code": 11,
        "data": {"n": 1},
        "warnings": ["w"],
        "errors": [
            {
                "symbol": "AAPLE",
                "code": "UNKNOWN_SYMBOL",
                "message": "No AAPLE.",
                "fix": "qfund data status",
                "retryable": False,
            },
            {"code": "PARTIAL", "message": "half", "fix": None, "retryable": True},
        ],
    }


def test_ok_says_whether_the_exit_code_is_zero():
    def ok(code: int) -> bool:
        return json.loads(document("x", exit_code=code, data={}, warnings=(), errors=()))["ok"]

    assert ok(0)
    assert not ok(4)

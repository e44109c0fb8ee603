"""Cells read the same everywhere; the exit code of an outcome is the one that counts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from qfund.console import Column, Facts, Outcome, Table, Text
from qfund.console.outcome import shown
from qfund.errors import NotFoundError, PartialError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (True, "yes"),
        (False, "no"),
        (1234567, "1,234,567"),
        (-0.5, "-0.50"),
        (1234.567, "1,234.57"),
        ("as it is", "as it is"),
        (date(2024, 2, 29), "2024-02-29"),
        (datetime(2024, 1, 2, 3, 4, 5, 999, tzinfo=UTC), "2024-01-02 03:04:05Z"),
        (datetime(2024, 1, 2, 3, 4, tzinfo=timezone(timedelta(hours=1))), "2024-01-02 02:04:00Z"),
        (datetime.fromisoformat("2024-01-02T03:04"), "2024-01-02 03:04:00"),
        (Decimal("1.10"), "1.10"),
        (Path("a/b"), "a/b"),
    ],
)
def test_a_cell_reads_as_people_write_it(value, text):
    assert shown(value) == text


def test_a_plain_name_is_a_left_aligned_column():
    assert Table(("a", Column("b", "right")), ()).headed == (Column("a"), Column("b", "right"))


def test_facts_come_from_pairs_or_a_mapping():
    assert Facts({"a": 1}).items == Facts([("a", 1)]).items == (("a", 1),)


def test_text_comes_from_one_string_or_from_lines():
    assert Text("a\nb").each == Text(("a", "b")).each == ("a", "b")


def test_an_outcome_with_errors_has_the_first_errors_exit_code():
    assert Outcome("x").code == 0
    assert Outcome("x", errors=(PartialError("a"), NotFoundError("b"))).code == 4
    assert Outcome("x", errors=(PartialError("a"),), exit_code=5).code == 5

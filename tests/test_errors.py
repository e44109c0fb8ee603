"""The class of an error fixes its exit code, and suggestions come in the user's spelling."""

from __future__ import annotations

import pytest

from qfund import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.QfundError, 1),
        (errors.UsageError, 2),
        (errors.ConfigError, 3),
        (errors.PartialError, 4),
        (errors.DataQualityError, 5),
        (errors.RefusedError, 6),
        (errors.NotFoundError, 11),
        (errors.UpstreamError, 13),
        (errors.LockedError, 75),
        (errors.TimeoutExpiredError, 124),
        (errors.InterruptedRunError, 130),
    ],
)
def test_each_class_has_its_documented_exit_code(kind: type[errors.QfundError], code: int) -> None:
    assert kind("what and why").exit_code == code
    assert kind.default_code in (errors.__doc__ or "").upper() or kind.__name__ in (errors.__doc__ or "")


def test_the_nearest_names_ignore_case_and_keep_the_known_spelling() -> None:
    assert errors.nearest("appl", ["AAPL", "IBM", "MSFT"]) == ["AAPL"]
    assert errors.did_you_mean("appl", ["AAPL", "IBM"]) == " Did you mean AAPL?"


def test_without_a_near_name_the_known_ones_are_listed() -> None:
    assert errors.did_you_mean("zzz", ["b", "a"]) == " Known: a, b."
    assert errors.did_you_mean("zzz", []) == ""
    assert errors.did_you_mean("zzz", [f"name{i}" for i in range(20)]).endswith(", ….")

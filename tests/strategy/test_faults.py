"""An error is told by the line of the user's own file."""

from pathlib import Path

import pandas as pd

from qfund.strategy.faults import place_of, told

HERE = Path(__file__)


def caught(action) -> BaseException:
    try:
        action()
    except (Exception, SystemExit) as error:  # noqa: BLE001
        return error
    raise AssertionError("nothing was raised")


def test_the_innermost_own_line_is_named_even_when_a_library_raised():
    error = caught(lambda: pd.DataFrame()["nowhere"])
    place = place_of(error, HERE.parent)

    assert place is not None
    assert place.file == "test_faults.py"
    assert 'pd.DataFrame()["nowhere"]' in place.text
    assert str(place) == f"test_faults.py:{place.line}"


def test_lines_elsewhere_are_nobodys(tmp_path):
    assert place_of(caught(lambda: 1 // 0), tmp_path) is None
    assert place_of(ValueError("never raised"), HERE.parent) is None


def test_a_library_inside_the_users_folder_is_still_a_library():
    """A project may hold its virtual environment: pandas' lines are not the user's."""
    error = caught(lambda: pd.DataFrame()["nowhere"])
    root = Path(HERE.anchor)

    assert place_of(error, root).file == "test_faults.py"


def test_an_exception_is_told_in_one_line():
    assert told(ValueError("a\n  b")) == "ValueError: a b"
    assert told(ValueError()) == "ValueError"
    assert told(caught(lambda: exec("raise SystemExit(2)"))) == "it ends the program with exit(2)"

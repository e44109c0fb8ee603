"""A strategy's parameters: typed, bounded, fixed; wrong definitions are refused where they are written."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfund import Strategy, param
from qfund.errors import UsageError


class Plain(Strategy):
    """Does nothing.

    On purpose.
    """

    window: int = param(10, grid=range(5, 30, 5), low=1, high=100, help="bars")
    level: float = param(2)
    long_only: bool = param(True)
    field: "str" = param("close")

    def targets(self, bars):
        return bars.close * 0


def test_parameters_keep_their_defaults_in_the_annotated_type():
    made = Plain()

    assert made.params == {"window": 10, "level": 2.0, "long_only": True, "field": "close"}
    assert isinstance(made.level, float)
    assert Plain.window == 10
    assert repr(Plain(window=5)) == "Plain(window=5, level=2.0, long_only=True, field='close')"


def test_keywords_set_parameters_and_numpy_numbers_become_plain_ones():
    made = Plain(window=np.int64(7), level=np.float32(0.5), long_only=np.bool_(False))

    assert made.params == {"window": 7, "level": 0.5, "long_only": False, "field": "close"}
    assert [type(value) for value in made.params.values()] == [int, float, bool, str]


@pytest.mark.parametrize(
    ("params", "code", "words"),
    [
        ({"window": 2.5}, "PARAMETER_TYPE", "'window' must be a whole number, got 2.5"),
        ({"window": "7"}, "PARAMETER_TYPE", "got '7'"),
        ({"window": True}, "PARAMETER_TYPE", "got True"),
        ({"level": float("nan")}, "PARAMETER_TYPE", "must be a number, got nan"),
        ({"level": float("inf")}, "PARAMETER_TYPE", "got inf"),
        ({"long_only": 1}, "PARAMETER_TYPE", "must be true or false, got 1"),
        ({"field": 1}, "PARAMETER_TYPE", "must be a text, got 1"),
        ({"window": 0}, "PARAMETER_RANGE", "must be at least 1, got 0"),
        ({"window": 101}, "PARAMETER_RANGE", "must be at most 100, got 101"),
        ({"windw": 1}, "UNKNOWN_PARAMETER", "no parameter 'windw'. Did you mean window?"),
    ],
)
def test_a_wrong_value_is_refused_with_its_reason(params, code, words):
    with pytest.raises(UsageError) as caught:
        Plain(**params)

    assert caught.value.code == code
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("window", "12", 12),
        ("level", "1e-3", 0.001),
        ("level", "3", 3.0),
        ("long_only", "No", False),
        ("long_only", "true", True),
        ("field", "1", "1"),
    ],
)
def test_words_of_the_command_line_are_read_as_the_declared_type(name, text, value):
    parsed = Plain.parameters[name].parsed(text)

    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [("window", "12.0"), ("window", ""), ("level", "x"), ("level", "nan"), ("long_only", "2")],
)
def test_unreadable_words_are_refused(name, text):
    with pytest.raises(UsageError, match="must be"):
        Plain.parameters[name].parsed(text)


@given(st.integers(1, 100), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.text())
def test_what_a_parameter_shows_reads_back_as_the_same(window, level, long_only, field):
    made = Plain(window=window, level=level, long_only=long_only, field=field)
    texts = {name: str(value) for name, value in made.params.items()}

    assert {name: Plain.parameters[name].parsed(text) for name, text in texts.items()} == made.params


def test_a_parameter_is_fixed_but_other_attributes_are_the_authors_own():
    made = Plain()

    made.seen = 3
    with pytest.raises(AttributeError, match=r"make another: Plain\(window=7\)"):
        made.window = 7
    with pytest.raises(AttributeError, match="cannot be deleted"):
        del made.window

    assert (made.seen, made.window) == (3, 10)


def test_params_is_a_copy():
    made = Plain()
    made.params["window"] = 99

    assert made.window == 10


def test_a_subclass_inherits_adds_and_gives_new_defaults():
    class Wider(Plain):
        window = 50
        extra: float = param(1.0)

    class Widest(Wider):
        level: float = 3.5

    assert Widest().params == {
        "window": 50,
        "level": 3.5,
        "long_only": True,
        "field": "close",
        "extra": 1.0,
    }
    assert Widest.parameters["window"].high == 100
    assert Plain().window == 10
    with pytest.raises(UsageError, match="at most 100"):
        Widest(window=101)


def test_a_parameter_without_annotation_has_its_defaults_type():
    class Bare(Plain):
        size = param(0.5)

    assert Bare(size=1).size == 1.0


def test_warmup_may_be_a_parameter_itself():
    class Warm(Plain):
        warmup: int = param(30)

    assert Warm(warmup=5).warmup == 5
    assert Plain().warmup == 1


@pytest.mark.parametrize(
    ("annotation", "declared", "words"),
    [
        (int, lambda: param("x"), "must be a whole number, got 'x'"),
        (int, lambda: param(10, low=20), "at least 20"),
        (int, lambda: param(10, grid=(5, "a")), "got 'a'"),
        (int, lambda: param(10, high=20, grid=(5, 25)), "at most 20"),
        (str, lambda: param("x", low=1), "low and high are for numbers"),
        (list, lambda: param(1), "int, float, bool or str, not list"),
        ("int | None", lambda: param(1), "int, float, bool or str, not int | None"),
        (None, lambda: param(None), "must be"),
    ],
)
def test_a_definition_that_cannot_work_is_refused_when_the_class_is_made(annotation, declared, words):
    body = {"size": declared(), "__annotations__": {} if annotation is None else {"size": annotation}}

    with pytest.raises(UsageError) as caught:
        type("Wrong", (Plain,), body)

    assert caught.value.code == "STRATEGY_PARAMETER"
    assert "'size' is declared wrongly" in caught.value.message
    assert annotation is None or words in caught.value.message


def test_names_of_the_class_itself_cannot_be_parameters():
    with pytest.raises(UsageError, match="taken by Strategy itself"):
        type("Wrong", (Plain,), {"params": param(1)})


def test_a_parameter_cannot_become_a_method():
    with pytest.raises(UsageError, match="cannot become something else"):
        type("Wrong", (Plain,), {"window": lambda self: 3})


def test_a_plain_attribute_is_told_how_to_become_a_parameter():
    class Forgotten(Plain):
        size = 3

    with pytest.raises(UsageError, match=r"declare it as size = param\(3\)"):
        Forgotten(size=4)


def test_a_constructor_of_ones_own_must_call_the_parents():
    class Own(Plain):
        def __init__(self, **params):
            self.double = self.window * 2

    class Better(Plain):
        def __init__(self, **params):
            super().__init__(**params)
            self.double = self.window * 2

    with pytest.raises(AttributeError, match=r"call super\(\).__init__\(\*\*params\) first"):
        Own()
    assert Better(window=4).double == 8


def test_describe_is_ready_for_listings():
    described = Plain.describe()

    assert (described["name"], described["summary"]) == ("Plain", "Does nothing.")
    assert described["parameters"][0] == {
        "name": "window",
        "type": "int",
        "default": 10,
        "grid": [5, 10, 15, 20, 25],
        "low": 1,
        "high": 100,
        "help": "bars",
    }


def test_a_strategy_without_targets_cannot_be_made():
    with pytest.raises(TypeError, match="abstract"):
        type("Empty", (Strategy,), {})()


def test_an_instance_survives_pickling():
    assert pickle.loads(pickle.dumps(Plain(window=3))).window == 3


def test_targets_are_the_authors_frame():
    frame = pd.DataFrame({"A": [1.0]})

    class Own(Plain):
        def targets(self, bars):
            return frame

    assert Own().targets(None) is frame

"""What a strategy is: one class with parameters and a method that turns bars into target weights.

    class SmaCross(Strategy):
        fast: int = param(10, grid=range(5, 30, 5))

Promises: parameters are typed, checked when an instance is made and fixed from then on; a definition that
cannot work is refused when its class is made. Never reads a file, never looks at a clock.
"""

from __future__ import annotations

import inspect
import math
import numbers
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from qfund.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from qfund.market.bars import Bars

Value = bool | int | float | str

_TYPES: dict[str, type[Value]] = {"int": int, "float": float, "bool": bool, "str": str}
_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
_WORDS = {"true": True, "yes": True, "on": True, "1": True} | dict.fromkeys(
    ("false", "no", "off", "0"), False
)
_RESERVED = frozenset({"targets", "params", "parameters", "describe", "_chosen"})


def param(
    default: Value,
    *,
    grid: Iterable[Value] | None = None,
    low: float | None = None,
    high: float | None = None,
    help: str | None = None,  # noqa: A002  (the word a reader of a strategy expects)
) -> Any:
    """Declare a parameter in the body of a strategy.

    Args:
        default: its value when none is given. Without an annotation it fixes the type, too.
        grid: the values that a sweep tries; each must be valid.
        low: the smallest value allowed, for numbers.
        high: the largest value allowed, for numbers.
        help: one line for people.

    Returns:
        A `Parameter`, typed ``Any`` so that ``fast: int = param(10)`` satisfies type checkers.
    """
    return Parameter(default, None if grid is None else tuple(grid), low, high, help)


class Parameter:
    """A declared parameter: reads as its value on a strategy, and refuses to be assigned.

    Attributes:
        name: as written in the class.
        type: ``int``, ``float``, ``bool`` or ``str``.
        default, grid, low, high, help: see `param`.
    """

    def __init__(
        self,
        default: Value,
        grid: tuple[Value, ...] | None,
        low: float | None,
        high: float | None,
        help: str | None,  # noqa: A002
    ) -> None:
        self.name = ""
        self.type: type[Value] = type(default)
        self.default = default
        self.grid = grid
        self.low = low
        self.high = high
        self.help = help

    def __get__(self, strategy: Strategy | None, owner: type[Strategy]) -> Value:
        if strategy is None:
            return self.default
        chosen: dict[str, Value] | None = strategy.__dict__.get("_chosen")
        if chosen is None:
            raise AttributeError(
                f"{owner.__name__}.__init__ reads '{self.name}' too early: "
                "call super().__init__(**params) first"
            )
        return chosen[self.name]

    def __set__(self, strategy: Strategy, value: object) -> None:
        raise AttributeError(
            f"parameter '{self.name}' of {type(strategy).__name__} is fixed once the strategy is made; "
            f"make another: {type(strategy).__name__}({self.name}={value!r})"
        )

    def __delete__(self, strategy: Strategy) -> None:
        raise AttributeError(f"parameter '{self.name}' cannot be deleted")

    def bound(self, name: str, annotation: object) -> Parameter:
        """This parameter under its name and type, with default and grid checked.

        Raises:
            UsageError: the definition contradicts itself.
        """
        made = Parameter(self.default, self.grid, self.low, self.high, self.help)
        made.name = name
        made.type = _declared(name, annotation)
        if made.type in (bool, str) and (self.low is not None or self.high is not None):
            raise _bad_definition(name, "low and high are for numbers")
        try:
            made.default = made.checked(self.default)
            made.grid = None if self.grid is None else tuple(map(made.checked, self.grid))
        except UsageError as error:
            raise _bad_definition(name, error.message) from error
        return made

    def checked(self, value: object) -> Value:
        """The value in the declared type.

        Raises:
            UsageError: of another type (a whole number passes for a number), not finite, or out of bounds.
        """
        plain = self._plain(value)
        if plain is None:
            raise UsageError(
                f"Parameter '{self.name}' must be {_KINDS[self.type]}, got {value!r}.",
                code="PARAMETER_TYPE",
                details={"parameter": self.name, "type": self.type.__name__},
            )
        self._check_bounds(plain)
        return plain

    def parsed(self, text: str) -> Value:
        """The value that a word of the command line stands for.

        Raises:
            UsageError: not readable as the declared type, or out of bounds.
        """
        if self.type is str:
            return self.checked(text)
        try:
            value = _WORDS[text.strip().casefold()] if self.type is bool else self.type(text)
        except (ValueError, KeyError):
            value = text
        return self.checked(value)

    def facts(self) -> dict[str, object]:
        """Everything about it, JSON-ready."""
        return {
            "name": self.name,
            "type": self.type.__name__,
            "default": self.default,
            "grid": None if self.grid is None else list(self.grid),
            "low": self.low,
            "high": self.high,
            "help": self.help,
        }

    def _plain(self, value: object) -> Value | None:
        """The value as a plain Python one of the declared type, or None when it is of another."""
        if self.type is str:
            return str(value) if isinstance(value, str) else None
        if self.type is bool:
            return bool(value) if _is_bool(value) else None
        if _is_bool(value):  # True is an int to Python, never to a person
            return None
        if self.type is int:
            return operator.index(value) if isinstance(value, numbers.Integral) else None
        if isinstance(value, numbers.Real) and math.isfinite(value):
            return float(value)
        return None

    def _check_bounds(self, value: Value) -> None:
        if isinstance(value, str | bool):
            return
        too_low = self.low is not None and value < self.low
        too_high = self.high is not None and value > self.high
        if not (too_low or too_high):
            return
        limit = f"at least {self.low}" if too_low else f"at most {self.high}"
        raise UsageError(
            f"Parameter '{self.name}' must be {limit}, got {value}.",
            code="PARAMETER_RANGE",
            details={"parameter": self.name, "low": self.low, "high": self.high},
        )


class Strategy(ABC):
    """Turns bars into wished-for weights. Subclass it once in a file and write `targets`.

    Instances are made with keywords, ``SmaCross(fast=5)``; the rest keep their defaults. Parameters are fixed
    once made; other attributes are the author's own. Each evaluation gets a fresh instance.

    Raises:
        UsageError: an unknown parameter, a wrong type, a value out of bounds.
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        declared = dict(cls.parameters)
        annotations = inspect.get_annotations(cls)
        for name, value in list(vars(cls).items()):
            if not isinstance(value, Parameter) and name not in declared:
                continue
            if name in _RESERVED:
                raise _bad_definition(name, "this name is taken by Strategy itself")
            parameter = _parameter(declared.get(name), name, value)
            declared[name] = parameter.bound(name, annotations.get(name, parameter.type))
            setattr(cls, name, declared[name])
        cls.parameters = declared

    def __init__(self, **params: Value) -> None:
        for name in params:
            if name not in self.parameters:
                raise unknown_parameter(type(self), name)
        self._chosen = {
            name: parameter.checked(params[name]) if name in params else parameter.default
            for name, parameter in self.parameters.items()
        }

    @property
    def warmup(self) -> int:
        """Bars that must have been seen before the first decision counts, the deciding bar included."""
        return 1

    @abstractmethod
    def targets(self, bars: Bars) -> pd.DataFrame:
        """Wished-for weights after each bar's close.

        Args:
            bars: the history, oldest first; read only.

        Returns:
            Time × symbol, the index and columns of ``bars.close``; float64 parts of the portfolio's value,
            negative for short; NaN keeps the position. Filled on the next bar's open by default.
        """

    @property
    def params(self) -> dict[str, Value]:
        """Every parameter's value, in the order of declaration; a copy."""
        return {name: getattr(self, name) for name in self.parameters}

    @classmethod
    def describe(cls) -> dict[str, object]:
        """Name, summary (first line of the docstring) and parameters, JSON-ready."""
        lines = (cls.__doc__ or "").strip().splitlines()
        return {
            "name": cls.__name__,
            "summary": lines[0].strip() if lines else "",
            "parameters": [parameter.facts() for parameter in cls.parameters.values()],
        }

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.params.items())
        return f"{type(self).__name__}({inside})"


def unknown_parameter(cls: type[Strategy], name: str) -> UsageError:
    """The error for a parameter that a strategy does not declare, with the nearest that it does."""
    if name in vars(cls) and not name.startswith("_") and isinstance(vars(cls)[name], Value):
        why = f" It is a plain attribute: declare it as {name} = param({vars(cls)[name]!r})."
    elif not cls.parameters:
        why = " It has no parameters."
    else:
        why = did_you_mean(name, cls.parameters)
    return UsageError(
        f"{cls.__name__} has no parameter '{name}'.{why}",
        code="UNKNOWN_PARAMETER",
        details={"parameter": name, "known": list(cls.parameters)},
    )


def _declared(name: str, annotation: object) -> type[Value]:
    """The type that an annotation means, written as a name, in quotes or not."""
    word = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    if word not in _TYPES:
        shown = annotation if isinstance(annotation, str) else word or annotation
        raise _bad_definition(name, f"a parameter is int, float, bool or str, not {shown}")
    return _TYPES[word]


def _parameter(inherited: Parameter | None, name: str, value: object) -> Parameter:
    """What a class body says of a parameter: a declaration, or a new default for an inherited one."""
    if isinstance(value, Parameter):
        return value
    if inherited is None or not isinstance(value, Value):
        raise _bad_definition(name, "a parameter of the parent class cannot become something else")
    made = Parameter(value, inherited.grid, inherited.low, inherited.high, inherited.help)
    made.type = inherited.type
    return made


def _bad_definition(name: str, why: str) -> UsageError:
    return UsageError(
        f"Parameter '{name}' is declared wrongly: {why.removesuffix('.')}.",
        code="STRATEGY_PARAMETER",
        details={"parameter": name},
    )


def _is_bool(value: object) -> bool:
    return isinstance(value, bool | np.bool_)

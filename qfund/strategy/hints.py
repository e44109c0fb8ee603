"""Lines of a strategy that often look ahead: advice where to look, never a verdict.

Promises: reads only the text it is given. Both directions can be wrong: a line named here may be harmless,
and a leak may hide in a line that is not; `qfund.strategy.causality` decides by running the strategy.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

_MOVERS = {"shift", "diff", "pct_change", "tshift", "roll"}
_WINDOWS = {"rolling", "expanding", "ewm", "groupby", "resample"}
_STATISTICS = {"mean", "std", "var", "median", "min", "max", "sum", "quantile", "rank", "zscore"}
_FITS = {"fit", "fit_transform", "polyfit", "lstsq", "linregress"}
_BACKWARD = {"bfill", "backfill", "interpolate"}
_ENDS = {"iloc", "iat"}


@dataclass(frozen=True)
class Hint:
    """A suspicious line: its number from 1, the expression, and why it may look ahead."""

    line: int
    code: str
    why: str


def hints(source: str) -> tuple[Hint, ...]:
    """The suspicious lines of a Python text, in order; empty when it does not parse."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ()
    found = {
        (node.lineno, why): Hint(node.lineno, ast.unparse(node), why)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call | ast.Subscript)
        for why in _reasons(node)
    }
    return tuple(found[key] for key in sorted(found))


def _reasons(node: ast.Call | ast.Subscript) -> Iterator[str]:
    if isinstance(node, ast.Subscript):
        yield from _subscript(node)
        return
    if not isinstance(node.func, ast.Attribute):
        return
    name = node.func.attr
    if name in _MOVERS and any(_negative(value) for value in _values(node)):
        yield "moves later rows to earlier ones"
    elif name == "rolling" and _truthy(node, "center"):
        yield "a centred window reaches into later rows"
    elif name in _BACKWARD or (name == "fillna" and _says(node, "method", _BACKWARD)):
        yield "fills holes from later rows"
    elif name in _FITS:
        yield "fits on all rows it is given, later ones included"
    elif name == "tail":
        yield "takes the last rows of the whole history"
    elif name == "resample":
        yield "labels a period's end result with a date inside it unless label and closed are right"
    elif name in _STATISTICS and not _by_row(node) and not _windowed(node.func.value):
        yield "one statistic over all rows, later ones included (axis=1, rolling or expanding?)"


def _subscript(node: ast.Subscript) -> Iterator[str]:
    value, index = node.value, node.slice
    if isinstance(value, ast.Attribute) and value.attr in _ENDS:
        row = index.elts[0] if isinstance(index, ast.Tuple) and index.elts else index
        if _negative(row):
            yield "takes the last rows of the whole history"
    if isinstance(index, ast.Slice) and index.step is not None and _negative(index.step):
        yield "runs through time backwards"


def _values(node: ast.Call) -> list[ast.expr]:
    return [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "periods")]


def _negative(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)


def _keyword(node: ast.Call, name: str) -> object:
    for keyword in node.keywords:
        if keyword.arg == name:
            return keyword.value.value if isinstance(keyword.value, ast.Constant) else keyword.value
    return None


def _truthy(node: ast.Call, name: str) -> bool:
    return bool(_keyword(node, name))


def _says(node: ast.Call, name: str, words: set[str]) -> bool:
    return _keyword(node, name) in words


def _by_row(node: ast.Call) -> bool:
    """Whether a statistic runs across symbols: ``axis=1``, ``axis="columns"`` or a first argument of 1."""
    axis = _keyword(node, "axis")
    first = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
    return axis in (1, "columns") or (first == 1 and not isinstance(first, float))


def _windowed(node: ast.expr) -> bool:
    """Whether a chain of calls goes through a window: ``x.rolling(20).mean()``."""
    while isinstance(node, ast.Call | ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Call):
            node = node.func
        else:
            if isinstance(node, ast.Attribute) and node.attr in _WINDOWS:
                return True
            node = node.value
    return False

"""Suspicious lines are named; honest idioms are not."""

import pytest

from qfund.strategy.hints import hints
from qfund.strategy.templates import folder, names


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("close.shift(-1)", "moves later rows"),
        ("close.shift(periods=-n)", "moves later rows"),
        ("close.pct_change(-5)", "moves later rows"),
        ("np.roll(close, -1)", "moves later rows"),
        ("close.rolling(5, center=True).mean()", "centred window"),
        ("close.bfill()", "fills holes"),
        ("close.fillna(method='bfill')", "fills holes"),
        ("close.interpolate()", "fills holes"),
        ("close.mean()", "one statistic over all rows"),
        ("close.rank(pct=True)", "one statistic over all rows"),
        ("(close - low).std()", "one statistic over all rows"),
        ("close.quantile(0.2)", "one statistic over all rows"),
        ("close / close.iloc[-1]", "last rows of the whole"),
        ("close.iat[-1, 0]", "last rows of the whole"),
        ("close.tail(1)", "last rows of the whole"),
        ("high[::-1]", "backwards"),
        ("np.polyfit(x, y, 1)", "fits on all rows"),
        ("model.fit(x, y)", "fits on all rows"),
        ("close.resample('W').last()", "labels a period"),
    ],
)
def test_lines_that_often_look_ahead_are_named(line, why):
    found = hints(f"import this\nx = {line}\n")

    assert [hint.line for hint in found] == [2]
    assert why in found[0].why
    assert found[0].code


@pytest.mark.parametrize(
    "line",
    [
        "close.shift(1)",
        "close.shift(self.skip)",
        "close.rolling(20).mean()",
        "close.expanding().max()",
        "close.ewm(span=5).mean()",
        "close.groupby(month).rank()",
        "close.rank(axis=1)",
        "close.mean(axis='columns')",
        "close.mean(1)",
        "close.fillna(0.0)",
        "close.ffill()",
        "close.iloc[0]",
        "close[::2]",
        "max(a, b)",
        "-close",
    ],
)
def test_honest_idioms_are_not(line):
    assert hints(f"x = {line}\n") == ()


def test_templates_are_free_of_them():
    assert [hints((folder() / f"{name}.py").read_text()) for name in names()] == [()] * len(names())


def test_a_text_that_does_not_parse_has_none():
    assert hints("def f(:") == ()

"""Figures are said with their unit, with as many digits as they deserve, and every metric has words."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest

from qfund.backtest.costs import preset
from qfund.backtest.engine import simulate
from qfund.backtest.inputs import Market, Rules
from qfund.backtest.metrics import compute
from qfund.backtest.wording import GROUPS, Unit, grouped, listed, say, spell, term_of
from qfund.market.bars import Bars


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.1234, "percent", "12.3%"),
        (-0.2, "percent", "\u221220.0%"),
        (0.0004, "percent", "0.04%"),
        (0.0, "percent", "0.0%"),
        (12.5, "percent", "1,250.0%"),
        (-13.24, "points", "\u221213.2%"),
        (0.93, "chance", "93.0%"),
        (0.99999, "chance", ">99.9%"),
        (0.00001, "chance", "<0.1%"),
        (1.049, "ratio", "1.05"),
        (0.0132, "ratio", "0.013"),
        (-0.0001, "ratio", "0.000"),
        (271133.4, "money", "271,133"),
        (-3.5, "money", "\u22123.50"),
        (271133.4, "cash", "271,133.40"),
        (0.05231, "price", "0.05231"),
        (142, "count", "142"),
        (17.66, "count", "17.7"),
        (507.9, "days", "508"),
        (537.2, "sessions", "537"),
        (38.24, "bps", "38.2 bps"),
        (math.nan, "ratio", "—"),
        (math.inf, "ratio", "—"),
        (None, "money", "—"),
        (pd.NaT, "text", "—"),
        (True, "text", "yes"),
        ("long", "text", "long"),
        (date(2013, 3, 1), "text", "2013-03-01"),
        (pd.Timestamp("2013-03-01"), "text", "2013-03-01"),
        (datetime(2013, 3, 1, 14, 31, tzinfo=UTC), "text", "2013-03-01 14:31"),
    ],
)
def test_a_value_reads_as_a_person_writes_it(value: object, unit: Unit, text: str) -> None:
    assert say(value, unit) == text


def test_an_amount_names_its_currency_when_asked() -> None:
    assert say(412345.0, "money", "USD") == "USD 412,345"
    assert say(None, "money", "USD") == "—"


def test_no_metric_is_listed_twice() -> None:
    names = [name for terms in GROUPS.values() for name in terms]
    assert len(names) == len(set(names))


def test_every_metric_of_a_simulation_has_words() -> None:
    index = pd.bdate_range("2012-01-03", periods=5, name="session")
    prices = {name: np.full((5, 1), 10.0) for name in ("open", "high", "low", "close", "volume")}
    raw = Bars.from_arrays(index, ["AAA"], prices)
    targets = pd.DataFrame(1.0, index=index, columns=raw.close.columns)
    done = simulate(Market(raw=raw), targets, preset("us-equities"), Rules())
    known = {name for terms in GROUPS.values() for name in terms}
    assert set(compute(done, calendar="XNYS", benchmark=done.equity)) <= known


def test_metrics_come_in_the_order_of_a_report_however_they_were_stored() -> None:
    """The store gives names by their length; a report begins with the period and ends with the costs."""
    stored = ["cagr", "dsr", "costs", "since", "max_drawdown", "moon_phase", "max_drawdown_trough"]
    found = [(title, list(terms)) for title, terms in grouped(stored)]
    assert found == [
        ("Period", ["since"]),
        ("Return", ["cagr"]),
        ("Drawdown", ["max_drawdown", "max_drawdown_trough"]),
        ("Reward for risk", ["dsr"]),
        ("Orders and costs", ["costs"]),
        ("Further", ["moon_phase"]),
    ]


def test_an_unknown_metric_is_spelt_out() -> None:
    assert spell("moon_phase") == "Moon phase"
    assert term_of("moon_phase").label == "Moon phase"


def test_a_long_list_says_how_many_it_leaves_out() -> None:
    assert listed(["A", "B"], 3) == "A, B"
    assert listed(["A", "B", "C", "D"], 3) == "A, B and 2 more"

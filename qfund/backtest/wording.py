"""How the figures of a backtest are said: group, label, unit and short convention of each metric.

Promises: every metric has words, also one this table does not know yet (its name is spelt out); a number is
shown with its unit, a minus that is as wide as a digit, and never more digits than it deserves. Nothing here
computes, rounds for storage, or knows whether a page or a terminal shows the words.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

import pandas as pd

Unit = Literal["percent", "points", "ratio", "money", "cash", "price", "count", "bps", "days", "bars", "text"]


@dataclass(frozen=True)
class Term:
    """The words of one metric.

    Attributes:
        label: for people, in sentence case.
        unit: how its value is shown; ``percent`` values arrive as fractions, ``points`` are per cent
            already, ``money`` drops the cents of
            large amounts, ``cash`` (for columns) never does, ``price`` keeps four digits of small ones.
        note: the convention in a few words, or an empty string.
    """

    label: str
    unit: Unit
    note: str = ""


NIL = "—"
MINUS = "\u2212"


def say(value: object, unit: Unit = "ratio", currency: str = "") -> str:
    """A value as a person reads it; an absent or non-finite one is ``—``.

    Args:
        value: number, text, date or None; fractions for ``percent``.
        unit: see ``Term``.
        currency: written before amounts of ``money`` when given.
    """
    if value is None or value is pd.NaT:
        return NIL
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (datetime, pd.Timestamp)):
        return moment(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (int, float)):
        return number(float(value), unit, currency)
    return str(value)


def number(value: float, unit: Unit, currency: str = "") -> str:
    """A number in its unit: ``12.3%``, ``1.04``, ``USD 412,345``, ``−18.2 bps``."""
    if not math.isfinite(value):
        return NIL
    text = signed(_digits(value, unit))
    if unit == "money" and currency:
        return f"{currency} {text}"
    return text


def _digits(value: float, unit: Unit) -> str:
    size = abs(value)
    few = size >= 0.001 or value == 0  # a digit more for what would read 0.0%
    whole = ".0f" if value == int(value) else ".1f"
    form, mark = {
        "percent": (".1f" if few else ".2f", "%"),
        "points": (".1f", "%"),
        "money": (".0f" if size >= 1000 else ".2f", ""),
        "price": (".2f" if size >= 1 else ".4g", ""),
        "count": (whole, ""),
        "bars": (whole, ""),
        "days": (whole, ""),
        "bps": (".1f", " bps"),
    }.get(unit, (".2f", ""))
    return f"{value * 100 if unit == 'percent' else value:,{form}}{mark}"


def signed(text: str) -> str:
    """The same digits with a typographic minus, and no minus before a zero."""
    if text.startswith("-"):
        bare = text[1:]
        return MINUS + bare if any(digit in bare for digit in "123456789") else bare
    return text


def moment(value: datetime | pd.Timestamp) -> str:
    """``2013-03-01`` for a session, ``2013-03-01 14:31`` for an instant (UTC)."""
    if value.tzinfo is None and value.hour == value.minute == 0:
        return value.strftime("%Y-%m-%d")
    return value.strftime("%Y-%m-%d %H:%M")


def spell(name: str) -> str:
    """A metric's own name as words: ``max_drawdown`` → ``Max drawdown``."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def listed(names: Iterable[str], most: int) -> str:
    """``A, B, C and 197 more``."""
    every = list(names)
    if len(every) <= most:
        return ", ".join(every)
    return f"{', '.join(every[: most - 1])} and {len(every) - most + 1} more"


GROUPS: dict[str, dict[str, Term]] = {
    "Return": {
        "start_equity": Term("Starting equity", "money"),
        "end_equity": Term("Final equity", "money", "marked at the last close"),
        "net_profit": Term("Net profit", "money", "after costs, dividends in"),
        "total_return": Term("Total return", "percent", "whole period, after costs"),
        "cagr": Term("CAGR", "percent", "compound growth a year, calendar years"),
        "benchmark_return": Term("Benchmark return", "percent", "whole period, same cash, no costs"),
        "excess_return": Term("Excess return", "percent", "total return less the benchmark's"),
    },
    "Risk": {
        "annual_volatility": Term("Volatility", "percent", "of daily returns, a year"),
        "max_drawdown": Term("Maximum drawdown", "percent", "from a peak, at every bar's close"),
        "max_drawdown_daily": Term("Maximum drawdown, daily", "percent", "at the closes of sessions"),
        "max_drawdown_start": Term("Its peak", "text"),
        "max_drawdown_trough": Term("Its trough", "text"),
        "max_drawdown_recovery": Term("Its recovery", "text"),
        "longest_drawdown_days": Term("Longest drawdown", "days", "calendar days from peak to recovery"),
    },
    "Ratios": {
        "sharpe": Term("Sharpe ratio", "ratio", "daily excess over its deviation, a year"),
        "sortino": Term("Sortino ratio", "ratio", "downside deviation over all days"),
        "calmar": Term("Calmar ratio", "ratio", "CAGR over maximum drawdown"),
        "psr": Term("Probabilistic Sharpe", "percent", "probability that the true one is above 0"),
        "dsr": Term("Deflated Sharpe", "percent", "the same, after all trials so far"),
        "information_ratio": Term("Information ratio", "ratio", "excess over tracking error, a year"),
        "trials": Term("Trials so far", "count", "different runs of this strategy"),
    },
    "Against the benchmark": {
        "beta": Term("Beta", "ratio"),
        "alpha": Term("Alpha", "percent", "a year"),
        "correlation": Term("Correlation", "ratio", "of daily returns"),
    },
    "Trades": {
        "trades": Term("Trades", "count", "from flat to flat"),
        "win_rate": Term("Winners", "percent", "of closed trades"),
        "profit_factor": Term("Profit factor", "ratio", "sum won over sum lost"),
        "expectancy": Term("Expectancy", "money", "net profit of an average trade"),
        "expectancy_pct": Term("Expectancy", "percent", "return of an average trade"),
        "avg_holding": Term("Average holding", "bars"),
        "max_win_streak": Term("Longest run of winners", "count"),
        "max_loss_streak": Term("Longest run of losers", "count"),
    },
    "Exposure and cost": {
        "max_gross": Term("Gross exposure, highest", "percent", "long plus short, of equity"),
        "avg_gross": Term("Gross exposure, average", "percent"),
        "avg_net": Term("Net exposure, average", "percent", "long less short, of equity"),
        "turnover": Term("Turnover a year", "percent"),
        "fees": Term("Commissions", "money"),
        "spread": Term("Spread", "money"),
        "slippage": Term("Slippage", "money"),
        "cost_drag_bps": Term("Cost drag", "bps", "return lost to costs, a year"),
    },
}


def term_of(name: str) -> Term:
    """The words of a metric; a name this table does not know is spelt out as a ratio."""
    for terms in GROUPS.values():
        if name in terms:
            return terms[name]
    return Term(spell(name), "ratio")

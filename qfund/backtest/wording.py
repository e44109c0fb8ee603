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

Unit = Literal[
    "percent",
    "points",
    "chance",
    "ratio",
    "money",
    "cash",
    "price",
    "count",
    "bps",
    "days",
    "sessions",
    "bars",
    "text",
]


@dataclass(frozen=True)
class Term:
    """The words of one metric.

    Attributes:
        label: for people, in sentence case.
        unit: how its value is shown; ``percent`` values arrive as fractions, ``points`` are per cent
            already, ``chance`` is a probability and never reads as certain, ``money`` drops the cents of
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
    long = ".0f" if size >= 100 else whole
    form, mark = {
        "percent": (".1f" if few else ".2f", "%"),
        "points": (".1f", "%"),
        "chance": (".1f", "%"),
        "money": (".0f" if size >= 1000 else ".2f", ""),
        "price": (".2f" if size >= 1 else ".4g", ""),
        "count": (whole, ""),
        "bars": (long, ""),
        "days": (long, ""),
        "sessions": (long, ""),
        "bps": (".1f", " bps"),
    }.get(unit, (".2f" if size >= 0.1 or value == 0 else ".3f", ""))
    if unit == "chance" and not 0.0005 <= value < 0.9995:
        return "<0.1%" if value < 0.5 else ">99.9%"  # nothing is certain
    return f"{value * 100 if unit in {'percent', 'chance'} else value:,{form}}{mark}"


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
    "Period": {
        "since": Term("First session", "text"),
        "until": Term("Last session", "text"),
        "sessions": Term("Sessions", "count"),
        "bars": Term("Bars", "count"),
        "symbols": Term("Symbols", "count"),
    },
    "Return": {
        "start_equity": Term("Starting equity", "money"),
        "end_equity": Term("Final equity", "money", "marked at the last close"),
        "net_profit": Term("Net profit", "money", "after costs, dividends in"),
        "total_return": Term("Total return", "percent", "whole period, after costs"),
        "gross_return": Term("Return before costs", "percent", "costs added back"),
        "cagr": Term("CAGR", "percent", "compound growth a year"),
        "annual_return": Term("Mean return a year", "percent", "arithmetic, of daily returns"),
        "log_return": Term("Log return", "ratio", "whole period"),
        "benchmark_return": Term("Benchmark return", "percent", "whole period, no costs"),
        "benchmark_cagr": Term("Benchmark CAGR", "percent"),
        "excess_return": Term("Excess return", "percent", "total return less the benchmark's"),
    },
    "Against the benchmark": {
        "beta": Term("Beta", "ratio"),
        "alpha": Term("Alpha", "percent", "a year"),
        "correlation": Term("Correlation", "ratio", "of daily returns"),
        "r_squared": Term("R squared", "ratio"),
        "tracking_error": Term("Tracking error", "percent", "deviation of the difference, a year"),
        "information_ratio": Term("Information ratio", "ratio", "mean difference over tracking error"),
        "treynor": Term("Treynor ratio", "ratio", "excess return a year over beta"),
        "m2": Term("M squared", "percent", "return a year at the benchmark's volatility"),
        "up_capture": Term("Capture of up days", "percent"),
        "down_capture": Term("Capture of down days", "percent"),
    },
    "Risk": {
        "annual_volatility": Term("Volatility", "percent", "of daily returns, annualised"),
        "annual_variance": Term("Variance", "ratio", "a year"),
        "downside_deviation": Term("Downside deviation", "percent", "over all days, a year"),
        "skew": Term("Skew", "ratio", "of daily returns"),
        "excess_kurtosis": Term("Excess kurtosis", "ratio", "0 for the normal distribution"),
        "var_95": Term("Value at risk, 95%", "percent", "a day, historical"),
        "var_99": Term("Value at risk, 99%", "percent", "a day, historical"),
        "var_95_cornish_fisher": Term("Value at risk, 95%, modified", "percent", "a day, Cornish-Fisher"),
        "cvar_95": Term("Expected shortfall, 95%", "percent", "mean of the worst twentieth of days"),
        "tail_ratio": Term("Tail ratio", "ratio", "95th over 5th percentile of days"),
    },
    "Drawdown": {
        "max_drawdown": Term("Maximum drawdown", "percent", "from a peak, at bar closes"),
        "max_drawdown_daily": Term("Maximum drawdown, daily", "percent", "at the closes of sessions"),
        "max_drawdown_start": Term("Its peak", "text"),
        "max_drawdown_trough": Term("Its trough", "text"),
        "max_drawdown_recovery": Term("Its recovery", "text"),
        "max_drawdown_days": Term("Its length", "days", "calendar days"),
        "longest_drawdown_days": Term("Longest drawdown", "days", "calendar days"),
        "avg_drawdown": Term("Average drawdown", "percent"),
        "avg_drawdown_days": Term("Average length", "days", "calendar days"),
        "drawdowns": Term("Drawdowns", "count"),
        "time_underwater": Term("Time below the peak", "percent", "of sessions"),
        "ulcer_index": Term("Ulcer index", "percent", "root mean square drawdown"),
        "pain_index": Term("Pain index", "percent", "mean drawdown over all days"),
        "recovery_factor": Term("Recovery factor", "ratio", "total return over maximum drawdown"),
    },
    "Reward for risk": {
        "sharpe": Term("Sharpe ratio", "ratio", "of daily returns, annualised"),
        "sharpe_low": Term("Sharpe, lower bound", "ratio", "of 95% confidence"),
        "sharpe_high": Term("Sharpe, upper bound", "ratio", "of 95% confidence"),
        "psr": Term("Probabilistic Sharpe", "chance", "chance that the true one is above 0"),
        "dsr": Term("Deflated Sharpe", "chance", "the same, after all trials so far"),
        "track_record_needed": Term("Record needed", "sessions", "until it is above 0 at 95%"),
        "trials": Term("Trials so far", "count", "different runs of this strategy"),
        "sharpe_autocorrelated": Term("Sharpe, autocorrelated", "ratio", "after Lo (2002)"),
        "sortino": Term("Sortino ratio", "ratio", "daily, against downside deviation"),
        "sortino_sqrt2": Term("Sortino over √2", "ratio"),
        "calmar": Term("Calmar ratio", "ratio", "CAGR over maximum drawdown, daily"),
        "calmar_36m": Term("Calmar ratio, 36 months", "ratio"),
        "omega": Term("Omega", "ratio", "gains over losses of days"),
        "gain_to_pain": Term("Gain to pain", "ratio", "days"),
        "gain_to_pain_monthly": Term("Gain to pain, monthly", "ratio"),
        "martin": Term("Martin ratio", "ratio", "CAGR over ulcer index"),
        "risk_return": Term("Return over risk", "ratio", "a day"),
    },
    "Days, months, years": {
        "best_day": Term("Best day", "percent"),
        "worst_day": Term("Worst day", "percent"),
        "avg_day": Term("Average day", "percent"),
        "positive_days": Term("Days that gained", "percent"),
        "best_month": Term("Best month", "percent"),
        "worst_month": Term("Worst month", "percent"),
        "avg_month": Term("Average month", "percent"),
        "positive_months": Term("Months that gained", "percent"),
        "avg_up_month": Term("Average gaining month", "percent"),
        "avg_down_month": Term("Average losing month", "percent"),
        "best_year": Term("Best year", "percent"),
        "worst_year": Term("Worst year", "percent"),
        "avg_year": Term("Average year", "percent"),
        "positive_years": Term("Years that gained", "percent"),
    },
    "Up to the last session": {
        "return_mtd": Term("This month", "percent"),
        "return_3m": Term("3 months", "percent"),
        "return_6m": Term("6 months", "percent"),
        "return_ytd": Term("This year", "percent"),
        "return_1y": Term("1 year", "percent"),
        "return_3y": Term("3 years", "percent", "a year"),
        "return_5y": Term("5 years", "percent", "a year"),
        "return_10y": Term("10 years", "percent", "a year"),
    },
    "Trades": {
        "trades": Term("Trades", "count", "round trips from flat to flat"),
        "closed_trades": Term("Closed", "count"),
        "open_trades": Term("Open", "count"),
        "long_trades": Term("Long", "count"),
        "short_trades": Term("Short", "count"),
        "long_pnl": Term("Net profit, long", "money"),
        "short_pnl": Term("Net profit, short", "money"),
        "open_pnl": Term("Net profit, open", "money", "at the last close"),
        "trades_per_year": Term("Trades a year", "count"),
        "win_rate": Term("Winners", "percent", "of closed trades"),
        "win_rate_long": Term("Winners, long", "percent"),
        "win_rate_short": Term("Winners, short", "percent"),
        "loss_rate": Term("Losers", "percent"),
        "draws": Term("Draws", "count"),
        "profit_factor": Term("Profit factor", "ratio", "sum won over sum lost"),
        "expectancy": Term("Expectancy", "money", "net profit of an average trade"),
        "expectancy_pct": Term("Expectancy, return", "percent", "of an average trade"),
        "expectancy_r": Term("Expectancy, R", "ratio", "in average losses"),
        "payoff": Term("Payoff", "ratio", "average win over average loss"),
        "avg_win": Term("Average win", "money"),
        "avg_loss": Term("Average loss", "money"),
        "largest_win": Term("Largest win", "money"),
        "largest_loss": Term("Largest loss", "money"),
        "median_trade": Term("Median trade", "percent"),
        "best_trade": Term("Best trade", "percent"),
        "worst_trade": Term("Worst trade", "percent"),
        "sqn": Term("System quality number", "ratio", "after Tharp"),
        "kelly": Term("Kelly fraction", "percent"),
        "avg_mfe": Term("Best on the way", "percent", "average (MFE)"),
        "avg_mae": Term("Worst on the way", "percent", "average (MAE)"),
        "edge_ratio": Term("Edge ratio", "ratio", "MFE over MAE"),
        "avg_holding": Term("Average holding", "bars", "bars"),
        "avg_holding_wins": Term("Average holding, winners", "bars", "bars"),
        "avg_holding_losses": Term("Average holding, losers", "bars", "bars"),
        "max_holding": Term("Longest holding", "bars", "bars"),
        "min_holding": Term("Shortest holding", "bars", "bars"),
        "max_win_streak": Term("Longest run of winners", "count"),
        "max_loss_streak": Term("Longest run of losers", "count"),
        "current_streak": Term("Current run", "count", "losers count below zero"),
    },
    "Exposure": {
        "avg_gross": Term("Gross exposure, average", "percent", "long plus short, of equity"),
        "max_gross": Term("Gross exposure, highest", "percent"),
        "avg_net": Term("Net exposure, average", "percent", "long less short, of equity"),
        "max_net": Term("Net exposure, highest", "percent"),
        "min_net": Term("Net exposure, lowest", "percent"),
        "time_in_market": Term("Time in the market", "percent", "of bars"),
        "concentration": Term("Concentration", "ratio", "Herfindahl; 1 is a single symbol"),
        "min_cash": Term("Cash, lowest", "money"),
        "max_cash": Term("Cash, highest", "money"),
    },
    "Orders and costs": {
        "orders": Term("Orders", "count"),
        "orders_cut": Term("Cut", "count", "for lack of cash"),
        "orders_refused": Term("Refused", "count", "for lack of cash, or delisted"),
        "avg_order": Term("Average order", "money"),
        "volume": Term("Bought and sold", "money"),
        "turnover": Term("Turnover", "percent", "half of it, of average equity, a year"),
        "fees": Term("Commission", "money"),
        "spread": Term("Spread", "money"),
        "slippage": Term("Slippage", "money"),
        "costs": Term("All costs", "money"),
        "cost_drag_bps": Term("Cost drag", "bps", "costs of average equity, a year"),
        "dividends": Term("Dividends", "money", "received less paid"),
    },
}


def term_of(name: str) -> Term:
    """The words of a metric; a name this table does not know is spelt out as a ratio."""
    for terms in GROUPS.values():
        if name in terms:
            return terms[name]
    return Term(spell(name), "ratio")


def grouped(names: Iterable[str]) -> list[tuple[str, dict[str, Term]]]:
    """The metrics in the order of a report: each group's title and terms; unknown names come last."""
    wanted = list(names)
    found = [
        (title, {name: term for name, term in terms.items() if name in wanted})
        for title, terms in GROUPS.items()
    ]
    known = {name for _, terms in found for name in terms}
    found.append(("Further", {name: term_of(name) for name in wanted if name not in known}))
    return [(title, terms) for title, terms in found if terms]

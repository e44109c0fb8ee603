"""The first screen of a report: who and when, the story in words, the headline figures, the warnings.

Promises: HTML that is complete without script; every text of users and data is escaped; the story is told
only from figures that exist. It computes no metric.
"""

from __future__ import annotations

from datetime import UTC, datetime

from qfund.backtest.report_input import ReportInput
from qfund.backtest.tables import Footnotes, esc, metric_value
from qfund.backtest.wording import listed, moment, say, term_of

HEADLINES = (
    "total_return",
    "cagr",
    "sharpe",
    "max_drawdown",
    "annual_volatility",
    "sortino",
    "benchmark_return",
    "trades",
)
SPOKEN = {"1d": "daily", "1m": "of one minute"}


def masthead(report: ReportInput, notes: Footnotes) -> str:
    """Who, what, when; the story in two sentences; the headline figures; the warnings."""
    first, last = report.equity.index[0], report.equity.index[-1]
    facts = (
        ("Period", f"{moment(first)} to {moment(last)}"),
        ("Bars", f"{len(report.equity):,} {SPOKEN.get(report.timeframe, report.timeframe)}"),
        (_plural(len(report.universe), "Symbol"), listed(report.universe, 8)),
    )
    shown = "".join(f"<div><dt>{esc(name)}</dt><dd>{esc(value)}</dd></div>" for name, value in facts)
    lede = f'<p class="lede">{esc(report.description)}</p>' if report.description else ""
    return (
        '<header class="masthead"><p class="kicker"><b>qfund backtest</b>'
        f"<span>Run <code>{esc(report.run_id)}</code>, {esc(_stamp(report.generated_at))}</span></p>"
        f'<h1>{esc(report.title)}</h1>{lede}<dl class="facts">{shown}</dl>'
        f'<p class="story">{esc(story(report))}</p></header>'
        f"{headlines(report, notes)}{warnings(report)}"
    )


def _stamp(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{count:,} {noun.lower()}s"


def story(report: ReportInput) -> str:
    """What became of the money, in words; only from figures that exist."""
    start, end = float(report.equity.iloc[0]), float(report.equity.iloc[-1])
    start = _amount(report, "start_equity", start)
    told = f"{say(start, 'money', report.currency)} became {say(end, 'money')}"
    years = (report.equity.index[-1] - report.equity.index[0]).days / 365.25
    if years >= 1:
        told += f" in {years:.1f} years"
    growth_a_year = _value(report, "cagr")
    if growth_a_year is not None and years >= 1:
        told += f", {say(growth_a_year, 'percent')} a year"
    told += "."
    if report.benchmark is not None:
        other = say(float(report.benchmark.iloc[-1]), "money")
        told += f" The benchmark ({report.benchmark_name}) became {other}."
    deepest = _value(report, "max_drawdown")
    if deepest:
        told += f" At its worst the account stood {say(abs(deepest), 'percent')} below its peak."
    return told


def _value(report: ReportInput, name: str) -> float | None:
    metric = report.metrics.get(name)
    if metric is None or not isinstance(metric.value, (int, float)):
        return None
    return float(metric.value)


def _amount(report: ReportInput, name: str, otherwise: float) -> float:
    value = _value(report, name)
    return otherwise if value is None else value


def headlines(report: ReportInput, notes: Footnotes) -> str:
    """The figures one asks for first, each with its unit and convention."""
    tiles = []
    for name in HEADLINES:
        metric = report.metrics.get(name)
        if metric is None:
            continue
        term = term_of(name)
        value = metric_value(metric, term, "", notes)
        tiles.append(
            f'<div><dt>{esc(term.label)}</dt><dd class="value">{value}</dd>'
            f'<dd class="note">{esc(term.note)}</dd></div>'
        )
    return f'<dl class="figures">{"".join(tiles)}</dl>' if tiles else ""


def warnings(report: ReportInput) -> str:
    """What a careful reader must know before believing the figures."""
    if not report.warnings:
        return (
            '<aside class="warnings clear"><h2>No warnings</h2><p>The checks of this run found nothing '
            "to hold against it. That is not a proof that the future will be like the past.</p></aside>"
        )
    items = "".join(f"<li>{esc(text)}</li>" for text in report.warnings)
    return f'<aside class="warnings" role="note"><h2>Read this first</h2><ul>{items}</ul></aside>'

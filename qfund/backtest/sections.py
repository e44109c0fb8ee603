"""What a report is made from, and its sections in the order of reading.

Promises: each section is HTML that is complete without script, escapes every text of users and data, and says
why when it has nothing to show. Charts are handed out as figures beside the HTML that holds their place. It
asks ``qfund.backtest.metrics`` for every number and computes none of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd

from qfund.backtest import metrics as measure
from qfund.backtest.charts import (
    STRATEGY,
    Axis,
    Chart,
    drawdown_chart,
    equity_chart,
    exposure_chart,
    ratio_chart,
    turnover_chart,
    yearly_chart,
)
from qfund.backtest.metrics import Metric
from qfund.backtest.tables import (
    MOST_TRADES,
    Footnotes,
    amounts_table,
    contribution_table,
    drawdown_table,
    esc,
    metric_groups,
    metric_value,
    monthly_table,
    pairs_table,
    trades_table,
)
from qfund.backtest.wording import NIL, listed, moment, number, say, term_of

ROLLING = 252  # sessions of the rolling Sharpe ratio
WORST = 10  # falls in the table of drawdowns
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

@dataclass(frozen=True, eq=False)
class ReportInput:
    """Everything a report shows, as plain things.

    Attributes:
        title: name of the strategy.
        description: what it does, one sentence; may be empty.
        run_id: identity of the run.
        generated_at: when the report was asked for, timezone-aware; the only clock on the page.
        universe: the symbols, in order.
        timeframe: ``1d`` or ``1m``.
        calendar: ``exchange_calendars`` name, for the rolling ratio's sessions per year.
        currency: of every amount, ISO code.
        params: parameter → value.
        metrics: name → value or reason, as ``metrics.compute`` returns them.
        equity: account value after each bar; float64, currency units, index sessions (naive) or bar ends (UTC).
        benchmark: the same cash in the benchmark, same index, or None.
        benchmark_name: for people, ``equal parts, bought and held``.
        gross: value long plus value short, as a fraction of equity; same index.
        net: value long minus value short, as a fraction of equity; same index.
        turnover: value bought plus value sold in each bar, as a fraction of equity; same index.
        trades: one row per trade, the columns of ``Simulation.trades``.
        dividends: received less paid over the run, currency units.
        costs: ``commission``, ``spread``, ``slippage`` → currency units paid.
        contribution: symbol → net profit, currency units.
        warnings: plain sentences, most serious first.
        provenance: name and value of everything that made the run, in order.
        conventions: the line that says how the numbers were computed.
        command: what repeats the run, as typed in a shell.
    """

    title: str
    description: str
    run_id: str
    generated_at: datetime
    universe: tuple[str, ...]
    timeframe: str
    calendar: str
    currency: str
    params: Mapping[str, object]
    metrics: Mapping[str, Metric]
    equity: pd.Series
    benchmark: pd.Series | None
    benchmark_name: str
    gross: pd.Series
    net: pd.Series
    turnover: pd.Series
    trades: pd.DataFrame
    dividends: float
    costs: Mapping[str, float]
    contribution: pd.Series
    warnings: tuple[str, ...]
    provenance: tuple[tuple[str, str], ...]
    conventions: str
    command: str


def masthead(report: ReportInput, notes: Footnotes) -> str:
    """Who, what, when; the story in two sentences; the headline figures; the warnings."""
    first, last = report.equity.index[0], report.equity.index[-1]
    facts = (
        ("Period", f"{moment(first)} to {moment(last)}"),
        ("Bars", f"{len(report.equity):,} of {report.timeframe}"),
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
            f"<div><dt>{esc(term.label)}</dt><dd class=\"value\">{value}</dd>"
            f"<dd class=\"note\">{esc(term.note)}</dd></div>"
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


def figure(chart: Chart, title: str, aside: str, *, half: bool, controls: str = "") -> str:
    """The place of one chart: caption, key for narrow screens, and a word for readers without script."""
    paper = 320 if half else 680
    key = "".join(
        f'<span style="color:var({"--accent" if label.color == STRATEGY else "--peer"})">{label.text}</span>'
        for label in chart.labels
    )
    said = f"{title}. {aside}"
    return (
        f'<figure class="chart"><figcaption><div><h3>{esc(title)}</h3><p class="aside">{esc(aside)}</p></div>'
        f'{controls}</figcaption><p class="key">{key}</p>'
        f'<div class="plot" id="plot-{chart.id}" style="height:{chart.height}px" data-paper="{paper}" '
        f'role="img" aria-label="{esc(said)}"></div>'
        "<noscript><p>This chart is drawn by JavaScript, which is switched off. The tables hold its "
        "figures.</p></noscript></figure>"
    )


def missing(title: str, why: str) -> str:
    """The place of a chart that cannot be drawn, and why."""
    return f'<figure class="chart"><h3>{esc(title)}</h3><p class="empty">{esc(why)}</p></figure>'


def growth(report: ReportInput, axis: Axis, charts: list[Chart]) -> str:
    """Equity against the benchmark, and how far below its peak it stood."""
    under = measure.drawdown(report.equity)
    peer = None if report.benchmark is None else measure.drawdown(report.benchmark)
    charts.append(equity_chart(axis, report.equity, report.benchmark, report.benchmark_name))
    charts.append(drawdown_chart(axis, under, peer))
    thin = " Thinned to what a screen can show; highs and lows are kept." if axis.thinned else ""
    against = "" if report.benchmark is None else f" Benchmark: {report.benchmark_name}."
    positive = float(report.equity.min()) > 0
    return (
        "<section><h2>Growth</h2>"
        '<p class="aside scripted">Drag across a chart to look closer; charts over time move together. '
        "Double-click to see all again.</p>"
        + figure(
            charts[-2],
            "Equity",
            f"{report.currency}, after costs, marked at each close.{against}{thin}",
            half=False,
            controls=SCALE if positive else "",
        )
        + figure(charts[-1], "Drawdown", "Distance below the highest equity so far.", half=False)
        + "</section>"
    )


SCALE = (
    '<span class="scripted tools"><button type="button" class="reset" data-reset hidden>Show all</button>'
    '<span class="switch" role="group" aria-label="Scale">'
    '<button type="button" data-chart="equity" data-scale="linear" aria-pressed="true">Linear</button>'
    '<button type="button" data-chart="equity" data-scale="log" aria-pressed="false">Log</button>'
    "</span></span>"
)


def by_year(report: ReportInput, charts: list[Chart]) -> str:
    """Returns by calendar month and year."""
    months, years = measure.monthly(report.equity), measure.yearly(report.equity)
    peer = None if report.benchmark is None else measure.yearly(report.benchmark)
    charts.append(yearly_chart(years, peer, "Benchmark"))
    versus = "" if peer is None else "; the benchmark's beside them"
    return (
        '<section><h2>Returns by month and year</h2><div class="whole">'
        f'<p class="aside">Percent, close to close, after costs{versus}. Blue gains, orange loses; the first '
        "and the last month may be parts.</p>"
        f"{monthly_table(months, years, peer)}</div>"
        + figure(charts[-1], "Calendar years", f"Total return of each year{versus}.", half=False)
        + "</section>"
    )


def exposure_and_risk(report: ReportInput, axis: Axis, charts: list[Chart]) -> str:
    """How the ratio of return to risk held up, how much was invested, how much was traded."""
    ratio = measure.rolling_sharpe(report.equity, ROLLING, report.calendar)
    title = f"Rolling Sharpe, {ROLLING} sessions"
    if ratio.notna().any():
        charts.append(ratio_chart(axis, ratio))
        rolling = figure(charts[-1], title, "Of the year before each day, annualised.", half=True)
    else:
        rolling = missing(title, f"Needs more than {ROLLING} sessions with returns that differ.")
    charts.append(exposure_chart(axis, report.gross, report.net))
    same = len(charts[-1].labels) == 0
    what = "Held, as a part of equity." if same else "Long plus short, and long minus short, of equity."
    invested = figure(charts[-1], "Exposure", what, half=True)
    return (
        f'<section><h2>Risk and activity</h2><div class="pair">{rolling}{invested}</div>'
        f"{_turnover(report, charts)}</section>"
    )


def _turnover(report: ReportInput, charts: list[Chart]) -> str:
    if float(report.turnover.abs().sum()) == 0:
        return missing("Turnover", "Nothing was traded.")
    index = pd.DatetimeIndex(report.turnover.index)
    days = pd.Series(report.turnover.to_numpy(), index=index.tz_localize(None).normalize())
    long = index[-1] - index[0] > pd.Timedelta(days=120)
    by = days.groupby(days.index.to_period("M").to_timestamp() if long else days.index).sum()
    charts.append(turnover_chart(by, monthly=long))
    each = "month" if long else "day"
    return figure(
        charts[-1], "Turnover", f"Bought plus sold in each {each}, as a part of equity.", half=False
    )


def falls_and_contributions(report: ReportInput) -> str:
    """The deepest falls, and which symbols made and lost the money."""
    falls = measure.drawdowns(report.equity, WORST)
    return (
        '<section class="pair"><div class="whole"><h2>Worst drawdowns</h2>'
        '<p class="aside">From peak to trough and back to the old peak; calendar days.</p>'
        f"{drawdown_table(falls)}</div>"
        '<div class="whole"><h2>Contribution</h2>'
        f'<p class="aside">Net profit by symbol in {esc(report.currency)}: prices, dividends, less costs.</p>'
        f"{contribution_table(report.contribution, report.trades)}</div></section>"
    )


def costs_and_parameters(report: ReportInput) -> str:
    """What trading cost, what dividends brought, and the numbers the strategy was given."""
    paid = [(spoken.capitalize(), number(-amount, "money")) for spoken, amount in report.costs.items()]
    paid.append(("All costs", number(-sum(report.costs.values()), "money")))
    paid.append(("Dividends, net", number(report.dividends, "money")))
    drag = report.metrics.get("cost_drag_bps")
    if drag is not None and drag.value is not None:
        paid.append(("Cost drag a year", say(drag.value, "bps")))
    given = [(name, say(value, "text") if isinstance(value, bool) else value) for name, value in report.params.items()]
    params = pairs_table(given) if given else '<p class="empty">The strategy takes no parameters.</p>'
    return (
        '<section class="pair"><div class="whole"><h2>Costs and income</h2>'
        f'<p class="aside">{esc(report.currency)} over the whole run.</p>{amounts_table(paid)}</div>'
        '<div class="whole"><h2>Parameters</h2><p class="aside">As this run used them.</p>'
        f"{params}</div></section>"
    )


def trades(report: ReportInput) -> str:
    """The trades, all of them or the best and the worst."""
    count = len(report.trades)
    if count == 0:
        return '<section><h2>Trades</h2><p class="empty">The strategy made no trade in this period.</p></section>'
    said = f"All {count:,}, in order of entry." if count > 1 else "The only one."
    if count > MOST_TRADES:
        half = MOST_TRADES // 2
        said = (
            f"The {half} best and the {half} worst of {count:,} by net profit, in order of entry; "
            f"<code>qfund runs show {esc(report.run_id)} --json</code> has them all."
        )
    paper = (
        '<p class="aside paper-only">The first 40 on paper; the file on a screen has more.</p>'
        if count > 40
        else ""
    )
    return (
        f'<section><h2>Trades</h2><p class="aside">{said} A trade runs from flat to flat; its net profit counts '
        f"dividends and costs. Click on a head to sort.</p>{paper}{trades_table(report.trades)}</section>"
    )


def all_metrics(report: ReportInput, notes: Footnotes) -> str:
    """Every metric by group; what is undefined says why in a footnote."""
    groups = metric_groups(report.metrics, report.currency, notes)
    return (
        '<section><h2>All figures</h2><p class="aside">The convention stands under each name.</p>'
        f"{groups}{notes.html()}</section>"
    )


def record(report: ReportInput) -> str:
    """What made this run, so that it can be made again."""
    return (
        '<section class="whole"><h2>Provenance</h2><p class="aside">Equal entries give an equal result and an '
        f"equal run id.</p>{pairs_table(report.provenance)}"
        f'<h3 class="again">To repeat it</h3><pre>{esc(report.command)}</pre></section>'
    )

"""The sections of a report below its first screen, in the order of reading.

Promises: each section is HTML that is complete without script, escapes every text of users and data, and says
why when it has nothing to show. Charts are handed out as figures beside the HTML that holds their place. It
asks ``qfund.backtest.metrics`` for every number and computes none of its own.
"""

from __future__ import annotations

import pandas as pd

from qfund.backtest import metrics as measure
from qfund.backtest.charts import (
    LOSS,
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
from qfund.backtest.report_input import ReportInput
from qfund.backtest.tables import (
    MOST_TRADES,
    Footnotes,
    amounts_table,
    contribution_table,
    drawdown_table,
    esc,
    metric_groups,
    monthly_table,
    pairs_table,
    trades_table,
)
from qfund.backtest.wording import number, say

ROLLING = 252  # sessions of the rolling Sharpe ratio
WORST = 10  # falls in the table of drawdowns
ROLES = {STRATEGY: "accent", LOSS: "loss"}


def figure(chart: Chart, title: str, aside: str, *, half: bool, controls: str = "") -> str:
    """The place of one chart: caption, key for narrow screens, and a word for readers without script."""
    paper = 320 if half else 680
    always = " always" if chart.keyed else ""
    key = "".join(
        f'<span class="{ROLES.get(label.color, "peer")}">{label.text}</span>' for label in chart.labels
    )
    said = f"{title}. {aside}"
    return (
        f'<figure class="chart"><figcaption><div><h3>{esc(title)}</h3><p class="aside">{esc(aside)}</p></div>'
        f'{controls}</figcaption><p class="key{always}">{key}</p>'
        f'<div class="plot" id="plot-{chart.id}" style="height:{chart.height}px" data-paper="{paper}" '
        f'role="img" aria-label="{esc(said)}"></div>'
        "<noscript><p>This chart is drawn by JavaScript, which is switched off. The tables need none.</p>"
        "</noscript></figure>"
    )


def missing(title: str, why: str) -> str:
    """The place of a chart that cannot be drawn, and why."""
    return f'<figure class="chart"><h3>{esc(title)}</h3><p class="empty">{esc(why)}</p></figure>'


def growth(report: ReportInput, axis: Axis, charts: list[Chart]) -> str:
    """Equity against the benchmark, and how far below its peak it stood."""
    if len(axis.rows) < 2:
        return f"<section><h2>Growth</h2>{missing('Equity', ONE_BAR)}</section>"
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


ONE_BAR = "One bar has no course to draw."
SCALE = (
    '<span class="scripted tools"><button type="button" class="reset" data-reset hidden>Show all</button>'
    '<span class="switch" role="group" aria-label="Scale">'
    '<button type="button" data-chart="equity" data-scale="linear" aria-pressed="true">Linear</button>'
    '<button type="button" data-chart="equity" data-scale="log" aria-pressed="false">Log</button>'
    "</span></span>"
)


def by_year(report: ReportInput, charts: list[Chart]) -> str:
    """Returns by calendar month and year."""
    months = measure.monthly(report.equity, report.sessions)
    years = measure.yearly(report.equity, report.sessions)
    peer = None if report.benchmark is None else measure.yearly(report.benchmark, report.sessions)
    versus = "" if peer is None else "; the benchmark's beside them"
    bars = missing("Calendar years", ONE_BAR)
    if len(report.equity) > 1:
        charts.append(yearly_chart(years, peer))
        bars = figure(charts[-1], "Calendar years", f"Total return of each year{versus}.", half=False)
    return (
        '<section><h2>Returns by month and year</h2><div class="whole">'
        f'<p class="aside">Percent, after costs{versus}. Blue gains, orange loses. The first and the last '
        "month may be parts of one.</p>"
        f"{monthly_table(months, years, peer)}</div>{bars}</section>"
    )


def exposure_and_risk(report: ReportInput, axis: Axis, charts: list[Chart]) -> str:
    """How the ratio of return to risk held up, how much was invested, how much was traded."""
    ratio = measure.rolling_sharpe(report.equity, ROLLING, report.calendar, report.sessions)
    title = f"Rolling Sharpe, {ROLLING} sessions"
    if ratio.notna().any():
        charts.append(ratio_chart(ratio, linked=axis.kind == "date"))
        rolling = figure(charts[-1], title, "Of the year before each day, annualised.", half=True)
    else:
        rolling = missing(title, f"Needs more than {ROLLING} sessions with returns that differ.")
    return (
        f'<section><h2>Risk and activity</h2><div class="pair">{rolling}{_exposure(report, axis, charts)}'
        f"</div>{_turnover(report, charts)}</section>"
    )


def _exposure(report: ReportInput, axis: Axis, charts: list[Chart]) -> str:
    if len(axis.rows) < 2:
        return missing("Exposure", ONE_BAR)
    charts.append(exposure_chart(axis, report.gross, report.net))
    same = len(charts[-1].labels) == 0
    what = "Held, as a part of equity." if same else "Long plus short, and long minus short, of equity."
    return figure(charts[-1], "Exposure", what, half=True)


def _turnover(report: ReportInput, charts: list[Chart]) -> str:
    if float(report.turnover.abs().sum()) == 0:
        return missing("Turnover", "Nothing was traded.")
    sessions = report.sessions
    long = sessions[-1] - sessions[0] > pd.Timedelta(days=120)
    starts = sessions.to_period("M").to_timestamp() if long else sessions
    by = pd.Series(report.turnover.to_numpy(dtype=float), index=starts).groupby(level=0).sum()
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
    paid = [(spoken.capitalize(), number(-amount, "cash")) for spoken, amount in report.costs.items()]
    paid.append(("All costs", number(-sum(report.costs.values()), "cash")))
    paid.append(("Dividends, net", number(report.dividends, "cash")))
    drag = report.metrics.get("cost_drag_bps")
    if drag is not None and drag.value is not None:
        paid.append(("Cost drag a year", say(drag.value, "bps")))
    given = [(name, _as_typed(value)) for name, value in report.params.items()]
    params = pairs_table(given) if given else '<p class="empty">The strategy takes no parameters.</p>'
    return (
        '<section class="pair"><div class="whole"><h2>Costs and income</h2>'
        f'<p class="aside">{esc(report.currency)} over the whole run.</p>{amounts_table(paid)}</div>'
        '<div class="whole"><h2>Parameters</h2><p class="aside">As this run used them.</p>'
        f"{params}</div></section>"
    )


def _as_typed(value: object) -> object:
    return ("no", "yes")[value] if isinstance(value, bool) else value


def trades(report: ReportInput) -> str:
    """The trades, all of them or the best and the worst."""
    count = len(report.trades)
    if count == 0:
        return '<section><h2>Trades</h2><p class="empty">No trade was made in this period.</p></section>'
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
        f'<section><h2>Trades</h2><p class="aside">{said} A trade runs from flat to flat; its net profit '
        "counts dividends and costs; best and worst are its highest and lowest return on the way. "
        f'<span class="hint">Click on a head to sort.</span></p>{paper}{trades_table(report.trades)}'
        "</section>"
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
        '<section class="whole"><h2>Provenance</h2><p class="aside">Equal entries give an equal result and '
        f"an equal run id.</p>{pairs_table(report.provenance)}"
        f'<h3 class="again">To repeat it</h3><pre>{esc(report.command)}</pre></section>'
    )

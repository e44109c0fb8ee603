"""A backtest as one HTML file that one may show to an investor.

Promises: the file is complete (style, script, charts and data inside; a content policy forbids the browser to
load anything else), reads well on paper, on a phone and without JavaScript, and is the same bytes for equal
input. Every text that came from a user or from data is escaped. Degenerate runs (one bar, no trade, total
loss) render too: what cannot be shown says why. Nothing here reads the clock or writes a file.
"""

from __future__ import annotations

from importlib.resources import files

from plotly.offline import get_plotlyjs

from qfund.backtest import sections
from qfund.backtest.charts import Chart, axis_of, payload
from qfund.backtest.masthead import masthead
from qfund.backtest.report_input import ReportInput
from qfund.backtest.tables import Footnotes, esc

__all__ = ["ReportInput", "render"]

# The page needs nothing from outside, and the browser is told to refuse it should something ask.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"

DISCLAIMER = (
    "The results on this page are hypothetical. They come from applying rules to past prices, with the "
    "benefit of hindsight; no money was at risk. Fills, costs and dividends are modelled, not observed, and "
    "a real account would have differed. Past performance, simulated or real, does not tell future results. "
    "This page is a research record, not investment advice and not an offer."
)


def render(report: ReportInput) -> str:
    """The whole page.

    Raises:
        ValueError: an equity without a single row, or a series that does not share its index.
    """
    _check(report)
    axis = axis_of(report.equity)
    charts: list[Chart] = []
    notes = Footnotes([])
    body = "".join(
        (
            masthead(report, notes),
            sections.growth(report, axis, charts),
            sections.by_year(report, charts),
            sections.exposure_and_risk(report, axis, charts),
            sections.falls_and_contributions(report),
            sections.costs_and_parameters(report),
            sections.trades(report),
            sections.all_metrics(report, notes),
            sections.record(report),
        )
    )
    return _page(report, body, payload(charts))


def _check(report: ReportInput) -> None:
    if len(report.equity) == 0:
        raise ValueError("a report needs an equity of at least one bar")
    beside = {"gross": report.gross, "net": report.net, "turnover": report.turnover}
    if report.benchmark is not None:
        beside["benchmark"] = report.benchmark
    for name, series in beside.items():
        if not series.index.equals(report.equity.index):
            raise ValueError(f"{name} does not share the index of the equity")
    if len(report.sessions) != len(report.equity):
        raise ValueError("sessions must name the session of each bar of the equity")


def _page(report: ReportInput, body: str, charts: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex">'
        f"<title>{esc(report.title)}, backtest {esc(report.run_id)}</title>"
        f"<style>{_asset('report.css')}</style></head>\n<body><main>{body}"
        f"<footer><p>{esc(report.conventions)}</p><p>{esc(DISCLAIMER)}</p></footer></main>\n"
        f'<script type="application/json" id="charts">{charts}</script>\n'
        f"<script>{_plotly()}</script>\n<script>{_asset('report.js')}</script></body></html>\n"
    )


def _asset(name: str) -> str:
    return files("qfund.backtest").joinpath("assets", name).read_text(encoding="utf-8")


def _plotly() -> str:
    """plotly.js as its wheel ships it, unable to close the element that holds it."""
    return str(get_plotlyjs()).replace("</script", "<\\/script")

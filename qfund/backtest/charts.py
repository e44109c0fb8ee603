"""The charts of a report, as plotly figures in one style, and the JSON that carries them into the page.

Promises: the same input gives the same bytes (no random ids, no clock); every text that came from a user or
from data is escaped before plotly, which reads a little HTML in labels, sees it; NaN becomes a gap; a long
series is thinned to what a screen can show, keeping its highs and lows, and says so. Nothing here computes a
metric: series arrive ready. It never draws pixels: ``assets/report.js`` does, in the reader's browser.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go

# Okabe-Ito-like pairs: blue, vermilion and grey stay apart for every common kind of colour blindness.
STRATEGY = "#0f4c81"
PEER = "#7b8490"
GAIN = "#2166ac"
LOSS = "#c95212"
LOSS_WASH = "rgba(201, 82, 18, 0.16)"
WASH = "rgba(15, 76, 129, 0.10)"
PEER_BAR = "#c2c8ce"
INK = "#16202b"
SOFT = "#566270"
GRID = "#e8ebee"
ZERO = "#aab3bd"
PAPER = "#ffffff"

# What each of them becomes on a dark screen; paper is always light.
NIGHT = {
    STRATEGY: "#78b7f0",
    PEER: "#97a1ad",
    GAIN: "#4a90d9",
    LOSS: "#e27236",
    LOSS_WASH: "rgba(226, 114, 54, 0.24)",
    WASH: "rgba(120, 183, 240, 0.14)",
    PEER_BAR: "#4d5864",
    INK: "#e5e9ee",
    SOFT: "#9ba7b4",
    GRID: "#222b34",
    ZERO: "#55606d",
    PAPER: "#181f27",
}

MOST_POINTS = 4000  # per line; more than a wide screen has pixels, few enough to stay light
FONT = "Inter, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Label:
    """The name of a line: which trace, what it says, in which colour of the light theme."""

    trace: int
    text: str
    color: str


@dataclass(frozen=True, eq=False)
class Chart:
    """One chart, ready for the page.

    Attributes:
        id: unique in the page; letters and dashes.
        figure: the plotly figure, in the colours of light paper.
        height: CSS pixels.
        labels: names written at the right ends of the lines.
        linked: its time axis moves together with the other linked charts.
        zero: the value axis always includes zero.
        keyed: the names stand above the chart, because its marks have no right ends.
    """

    id: str
    figure: go.Figure
    height: int
    labels: tuple[Label, ...] = ()
    linked: bool = False
    zero: bool = False
    keyed: bool = False


@dataclass(frozen=True, eq=False)
class Axis:
    """Which rows of a run are drawn, and how their times read.

    Attributes:
        rows: positions in the index, increasing.
        times: one text per drawn row: ``2013-03-01``, with `` 14:31`` for bars within a day.
        kind: ``"date"`` for sessions; ``"category"`` for bars within the day, so that nights take no room.
        thinned: fewer rows than the run has.
    """

    rows: np.ndarray
    times: list[str]
    kind: Literal["date", "category"]
    thinned: bool

    def take(self, series: pd.Series, digits: int = 8) -> list[float | None]:
        """The drawn values of a series as long as the run, None for what is not a finite number."""
        return plain(series.to_numpy(dtype=float)[self.rows], digits)


def plain(values: Sequence[float] | np.ndarray, digits: int = 8) -> list[float | None]:
    """Numbers rounded to significant digits, None for NaN and infinities, so that JSON can hold them."""
    return [
        float(f"{value:.{digits}g}") if math.isfinite(value) else None
        for value in np.asarray(values, dtype=float)
    ]


def axis_of(series: pd.Series, most: int = MOST_POINTS) -> Axis:
    """The rows to draw: all of them, or the lowest, highest and last of each of ``most / 3`` stretches.

    Args:
        series: the one whose turns must survive; its index is naive (sessions) or UTC (bars in the day).
        most: upper bound of drawn rows.
    """
    index = pd.DatetimeIndex(series.index)
    rows = np.arange(len(index))
    if len(index) > most:
        values = np.nan_to_num(series.to_numpy(dtype=float))
        stretches = np.array_split(rows, most // 3)
        low = [part[0] + int(np.argmin(values[part])) for part in stretches]
        high = [part[0] + int(np.argmax(values[part])) for part in stretches]
        rows = np.unique([0, *low, *high, *(int(part[-1]) for part in stretches)])
    intraday = index.tz is not None
    times = index[rows].strftime("%Y-%m-%d %H:%M" if intraday else "%Y-%m-%d")
    return Axis(rows, list(times), "category" if intraday else "date", len(rows) < len(index))


def figure_of(traces: Sequence[go.Scatter | go.Bar], height: int, **layout: object) -> go.Figure:
    """A figure in the style of the report: no frame, thin muted grid, values on the left."""
    style: dict[str, object] = {
        "height": height,
        "margin": {"l": 46, "r": 84, "t": 8, "b": 26},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 12, "color": SOFT},
        "showlegend": False,
        "hovermode": "x unified",
        "hoverlabel": {
            "bgcolor": PAPER,
            "bordercolor": ZERO,
            "font": {"family": FONT, "size": 12, "color": INK},
        },
        "xaxis": {
            "showgrid": False,
            "showline": True,
            "linecolor": ZERO,
            "ticks": "outside",
            "ticklen": 4,
            "tickcolor": ZERO,
            "nticks": 9,
            "showspikes": False,
            "title": None,
        },
        "yaxis": {
            "gridcolor": GRID,
            "gridwidth": 1,
            "zeroline": True,
            "zerolinecolor": ZERO,
            "zerolinewidth": 1,
            "nticks": 6,
            "ticklabelstandoff": 5,
            "fixedrange": True,
            "title": None,
        },
    }
    figure = go.Figure(data=list(traces), layout=style)
    figure.update_layout(**layout)
    return figure


def _line(
    axis: Axis,
    values: pd.Series,
    name: str,
    color: str,
    form: str,
    *,
    width: float = 1.6,
    wash: str | None = None,
    steps: bool = False,
) -> go.Scatter:
    said = html.escape(name)
    return go.Scatter(
        x=axis.times,
        y=axis.take(values),
        mode="lines" if len(axis.times) > 1 else "markers",
        name=said,
        line={"color": color, "width": width, "shape": "hv" if steps else "linear"},
        marker={"color": color, "size": 7},
        fill=None if wash is None else "tozeroy",
        fillcolor=wash,
        hovertemplate=f"{said}  <b>%{{y:{form}}}</b><extra></extra>",
    )


def _time_axis(axis: Axis) -> dict[str, object]:
    if axis.kind == "category":
        return {"type": "category", "nticks": 6, "tickangle": 0}
    return {"type": "date", "hoverformat": "%-d %B %Y"}


def equity_chart(axis: Axis, equity: pd.Series, benchmark: pd.Series | None, benchmark_name: str) -> Chart:
    """Equity and the benchmark on the same cash, in currency units."""
    lines = [_line(axis, equity, "Strategy", STRATEGY, ",.0f")]
    labels = [Label(0, "Strategy", STRATEGY)]
    if benchmark is not None:
        # Drawn first, so that the strategy lies on top of it.
        lines.insert(0, _line(axis, benchmark, benchmark_name, PEER, ",.0f", width=1.3))
        labels = [Label(0, "Benchmark", PEER), Label(1, "Strategy", STRATEGY)]
    figure = figure_of(
        lines, 370, xaxis=_time_axis(axis), yaxis={"tickformat": "~s", "zeroline": False, "nticks": 8}
    )
    return Chart("equity", figure, 370, tuple(labels), linked=True)


def drawdown_chart(axis: Axis, drawdown: pd.Series, benchmark: pd.Series | None) -> Chart:
    """How far below its highest value so far the equity lies, as a fraction ≤ 0."""
    under = _line(axis, drawdown, "Strategy", LOSS, ".1%", width=1.2, wash=LOSS_WASH)
    lines = [under]
    labels = []
    if benchmark is not None:
        lines.append(_line(axis, benchmark, "Benchmark", PEER, ".1%", width=1))
        labels = [Label(0, "Strategy", LOSS), Label(1, "Benchmark", PEER)]
    figure = figure_of(lines, 190, xaxis=_time_axis(axis), yaxis={"tickformat": ".0%"})
    return Chart("drawdown", figure, 190, tuple(labels), linked=True, zero=True)


def ratio_chart(ratio: pd.Series, *, linked: bool) -> Chart:
    """A rolling ratio by session; what comes before its first full window stays empty.

    Args:
        ratio: index sessions, NaN where it is not defined.
        linked: the other charts over time have sessions as their axis, too.
    """
    axis = axis_of(ratio)
    line = _line(axis, ratio, "Sharpe", STRATEGY, ".2f", width=1.3)
    figure = figure_of([line], 230, xaxis=_time_axis(axis), yaxis={"tickformat": ".1~f"}, margin={"r": 16})
    return Chart("rolling-sharpe", figure, 230, (), linked=linked, zero=True)


def exposure_chart(axis: Axis, gross: pd.Series, net: pd.Series) -> Chart:
    """Value held, long plus short (gross) and long minus short (net), as a fraction of equity."""
    if np.allclose(gross.to_numpy(float), net.to_numpy(float), equal_nan=True):
        lines = [_line(axis, gross, "Invested", STRATEGY, ".0%", width=1, wash=WASH, steps=True)]
        labels: tuple[Label, ...] = ()
    else:
        lines = [
            _line(axis, gross, "Gross", PEER, ".0%", width=1, steps=True),
            _line(axis, net, "Net", STRATEGY, ".0%", width=1, steps=True),
        ]
        labels = (Label(0, "Gross", PEER), Label(1, "Net", STRATEGY))
    figure = figure_of(
        lines,
        230,
        xaxis=_time_axis(axis),
        yaxis={"tickformat": ".0%"},
        margin={"r": 50 if labels else 16},
    )
    return Chart("exposure", figure, 230, labels, linked=True, zero=True)


def turnover_chart(traded: pd.Series, *, monthly: bool) -> Chart:
    """Value bought and sold per month, or per session of a short run, as a fraction of equity."""
    index = pd.DatetimeIndex(traded.index)
    middle = index + pd.Timedelta(days=14) if monthly else index
    bar = go.Bar(
        x=list(middle.strftime("%Y-%m-%d")),
        y=plain(traded.to_numpy(dtype=float)),
        marker={"color": PEER_BAR, "line": {"width": 0}},
        hovertemplate="Traded  <b>%{y:.0%}</b><extra></extra>",
    )
    figure = figure_of(
        [bar],
        180,
        xaxis={"type": "date", "hoverformat": "%B %Y" if monthly else "%-d %B %Y"},
        yaxis={"tickformat": ".0%", "nticks": 4},
        bargap=0.25,
    )
    return Chart("turnover", figure, 180, linked=monthly, zero=True)


def yearly_chart(returns: pd.Series, benchmark: pd.Series | None) -> Chart:
    """Total return of each calendar year, strategy beside benchmark, as fractions."""
    years = [str(year) for year in returns.index]
    bars = [_bars(years, returns, "Strategy", STRATEGY)]
    if benchmark is not None:
        bars.append(_bars(years, benchmark.reindex(returns.index), "Benchmark", PEER_BAR))
    figure = figure_of(
        bars,
        230,
        barmode="group",
        bargap=max(0.3, 1 - 0.14 * len(years)),  # a single year is a bar, not a wall
        bargroupgap=0.08,
        xaxis={"type": "category", "showline": False, "ticks": "", "nticks": 14, "fixedrange": True},
        yaxis={"tickformat": ".0%"},
        margin={"r": 16},
    )
    labels = (Label(0, "Strategy", STRATEGY), Label(1, "Benchmark", PEER)) if len(bars) > 1 else ()
    return Chart("yearly", figure, 230, labels, keyed=True)


def _bars(years: list[str], returns: pd.Series, name: str, color: str) -> go.Bar:
    return go.Bar(
        x=years,
        y=plain(returns.to_numpy(dtype=float)),
        name=html.escape(name),
        marker={"color": color, "line": {"width": 0}},
        hovertemplate=f"{html.escape(name)}  <b>%{{y:.1%}}</b><extra></extra>",
    )


def payload(charts: Sequence[Chart]) -> str:
    """All charts as one JSON text that is safe inside a ``<script>`` element."""
    listed = []
    for chart in charts:
        drawn = json.loads(chart.figure.to_json(validate=False))
        drawn["layout"].pop("template", None)  # plotly's default look, 7 kB each, never wanted here
        listed.append(
            {
                "id": chart.id,
                "height": chart.height,
                "linked": chart.linked,
                "zero": chart.zero,
                "log": False,
                "labels": [] if chart.keyed else [asdict(label) for label in chart.labels],
                "data": drawn["data"],
                "layout": drawn["layout"],
            }
        )
    return embed({"night": NIGHT, "list": listed})


def embed(value: object) -> str:
    """JSON that no HTML parser can leave early: ``<``, ``>`` and ``&`` are written as escapes."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign, escape in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(sign, escape)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")

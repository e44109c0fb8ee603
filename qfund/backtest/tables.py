"""The tables of a report, as plain HTML that needs no script to be read.

Promises: every text that came from a user or from data is escaped; the same input gives the same text; cells
that can be sorted carry their raw value in ``data-v``. Nothing here computes a metric or opens a file.
"""

from __future__ import annotations

import html
import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qfund.backtest.metrics import Metric
from qfund.backtest.wording import NIL, Term, Unit, grouped, moment, number, say, signed

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MOST_TRADES = 500
MOST_SYMBOLS = 24


def esc(value: object) -> str:
    """Text for HTML, in elements and in quoted attributes."""
    return html.escape(str(value), quote=True)


@dataclass
class Footnotes:
    """The reasons of empty cells, numbered in the order in which a reader meets them."""

    reasons: list[str]

    def mark(self, reason: str) -> str:
        """A dash that says why it is one: as a tooltip, and as the number of a footnote."""
        reason = f"{reason[:1].upper()}{reason[1:].rstrip('.')}."
        if reason not in self.reasons:
            self.reasons.append(reason)
        at = self.reasons.index(reason) + 1
        return f'<span class="nil" title="{esc(reason)}">{NIL}<sup>{at}</sup></span>'

    def html(self) -> str:
        """The list of reasons; empty when every cell held a number."""
        if not self.reasons:
            return ""
        items = "".join(f"<li><sup>{at}</sup>{esc(reason)}</li>" for at, reason in enumerate(self.reasons, 1))
        one = " one" if len(self.reasons) < 3 else ""
        return f'<ol class="notes{one}">{items}</ol>'


def figure_cell(value: float, unit: Unit, *, sort: bool = False) -> str:
    """A right-aligned number; losses in the colour of losses, NaN as a dash."""
    known = math.isfinite(value)
    css = ' class="minus"' if known and value < 0 else "" if known else ' class="nil"'
    raw = f' data-v="{value!r}"' if sort and known else ' data-v=""' if sort else ""
    return f"<td{css}{raw}>{number(value, unit)}</td>"


def monthly_table(months: pd.DataFrame, years: pd.Series, peer: pd.Series | None) -> str:
    """Returns by year and month as a heatmap, with the year's total and the benchmark's.

    Args:
        months: fractions; index years, columns 1..12, NaN where the run has no such month.
        years: total return of each year, fractions, same index.
        peer: the benchmark's, or None.
    """
    known = np.abs(months.to_numpy(dtype=float))
    known = known[np.isfinite(known)]
    top = max(float(np.quantile(known, 0.95)) if known.size else 0.0, 0.01)
    heads = "".join(f'<th scope="col">{name}</th>' for name in MONTHS)
    bench = '<th scope="col">Bench.</th>' if peer is not None else ""
    rows = []
    for year in reversed(list(months.index)):
        cells = "".join(_heat(float(value), top) for value in months.loc[year])
        total = f'<td class="year">{number(float(years.loc[year]), "percent")}</td>'
        other = "" if peer is None else _peer_cell(peer, year)
        rows.append(f'<tr><th scope="row">{esc(year)}</th>{cells}{total}{other}</tr>')
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Monthly returns">'
        f'<table class="months"><thead><tr><th scope="col" class="text">Year</th>{heads}'
        f'<th scope="col">Year</th>{bench}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _heat(value: float, top: float) -> str:
    if not math.isfinite(value):
        return '<td class="void"></td>'
    shown = signed(f"{value * 100:.1f}")
    if not any(digit in shown for digit in "123456789"):
        return f"<td>{shown}</td>"
    # At most 0.7 of the colour, so that ink stays readable on it, in light and in dark.
    strength = round(0.06 + 0.64 * min(1.0, abs(value) / top), 2)
    side = "up" if value > 0 else "down"
    return f'<td class="{side}" style="--a:{strength}">{shown}</td>'


def _peer_cell(peer: pd.Series, year: object) -> str:
    value = float(peer.get(year, math.nan))
    return f'<td class="nil">{number(value, "percent")}</td>'


def drawdown_table(drawdowns: pd.DataFrame) -> str:
    """The deepest falls from a peak; columns peak, trough, recovered (NaT while under water), depth, days."""
    if drawdowns.empty:
        return '<p class="empty">Equity never fell below its highest value so far.</p>'
    rows = []
    for fall in drawdowns.to_dict("records"):
        back = "not yet" if fall["recovered"] is pd.NaT else moment(fall["recovered"])
        rows.append(
            f"<tr>{figure_cell(float(fall['depth']), 'percent')}<td>{moment(fall['peak'])}</td>"
            f"<td>{moment(fall['trough'])}</td><td>{back}</td>"
            f"{figure_cell(float(fall['days']), 'days')}</tr>"
        )
    return (
        '<div class="scroll"><table><thead><tr><th scope="col">Depth</th><th scope="col">Peak</th>'
        '<th scope="col">Trough</th><th scope="col">Recovered</th><th scope="col">Days</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def contribution_table(profit: pd.Series, trades: pd.DataFrame) -> str:
    """Net profit by symbol as bars around one zero line; the best and the worst when there are many."""
    if profit.empty:
        return '<p class="empty">Nothing was held.</p>'
    ranked = profit.astype(float).sort_values(ascending=False, kind="stable")
    shown, hidden = ranked, ranked.iloc[:0]
    if len(ranked) > MOST_SYMBOLS:
        half = MOST_SYMBOLS // 2
        shown = pd.concat([ranked.iloc[:half], ranked.iloc[-half:]])
        hidden = ranked.iloc[half:-half]
    counts = trades["symbol"].value_counts() if len(trades) else pd.Series(dtype=int)
    low, high = min(float(shown.min()), 0.0), max(float(shown.max()), 0.0)
    wide = (high - low) or 1.0
    rows = []
    for place, (symbol, value) in enumerate(shown.items()):
        if len(hidden) and place == MOST_SYMBOLS // 2:
            rows.append(
                f'<tr><th scope="row" class="nil">{len(hidden):,} between</th><td class="track"></td>'
                f"{figure_cell(float(hidden.sum()), 'cash')}<td></td></tr>"
            )
        rows.append(
            f'<tr><th scope="row">{esc(symbol)}</th><td class="track">{_lane(value, low, wide)}</td>'
            f"{figure_cell(float(value), 'cash')}<td>{int(counts.get(symbol, 0)):,}</td></tr>"
        )
    return (
        '<div class="scroll"><table class="bars"><thead><tr><th scope="col" class="text">Symbol</th>'
        '<th class="track"></th><th scope="col">Net profit</th><th scope="col">Trades</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _lane(value: float, low: float, wide: float) -> str:
    left = -low / wide
    part = abs(value) / wide / ((left if value < 0 else 1 - left) or 1.0)
    side = "down" if value < 0 else "up"
    return (
        f'<span class="lane" style="--left:{left:.2%};--right:{1 - left:.2%}">'
        f'<i class="{side}" style="width:{min(part, 1):.1%}"></i></span>'
    )


TRADE_COLUMNS: tuple[tuple[str, str, Unit, bool], ...] = (
    # column, head, unit, numeric
    ("symbol", "Symbol", "text", False),
    ("direction", "Side", "text", False),
    ("entered_at", "Entered", "text", False),
    ("exited_at", "Exited", "text", False),
    ("shares", "Shares", "count", True),
    ("price_in", "In at", "price", True),
    ("price_out", "Out at", "price", True),
    ("pnl", "Net profit", "cash", True),
    ("pnl_pct", "Return", "points", True),
    ("fees", "Fees", "cash", True),
    ("mfe_pct", "Best", "points", True),
    ("mae_pct", "Worst", "points", True),
    ("bars", "Bars", "bars", True),
)


def shown_trades(trades: pd.DataFrame) -> pd.DataFrame:
    """All trades in order of entry, or the best and the worst half of ``MOST_TRADES`` by net profit."""
    kept = trades
    if len(trades) > MOST_TRADES:
        ranked = trades["pnl"].astype(float).sort_values(kind="stable").index
        half = MOST_TRADES // 2
        kept = trades.loc[ranked[:half].union(ranked[-half:], sort=False)]
    return kept.sort_values(["entered_at", "symbol"], kind="stable")


def trades_table(trades: pd.DataFrame) -> str:
    """One row per trade; a click on a head sorts."""
    heads = "".join(
        f'<th scope="col" class="{"sum" if numeric else "text"}"'
        f' data-kind="{"number" if numeric else "text"}">{head}</th>'
        for _, head, _, numeric in TRADE_COLUMNS
    )
    rows = "".join(_trade(row) for row in shown_trades(trades).to_dict("records"))
    return (
        '<div class="scroll tall" tabindex="0" role="region" aria-label="Trades">'
        f'<table class="trades" data-sortable><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _trade(trade: Mapping[Hashable, Any]) -> str:
    cells = []
    for column, _, unit, numeric in TRADE_COLUMNS:
        value = trade[column]
        if numeric:
            cells.append(figure_cell(float(value), unit, sort=True))
        elif value is pd.NaT:
            cells.append('<td class="text nil" data-v="9999">open</td>')
        else:
            cells.append(f'<td class="text">{esc(say(value, "text"))}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def metric_groups(metrics: Mapping[str, Metric], currency: str, notes: Footnotes) -> str:
    """All metrics by group, in the order of the catalogue, unknown ones last; reasons become footnotes."""
    blocks = []
    for group, terms in grouped(metrics):
        rows = "".join(
            f'<tr><th scope="row">{esc(term.label)}{_small(term.note)}</th>'
            f"<td>{metric_value(metrics[name], term, currency, notes)}</td></tr>"
            for name, term in terms.items()
        )
        blocks.append(f"<div><h3>{esc(group)}</h3><table><tbody>{rows}</tbody></table></div>")
    return f'<div class="groups">{"".join(blocks)}</div>'


def _small(note: str) -> str:
    return f"<small>{esc(note)}</small>" if note else ""


def metric_value(metric: Metric, term: Term, currency: str, notes: Footnotes) -> str:
    """The value in its unit, or a dash with its reason."""
    shown = say(metric.value, term.unit, currency)
    if shown == NIL:
        return notes.mark(metric.reason or "undefined for this run")
    return esc(shown)


def amounts_table(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and amounts that were already put into words, one pair per row, right-aligned."""
    rows = "".join(f'<tr><th scope="row">{esc(name)}</th><td>{esc(value)}</td></tr>' for name, value in pairs)
    return f"<table><tbody>{rows}</tbody></table>"


def pairs_table(pairs: Iterable[tuple[str, object]]) -> str:
    """Names and values of any length, one pair per row."""
    rows = "".join(f'<tr><th scope="row">{esc(name)}</th><td>{esc(value)}</td></tr>' for name, value in pairs)
    return f'<table class="record"><tbody>{rows}</tbody></table>'

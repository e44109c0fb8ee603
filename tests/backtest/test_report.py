"""A report is one file that is complete, safe, the same for equal input, and true to its numbers."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from qfund.backtest.metrics import Metric
from qfund.backtest.report import ReportInput, render

TRADE_COLUMNS = [
    "symbol",
    "direction",
    "entered_at",
    "exited_at",
    "price_in",
    "price_out",
    "shares",
    "pnl",
    "pnl_pct",
    "fees",
    "bars",
    "status",
    "mfe_pct",
    "mae_pct",
]


class Page(HTMLParser):
    """The parts of a page that a test asks for: tags with attributes, text of the body, text of scripts."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.raw: dict[str, str] = {"script": "", "style": ""}
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag in self.raw:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open:
            self.raw[self.open[-1]] += data
        else:
            self.text += data + "\n"


def sessions(bars: int, start: str = "2010-01-04") -> pd.DatetimeIndex:
    return pd.bdate_range(start, periods=bars, name="session")


def walk(index: pd.DatetimeIndex, seed: int = 7, start: float = 100_000.0) -> pd.Series:
    returns = np.random.default_rng(seed).normal(0.0005, 0.01, len(index))
    returns[0] = 0.0
    return pd.Series(start * np.cumprod(1 + returns), index=index)


def some_trades(index: pd.DatetimeIndex, count: int, symbols: tuple[str, ...]) -> pd.DataFrame:
    draw = np.random.default_rng(3)
    rows = []
    for number in range(count):
        first = int(draw.integers(0, max(len(index) - 2, 1)))
        last = min(first + int(draw.integers(1, 20)), len(index) - 1)
        profit = float(draw.normal(50, 400))
        rows.append(
            {
                "symbol": symbols[number % len(symbols)],
                "direction": "long",
                "entered_at": index[first],
                "exited_at": index[last] if number else pd.NaT,
                "price_in": 50.25,
                "price_out": 51.5,
                "shares": 40.0,
                "pnl": profit,
                "pnl_pct": profit / 20,
                "fees": 1.25,
                "bars": last - first,
                "status": "closed" if number else "open",
                "mfe_pct": 4.0,
                "mae_pct": -3.0,
            }
        )
    return pd.DataFrame(rows, columns=TRADE_COLUMNS)


def a_report(**changes: object) -> ReportInput:
    """Three years of two symbols, everything there; the changes win."""
    index = changes.get("index", sessions(756))
    assert isinstance(index, pd.DatetimeIndex)
    equity = changes.get("equity", walk(index))
    symbols = ("AAA", "BBB")
    values: dict[str, object] = {
        "title": "SmaCross",
        "description": "Hold what rises.",
        "run_id": "0123456789ab",
        "generated_at": datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
        "universe": symbols,
        "timeframe": "1d",
        "sessions": index,
        "calendar": "XNYS",
        "currency": "USD",
        "params": {"fast": 10, "slow": 30, "loud": True},
        "metrics": {
            "start_equity": Metric(100_000.0, None),
            "total_return": Metric(0.4567, None),
            "cagr": Metric(0.1234, None),
            "sharpe": Metric(1.05, None),
            "max_drawdown": Metric(-0.2346, None),
            "dsr": Metric(None, "one trial only, nothing to deflate against"),
        },
        "equity": equity,
        "benchmark": walk(index, seed=8),
        "benchmark_name": "equal parts, bought and held",
        "gross": pd.Series(0.9, index=index),
        "net": pd.Series(0.5, index=index),
        "turnover": pd.Series(0.02, index=index),
        "trades": some_trades(index, 40, symbols),
        "dividends": 321.5,
        "costs": {"commission": 0.0, "spread": 120.25, "slippage": 60.125},
        "contribution": pd.Series({"AAA": 3000.0, "BBB": -500.0}),
        "warnings": ("Only 40 closed trades: too few to tell skill from luck.",),
        "provenance": (("Strategy", "SmaCross 8c1d"), ("Data fingerprint", "f3a9a1b2c3d4e5f6")),
        "conventions": "calendar XNYS 252.0/yr · fills next_open",
        "command": "qfund backtest strategies/sma_cross.py -p fast=10",
    }
    values.update({name: value for name, value in changes.items() if name != "index"})
    return ReportInput(**values)  # type: ignore[arg-type]


def charts_of(html: str) -> dict[str, dict[str, object]]:
    found = re.search(r'<script type="application/json" id="charts">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return {chart["id"]: chart for chart in json.loads(found[1])["list"]}


@pytest.fixture(scope="module")
def html() -> str:
    return render(a_report())


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_the_file_is_complete_and_asks_nothing_of_the_network(html: str, page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "a"}
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            assert name not in attributes, (tag, attributes)
    assert "url(" not in page.raw["style"]
    assert "@import" not in page.raw["style"]
    policies = [a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies
    assert policies[0].startswith("default-src 'none'")
    assert "http" not in policies[0]


def test_plotly_is_inside_once_and_the_file_stays_under_six_megabytes(html: str) -> None:
    assert html.count("* plotly.js v") == 1
    assert len(html.encode()) < 6_000_000


def test_every_section_is_there(page: Page) -> None:
    for head in (
        "SmaCross",
        "Growth",
        "Equity",
        "Drawdown",
        "Returns by month and year",
        "Calendar years",
        "Rolling Sharpe, 252 sessions",
        "Exposure",
        "Turnover",
        "Worst drawdowns",
        "Contribution",
        "Costs and income",
        "Parameters",
        "Trades",
        "All figures",
        "Provenance",
        "To repeat it",
    ):
        assert f"\n{head}\n" in page.text, head


def test_every_chart_has_a_place_and_every_place_a_chart(html: str, page: Page) -> None:
    places = {a["id"].removeprefix("plot-") for _, a in page.tags if a.get("class") == "plot"}
    assert places == set(charts_of(html))
    assert places == {"equity", "drawdown", "yearly", "rolling-sharpe", "exposure", "turnover"}
    assert sum(tag == "noscript" for tag, _ in page.tags) == len(places)


def test_the_facts_of_the_input_are_on_the_page(page: Page) -> None:
    for fact in (
        "Hold what rises.",
        "0123456789ab",
        "2026-03-02 09:30 UTC",
        "2010-01-04 to 2012-11-26",
        "756 daily",
        "AAA, BBB",
        "12.3%",  # CAGR
        "45.7%",
        "1.05",
        "\u221223.5%",  # the minus is a real one
        "Only 40 closed trades: too few to tell skill from luck.",
        "\u2212120.25",
        "321.50",
        "3,000.00",
        "\u2212500.00",
        "f3a9a1b2c3d4e5f6",
        "qfund backtest strategies/sma_cross.py -p fast=10",
        "calendar XNYS 252.0/yr · fills next_open",
        "yes",  # a parameter that is a switch
    ):
        assert fact in page.text, fact
    assert "hypothetical" in page.text


def test_the_lines_of_the_equity_chart_are_the_series_of_the_input(html: str) -> None:
    report = a_report()
    chart = charts_of(html)["equity"]
    benchmark, equity = chart["data"]  # type: ignore[misc]
    assert report.benchmark is not None
    assert equity["y"] == pytest.approx(report.equity.tolist(), rel=1e-7)
    assert benchmark["y"] == pytest.approx(report.benchmark.tolist(), rel=1e-7)
    assert equity["x"][0] == "2010-01-04"
    assert len(equity["x"]) == len(report.equity)


def test_the_heatmap_compounds_to_the_equity() -> None:
    """Month cells multiply to the year, years to the total: on paper, +10 % in January and -50 % in February."""
    index = pd.DatetimeIndex(["2012-12-31", "2013-01-31", "2013-02-28"], name="session")
    equity = pd.Series([100.0, 110.0, 55.0], index=index)
    flat = pd.Series(0.0, index=index)
    shown = Page(
        render(a_report(index=index, equity=equity, benchmark=None, gross=flat, net=flat, turnover=flat))
    ).text
    assert re.search(r"\n2013\n10\.0\n\u221250\.0\n\u221245\.0%\n", shown)


def test_an_undefined_metric_is_a_dash_with_its_reason_as_tooltip_and_footnote(html: str, page: Page) -> None:
    reason = "One trial only, nothing to deflate against."
    assert f'title="{reason}">—<sup>1</sup>' in html
    assert re.search(rf"\n1\n{re.escape(reason)}\n", page.text)
    assert "NaN" not in page.text
    assert "None" not in page.text


def test_a_reason_used_twice_is_one_footnote() -> None:
    metrics = {name: Metric(None, "no trades") for name in ("win_rate", "profit_factor")}
    html = render(a_report(metrics=metrics))
    assert html.count("—<sup>1</sup>") == 2
    assert "<sup>2</sup>" not in html


def test_a_metric_without_words_in_the_catalogue_is_shown_by_its_name() -> None:
    shown = Page(render(a_report(metrics={"moon_phase": Metric(0.25, None)}))).text
    assert "Further\nMoon phase\n0.25" in shown


EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"' & </title>"


def test_nothing_of_a_user_becomes_markup() -> None:
    index = sessions(300)
    trades = some_trades(index, 3, (EVIL,))
    report = a_report(
        index=index,
        title=EVIL,
        description=EVIL,
        run_id=EVIL,
        universe=(EVIL,),
        currency=EVIL,
        params={EVIL: EVIL},
        metrics={EVIL: Metric(EVIL, None), "sharpe": Metric(None, EVIL)},
        benchmark_name=EVIL,
        trades=trades,
        costs={EVIL: 1.0},
        contribution=pd.Series({EVIL: 10.0}),
        warnings=(EVIL,),
        provenance=((EVIL, EVIL),),
        conventions=EVIL,
        command=EVIL,
    )
    html = render(report)
    page = Page(html)
    assert sum(tag == "script" for tag, _ in page.tags) == 3
    assert not any(tag == "img" or "onerror" in attributes for tag, attributes in page.tags)
    body = html[: html.index('<script type="application/json"')]
    assert "alert(1)</script>" not in body
    assert "<img" not in html[: html.index("* plotly.js v")]
    assert page.text.count("<script>alert(1)</script>") >= 12  # shown as what it is


def test_names_inside_charts_are_escaped_for_json_and_for_plotly() -> None:
    html = render(a_report(benchmark_name="</script><b>x</b>"))
    drawn = charts_of(html)["equity"]["data"][0]  # type: ignore[index]
    assert drawn["name"] == "&lt;/script&gt;&lt;b&gt;x&lt;/b&gt;"


def test_equal_input_gives_equal_bytes() -> None:
    assert render(a_report()) == render(a_report())


def flat_metrics() -> dict[str, Metric]:
    return {
        name: Metric(None, "Undefined: nothing happened.")
        for name in ("total_return", "cagr", "sharpe", "max_drawdown", "trades", "psr")
    }


def on(index: pd.DatetimeIndex, equity: pd.Series, **changes: object) -> ReportInput:
    still = pd.Series(0.0, index=index)
    values: dict[str, object] = {
        "index": index,
        "equity": equity,
        "benchmark": None,
        "gross": still,
        "net": still,
        "turnover": still,
        "trades": some_trades(index, 0, ("AAA",)),
        "contribution": pd.Series(dtype=float),
        "metrics": flat_metrics(),
        "dividends": 0.0,
        "costs": {"commission": 0.0, "spread": 0.0, "slippage": 0.0},
        "warnings": (),
        "description": "",
        "params": {},
    }
    return a_report(**{**values, **changes})


def test_one_bar_and_nothing_else_renders_and_says_why() -> None:
    index = sessions(1)
    html = render(on(index, pd.Series([100_000.0], index=index)))
    shown = Page(html).text
    assert charts_of(html) == {}
    assert "One bar has no course to draw." in shown
    assert "No trade was made in this period." in shown
    assert "Nothing was traded." in shown
    assert "Needs more than 252 sessions" in shown
    assert "Nothing was held." in shown
    assert "The strategy takes no parameters." in shown
    assert "No warnings" in shown


def test_constant_equity_has_no_drawdown_and_no_ratio() -> None:
    index = sessions(600)
    html = render(on(index, pd.Series(100_000.0, index=index)))
    assert "Equity never fell below its highest value so far." in html
    assert "rolling-sharpe" not in charts_of(html)


def test_a_total_loss_renders_without_the_log_scale() -> None:
    index = sessions(400)
    equity = pd.Series(np.linspace(100_000, 0, 400), index=index)
    html = render(on(index, equity))
    assert 'data-scale="log"' not in html
    assert "\u2212100.0%" in Page(html).text
    assert "Infinity" not in json.dumps(charts_of(html))


def test_one_symbol_that_only_loses_and_one_open_trade_render() -> None:
    index = sessions(30)
    trades = some_trades(index, 1, ("AAA",))
    report = on(
        index,
        walk(index),
        universe=("AAA",),
        trades=trades,
        contribution=pd.Series({"AAA": -812.5}),
        turnover=pd.Series(0.1, index=index),
    )
    shown = Page(render(report)).text
    assert "\nSymbol\nAAA\n" in shown
    assert "\nopen\n" in shown
    assert "\u2212812.50" in shown


def test_two_hundred_symbols_show_the_best_and_the_worst_of_them() -> None:
    symbols = tuple(f"S{number:03}" for number in range(200))
    profit = pd.Series({symbol: 1000.0 - 10 * place for place, symbol in enumerate(symbols)})
    html = render(a_report(universe=symbols, contribution=profit))
    shown = Page(html).text
    assert "and 193 more" in shown
    assert "176 between" in shown
    assert '<th scope="row">S000</th>' in html
    assert '<th scope="row">S199</th>' in html
    assert '<th scope="row">S100</th>' not in html
    assert len(html.encode()) < 6_000_000


def rows_of_trades(html: str) -> int:
    table = html[html.index('<table class="trades"') :]
    return table[: table.index("</table>")].count("<tr>") - 1


def test_five_hundred_trades_are_all_there_and_more_become_the_best_and_the_worst() -> None:
    index = sessions(756)
    assert rows_of_trades(render(a_report(trades=some_trades(index, 500, ("AAA",))))) == 500
    trades = some_trades(index, 2000, ("AAA",))
    html = render(a_report(trades=trades))
    assert rows_of_trades(html) == 500
    assert "The 250 best and the 250 worst of 2,000" in Page(html).text
    for extreme in (trades["pnl"].max(), trades["pnl"].min()):
        assert f'data-v="{float(extreme)!r}"' in html


def minutes(days: int) -> tuple[pd.DatetimeIndex, pd.DatetimeIndex]:
    dates = sessions(days)
    parts = [
        pd.date_range(day + pd.Timedelta("14:31:00"), periods=390, freq="min", tz="UTC") for day in dates
    ]
    times = parts[0].append(parts[1:])
    return times.rename("time"), pd.DatetimeIndex(np.repeat(dates.to_numpy(), 390))


def test_minute_bars_are_thinned_but_keep_their_extremes() -> None:
    times, days = minutes(60)
    equity = walk(times)
    report = a_report(index=times, equity=equity, sessions=days, timeframe="1m")
    html = render(report)
    line = charts_of(html)["equity"]["data"][1]  # type: ignore[index]
    assert len(line["y"]) <= 4000 < len(equity)
    assert max(line["y"]) == pytest.approx(equity.max(), rel=1e-7)
    assert min(line["y"]) == pytest.approx(equity.min(), rel=1e-7)
    assert line["y"][-1] == pytest.approx(equity.iloc[-1], rel=1e-7)
    assert line["x"][0] == "2010-01-04 14:31"
    assert "23,400 of one minute" in Page(html).text
    assert "Thinned to what a screen can show" in Page(html).text
    assert len(html.encode()) < 6_000_000


def test_series_that_do_not_belong_to_the_equity_are_refused() -> None:
    index = sessions(10)
    with pytest.raises(ValueError, match="gross does not share the index"):
        render(a_report(index=index, gross=pd.Series(0.0, index=sessions(9))))
    with pytest.raises(ValueError, match="at least one bar"):
        render(replace(a_report(), equity=pd.Series(dtype=float)))
    with pytest.raises(ValueError, match="session of each bar"):
        render(replace(a_report(), sessions=sessions(9)))

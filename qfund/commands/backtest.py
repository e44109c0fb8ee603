"""`qfund backtest`: one strategy file on stored bars, honestly and fast.

Promises: nothing is stored and no report is written unless the whole backtest succeeded. Never fetches data
and never trades.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qfund.commands import origins, results
from qfund.commands.completion import complete_symbols
from qfund.commands.options import (
    FeedOption,
    HoursOption,
    ParamOption,
    PriceOption,
    SeedOption,
    SinceOption,
    StrategyArgument,
    SymbolsOption,
    UniverseOption,
    UntilOption,
    VendorOption,
    instant,
    params,
    period,
    symbols,
)
from qfund.commands.session import Session
from qfund.errors import UsageError

if TYPE_CHECKING:
    from qfund.backtest.data import Query
    from qfund.backtest.run import Wish
    from qfund.config import Settings
    from qfund.store.runs import RunRecord
    from qfund.strategy.loading import Loaded


def register(root: typer.Typer) -> None:
    """Add ``qfund backtest`` to the command line."""
    root.command(
        name="backtest",
        rich_help_panel="Research",
        short_help="Test a strategy, store the run, write its report.",
    )(backtest)


def backtest(
    ctx: typer.Context,
    strategy: StrategyArgument,
    param: ParamOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    symbol: SymbolsOption = None,
    universe: UniverseOption = None,
    vendor: VendorOption = None,
    feed: FeedOption = None,
    price: PriceOption = None,
    hours: HoursOption = None,
    timeframe: Annotated[str, typer.Option(metavar="1d|1m", help="Bars to run on: days or minutes.")] = "1d",
    adjust: Annotated[
        str | None,
        typer.Option(metavar="all|split|raw", help="Prices the strategy sees. Money is always raw."),
    ] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="TIME", help="Only what was known at that time.")
    ] = None,
    cash: Annotated[float | None, typer.Option(min=0.01, metavar="AMOUNT", help="Starting cash.")] = None,
    costs: Annotated[
        str | None, typer.Option(metavar="PRESET", help="us-equities, per-share or none.")
    ] = None,
    cost: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Change one cost, as slippage_bps=5; may be repeated."),
    ] = None,
    whole_shares: Annotated[
        bool | None, typer.Option("--whole-shares/--fractional", help="Whether shares are divisible.")
    ] = None,
    fill: Annotated[
        str, typer.Option(metavar="next_open|close", help="Which price fills a decision.")
    ] = "next_open",
    benchmark: Annotated[
        str | None,
        typer.Option(
            metavar="SYMBOL",
            help="Compare with holding this symbol instead of equal parts of all.",
            autocompletion=complete_symbols,
        ),
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Where the HTML report goes.")] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no report.")] = False,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Skip the look-ahead check. The result then says so.")
    ] = False,
    seed: SeedOption = 0,
    full: Annotated[bool, typer.Option("--full", help="Print every metric.")] = False,
) -> None:
    """Test a strategy on stored bars, store the run, and write its report.

    Decisions are filled at the next bar's open, with costs, on raw prices with splits and dividends. A
    strategy that sees the future is refused (exit 5).

    Example: qfund backtest strategies/sma_cross.py -p fast=10 -p slow=30 --since 2005-01-01
    """
    from qfund.backtest.data import Query
    from qfund.backtest.run import SAMPLES
    from qfund.market.bars import ADJUSTS, TIMEFRAMES
    from qfund.strategy.loading import load
    from qfund.strategy.targets import declared_warmup

    session = Session.of(ctx)
    settings = session.settings
    first, last = period(since, until, today=datetime.now(UTC).date())
    preset, overrides = costs or settings.backtest.costs, params(cost)
    wish = replace(
        _wish(settings, preset, overrides, cash=cash, whole_shares=whole_shares, fill=fill),
        since=first,
        until=last,
        benchmark=benchmark or settings.backtest.benchmark,
        seed=seed,
        causality_samples=0 if no_check else SAMPLES,
    )
    loaded, chosen = load(strategy), params(param)
    query = Query(
        symbols=symbols(symbol),
        vendor=vendor,
        feed=feed,
        price_kind=price,
        hours=hours,
        timeframe=results.one_of(timeframe, TIMEFRAMES, option="--timeframe"),
        since=first,
        until=last,
        warmup=declared_warmup(loaded.make(chosen)),
        adjust=results.one_of(adjust or settings.backtest.adjust, ADJUSTS, option="--adjust"),
        as_of=instant(as_of, option="--as-of"),
        calendar=settings.backtest.calendar,
        benchmark=wish.benchmark,
        universe=universe,
    )
    if symbol and universe:
        raise UsageError("--symbols and --universe exclude each other.", code="TWO_LISTS")
    test = _Test(loaded, chosen, query, wish, preset, overrides)
    record, command = _carry_out(session, test, report=report, wanted=not no_report)
    steps = [f"qfund runs show {record.run_id} --full", "qfund runs list"]
    outcome = results.outcome(record, command="backtest", full=full, next_steps=steps)
    session.console.show(replace(outcome, data={**outcome.data, "repeat": command}))


@dataclass(frozen=True)
class _Test:
    """Everything that was asked for, read and checked."""

    loaded: Loaded
    params: Mapping[str, str]
    query: Query
    wish: Wish
    preset: str
    overrides: Mapping[str, str]


def _carry_out(session: Session, test: _Test, *, report: Path | None, wanted: bool) -> tuple[RunRecord, str]:
    """Read, run, write the report when one is wanted, and last of all store the run.

    Returns:
        The stored run, and the command line that repeats it.
    """
    from qfund.backtest.data import read
    from qfund.backtest.record import repeat_command
    from qfund.backtest.run import run
    from qfund.store import runs

    with session.open_store() as store:
        if test.query.universe is not None:
            origins.ready(store, test.query.universe)
        with session.console.status("Reading bars"):
            data = read(store, test.query)
        size = f"{len(data.raw):,} x {len(data.raw.symbols):,} bars"
        with session.console.status(f"Testing {test.loaded.name} on {size}"):
            earlier = runs.trials(store, test.loaded.name)
            result = run(test.loaded, test.params, data, test.wish, earlier=earlier)
        command = repeat_command(
            result, test.wish, costs=test.preset, cost=test.overrides, as_of=test.query.as_of
        )
        path = None
        if wanted:
            path = report or results.report_path(session.settings.project, result)
            results.write_report(result, path, command=command)
        record = results.stored(result, report=path)
        runs.save_run(store, record)
    return record, command


def _wish(
    settings: Settings,
    costs: str,
    overrides: Mapping[str, str],
    *,
    cash: float | None,
    whole_shares: bool | None,
    fill: str,
) -> Wish:
    """How the money is run: the options over the settings.

    Raises:
        NotFoundError: no such cost preset.
        UsageError: a cost, an amount or a way to fill that does not exist.
    """
    from qfund.backtest.costs import preset
    from qfund.backtest.inputs import FILLS, Rules
    from qfund.backtest.run import Wish

    configured = settings.backtest
    return Wish(
        costs=preset(costs, overrides),
        rules=Rules(
            cash=configured.cash if cash is None else cash,
            fractional=configured.fractional if whole_shares is None else not whole_shares,
            fill=results.one_of(fill, FILLS, option="--fill"),
        ),
    )

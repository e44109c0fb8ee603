"""`qfund backtest`: one strategy file on stored bars, honestly and fast.

Promises: nothing is stored and no report is written unless the whole backtest succeeded. Never fetches data
and never trades.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qfund.commands import results
from qfund.commands.completion import complete_symbols
from qfund.commands.options import (
    ParamOption,
    SeedOption,
    SinceOption,
    StrategyArgument,
    SymbolsOption,
    UntilOption,
    VendorOption,
    instant,
    params,
    period,
    symbols,
)
from qfund.commands.session import Session

if TYPE_CHECKING:
    from qfund.backtest.run import Wish
    from qfund.config import Settings


def register(root: typer.Typer) -> None:
    """Add ``qfund backtest`` to the command line."""
    root.command(name="backtest", rich_help_panel="Research")(backtest)


def backtest(
    ctx: typer.Context,
    strategy: StrategyArgument,
    param: ParamOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    symbol: SymbolsOption = None,
    vendor: VendorOption = None,
    timeframe: Annotated[str, typer.Option(metavar="1d|1m", help="Bars to run on: days or minutes.")] = "1d",
    adjust: Annotated[
        str | None,
        typer.Option(metavar="all|split|raw", help="Prices the strategy sees. Money is always raw."),
    ] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="TIME", help="Only what was known at that time.")
    ] = None,
    cash: Annotated[float | None, typer.Option(min=0.01, help="Starting cash.")] = None,
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
    from qfund.backtest.data import Query, read
    from qfund.backtest.record import repeat_command
    from qfund.backtest.run import run
    from qfund.market.bars import ADJUSTS, TIMEFRAMES
    from qfund.store import runs
    from qfund.strategy.loading import load
    from qfund.strategy.targets import declared_warmup

    session = Session.of(ctx)
    settings = session.settings
    first, last = period(since, until, today=datetime.now(UTC).date())
    moment = instant(as_of, option="--as-of")
    overrides = params(cost)
    wish = _wish(
        settings,
        costs=costs,
        overrides=overrides,
        cash=cash,
        whole_shares=whole_shares,
        fill=fill,
    )
    wish = replace(
        wish,
        since=first,
        until=last,
        benchmark=benchmark or settings.backtest.benchmark,
        causality_samples=0 if no_check else wish.causality_samples,
        seed=seed,
    )
    loaded = load(strategy)
    chosen = params(param)
    query = Query(
        symbols=symbols(symbol),
        vendor=vendor,
        timeframe=results.one_of(timeframe, TIMEFRAMES, option="--timeframe"),
        since=first,
        until=last,
        warmup=declared_warmup(loaded.make(chosen)),
        adjust=results.one_of(adjust or settings.backtest.adjust, ADJUSTS, option="--adjust"),
        as_of=moment,
        calendar=settings.backtest.calendar,
        benchmark=wish.benchmark,
    )
    with session.open_store() as store:
        with session.console.status("Reading bars"):
            data = read(store, query)
        size = f"{len(data.raw):,} x {len(data.raw.symbols):,} bars"
        with session.console.status(f"Testing {loaded.name} on {size}"):
            result = run(loaded, chosen, data, wish, earlier=runs.trials(store, loaded.name))
        command = repeat_command(result, wish, cost=overrides, as_of=moment)
        path = None
        if not no_report:
            path = report or results.report_path(settings.project, result)
            results.write_report(result, path, command=command)
        record = results.stored(result, report=path)
        runs.save_run(store, record)
    steps = [f"qfund runs show {result.run_id} --full", "qfund runs list"]
    outcome = results.outcome(record, command="backtest", full=full, next_steps=steps)
    session.console.show(replace(outcome, data={**outcome.data, "repeat": command}))


def _wish(
    settings: Settings,
    *,
    costs: str | None,
    overrides: Mapping[str, str],
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
        costs=preset(costs or configured.costs, overrides),
        rules=Rules(
            cash=configured.cash if cash is None else cash,
            fractional=configured.fractional if whole_shares is None else not whole_shares,
            fill=results.one_of(fill, FILLS, option="--fill"),
        ),
    )

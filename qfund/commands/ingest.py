"""`qfund ingest`: fetch the bars that are missing, check them, store them.

Promises: what is committed is kept, whatever happens later; a run with nothing to do asks the vendor nothing;
every rejected bar and every failed request shows in the exit code. Never deletes a bar.
"""

from __future__ import annotations

import shlex
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from qfund.commands.options import (
    DryRunOption,
    SinceOption,
    SymbolsOption,
    UntilOption,
    VendorOption,
    period,
    symbols,
)
from qfund.commands.session import Session
from qfund.commands.spans import check_early, is_last
from qfund.console import Block, Column, Console, Outcome, Table, Text
from qfund.errors import InterruptedRunError, UsageError

if TYPE_CHECKING:
    from qfund.ingest.apply import Ingest
    from qfund.ingest.plan import Plan
    from qfund.ingest.report import Report
    from qfund.vendors.contract import Vendor


def register(root: typer.Typer) -> None:
    """Add ``qfund ingest`` to the command line."""
    root.command(name="ingest", rich_help_panel="Data")(ingest)


def ingest(
    ctx: typer.Context,
    vendor: VendorOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    symbol: SymbolsOption = None,
    timeframe: Annotated[
        Literal["1d", "1m"], typer.Option("--timeframe", help="Bars of a day or of a minute.")
    ] = "1d",
    dry_run: DryRunOption = False,
) -> None:
    """Fetch the bars that are missing, check them, and store them.

    Only sessions that were never answered before are asked for, so the same command may be run again at any
    time, also after it was stopped. Without --symbols and --since a small vendor is taken whole.

    Example: qfund ingest --vendor sample --since 2005-01-01
    """
    from qfund.ingest.apply import Ingest
    from qfund.ingest.look import Wish, last_covered

    session = Session.of(ctx)
    source = _vendor(vendor)
    chosen = symbols(symbol)
    today = datetime.now(UTC).date()
    check_early(since, until, today=today)
    with session.open_store() as store:
        last = last_covered(store, source, timeframe, chosen) if is_last(since) else None
        end = None if is_last(until) else until  # without --until it is the vendor's last session too
        first, final = period(since, end, today=today, last=last)
        wish = Wish(timeframe=timeframe, symbols=chosen, since=first, until=final)
        work = Ingest(store, source, wish, on_wait=session.console.note)
        plan = work.plan()
        for note in plan.notes:
            session.console.note(note)
        if dry_run or not plan.steps:
            session.console.show(_planned(plan))
            return
        _follow(session.console, work, plan, _again(plan, symbol))
    done = work.report
    if not done.plan.steps:  # another run has fetched all of it meanwhile
        session.console.show(_planned(done.plan))
        return
    session.console.show(_done(done, _again(done.plan, symbol), _backtest(session)))


def _vendor(name: str | None) -> Vendor:
    """The vendor of that name."""
    from qfund import plugins

    if name is None:
        known = ", ".join(plugins.names("qfund.vendors"))
        raise UsageError(
            f"Which vendor? Installed: {known}.",
            fix="qfund ingest --vendor sample",
            code="VENDOR_REQUIRED",
        )
    made: Vendor = plugins.load("qfund.vendors", name)()
    return made


def _follow(console: Console, work: Ingest, plan: Plan, retry: str) -> None:
    """Do the plan, showing each step; Ctrl-C says what was kept."""
    from qfund.ingest.report import Began, Failed, Kept

    label = f"Fetching {plan.seen.timeframe} bars from {plan.seen.vendor}"
    try:
        with console.progress(plan.missing, label) as progress, closing(work.apply(plan)) as events:
            for event in events:
                match event:
                    case Began(replanned=True):
                        console.note("Another run has fetched some of it; asking for the rest only.")
                    case Kept(step=step):
                        note = f"{step.since} … {step.until} {', '.join(step.symbols)}"
                        progress.advance(step.sessions * len(step.symbols), note)
                    case Failed(step=step, error=error):
                        progress.advance(step.sessions * len(step.symbols), f"{step.symbols[0]} failed")
                        console.warn(f"{step.symbols[0]} {step.since} … {step.until}: {error.message}")
                    case Began():
                        pass
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"Stopped: {work.report.summary()}.",
            fix=retry,
            details={"kept": work.report.counters},
        ) from None


def _again(plan: Plan, symbol: str | None) -> str:
    """The command that asks for what is still missing of a plan."""
    words = ["qfund", "ingest", "--vendor", plan.seen.vendor]
    words += ["--timeframe", plan.seen.timeframe] if plan.seen.timeframe != "1d" else []
    words += ["--symbols", symbol] if symbol else []
    return shlex.join([*words, "--since", str(plan.seen.asked[0]), "--until", str(plan.seen.asked[1])])


def _backtest(session: Session) -> str:
    """A backtest of a strategy that is there, else the way to one."""
    found = sorted((session.settings.project / "strategies").glob("*.py"))
    return f"qfund backtest strategies/{found[0].name}" if found else "qfund strategy new my_strategy"


def _planned(plan: Plan) -> Outcome:
    """A plan, with the steps it has or the word that there is nothing to do."""
    data = {
        "plan": plan.id,
        "vendor": plan.seen.vendor,
        "feed": plan.seen.feed,
        "timeframe": plan.seen.timeframe,
        "since": plan.seen.asked[0],
        "until": plan.seen.asked[1],
        "steps": [
            {"symbols": list(s.symbols), "since": s.since, "until": s.until, "sessions": s.sessions}
            for s in plan.steps
        ],
        "notes": list(plan.notes),
    }
    if not plan.steps:
        names = ", ".join(one.symbol for one in plan.seen.symbols)
        since, until = plan.seen.asked
        verb = "is" if len(plan.seen.symbols) == 1 else "are"
        said = f"Nothing to fetch: {names} {verb} complete from {since} to {until}."
        return Outcome("ingest", data, (Text(said),), next=("qfund data status",))
    columns = (Column("sessions", "right"), "since", "until", "symbols")
    rows = [(s.sessions, s.since, s.until, ", ".join(s.symbols)) for s in plan.steps]
    requests = "1 request" if len(rows) == 1 else f"{len(rows):,} requests"
    caption = f"plan {plan.id}: {requests}, {plan.missing:,} sessions; nothing was changed"
    return Outcome("ingest", data, (Table(columns, rows, caption=caption),))


def _done(report: Report, retry: str, then: str) -> Outcome:
    """What an ingest did: a line for each symbol, totals, and what is left or worth doing now."""
    counts = ("new", "changed", "same", "rejected", "holes")
    tallies = {**report.by_symbol, "all": report.total}
    rows = [
        (symbol, report.plan.seen.timeframe, *(getattr(tally, name) for name in counts))
        for symbol, tally in tallies.items()
    ]
    columns: list[Column | str] = ["symbol", "bars of", *(Column(name, "right") for name in counts)]
    data = {
        "plan": report.plan.id,
        "ingest_run": report.run_id,
        "vendor": report.plan.seen.vendor,
        "feed": report.plan.seen.feed,
        "timeframe": report.plan.seen.timeframe,
        "since": report.plan.seen.asked[0],
        "until": report.plan.seen.asked[1],
        "symbols": {
            symbol: {name: getattr(tally, name) for name in counts}
            for symbol, tally in report.by_symbol.items()
        },
        "total": report.counters,
        "notes": list(report.plan.notes),
    }
    said = f"Corporate actions: {report.actions:,} new."
    errors = report.errors(retry)
    hints = () if errors else ("qfund data status", then)
    blocks: tuple[Block, ...] = (Table(columns, rows), Text(said))
    return Outcome("ingest", data, blocks, errors=errors, next=hints)

"""`qfund ingest`: fetch the bars that are missing, check them, store them.

Promises: what is committed is kept, whatever happens later; a run with nothing to do asks at most for the
last few sessions again; every rejected bar, every failed request and every limit that was reached shows in
the exit code. Never deletes a bar.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from qfund.commands.options import (
    DryRunOption,
    FeedOption,
    HoursOption,
    PathOption,
    PriceOption,
    SinceOption,
    SymbolsOption,
    UniverseOption,
    UntilOption,
    VendorOption,
    WithOption,
    period,
    symbols,
)
from qfund.commands.session import Session
from qfund.commands.spans import check_early, is_last
from qfund.console import Console
from qfund.errors import InterruptedRunError, UsageError

if TYPE_CHECKING:
    from qfund.console.progress import Progress
    from qfund.ingest.apply import Event, Ingest
    from qfund.ingest.look import Wish
    from qfund.ingest.plan import FetchSpan, Plan
    from qfund.store import Store
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
    universe: UniverseOption = None,
    timeframe: Annotated[
        Literal["1d", "1m"], typer.Option("--timeframe", help="Bars of a day or of a minute.")
    ] = "1d",
    feed: FeedOption = None,
    price: PriceOption = None,
    hours: HoursOption = None,
    path: PathOption = None,
    option: WithOption = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Say what it would cost at most, and change nothing.")
    ] = False,
    dry_run: DryRunOption = False,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Ask for everything again, covered or not.")
    ] = False,
    reread: Annotated[
        int | None,
        typer.Option("--reread", metavar="N", min=0, help="Read the last N sessions again."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            metavar="N",
            min=1,
            help="How many requests at a time; 4 unless given, at the most what the vendor allows.",
        ),
    ] = None,
    max_requests: Annotated[
        int | None,
        typer.Option("--max-requests", metavar="N", min=1, help="Stop after so many requests (exit 9)."),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", metavar="SECONDS", min=1, help="Stop after so long (exit 124)."),
    ] = None,
) -> None:
    """Fetch the bars that are missing, check them, and store them.

    Only sessions that were never answered before are asked for, and the last few again, since vendors correct
    late; so the same command may be run at any time, also after it was stopped. Without --symbols and --since
    a small vendor is taken whole.

    Example: qfund ingest --vendor sample --since 2005-01-01
    """
    from qfund.commands import vendors
    from qfund.ingest.look import Wish

    session = Session.of(ctx)
    if symbol and universe:
        raise UsageError("--symbols and --universe exclude each other.", code="TWO_LISTS")
    if estimate and dry_run:
        raise UsageError(
            "--estimate and --dry-run exclude each other: the one tells the cost, the other the steps.",
            fix="give one of them",
            code="TWO_QUESTIONS",
        )
    check_early(since, until, today=datetime.now(UTC).date())
    name = vendors.known(vendor)
    wish = Wish(
        timeframe=timeframe,
        symbols=symbols(symbol),
        feed=feed,
        price_kind=price,
        hours=hours,
        refresh=full_refresh,
        reread=reread,
    )
    order = _Order(
        name,
        wish,
        universe,
        (since, until),
        vendors.options(option, path=path),
        only="estimate" if estimate else "plan" if dry_run else None,
        limits=_Limits(jobs, max_requests, timeout),
    )
    _carried_out(ctx, session, order)


@dataclass(frozen=True)
class _Limits:
    """What one ingest may use: requests at a time, requests in all, seconds; None for no limit of its own."""

    jobs: int | None
    requests: int | None
    seconds: float | None


@dataclass(frozen=True)
class _Order:
    """What the command line asks for.

    Attributes:
        vendor: the vendor's name.
        wish: what of it, still without dates and members.
        universe: whose members, instead of symbols.
        dates: ``--since`` and ``--until`` as typed.
        options: what the vendor takes for this run.
        only: whether only the plan or its estimate is wanted.
        limits: of the run.
    """

    vendor: str
    wish: Wish
    universe: str | None
    dates: tuple[str | None, str | None]
    options: Mapping[str, str]
    only: Literal["plan", "estimate"] | None
    limits: _Limits


def _carried_out(ctx: typer.Context, session: Session, order: _Order) -> None:
    """Plan, show or do, and show what was done."""
    from qfund.commands import ingest_results as results
    from qfund.commands import vendors
    from qfund.ingest.apply import Ingest
    from qfund.ingest.look import remembered
    from qfund.ingest.meter import Deadline

    limits, console = order.limits, session.console
    deadline = Deadline.after(limits.seconds)
    with (
        session.open_store() as store,
        vendors.line_to(store, order.vendor, max_requests=limits.requests, deadline=deadline) as line,
    ):
        source = vendors.opened(session, order.vendor, network=line.network, options=order.options)
        asked = remembered(source)
        wish = _complete(store, asked, order)
        work = Ingest(
            store,
            asked,
            wish,
            clock=line.network.now,
            # One chunk after the other with a limit, or it would be spent on several of which none is whole.
            jobs=limits.jobs or (None if limits.requests is None else 1),
            on_wait=console.note,
            sent=lambda: line.sent,
            record=line.record,
        )
        plan = work.plan()
        for note in plan.notes:
            console.note(note)
        if order.only == "estimate":
            line.record()
            used = results.month(store, order.vendor)
            console.show(results.estimated(plan, work.estimate(plan), line.sent, used))
            return
        if order.only == "plan" or not plan.steps:
            rows = results.rows(source, plan)
            console.show(
                results.planned(plan, rows) if plan.steps else results.nothing(plan, work.empty(plan), rows)
            )
            return
        retry = _again(ctx, session, plan, wish)
        try:
            _follow(console, work, plan, retry)
        finally:
            line.stop()
        notes = results.after(store, work.report, source)
        rows = results.rows(source, plan, work.report)
    console.show(results.done(work.report, retry, _backtest(session), notes, rows))


def _complete(store: Store, source: Vendor, order: _Order) -> Wish:
    """The wish with its dates and members; ``last`` is where the stored bars end."""
    from qfund.ingest.look import last_covered

    wish, (since, until) = order.wish, order.dates
    today = datetime.now(UTC).date()
    last = None
    if is_last(since):
        wish = _with_members(store, wish, order.universe)
        last = last_covered(store, source, wish)
    end = None if is_last(until) else until  # without --until it is the vendor's last session too
    first, final = period(since, end, today=today, last=last)
    return _with_members(store, replace(wish, since=first, until=final), order.universe)


def _with_members(store: Store, wish: Wish, universe: str | None) -> Wish:
    """The wish for whoever was in the universe on any day of its span."""
    if universe is None:
        return wish
    from qfund.commands import origins
    from qfund.store import universes

    origins.ready(store, universe)
    members = universes.members(store, universe, since=wish.since, until=wish.until)
    if not members:
        raise UsageError(
            f"The universe {universe} has no member from {wish.since} to {wish.until}.",
            fix=f"qfund universe show {universe}",
            code="EMPTY_UNIVERSE",
        )
    ended = {one.symbol: one.until for one in members}  # by symbol and day: the last spell counts
    meant = {symbol: day for symbol, day in ended.items() if day is not None}
    return replace(wish, symbols=tuple(ended), meant=meant)


def _follow(console: Console, work: Ingest, plan: Plan, retry: str) -> None:
    """Do the plan, showing each step; Ctrl-C says what was kept."""
    label = f"Fetching {plan.seen.timeframe} bars from {plan.seen.vendor}"

    try:
        with console.progress(plan.wanted, label) as progress, closing(work.apply(plan)) as events:
            for event in events:
                _told(console, progress, event)
    except KeyboardInterrupt:
        kept = work.report.summary() if work.report.planned else "nothing was asked for yet"
        raise InterruptedRunError(
            f"Stopped: {kept}.",
            fix=retry,
            details={"kept": work.report.counters},
        ) from None


def _told(console: Console, progress: Progress, event: Event) -> None:
    """One event, as progress."""
    from qfund.ingest.fetching import Asking, Paged
    from qfund.ingest.report import Began, Failed, Kept

    match event:
        case Began(overtaken=overtaken, further=further):
            progress.expect(further)
            if overtaken:
                console.note("Another run has fetched some of it; asking for the rest only.")
        case Asking(step=step):
            progress.busy(step, f"{_span(step)}: asking")
        case Paged(step=step, pages=pages, bars=bars):
            progress.busy(step, f"{_span(step)}: page {pages}, {bars:,} bars")
        case Kept(step=step, total=total):
            progress.free(step)
            progress.measure(total.stored, "bars")
            progress.advance(step.sessions * len(step.symbols), _span(step))
        case Failed(step=step, error=error):
            progress.free(step)
            progress.advance(step.sessions * len(step.symbols), f"{step.symbols[0]} failed")
            console.warn(f"{_span(step)}: {error.message}")


def _span(step: FetchSpan) -> str:
    """``2024-01-02 … 2024-01-31 AAPL, MSFT and 198 more``."""
    names = ", ".join(step.symbols[:3])
    more = f" and {len(step.symbols) - 3} more" if len(step.symbols) > 3 else ""
    return f"{step.since} … {step.until} {names}{more}"


def _again(ctx: typer.Context, session: Session, plan: Plan, wish: Wish) -> str:
    """The command that asks for what is still missing of a plan.

    It is the one that was given, on fixed dates, without the symbols that the vendor does not know.
    """
    since, until = plan.seen.asked
    said = {**ctx.params, "since": str(since), "until": str(until)}
    if plan.seen.unknown:
        known = [symbol for symbol in wish.symbols or () if symbol not in plan.seen.unknown]
        said |= {"symbol": ",".join(known), "universe": None}
    words = ["qfund", "ingest"]
    for param in ctx.command.params:
        words += _typed(max(param.opts, key=len), said.get(str(param.name)), param.default)
    words += ["--profile", session.options.profile] if session.options.profile else []
    for path in session.options.config:
        words += ["--config", str(path)]
    return shlex.join(words)


def _typed(flag: str, value: object, default: object) -> list[str]:
    """An option as it is typed; nothing for one that was not given."""
    if value is None or value is False or value == default:
        return []
    if value is True:
        return [flag]
    if isinstance(value, list | tuple):
        return [word for one in value for word in (flag, str(one))]
    return [flag, f"{value:g}" if isinstance(value, float) else str(value)]


def _backtest(session: Session) -> str:
    """A backtest of a strategy that is there, else the way to one."""
    found = sorted((session.settings.project / "strategies").glob("*.py"))
    return f"qfund backtest strategies/{found[0].name}" if found else "qfund strategy new my_strategy"

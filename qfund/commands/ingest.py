"""`qfund ingest`: fetch the bars that are missing, check them, store them.

Promises: what is committed is kept, whatever happens later; a run with nothing to do asks at most for the last
few sessions again; every rejected bar, every failed request and every limit that was reached shows in the exit
code. Never deletes a bar.
"""

from __future__ import annotations

import shlex
from contextlib import closing
from dataclasses import asdict, replace
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
from qfund.console import Block, Column, Console, Facts, Outcome, Table, Text
from qfund.errors import InterruptedRunError, UsageError

if TYPE_CHECKING:
    from qfund.console.progress import Progress
    from qfund.ingest.apply import Event, Ingest
    from qfund.ingest.estimate import Estimate
    from qfund.ingest.look import Wish
    from qfund.ingest.plan import FetchSpan, Plan
    from qfund.ingest.report import Report
    from qfund.store import Store

_COUNTS = ("new", "changed", "same", "rejected", "holes")
_MOST_ROWS = 40  # symbols shown on a terminal; --json has them all


def register(root: typer.Typer) -> None:
    """Add ``qfund ingest`` to the command line."""
    root.command(name="ingest", rich_help_panel="Data")(ingest)


def ingest(
    ctx: typer.Context,
    vendor: VendorOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    symbol: SymbolsOption = None,
    universe: Annotated[
        str | None, typer.Option("--universe", metavar="NAME", help="The members of a universe.")
    ] = None,
    timeframe: Annotated[
        Literal["1d", "1m"], typer.Option("--timeframe", help="Bars of a day or of a minute.")
    ] = "1d",
    feed: Annotated[
        str | None, typer.Option("--feed", metavar="NAME", help="Another than the vendor's first feed.")
    ] = None,
    price: Annotated[
        Literal["trade", "mid", "bid", "ask"] | None,
        typer.Option("--price", help="Trades or quotes, where the vendor has both."),
    ] = None,
    hours: Annotated[
        Literal["regular", "extended", "always"] | None,
        typer.Option("--hours", help="Regular hours, or morning and evening too."),
    ] = None,
    path: Annotated[
        str | None, typer.Option("--path", metavar="FILE", help="The file, for --vendor files.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="NAME=VALUE",
            help="What else the vendor takes, see: qfund data vendors. Repeatable.",
        ),
    ] = None,
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
        int | None, typer.Option("--jobs", "-j", metavar="N", min=1, help="How many requests at a time.")
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
    from qfund.ingest.apply import Ingest
    from qfund.ingest.look import Wish
    from qfund.ingest.meter import Deadline
    from qfund.ingest.network import network

    session = Session.of(ctx)
    chosen = _one_of(symbols(symbol), universe)
    today = datetime.now(UTC).date()
    check_early(since, until, today=today)
    name = vendors.known(vendor)
    options = vendors.options(option, path=path)
    deadline = Deadline.after(timeout)
    with (
        session.open_store() as store,
        network(store, name, max_requests=max_requests, deadline=deadline) as line,
    ):
        source = vendors.opened(session, name, network=line.network, options=options)
        wish = Wish(
            timeframe=timeframe,
            symbols=chosen or _members(store, universe),
            feed=feed,
            price_kind=price,
            hours=hours,
            refresh=full_refresh,
            reread=reread,
        )
        wish = _dated(store, source, wish, since, until)
        work = Ingest(
            store,
            source,
            wish,
            clock=line.network.now,
            jobs=jobs,
            on_wait=session.console.note,
            sent=lambda: line.sent,
            record=line.record,
        )
        plan = work.plan()
        for note in plan.notes:
            session.console.note(note)
        if estimate:
            session.console.show(_estimated(plan, work.estimate(plan)))
            return
        if dry_run or not plan.steps:
            session.console.show(_planned(plan))
            return
        retry = _again(ctx, plan)
        try:
            _follow(session.console, work, plan, retry)
        finally:
            line.stop()
    done = work.report
    if not done.planned and not done.errors(retry):  # another run has fetched all of it meanwhile
        session.console.show(_planned(replace(plan, steps=())))
        return
    session.console.show(_done(done, retry, _backtest(session)))


def _one_of(chosen: tuple[str, ...] | None, universe: str | None) -> tuple[str, ...] | None:
    if chosen and universe:
        raise UsageError("--symbols and --universe exclude each other.", code="TWO_LISTS")
    return chosen


def _members(store: Store, universe: str | None) -> tuple[str, ...] | None:
    """The symbols of a universe, past members too; None when none is named."""
    if universe is None:
        return None
    from qfund.store import universes

    return tuple(dict.fromkeys(one.symbol for one in universes.members(store, universe)))


def _dated(store: Store, source: object, wish: Wish, since: str | None, until: str | None) -> Wish:
    """The wish with its dates; ``last`` is where the stored bars end."""
    from qfund.ingest.look import last_covered

    today = datetime.now(UTC).date()
    last = last_covered(store, source, wish) if is_last(since) else None  # type: ignore[arg-type]
    end = None if is_last(until) else until  # without --until it is the vendor's last session too
    first, final = period(since, end, today=today, last=last)
    return replace(wish, since=first, until=final)


def _follow(console: Console, work: Ingest, plan: Plan, retry: str) -> None:
    """Do the plan, showing each step; Ctrl-C says what was kept."""
    label = f"Fetching {plan.seen.timeframe} bars from {plan.seen.vendor}"

    try:
        with console.progress(plan.wanted, label) as progress, closing(work.apply(plan)) as events:
            for event in events:
                _told(console, progress, event)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"Stopped: {work.report.summary()}.",
            fix=retry,
            details={"kept": work.report.counters},
        ) from None


def _told(console: Console, progress: Progress, event: Event) -> None:
    """One event, as progress."""
    from qfund.ingest.fetching import Asking, Paged
    from qfund.ingest.report import Began, Failed, Kept

    match event:
        case Began(replanned=True):
            console.note("Another run has fetched some of it; asking for the rest only.")
        case Began():
            pass
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


def _again(ctx: typer.Context, plan: Plan) -> str:
    """The command that asks for what is still missing of a plan."""
    words = ["qfund", "ingest", "--vendor", plan.seen.vendor]
    words += ["--timeframe", plan.seen.timeframe] if plan.seen.timeframe != "1d" else []
    for name, flag in (
        ("symbol", "--symbols"),
        ("universe", "--universe"),
        ("feed", "--feed"),
        ("price", "--price"),
        ("hours", "--hours"),
        ("path", "--path"),
    ):
        if ctx.params.get(name):
            words += [flag, str(ctx.params[name])]
    for one in ctx.params.get("option") or ():
        words += ["--with", one]
    return shlex.join([*words, "--since", str(plan.seen.asked[0]), "--until", str(plan.seen.asked[1])])


def _backtest(session: Session) -> str:
    """A backtest of a strategy that is there, else the way to one."""
    found = sorted((session.settings.project / "strategies").glob("*.py"))
    return f"qfund backtest strategies/{found[0].name}" if found else "qfund strategy new my_strategy"


def _head(plan: Plan) -> dict[str, object]:
    """What every document of an ingest begins with."""
    return {
        "plan": plan.id,
        "vendor": plan.seen.vendor,
        "feed": plan.seen.feed,
        "timeframe": plan.seen.timeframe,
        "since": plan.seen.asked[0],
        "until": plan.seen.asked[1],
        "notes": list(plan.notes),
        "unknown": list(plan.seen.unknown),
    }


def _planned(plan: Plan) -> Outcome:
    """A plan, with the steps it has or the word that there is nothing to do."""
    data = {
        **_head(plan),
        "steps": [
            {
                "symbols": list(s.symbols),
                "since": s.since,
                "until": s.until,
                "sessions": s.sessions,
                "unfinished": s.unfinished,
            }
            for s in plan.steps
        ],
    }
    if not plan.steps:
        names = [one.symbol for one in plan.seen.symbols]
        since, until = plan.seen.asked
        told = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        verb = "is" if len(names) == 1 else "are"
        said = f"Nothing to fetch: {told} {verb} complete from {since} to {until}."
        return Outcome("ingest", data, (Text(said),), next=("qfund data status",))
    columns = (Column("sessions", "right"), "since", "until", "symbols")
    rows = [(s.sessions, s.since, s.until, _names(s.symbols)) for s in plan.steps[:_MOST_ROWS]]
    chunks = "1 chunk" if len(plan.steps) == 1 else f"{len(plan.steps):,} chunks"
    again = plan.wanted - plan.missing
    caption = f"plan {plan.id}: {chunks}, {plan.missing:,} sessions missing, {again:,} read again"
    return Outcome("ingest", data, (Table(columns, rows, caption=f"{caption}; nothing was changed"),))


def _names(symbols: tuple[str, ...]) -> str:
    more = f" and {len(symbols) - 8} more" if len(symbols) > 8 else ""
    return ", ".join(symbols[:8]) + more


def _estimated(plan: Plan, cost: Estimate) -> Outcome:
    """What a plan costs at most."""
    minutes = cost.seconds / 60
    pairs = (
        ("requests", cost.requests),
        ("minutes", "less than 1" if minutes < 1 else f"{minutes:,.0f}"),
        ("bars", cost.rows),
        ("on the wire", _bytes(cost.wire_bytes)),
        ("on disk", f"{_bytes(cost.disk_bytes)}{'' if cost.measured else ' (not measured here yet)'}"),
        ("vendor credits", f"{cost.credits:g}" if cost.credits else "none"),
    )
    said = f"At most, for plan {plan.id}; nothing was asked and nothing was changed."
    data = {**_head(plan), "estimate": asdict(cost)}
    return Outcome("ingest", data, (Facts(pairs), Text(said)))


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:,.0f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def _done(report: Report, retry: str, then: str) -> Outcome:
    """What an ingest did: a line for each symbol, totals, and what is left or worth doing now."""
    plan = report.plan
    shown = list(report.by_symbol.items())
    if len(shown) > _MOST_ROWS:  # what needs attention first
        shown = sorted(shown, key=lambda one: (-one[1].rejected, -one[1].changed, -one[1].holes))[:_MOST_ROWS]
    rows = [
        (symbol, plan.seen.timeframe, *(getattr(tally, name) for name in _COUNTS))
        for symbol, tally in (*shown, ("all", report.total))
    ]
    columns: list[Column | str] = ["symbol", "bars of", *(Column(name, "right") for name in _COUNTS)]
    hidden = len(report.by_symbol) - len(shown)
    data = {
        **_head(plan),
        "ingest_run": report.run_id,
        "symbols": {
            symbol: {name: getattr(tally, name) for name in _COUNTS}
            for symbol, tally in report.by_symbol.items()
        },
        "total": report.counters,
        "left_out": report.left_out,
    }
    errors = report.errors(retry)
    hints = () if errors else ("qfund data status", then)
    caption = f"and {hidden:,} more symbols" if hidden > 0 else None
    blocks: tuple[Block, ...] = (Table(columns, rows, caption=caption), Text(_sentence(report)))
    return Outcome("ingest", data, blocks, errors=errors, next=hints)


def _sentence(report: Report) -> str:
    """What the table has no column for."""
    words = [f"Corporate actions: {report.actions:,} new."]
    sent = report.sent()
    if sent.requests:
        throttled = f", {sent.throttled:,} throttled" if sent.throttled else ""
        retried = f", {sent.retried:,} sent again" if sent.retried else ""
        words.append(f"Requests: {sent.requests:,}{throttled}{retried}.")
    left = sum(report.left_out.values())
    if left:
        from qfund.ingest.check import LEFT_OUT

        told = ", ".join(f"{n:,} {LEFT_OUT[reason]}" for reason, n in report.left_out.items())
        words.append(f"Left out: {told}.")
    return " ".join(words)

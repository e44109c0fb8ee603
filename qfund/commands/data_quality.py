"""`qfund data gaps`, `check` and `repair`: which bars are missing, which are doubtful, and who else has them.

Promises: ``gaps`` and ``check`` change nothing unless a bar is accepted by its number; ``repair`` fills holes and
never overwrites a bar. What is found shows in the exit code where it was asked for.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime
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
from qfund.console import Block, Column, Outcome, Table, Text
from qfund.errors import DataQualityError, NotFoundError, PartialError, QfundError, UsageError

if TYPE_CHECKING:
    from qfund.ingest.audit import Finding
    from qfund.ingest.ledger import Gap
    from qfund.ingest.repair import Fetch, Filled, Hole
    from qfund.market.bars import Timeframe
    from qfund.store import Store
    from qfund.store.quarantine import Entry
    from qfund.store.sources import Series
    from qfund.vendors.contract import Offer

_MOST_ROWS = 200  # lines of a table; counts are always exact
_MOST_SYMBOLS = 20  # names in a suggested command

Fetching = Callable[[Session, "Store", str, "Timeframe"], "AbstractContextManager[Fetch]"]
"""Makes, for a vendor and a timeframe, what ``repair`` fetches with."""

TimeframeOption = Annotated[
    Literal["1d", "1m"] | None, typer.Option("--timeframe", help="Only bars of this length.")
]
ThinOption = Annotated[
    float,
    typer.Option(
        "--thin", metavar="PERCENT", min=0, max=100, help="Below it a session has few minutes; 0: never."
    ),
]


def register(app: typer.Typer, fetching: Fetching | None = None) -> None:
    """Add ``gaps``, ``check`` and ``repair`` to ``qfund data``.

    Args:
        app: the commands of ``qfund data``.
        fetching: see :data:`Fetching`; None: an ingest of the vendor's bars.
    """
    app.command()(gaps)
    app.command()(check)
    app.command()(_repairing(fetching or _by_ingest))


# ---------------------------------------------------------------- gaps


def gaps(
    ctx: typer.Context,
    vendor: VendorOption = None,
    symbol: SymbolsOption = None,
    timeframe: TimeframeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    thin: ThinOption = 50,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit 5 when there is a gap.")
    ] = False,
) -> None:
    """Show the sessions that should have bars and have none, with what is known of each.

    A session is expected when the exchange was open and the symbol was listed. It may never have been asked
    for, the vendor may have nothing, or its bars were not fit. Minute bars: sessions with few minutes are shown
    too; for quiet shares they are normal and count as no gap.

    Example: qfund data gaps --vendor sample --since 2012-01-01
    """
    from dataclasses import asdict

    from qfund.ingest import ledger

    session = Session.of(ctx)
    first, last = period(since, until, today=datetime.now(UTC).date())
    chosen = symbols(symbol)
    found: list[tuple[Series, Gap]] = []
    with session.open_store() as store:
        for series in _series(store, vendor, timeframe):
            some = ledger.gaps(store, series, symbols=chosen, since=first, until=last, thin=thin)
            found += [(series, gap) for gap in some]
    totals = Counter[str]()
    for _, gap in found:
        totals[gap.kind] += gap.sessions
    missing = sum(count for kind, count in totals.items() if kind != "thin")
    commands = _remedies(found)
    data = {
        "gaps": [
            {"vendor": series.vendor, "feed": series.feed, "timeframe": series.timeframe, **asdict(gap)}
            for series, gap in found
        ],
        "sessions": {kind: totals[kind] for kind in ledger.KINDS},
        "remedies": commands,
    }
    error = DataQualityError(
        f"{missing:,} expected sessions have no fit bars.", fix=commands[0] if commands else None, code="GAPS"
    )
    outcome = Outcome(
        "data.gaps",
        data,
        _gap_blocks(found, totals),
        errors=(error,) if exit_code and missing else (),
        next=commands,
    )
    session.console.show(outcome)


def _gap_blocks(found: Sequence[tuple[Series, Gap]], totals: Counter[str]) -> tuple[Block, ...]:
    from qfund.ingest.ledger import KINDS

    if not found:
        return (Text("No gap: every expected session has bars."),)
    columns: list[Column | str] = ["symbol", "vendor", "feed", "bars of", "since", "until"]
    columns += [Column("sessions", "right"), Column("bars", "right"), Column("expected", "right"), "what"]
    rows = [
        (
            gap.symbol,
            series.vendor,
            series.feed,
            series.timeframe,
            gap.since,
            gap.until,
            gap.sessions,
            gap.bars,
            gap.expected,
            KINDS[gap.kind],
        )
        for series, gap in found[:_MOST_ROWS]
    ]
    more = f"; {len(found) - len(rows):,} more lines with --json" if len(found) > len(rows) else ""
    said = ", ".join(f"{totals[kind]:,} {words}" for kind, words in KINDS.items() if totals[kind])
    return (Table(columns, rows, caption=f"sessions: {said}{more}"),)


def _remedies(found: Sequence[tuple[Series, Gap]]) -> list[str]:
    """The commands that fetch what was never asked, and that look elsewhere for what the vendor has not."""
    asked: dict[tuple[str, str, str], list[Gap]] = {}
    empty: dict[tuple[str, str, str], list[Gap]] = {}
    for series, gap in found:
        key = (series.vendor, series.feed, series.timeframe)
        if gap.kind in ("not_asked", "quarantined"):
            asked.setdefault(key, []).append(gap)
        elif gap.kind == "empty":
            empty.setdefault(key, []).append(gap)
    commands = [_command(["ingest", "--vendor", key[0]], key[2], some) for key, some in asked.items()]
    return commands + [
        _command(["data", "repair", "--vendor", "OTHER", "--of", key[0]], key[2], some)
        for key, some in empty.items()
    ]


def _command(words: list[str], timeframe: str, some: Sequence[Gap]) -> str:
    names = sorted({gap.symbol for gap in some})
    words = ["qfund", *words, *(["--timeframe", timeframe] if timeframe != "1d" else [])]
    if len(names) <= _MOST_SYMBOLS:
        words += ["--symbols", ",".join(names)]
    words += ["--since", str(min(gap.since for gap in some)), "--until", str(max(gap.until for gap in some))]
    return shlex.join(words)


# ---------------------------------------------------------------- check


def check(
    ctx: typer.Context,
    vendor: VendorOption = None,
    symbol: SymbolsOption = None,
    timeframe: TimeframeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    accept: Annotated[
        str | None,
        typer.Option("--accept", metavar="ID,…", help="Store these bars of the quarantine as they came."),
    ] = None,
) -> None:
    """Run all rules over the stored bars, and show what is in quarantine.

    Exit 5 when anything is found. A bar in quarantine leaves it when a later answer of its vendor is fit, or
    when you accept it by its number.

    Example: qfund data check --vendor sample
    """
    session = Session.of(ctx)
    numbers = _numbers(accept)
    first, last = period(since, until, today=datetime.now(UTC).date())
    with session.open_store() as store:
        if numbers:
            _accept(session, store, numbers)
            return
        chosen = symbols(symbol)
        findings = list(_audit(session, store, _series(store, vendor, timeframe), chosen, (first, last)))
        from qfund.store import quarantine

        held = quarantine.entries(
            store, vendor=vendor, timeframe=timeframe, symbols=chosen, since=first, until=last
        )
    session.console.show(_checked(findings, held))


def _numbers(text: str | None) -> list[int]:
    """``--accept 3,4`` as numbers."""
    if text is None:
        return []
    try:
        return [int(word) for word in text.replace(" ", ",").split(",") if word]
    except ValueError:
        raise UsageError(
            f"--accept '{text}' is no list of numbers.", fix="qfund data check", code="BAD_NUMBER"
        ) from None


def _accept(session: Session, store: Store, numbers: Sequence[int]) -> None:
    from dataclasses import asdict

    from qfund.store.accepting import accept

    done = accept(store, numbers)
    bars = done.bars.new + done.bars.changed + done.bars.same
    said = f"Accepted: {bars:,} bars are stored as they came; {done.sessions:,} sessions are whole now."
    data = {"accepted": asdict(done)}
    session.console.show(Outcome("data.check", data, (Text(said),), next=("qfund data check",)))


def _audit(
    session: Session,
    store: Store,
    some: Sequence[Series],
    chosen: Sequence[str] | None,
    span: tuple[date | None, date | None],
) -> Iterator[Finding]:
    from qfund.ingest.audit import audit, offer_of

    for series in some:
        offer = offer_of(series, _offers(series.vendor))
        with session.console.progress(1, f"Checking {series.timeframe} bars of {series.vendor}") as progress:
            yield from audit(
                store,
                series,
                offer,
                symbols=chosen,
                since=span[0],
                until=span[1],
                tell=lambda names, progress=progress: progress.advance(0, names),  # type: ignore[misc]
            )


def _offers(vendor: str) -> Sequence[Offer]:
    """What an installed vendor offers; nothing where it is not installed."""
    from qfund import plugins

    if vendor not in plugins.names("qfund.vendors"):
        return ()
    offers: Sequence[Offer] = plugins.load("qfund.vendors", vendor).capabilities.offers
    return offers


def _checked(findings: Sequence[Finding], held: Sequence[Entry]) -> Outcome:
    """What the rules found, and the quarantine."""
    from dataclasses import asdict

    from qfund.ingest.audit import HINTS, RULES

    totals = Counter[str]()
    for one in findings:
        totals[one.rule] += one.count
    data = {
        "findings": [asdict(one) for one in findings],
        "counts": dict(totals),
        "quarantine": [asdict(one) for one in held],
    }
    blocks: list[Block] = []
    if findings:
        rows = [
            (one.symbol, one.vendor, one.timeframe, one.at or one.session, one.count, one.words or RULES[one.rule])
            for one in findings[:_MOST_ROWS]
        ]
        said = ", ".join(f"{n:,} × {RULES[rule]}" for rule, n in totals.items())
        columns = ("symbol", "vendor", "bars of", "when", Column("count", "right"), "found")
        blocks.append(Table(columns, rows, caption=said))
    if held:
        blocks.append(_quarantine(held))
    if not blocks:
        blocks.append(Text("Nothing found: every stored bar passes every rule, and the quarantine is empty."))
    faults = sum(count for rule, count in totals.items() if rule not in HINTS)
    errors = []
    if faults or held:
        told = [f"{faults:,} doubtful bars or sessions are stored"] if faults else []
        told += [f"{len(held):,} bars are in quarantine"] if held else []
        fix = f"qfund data check --accept {held[0].quarantine_id}" if held else "qfund data gaps"
        errors.append(DataQualityError(f"{' and '.join(told).capitalize()}.", fix=fix, code="DOUBTFUL_BARS"))
    return Outcome("data.check", data, blocks, errors=errors)


def _quarantine(held: Sequence[Entry]) -> Table:
    from qfund.ingest.check import REASONS
    from qfund.market.bars import FIELDS

    columns: list[Column | str] = [Column("id", "right"), "symbol", "vendor", "bars of", "when"]
    columns += [*(Column(name, "right") for name in FIELDS), "why", Column("seen", "right")]
    rows = [
        (
            str(one.quarantine_id),
            one.symbol,
            one.vendor,
            one.timeframe,
            one.ts or one.session,
            *(_number(one.bar.get(name)) for name in FIELDS),
            REASONS.get(one.reason, one.reason),
            one.times_seen,
        )
        for one in held[:_MOST_ROWS]
    ]
    return Table(columns, rows, caption=f"in quarantine: {len(held):,} bars")


def _number(value: float | str | None) -> str:
    return str(value) if isinstance(value, str) or value is None else f"{value:g}"


# ---------------------------------------------------------------- repair


def _repairing(fetching: Fetching) -> Callable[..., None]:
    def repair(
        ctx: typer.Context,
        vendor: VendorOption = None,
        of: Annotated[
            str | None, typer.Option("--of", metavar="NAME", help="The vendor whose bars have the holes.")
        ] = None,
        symbol: SymbolsOption = None,
        timeframe: Annotated[
            Literal["1d", "1m"], typer.Option("--timeframe", help="Bars of a day or of a minute.")
        ] = "1d",
        since: SinceOption = None,
        until: UntilOption = None,
        thin: ThinOption = 50,
        dry_run: DryRunOption = False,
    ) -> None:
        """Fill holes of one vendor's bars with those of another.

        Holes are sessions without a bar between the first and the last one, or in the span you give; minute
        bars: those with few minutes too. The bars of both vendors must agree around a hole. Every bar that is
        copied keeps the name of where it came from, and gives way when its own vendor sends one.

        Example: qfund data repair --vendor sample --of acme --symbols IBM
        """
        from qfund.ingest import repair as work

        session = Session.of(ctx)
        if vendor is None:
            raise UsageError(
                "From which vendor?", fix="qfund data repair --vendor OTHER", code="VENDOR_REQUIRED"
            )
        first, last = period(since, until, today=datetime.now(UTC).date())
        with session.open_store() as store:
            series = _broken(store, of, vendor, timeframe)
            found = work.find(
                store, series, symbols=symbols(symbol), since=first, until=last, thin=thin
            )
            if dry_run or not found:
                session.console.show(_found(series, vendor, found))
                return
            with (
                fetching(session, store, vendor, timeframe) as fetch,
                session.console.progress(len(found), f"Filling holes of {series.vendor}") as progress,
            ):
                done = []
                for one in work.fill(store, series, found, fetch):
                    progress.advance(1, one.hole.symbol)
                    done.append(one)
        session.console.show(_repaired(series, vendor, done))

    return repair


def _broken(store: Store, of: str | None, other: str, timeframe: Timeframe) -> Series:
    """The series with the holes."""
    some = [one for one in _series(store, of, timeframe) if one.vendor != other]
    names = list(dict.fromkeys(one.vendor for one in some))
    if not names:
        raise NotFoundError(
            f"No {timeframe} bars of another vendor than {other} are stored.",
            fix="qfund data status",
            code="NOTHING_STORED",
        )
    if len(names) > 1:
        raise UsageError(
            f"{', '.join(names)} all have {timeframe} bars: say whose holes to fill.",
            fix=f"qfund data repair --vendor {other} --of {names[0]}",
            code="WHICH_VENDOR",
        )
    return some[0]


def _found(series: Series, vendor: str, found: Sequence[Hole]) -> Outcome:
    sessions = sum(len(hole.sessions) for hole in found)
    data = {
        "of": series.vendor,
        "vendor": vendor,
        "holes": [{"symbol": one.symbol, "sessions": one.sessions} for one in found],
    }
    if not found:
        return Outcome("data.repair", data, (Text(f"{series.vendor} has no hole to fill."),))
    rows = [(one.symbol, one.sessions[0], one.sessions[-1], len(one.sessions)) for one in found[:_MOST_ROWS]]
    columns = ("symbol", "since", "until", Column("sessions", "right"))
    caption = f"{sessions:,} sessions to look for at {vendor}; nothing was changed"
    return Outcome("data.repair", data, (Table(columns, rows, caption=caption),))


def _repaired(series: Series, vendor: str, done: Sequence[Filled]) -> Outcome:
    rows = []
    for one in done:
        words = one.refused or ("filled" if one.bars else f"{vendor} has nothing either")
        rows.append((one.hole.symbol, one.hole.sessions[0], one.hole.sessions[-1], one.sessions, one.bars, words))
    columns = ("symbol", "since", "until", Column("sessions", "right"), Column("bars", "right"), "what")
    bars = sum(one.bars for one in done)
    data = {
        "of": series.vendor,
        "vendor": vendor,
        "bars": bars,
        "holes": [
            {
                "symbol": one.hole.symbol,
                "sessions": one.hole.sessions,
                "filled": one.sessions,
                "bars": one.bars,
                "refused": one.refused,
            }
            for one in done
        ],
    }
    caption = f"{bars:,} bars of {vendor} fill holes of {series.vendor}"
    errors: list[QfundError] = []
    refused = [one for one in done if one.refused and not one.failed]
    if refused:
        names = ", ".join(sorted({one.hole.symbol for one in refused}))
        errors.append(
            DataQualityError(
                f"{series.vendor} and {vendor} do not agree for {names}: {refused[0].refused}.",
                fix="choose another vendor, or look: qfund data show SYMBOL --vendor NAME",
                code="VENDORS_DISAGREE",
            )
        )
    failed = [one for one in done if one.failed]
    if failed:
        names = ", ".join(sorted({one.hole.symbol for one in failed}))
        errors.append(
            PartialError(f"{vendor} could not be asked for {names}: {failed[0].refused}.", fix="try it again")
        )
    return Outcome("data.repair", data, (Table(columns, rows, caption=caption),), errors=errors)


# ---------------------------------------------------------------- series and vendors


def _series(store: Store, vendor: str | None, timeframe: Timeframe | None) -> list[Series]:
    """The stored series of a vendor and a timeframe, or all."""
    from qfund.market.bars import TIMEFRAMES
    from qfund.store import sources

    lengths = TIMEFRAMES if timeframe is None else (timeframe,)
    found = [one for length in lengths for one in sources.sources(store, length)]
    return [one for one in found if vendor is None or one.vendor == vendor]


@contextmanager
def _by_ingest(
    session: Session, store: Store, vendor: str, timeframe: Timeframe
) -> Iterator[Fetch]:
    """Fetch by an ingest of what is not covered."""
    from qfund.commands import vendors
    from qfund.ingest.apply import Ingest
    from qfund.ingest.look import Wish, offered
    from qfund.ingest.network import network
    from qfund.ingest.repair import Fetched
    from qfund.ingest.report import Failed
    from qfund.store import sources

    name = vendors.known(vendor)
    with network(store, name, max_requests=None, deadline=None) as line:
        source = vendors.opened(session, name, network=line.network, options={})

        def fetch(names: Sequence[str], since: date, until: date) -> Fetched:
            wish = Wish(timeframe=timeframe, symbols=tuple(names), since=since, until=until)
            failed: dict[str, str] = {}
            try:
                work = Ingest(store, source, wish, clock=line.network.now, record=line.record)
                plan = work.plan()
                failed |= dict.fromkeys(plan.seen.unknown, f"{name} does not know it")
                for event in work.apply(plan):
                    if isinstance(event, Failed):
                        failed |= dict.fromkeys(event.step.symbols, event.error.message)
            except (NotFoundError, UsageError, DataQualityError) as error:
                failed |= dict.fromkeys(names, error.message.rstrip("."))
            return Fetched(sources.find_series(store, name, offered(source, wish)), failed)

        yield fetch

"""`qfund data gaps` and `check`: which bars are missing, and which are doubtful.

Promises: nothing is changed unless a bar is accepted by its number. What is found shows in the exit code.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from qfund.commands import data_repair
from qfund.commands.data_repair import Fetching, ThinOption, stored_series
from qfund.commands.options import (
    SinceOption,
    SymbolsOption,
    UntilOption,
    VendorOption,
    period,
    symbols,
)
from qfund.commands.session import Session
from qfund.console import Block, Column, Outcome, Table, Text
from qfund.errors import DataQualityError, UsageError

if TYPE_CHECKING:
    from qfund.ingest.audit import Finding
    from qfund.ingest.ledger import Gap
    from qfund.store import Store
    from qfund.store.quarantine import Entry
    from qfund.store.sources import Series
    from qfund.vendors.contract import Offer

_MOST_ROWS = 200  # lines of a table; counts are always exact
_MOST_SYMBOLS = 20  # names in a suggested command

TimeframeOption = Annotated[
    Literal["1d", "1m"] | None, typer.Option("--timeframe", help="Only bars of this length.")
]


def register(app: typer.Typer, fetching: Fetching | None = None) -> None:
    """Add ``gaps``, ``check`` and ``repair`` to ``qfund data``.

    Args:
        app: the commands of ``qfund data``.
        fetching: see ``data_repair.Fetching``; None: an ingest of the other vendor's bars.
    """
    app.command()(gaps)
    app.command()(check)
    data_repair.register(app, fetching)


# ---------------------------------------------------------------- gaps


def gaps(
    ctx: typer.Context,
    vendor: VendorOption = None,
    symbol: SymbolsOption = None,
    timeframe: TimeframeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    thin: ThinOption = 50,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 5 when there is a gap.")] = False,
) -> None:
    """Show the sessions that should have bars and have none, with what is known of each.

    A session is expected when the exchange was open and the symbol was listed. It may never have been asked
    for, the vendor may have nothing, or its bars were not fit. Of minute bars sessions with few minutes are
    shown too; for quiet shares they are normal and count as no gap.

    Example: qfund data gaps --vendor sample --since 2012-01-01
    """
    from dataclasses import asdict

    from qfund.ingest import ledger

    session = Session.of(ctx)
    first, last = period(since, until, today=datetime.now(UTC).date())
    chosen = symbols(symbol)
    found: list[tuple[Series, Gap]] = []
    with session.open_store() as store:
        for series in stored_series(store, vendor, timeframe):
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
        findings = list(
            _audit(session, store, stored_series(store, vendor, timeframe), chosen, (first, last))
        )
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
        with session.console.progress(
            None, f"Checking {series.timeframe} bars of {series.vendor}"
        ) as progress:
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
            (
                one.symbol,
                one.vendor,
                one.timeframe,
                one.at or one.session,
                one.count,
                one.words or RULES[one.rule],
            )
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

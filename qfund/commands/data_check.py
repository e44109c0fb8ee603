"""`qfund data check`: the rules over what is stored, the quarantine, and what a person accepts.

Promises: nothing is changed unless a bar is accepted or dismissed by name. What is found shows in the exit
code, and is told with what mends it, rule by rule.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from qfund.commands.data_repair import ingest_of, offers_of, stored_series
from qfund.commands.options import (
    SinceOption,
    SymbolsOption,
    TimeframeOption,
    UntilOption,
    VendorOption,
    instant,
    period,
    symbols,
)
from qfund.commands.session import Session
from qfund.console import Block, Column, Outcome, Table, Text
from qfund.errors import DataQualityError, NotFoundError, UsageError

if TYPE_CHECKING:
    from qfund.ingest.audit import Finding
    from qfund.store import Store
    from qfund.store.accepting import Stored
    from qfund.store.quarantine import Entry
    from qfund.store.sources import Series

_MOST_ROWS = 200  # lines of a table; counts are always exact
_MOST_HINTS = 5  # suggested commands


def check(
    ctx: typer.Context,
    vendor: VendorOption = None,
    symbol: SymbolsOption = None,
    timeframe: TimeframeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    accept: Annotated[
        str | None,
        typer.Option(
            "--accept",
            metavar="ID|SYMBOL@TIME,…",
            help="These bars are right: store them as they came, or keep them as they are stored.",
        ),
    ] = None,
    dismiss: Annotated[
        str | None,
        typer.Option(
            "--dismiss", metavar="ID,…", help="Let these rows of the quarantine go without storing them."
        ),
    ] = None,
) -> None:
    """Run all rules over the stored bars, and show what is in quarantine.

    Exit 5 when a bar is doubtful or in quarantine; jumps, and sessions that are empty at the vendor, are told
    and are no fault. A bar in quarantine leaves it when a later answer of its vendor is fit, or when you
    accept or dismiss it by its number; a stored bar that is right is accepted as SYMBOL@TIME, and not told
    again.

    Example: qfund data check --vendor sample
    """
    session = Session.of(ctx)
    numbers, times = _named(accept)
    dropped = _numbers(dismiss)
    if dropped and (numbers or times):
        raise UsageError("Either --accept or --dismiss.", fix="qfund data check", code="TWO_DEEDS")
    first, last = period(since, until, today=datetime.now(UTC).date())
    with session.open_store() as store:
        if dropped:
            _dismiss(session, store, dropped)
            return
        if numbers or times:
            some = stored_series(store, vendor, timeframe) if times else []
            _accept(session, store, numbers, [one for name in times for one in _doubted(store, some, name)])
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


def _named(text: str | None) -> tuple[list[int], list[tuple[str, date, datetime | None]]]:
    """``--accept 3,4`` as numbers, ``IBM@2012-05-10`` and ``IBM@2012-05-10T14:30Z`` as symbols with times."""
    numbers: list[int] = []
    times: list[tuple[str, date, datetime | None]] = []
    for word in (text or "").replace(" ", ",").split(","):
        symbol, at, when = word.partition("@")
        try:
            if at:
                moment = instant(when) if "T" in when.upper() else None
                times.append((symbol.upper(), moment.date() if moment else date.fromisoformat(when), moment))
            elif word:
                numbers.append(int(word))
        except (ValueError, UsageError):
            raise UsageError(
                f"--accept '{word}' is neither a number nor SYMBOL@TIME.",
                fix="qfund data check",
                code="BAD_NUMBER",
            ) from None
    return numbers, times


def _numbers(text: str | None) -> list[int]:
    """``--dismiss 3,4`` as numbers."""
    try:
        return [int(word) for word in (text or "").replace(" ", ",").split(",") if word]
    except ValueError:
        raise UsageError(
            f"--dismiss '{text}' is no list of numbers.", fix="qfund data check", code="BAD_NUMBER"
        ) from None


def _dismiss(session: Session, store: Store, numbers: Sequence[int]) -> None:
    from qfund.store.accepting import dismiss

    count = dismiss(store, numbers)
    said = Text(f"Dismissed: {count:,} rows left the quarantine, nothing of them is stored.")
    data = {"dismissed": sorted(set(numbers))}
    session.console.show(Outcome("data.check", data, (said,), next=("qfund data check",), deed=True))


def _doubted(store: Store, some: Sequence[Series], named: tuple[str, date, datetime | None]) -> list[Stored]:
    """What the rules find of a stored bar, in each series where they do.

    Raises:
        NotFoundError: they find nothing there.
    """
    from qfund.ingest.audit import audit, offer_of
    from qfund.store.accepting import Stored
    from qfund.store.accounts import holders

    symbol, day, moment = named
    around = (day - timedelta(days=1), day + timedelta(days=1))  # a session may begin on another date of UTC
    found = []
    for series in some:
        offer = offer_of(series, offers_of(series.vendor))
        ids = {one.symbol: one.instrument_id for one in holders(store, series, [symbol])}
        for one in audit(store, series, offer, symbols=[symbol], since=around[0], until=around[1]):
            here = one.at == moment if series.timeframe == "1m" else one.session == day
            if one.is_bar and here:
                found.append(Stored(series, symbol, ids[symbol], one.session, one.at, one.rule))
    if not found:
        raise NotFoundError(
            f"No rule doubts a stored bar of {symbol} at {moment or day}.",
            fix="qfund data check",
            code="NOT_DOUBTED",
        )
    return found


def _accept(session: Session, store: Store, numbers: Sequence[int], stored: Sequence[Stored]) -> None:
    from dataclasses import asdict

    from qfund.store.accepting import accept, vouch

    vouch(store, stored)
    said = [f"Accepted: {len(stored):,} stored bars are not told again."] if stored else []
    data: dict[str, object] = {"kept": [f"{one.symbol}@{one.ts or one.session}" for one in stored]}
    if numbers:
        done = accept(store, numbers)
        bars = done.bars.new + done.bars.changed + done.bars.same
        whole = f"{done.sessions:,} sessions are whole now"
        said.append(f"Accepted: {bars:,} bars are stored as they came; {whole}.")
        data["accepted"] = asdict(done)
    session.console.show(Outcome("data.check", data, (Text(said),), next=("qfund data check",), deed=True))


def _audit(
    session: Session,
    store: Store,
    some: Sequence[Series],
    chosen: Sequence[str] | None,
    span: tuple[date | None, date | None],
) -> Iterator[Finding]:
    from qfund.ingest.audit import audit, offer_of

    for series in some:
        offer = offer_of(series, offers_of(series.vendor))
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
        first, *more = _mends(list(_faults(findings, held)))
        errors.append(
            DataQualityError(f"{' and '.join(told).capitalize()}.", fix=first, code="DOUBTFUL_BARS")
        )
        return Outcome("data.check", data, blocks, errors=errors, next=more)
    return Outcome("data.check", data, blocks, deed=not (findings or held))


@dataclass(frozen=True)
class _Fault:
    """A doubtful bar: stored, or in quarantine.

    Attributes:
        rule: what is wrong with it.
        vendor: whose.
        timeframe: length of the bar.
        symbol: its symbol, None when it had none.
        session: its session, None when it had no time.
        name: what ``--accept`` takes; None where that is no way.
        row: its number in the quarantine, None when it is stored.
        stored: whether it is stored, so that it is asked for again only by a full refresh.
    """

    rule: str
    vendor: str
    timeframe: str
    symbol: str | None
    session: date | None
    name: str | None
    row: int | None
    stored: bool

    @property
    def asking(self) -> str:
        """The ingest that asks for it again; prices that are adjusted, for all that came since."""
        refresh = self.stored or self.rule == "adjusted"
        words = ingest_of(self.vendor)
        words += ["--timeframe", self.timeframe] if self.timeframe != "1d" else []
        words += ["--symbols", self.symbol] if self.symbol else []
        words += ["--since", str(self.session)] if self.session else []
        words += ["--until", str(self.session)] if self.session and self.rule != "adjusted" else []
        return shlex.join([*words, *(["--full-refresh"] if refresh else [])])


def _faults(findings: Sequence[Finding], held: Sequence[Entry]) -> Iterator[_Fault]:
    """What is a fault of what was found, the quarantine first."""
    from qfund.ingest.audit import HINTS
    from qfund.store.accepting import ACCEPTABLE

    for one in held:
        storable = one.reason in ACCEPTABLE and one.reason != "not_a_session"
        name = str(one.quarantine_id) if storable else None
        place = (one.symbol, one.session)
        yield _Fault(one.reason, one.vendor, one.timeframe, *place, name, one.quarantine_id, stored=False)
    for found in findings:
        if found.rule not in HINTS:
            name = found.name if found.is_bar and found.rule in ACCEPTABLE else None
            yield _Fault(
                found.rule,
                found.vendor,
                found.timeframe,
                found.symbol,
                found.session,
                name,
                None,
                stored=True,
            )


def _mends(faults: Sequence[_Fault]) -> list[str]:
    """What mends them, what weighs most first: rule by rule, since what mends one may spoil another.

    Adjusted prices are never to be accepted: every later reading would adjust them once more. What cannot be
    a bar can only be asked for again. The rest is for a person to judge.
    """
    adjusted = [one for one in faults if one.rule == "adjusted"]
    unfit = [one for one in faults if one.rule != "adjusted" and one.name is None]
    doubtful = [one for one in faults if one.rule != "adjusted" and one.name is not None]
    found = [f"once {one.vendor} sends raw prices: {one.asking}" for one in adjusted]
    found += [one.asking for one in unfit]
    found += [f"if it is right: qfund data check --accept {one.name}" for one in doubtful[:1]]
    idle = [one.row for one in unfit if one.row is not None]
    found = list(dict.fromkeys(found))[: _MOST_HINTS - 1]
    found += [f"if it never comes right: qfund data check --dismiss {idle[0]}"] if idle else []
    return list(dict.fromkeys(found))


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

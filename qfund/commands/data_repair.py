"""`qfund data repair`: holes of one vendor's bars, filled with those of another.

Promises: never overwrites a bar; every bar that is copied keeps the name of where it came from. Where the two
vendors do not agree nothing is copied, and the exit code says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from qfund.commands.options import (
    DryRunOption,
    PathOption,
    SinceOption,
    SymbolsOption,
    UntilOption,
    VendorOption,
    WithOption,
    period,
    symbols,
)
from qfund.commands.session import Session
from qfund.console import Column, Outcome, Table, Text
from qfund.errors import DataQualityError, NotFoundError, PartialError, QfundError, UsageError

if TYPE_CHECKING:
    from qfund.ingest.repair import Fetch, Filled, Hole
    from qfund.market.bars import Timeframe
    from qfund.store import Store
    from qfund.store.sources import Series
    from qfund.vendors.contract import Capabilities, Offer, Vendor

_MOST_ROWS = 200  # lines of a table; counts are always exact


@dataclass(frozen=True)
class Second:
    """The second vendor, and what it is to fill.

    Attributes:
        vendor: its name.
        options: what it takes for this run, such as ``path``.
        series: whose holes it fills.
        symbols: which have holes.
    """

    vendor: str
    options: Mapping[str, str]
    series: Series
    symbols: tuple[str, ...]


Fetching = Callable[[Session, "Store", Second], "AbstractContextManager[Fetch]"]
"""Makes what ``repair`` fetches with; raises, before anything is asked, where the vendor cannot fill."""

ThinOption = Annotated[
    float,
    typer.Option(
        "--thin", metavar="PERCENT", min=0, max=100, help="Below it a session has few minutes; 0: never."
    ),
]


def register(app: typer.Typer, fetching: Fetching | None = None) -> None:
    """Add ``repair`` to ``qfund data``.

    Args:
        app: the commands of ``qfund data``.
        fetching: see :data:`Fetching`; None: an ingest of the vendor's bars.
    """
    app.command()(_repairing(fetching or _by_ingest))


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
        path: PathOption = None,
        option: WithOption = None,
        dry_run: DryRunOption = False,
    ) -> None:
        """Fill holes of one vendor's bars with those of another.

        Holes are sessions without a bar between the first and the last one, or in the span you give; minute
        bars: those with few minutes too. The bars of both vendors must agree around a hole. Every bar that is
        copied keeps the name of where it came from, and gives way when its own vendor sends one. --path and
        --with are for the vendor that fills.

        Example: qfund data repair --vendor sample --of acme --symbols IBM
        """
        from qfund.commands import vendors
        from qfund.ingest import repair as work

        session = Session.of(ctx)
        if vendor is None:
            raise UsageError(
                "From which vendor?", fix="qfund data repair --vendor OTHER", code="VENDOR_REQUIRED"
            )
        options = vendors.options(option, path=path)
        first, last = period(since, until, today=datetime.now(UTC).date())
        with session.open_store() as store:
            series = _broken(store, of, vendor, timeframe)
            found = work.find(store, series, symbols=symbols(symbol), since=first, until=last, thin=thin)
            if not found:
                session.console.show(_found(series, vendor, found))
                return
            names = tuple(dict.fromkeys(one.symbol for one in found))
            with fetching(session, store, Second(vendor, options, series, names)) as fetch:
                if dry_run:
                    session.console.show(_found(series, vendor, found))
                    return
                done = _filled(session, store, series, found, fetch)
        session.console.show(_repaired(series, vendor, done))

    return repair


def _filled(
    session: Session, store: Store, series: Series, found: Sequence[Hole], fetch: Fetch
) -> list[Filled]:
    """Every hole after the attempt."""
    from qfund.ingest import repair as work

    done = []
    with session.console.progress(len(found), f"Filling holes of {series.vendor}") as progress:
        for one in work.fill(store, series, found, fetch):
            progress.advance(1, one.hole.symbol)
            done.append(one)
    return done


def _broken(store: Store, of: str | None, other: str, timeframe: Timeframe) -> Series:
    """The series with the holes."""
    some = [one for one in stored_series(store, of, timeframe) if one.vendor != other]
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
        rows.append(
            (one.hole.symbol, one.hole.sessions[0], one.hole.sessions[-1], one.sessions, one.bars, words)
        )
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
    return Outcome("data.repair", data, (Table(columns, rows, caption=caption),), errors=errors, deed=True)


def stored_series(store: Store, vendor: str | None, timeframe: Timeframe | None) -> list[Series]:
    """The series of a vendor and a timeframe, or all, also those of which every bar was rejected."""
    from qfund.market.bars import TIMEFRAMES
    from qfund.store import sources

    lengths = TIMEFRAMES if timeframe is None else (timeframe,)
    found = [one for length in lengths for one in sources.asked(store, length)]
    return [one for one in found if vendor is None or one.vendor == vendor]


def offers_of(vendor: str) -> Sequence[Offer]:
    """What an installed vendor offers; nothing where it is not installed."""
    found = _capabilities(vendor)
    return () if found is None else found.offers


def ingest_of(vendor: str) -> list[str]:
    """The words of an ingest of a vendor's bars; what is read from a file needs the file."""
    found = _capabilities(vendor)
    from_file = found is not None and any(option.name == "path" for option in found.options)
    return ["qfund", "ingest", "--vendor", vendor, *(["--path", "FILE"] if from_file else [])]


def _capabilities(vendor: str) -> Capabilities | None:
    """What an installed vendor says of itself."""
    from qfund import plugins

    if vendor not in plugins.names("qfund.vendors"):
        return None
    return cast("Capabilities", plugins.load("qfund.vendors", vendor).capabilities)


@contextmanager
def _by_ingest(session: Session, store: Store, second: Second) -> Iterator[Fetch]:
    """Fetch by an ingest of what is not covered.

    Raises:
        UsageError: an option is missing or not one of the vendor's, or it has no such bars.
        NotFoundError: no such vendor, or no such file.
        RefusedError: its bars are of another kind.
    """
    from qfund.commands import vendors
    from qfund.ingest.apply import Ingest
    from qfund.ingest.look import Wish, offered
    from qfund.ingest.repair import Fetched
    from qfund.ingest.report import Failed
    from qfund.store import sources

    name = vendors.known(second.vendor)
    with vendors.line_to(store, name) as line:
        source = vendors.opened(session, name, network=line.network, options=second.options)
        _refuse_unfit(source, second)

        def fetch(names: Sequence[str], since: date, until: date) -> Fetched:
            wish = Wish(
                timeframe=second.series.timeframe,
                symbols=tuple(names),
                since=since,
                until=until,
                refresh="path" in second.options,  # a file may hold more than it did
            )
            failed: dict[str, str] = {}
            try:
                work = Ingest(store, source, wish, clock=line.network.now, record=line.record)
                plan = work.plan()
                failed |= dict.fromkeys(plan.seen.unknown, f"{name} does not know it")
                for event in work.apply(plan):
                    if isinstance(event, Failed):
                        failed |= dict.fromkeys(event.step.symbols, event.error.message)
                if work.report.stopped is not None:
                    failed |= dict.fromkeys(names, work.report.stopped.message.rstrip("."))
            except (NotFoundError, UsageError, DataQualityError) as error:
                failed |= dict.fromkeys(names, error.message.rstrip("."))
            return Fetched(sources.find_series(store, name, offered(source, wish)), failed)

        yield fetch


def _refuse_unfit(source: Vendor, second: Second) -> None:
    """Refuse a vendor that cannot fill the series, whatever it would answer; sends nothing."""
    from qfund.ingest.look import Wish, offered
    from qfund.ingest.repair import refuse_other_kind

    try:
        offer = offered(source, Wish(timeframe=second.series.timeframe, symbols=second.symbols))
    except UsageError as error:
        if error.code != "PATH_REQUIRED":
            raise
        fix = f"qfund data repair --vendor {second.vendor} --path FILE --of {second.series.vendor}"
        raise UsageError(error.message, fix=fix, code=error.code) from None
    refuse_other_kind(second.series, second.vendor, offer)

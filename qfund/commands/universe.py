"""`qfund universe`: named lists of symbols with dated membership.

Promises: a refresh changes today and never the past; what is not known of the past is said wherever the list
is shown or used. Never fetches a bar.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qfund.commands import origins
from qfund.commands.completion import complete_universes, complete_vendors
from qfund.commands.options import SymbolsOption, YesOption, day
from qfund.commands.session import Session
from qfund.console import Column, Outcome, Table, Text
from qfund.errors import UsageError

if TYPE_CHECKING:
    from qfund.store.universes import Member, Universe

app = typer.Typer(
    help="Named lists of symbols, with members as of a date.", no_args_is_help=True, rich_markup_mode=None
)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="The universe.", autocompletion=complete_universes)
]


def register(root: typer.Typer) -> None:
    """Add ``qfund universe`` to the command line."""
    root.add_typer(app, name="universe", rich_help_panel="Data")


@app.command(name="list")
def list_universes(ctx: typer.Context) -> None:
    """List the universes: those stored, and those that come with qfund.

    Example: qfund universe list
    """
    from qfund.store import universes

    session = Session.of(ctx)
    today = _today()
    with session.open_store() as store:
        found = universes.universes(store)
    stored = {one.name for one in found}
    rows: list[tuple[object, ...]] = [
        (one.name, one.members, one.past, one.dated_from, one.origin, one.title) for one in found
    ]
    offered = {name: origins.built_in(name, today=today) for name in origins.bundled() if name not in stored}
    rows += [
        (name, len(roll.on(today)), 0, roll.dated_from, roll.origin, roll.title)
        for name, roll in offered.items()
    ]
    columns = (
        "universe",
        Column("members", "right"),
        Column("past", "right"),
        "dated from",
        "origin",
        "what",
    )
    data = {"universes": [_described(one) for one in found], "bundled": sorted(offered)}
    hints = (f"qfund universe show {rows[0][0]}",) if rows else ()
    session.console.show(
        Outcome(
            "universe.list", data, (Table(columns, sorted(rows, key=lambda row: str(row[0]))),), next=hints
        )
    )


@app.command()
def show(
    ctx: typer.Context,
    name: NameArgument,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="DATE", help="Members of that day instead of today's.")
    ] = None,
    past: Annotated[
        bool, typer.Option("--all", help="All members there ever were, with their days.")
    ] = False,
) -> None:
    """Show the members of a universe, as of a day.

    Example: qfund universe show sp100 --as-of 2026-09-01
    """
    from dataclasses import asdict

    from qfund.store import universes

    session = Session.of(ctx)
    on = day(as_of, option="--as-of", today=_today()) or _today()
    if past and as_of is not None:
        raise UsageError("--all and --as-of exclude each other.", code="TWO_SPANS")
    with session.open_store() as store:
        one = origins.ready(store, name)
        members = universes.members(store, name) if past else universes.members(store, name, on=on)
    warnings = [undated(one)] if not past and on < one.dated_from else []
    count = "1 member" if len(members) == 1 else f"{len(members):,} members"
    caption = f"{one.name}: {count} {'in all' if past else f'on {on}'}; {one.origin}"
    session.console.show(
        Outcome(
            "universe.show",
            {
                **_described(one),
                "as_of": None if past else on,
                "members": [asdict(member) for member in members],
            },
            (Table(("symbol", "since", "until"), [_row(member) for member in members], caption=caption),),
            warnings=warnings,
        )
    )


@app.command()
def create(
    ctx: typer.Context,
    name: NameArgument,
    symbol: SymbolsOption = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="CSV", help="Dated members: columns symbol, since, until."),
    ] = None,
    vendor: Annotated[
        str | None,
        typer.Option(
            "--vendor", metavar="NAME", help="All that this vendor lists.", autocompletion=complete_vendors
        ),
    ] = None,
    title: Annotated[str | None, typer.Option("--title", metavar="TEXT", help="What it is.")] = None,
) -> None:
    """Store a universe: from a list, a CSV file of dated members, a vendor's listings, or one of qfund's own.

    Example: qfund universe create mine --symbols AAPL,IBM
    """
    from qfund.store import universes

    session = Session.of(ctx)
    universes.checked_name(name)
    if sum(source is not None for source in (symbol, file, vendor)) > 1:
        raise UsageError("--symbols, --file and --vendor exclude each other.", code="TWO_LISTS")
    today = _today()
    if symbol is not None:
        roll = origins.typed(symbol, cwd=session.cwd, today=today)
    elif file is not None:
        path = (session.cwd / file.expanduser()).resolve()
        roll = origins.from_file(path, origin=f"file:{path}", today=today)
    elif vendor is not None:
        roll = origins.from_vendor(session, vendor, today=today)
    else:
        roll = origins.built_in(name, today=today)
    with session.open_store() as store:
        one = universes.create(
            store,
            name,
            roll.members,
            origin=roll.origin,
            title=title or roll.title,
            dated_from=roll.dated_from,
        )
    members = "1 member" if one.members == 1 else f"{one.members:,} members"
    said = f"{one.name}: {members} now, {one.past:,} past; {one.origin}."
    hints = (f"qfund ingest --vendor … --universe {name}", f"qfund universe show {name}")
    session.console.show(Outcome("universe.create", _described(one), (Text(said),), next=hints))


@app.command()
def refresh(ctx: typer.Context, name: NameArgument, symbol: SymbolsOption = None) -> None:
    """Read a universe's origin again: new members join today, gone ones end; the past stays.

    Example: qfund universe refresh sp100
    """
    from qfund.store import universes

    session = Session.of(ctx)
    today = _today()
    with session.open_store() as store:
        one = origins.ready(store, name)
        if symbol is None:
            roll = origins.read_again(session, one.origin, today=today)
        else:
            roll = origins.typed(symbol, cwd=session.cwd, today=today)
        change = universes.refresh(store, name, roll.on(today), today=today)
    parts = [
        f"{len(names):,} {word}: {', '.join(names)}"
        for names, word in ((change.joined, "joined"), (change.left, "left"))
        if names
    ]
    data = {"universe": name, "joined": list(change.joined), "left": list(change.left), "day": today}
    session.console.show(
        Outcome("universe.refresh", data, (Text(f"{name}: {'; '.join(parts) or 'nothing has changed'}."),))
    )


@app.command()
def delete(ctx: typer.Context, name: NameArgument, yes: YesOption = False) -> None:
    """Forget a universe and who was in it when. Bars stay.

    Example: qfund universe delete mine --yes
    """
    from qfund.store import universes

    session = Session.of(ctx)
    with session.open_store() as store:
        one = universes.universe(store, name)
        session.console.confirm(f"Forget {name} and {one.members + one.past:,} memberships?", yes=yes)
        universes.delete(store, name)
    session.console.show(
        Outcome("universe.delete", {"universe": name}, (Text(f"Forgot the universe {name}."),))
    )


def undated(one: Universe) -> str:
    """The sentence that the past of a universe is not known."""
    return (
        f"Who was in {one.name} is known from {one.dated_from} on; before it, members without a first day "
        "are a later list applied to the past (survivorship)."
    )


def _today() -> date:
    return datetime.now(UTC).date()


def _row(member: Member) -> tuple[object, ...]:
    return (member.symbol, member.since or "not known", member.until or "")


def _described(one: Universe) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(one)

"""``qfund db``: look after the database. Opening it migrates it; nothing here deletes anything."""

from __future__ import annotations

import typer

from qfund.commands.session import Session
from qfund.console import Column, Facts, Outcome, Table

app = typer.Typer(help="Look after the database.", no_args_is_help=True)

SKEW_WORTH_A_WORD = 2.0  # seconds


def register(root: typer.Typer) -> None:
    """Add ``qfund db`` to the command line."""
    root.add_typer(app, name="db", rich_help_panel="Upkeep")


@app.command()
def migrate(ctx: typer.Context) -> None:
    """Bring the schema to the newest revision; any command does so by itself.

    Example: qfund db migrate
    """
    from qfund.store import check

    session = Session.of(ctx)
    with session.open_store() as store:
        facts = check.facts(store)
    session.console.show(
        Outcome(
            command="db.migrate",
            data={"url": facts.url, "revision": facts.revision, "newest": facts.newest_revision},
            blocks=(Facts({"database": facts.url, "schema": facts.revision}),),
        )
    )


@app.command()
def status(ctx: typer.Context) -> None:
    """Show where the database is, its versions, its size, and whether its clock agrees.

    Example: qfund db status
    """
    from qfund.store import check

    session = Session.of(ctx)
    with session.open_store() as store:
        facts = check.facts(store)
    skew = facts.clock_skew_seconds
    session.console.show(
        Outcome(
            command="db.status",
            data={"facts": facts, "home": session.settings.home if facts.embedded else None},
            blocks=(
                Facts(
                    {
                        "database": f"embedded in {session.settings.home}" if facts.embedded else facts.url,
                        "server": f"PostgreSQL {facts.server_version}",
                        "schema": f"{facts.revision} (newest: {facts.newest_revision})",
                        "size": megabytes(facts.bytes),
                        "clock": f"{skew:+.3f} s from this machine's",
                    }
                ),
            ),
            warnings=(f"The server's clock is {skew:+.1f} s off this machine's.",)
            if abs(skew) > SKEW_WORTH_A_WORD
            else (),
        )
    )


@app.command()
def size(ctx: typer.Context) -> None:
    """Show how much of the disk each table takes.

    Example: qfund db size
    """
    from qfund.store.sizes import sizes

    session = Session.of(ctx)
    with session.open_store() as store:
        found = sizes(store)
    total = sum(one.bytes for one in found)
    session.console.show(
        Outcome(
            command="db.size",
            data={"tables": found, "bytes": total},
            blocks=(
                Table(
                    ("table", Column("rows, about", "right"), Column("size", "right")),
                    [(one.table, one.rows, megabytes(one.bytes)) for one in found],
                    caption=f"{megabytes(total)} in all",
                ),
            ),
        )
    )


def megabytes(size: int) -> str:
    """Bytes as people read them, in MB of 1024² bytes."""
    return f"{size / 1024**2:,.1f} MB"

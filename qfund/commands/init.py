"""``qfund init``: the files of a new project.

Promises: writes ``qfund.toml``, a first strategy and ``.gitignore`` lines; what is there already is kept as
it is, so that it may be run again at any time. Never overwrites, never starts a database.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from qfund.commands.session import Session
from qfund.console import Outcome, Table
from qfund.errors import ConfigError, UsageError

IGNORED = (".qfund/", "qfund.local.toml", "reports/")
FIRST_STRATEGY = "sma_cross"


def register(root: typer.Typer) -> None:
    """Add ``qfund init`` to the command line."""
    root.command(name="init", short_help="Start a project.", rich_help_panel="Start")(init)


def init(
    ctx: typer.Context,
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="The project's folder; made when it is not there."),
    ] = Path(),
) -> None:
    """Start a project: qfund.toml, a first strategy, and what git shall ignore.

    Example: qfund init my-fund
    """
    session = Session.of(ctx)
    place = session.cwd / folder.expanduser()
    try:
        made = list(_make(place))
    except OSError as error:
        raise _refused(place, error) from error
    go = () if place.resolve() == session.cwd.resolve() else (f"cd {folder}",)
    session.console.show(
        Outcome(
            command="init",
            data={"project": place, "files": [{"path": path, "state": state} for path, state in made]},
            blocks=(Table(("file", "state"), made),),
            next=(
                *go,
                "qfund ingest --vendor sample --since 2005-01-01",
                f"qfund backtest strategies/{FIRST_STRATEGY}.py -p fast=10 -p slow=30",
            ),
        )
    )


def _make(place: Path) -> Iterator[tuple[str, str]]:
    """Each file, and what became of it: made, kept or extended."""
    (place / "strategies").mkdir(parents=True, exist_ok=True)
    yield "qfund.toml", _write_new(place / "qfund.toml", configuration())
    yield _strategy(place)
    yield ".gitignore", _ignore(place / ".gitignore")


def _strategy(place: Path) -> tuple[str, str]:
    from qfund.strategy import templates

    path = Path("strategies", f"{FIRST_STRATEGY}.py")
    return str(path), _write_new(place / path, templates.rendered(FIRST_STRATEGY, FIRST_STRATEGY))


def _write_new(path: Path, text: str) -> str:
    """Write a file that is not there yet; ``x`` makes sure that none is overwritten, also in a race."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return "kept"
    return "made"


def _ignore(path: Path) -> str:
    """Add the lines that are missing from ``.gitignore``."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    present = {line.strip().strip("/") for line in text.splitlines()}
    missing = [line for line in IGNORED if line.strip("/") not in present]
    if not missing:
        return "kept"
    joint = "" if not text or text.endswith("\n") else "\n"
    with path.open("a", encoding="utf-8") as file:
        file.write(joint + "".join(f"{line}\n" for line in missing))
    return "extended" if text else "made"


def configuration() -> str:
    """A ``qfund.toml`` that changes nothing: every setting, its meaning and its default, commented out."""
    from qfund.config.settings import SECTIONS, as_text

    lines = [
        "# qfund's settings. All have defaults: take away a # to change one.",
        "# Stronger: qfund.<profile>.toml, qfund.local.toml, QFUND__SECTION__KEY, --config FILE.",
        "# See what holds, and where it was set: qfund config show --origin",
    ]
    for section, model in SECTIONS.items():
        lines += ["", f"[{section}]"]
        for name, field in model.model_fields.items():
            extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
            unset = f" (not set: {extra['unset']})" if "unset" in extra else ""
            value = extra.get("example", field.default)
            written = f'"{value}"' if isinstance(value, str) else as_text(value)
            lines += [f"# {field.description}{unset}", f"# {name} = {written}"]
    return "\n".join(lines) + "\n"


def _refused(place: Path, error: OSError) -> ConfigError | UsageError:
    """Why no file could be made."""
    if isinstance(error, FileExistsError | NotADirectoryError):
        return UsageError(
            f"{error.filename or place} is a file where a folder has to be.",
            fix="qfund init OTHER-DIR",
            code="NOT_A_FOLDER",
            details={"path": str(place)},
        )
    return ConfigError(
        f"No project can be made in {place}: {error.strerror}.",
        fix="qfund init DIR, with a DIR that you may write to",
        code="PROJECT_FOLDER",
        details={"path": str(place)},
    )

"""The options that every command takes, before or after its name: read once, before Typer sees the line.

Promises: they are taken wherever they stand up to ``--``, so that no command declares them and an error in
the rest of the line already knows whether to speak JSON. `declarations` gives the same options to each
command's help and to completion. Never reads a file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from qfund.commands.completion import complete_profiles
from qfund.errors import UsageError

FLAGS = {
    "--json": "json",
    "--quiet": "quiet",
    "-q": "quiet",
    "--verbose": "verbose",
    "-v": "verbose",
    "--no-color": "no_color",
}
VALUED = ("--profile", "--config")
_SHORT_FLAGS = re.compile(r"-[qv]{2,}")


@dataclass(frozen=True)
class GlobalOptions:
    """What was said for the whole command line."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    no_color: bool = False
    profile: str | None = None
    config: tuple[Path, ...] = ()


def wants_json(argv: Sequence[str]) -> bool:
    """Whether ``--json`` stands before ``--``; asked first, so that every later error is told in JSON."""
    return "--json" in argv[: argv.index("--")] if "--" in argv else "--json" in argv


def take(argv: Sequence[str]) -> tuple[GlobalOptions, list[str]]:
    """Part a command line in the options that hold everywhere and the rest, in its order.

    Raises:
        UsageError: ``--profile`` or ``--config`` without a value, or two profiles.
    """
    flags: set[str] = set()
    values: dict[str, list[str]] = {name: [] for name in VALUED}
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        if word == "--":
            rest += [word, *words]
        elif word in FLAGS:
            flags.add(FLAGS[word])
        elif _SHORT_FLAGS.fullmatch(word):
            flags.update(FLAGS[f"-{letter}"] for letter in word[1:])
        elif name in VALUED:
            values[name].append(value if equals else next(words, ""))
            _demand_value(name, values[name][-1])
        else:
            rest.append(word)
    if len(set(values["--profile"])) > 1:
        raise UsageError("--profile is given twice; one run has one profile.", code="TWO_PROFILES")
    return (
        GlobalOptions(
            **dict.fromkeys(flags, True),
            profile=next(iter(values["--profile"]), None),
            config=tuple(Path(path).expanduser() for path in values["--config"]),
        ),
        rest,
    )


def _demand_value(name: str, value: str) -> None:
    if not value or value.startswith("-"):
        metavar = "NAME" if name == "--profile" else "FILE"
        raise UsageError(f"{name} needs a value: {name} {metavar}.", code="MISSING_VALUE")


@cache
def declarations() -> tuple[Any, ...]:
    """The options as Typer's parameters, for help and completion; their values are never read."""
    app = typer.Typer(add_completion=False)
    app.command()(_everywhere)
    return tuple(typer.main.get_command(app).params)


def _everywhere(
    json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON document on stdout.", expose_value=False),
    ] = False,
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            metavar="NAME",
            help="Read qfund.NAME.toml too.",
            expose_value=False,
            autocompletion=complete_profiles,
        ),
    ] = None,
    config: Annotated[
        list[Path] | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Read another TOML file, stronger than the project's; repeatable.",
            expose_value=False,
        ),
    ] = None,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", help="No progress, no hints, no word of what went well.", expose_value=False
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Say more; on a crash show the traceback.", expose_value=False),
    ] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colour.", expose_value=False)] = False,
) -> None:
    """Carry the declarations above; never called."""

"""Failures that qfund did not raise itself, in its own words: Typer's complaints, and crashes.

Promises: a wrong word is answered with the nearest right one; a crash becomes one line with an id and the
path of a log that holds the traceback with secrets hidden. If the log cannot be written, the line says so:
telling the operator never fails because of the disk.
"""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from qfund.config.secrets import HIDDEN, starred
from qfund.errors import QfundError, UsageError, did_you_mean, nearest

_NAME_OF_SECRET = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|API_?KEY", re.IGNORECASE)
VERSION = ("--version", "-V")  # what other programs call it
_SHORTEST_SECRET = 6  # shorter values would blank out words of the traceback itself


def usage_error(error: typer.TyperException) -> UsageError:
    """Typer's complaint about the command line, with the nearest right word and where to read on."""
    ctx: typer.Context | None = getattr(error, "ctx", None)
    path = ctx.command_path if ctx else "qfund"
    fix = "qfund version" if getattr(error, "option_name", None) in VERSION else f"{path} --help"
    return UsageError(_message(error, ctx), fix=fix, code="USAGE", details={"command": path})


def _message(error: typer.TyperException, ctx: typer.Context | None) -> str:
    option = getattr(error, "option_name", None)
    if ctx is not None and option and type(error).__name__ == "NoSuchOption":
        known = {name for param in ctx.command.get_params(ctx) for name in param.opts}
        close = nearest(option, known, most=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        return f"{ctx.command_path} has no option {option}.{hint}"
    group: Any = ctx.command if ctx is not None else None
    commands: Mapping[str, Any] = getattr(group, "commands", {})
    typed = re.match(r"No such command '(?P<name>.*?)'", error.message)
    if ctx is not None and commands and typed:
        name = typed["name"]
        return f"{ctx.command_path} has no command '{name}'.{did_you_mean(name, commands)}"
    return error.format_message()


def crash(error: BaseException, folder: Path, environ: Mapping[str, str]) -> QfundError:
    """Write an unexpected exception to a log, and say in one sentence where.

    Args:
        error: the exception.
        folder: where logs go; made when it is not there.
        environ: variables whose secret-looking values are hidden.

    Returns:
        A `QfundError` with exit code 1, the id and the log's path in its details.
    """
    identity = os.urandom(3).hex()
    kind = type(error).__name__
    what = scrubbed(str(error), environ).strip().splitlines()
    said = f"{kind}: {what[0]}" if what else kind
    log = folder / f"error-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{identity}.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        log.touch(mode=0o600)
        log.write_text(scrubbed(trace(error), environ), encoding="utf-8")
    except OSError as fault:
        where = f"its log could not be written: {fault.strerror}"
        path = None
    else:
        where = f"log {log}"
        path = str(log)
    return QfundError(
        f"An unexpected fault of qfund's own, {said} (id {identity}, {where}).",
        fix="run it again with --verbose to see the traceback, and report it with the log",
        details={"error_id": identity, "log": path},
    )


def trace(error: BaseException) -> str:
    """The traceback as text, without any frame's variables."""
    return "".join(traceback.format_exception(error))


def scrubbed(text: str, environ: Mapping[str, str]) -> str:
    """The text without passwords in URLs and without the values of variables that look like secrets."""
    for value in _secrets(environ):
        text = text.replace(value, HIDDEN)
    return starred(text)


def _secrets(environ: Mapping[str, str]) -> Iterable[str]:
    """Values worth hiding, the longest first, so that one that holds another goes whole."""
    found = (v for k, v in environ.items() if _NAME_OF_SECRET.search(k))
    return sorted((v for v in found if len(v) >= _SHORTEST_SECRET), key=len, reverse=True)

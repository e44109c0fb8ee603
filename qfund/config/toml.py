"""TOML files as dotted keys, each with its line.

Promises: reads only; a fault names file, line and column. ``tomllib`` gives no positions, so lines are found
by reading the text again: headers and ``key =`` at the start of a line, outside of multi-line strings.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qfund.errors import ConfigError

_HEADER = re.compile(r"^\s*\[+\s*(?P<name>[^\]]+?)\s*\]+")
_ASSIGNMENT = re.compile(r"^\s*(?P<key>[\w\-.\"' ]+?)\s*=")
_PLACE = re.compile(r"^(?P<what>.*) \(at line (?P<line>\d+), column (?P<column>\d+)\)$", re.DOTALL)


@dataclass(frozen=True)
class Entry:
    """One value of one file: ``store.url``, the value, ``qfund.toml:3``."""

    key: str
    value: Any
    source: str


def read(path: Path, shown: str) -> list[Entry]:
    """The values of a TOML file, tables flattened to dotted keys.

    Args:
        path: the file.
        shown: how messages name it.

    Raises:
        ConfigError: it cannot be read, is not UTF-8 or not TOML; the message says where.
    """
    try:
        text = path.read_bytes().decode("utf-8")
        tables = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{shown} cannot be read: {error.strerror}.", code="CONFIG_FILE") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown} is not UTF-8 text (byte {error.start}).", code="CONFIG_FILE") from error
    except tomllib.TOMLDecodeError as error:
        raise _broken(error, text, shown) from error
    lines = _lines(text)
    return [Entry(key, value, _source(shown, key, lines)) for key, value in _flat("", tables)]


def _broken(error: tomllib.TOMLDecodeError, text: str, shown: str) -> ConfigError:
    found = _PLACE.match(str(error))
    if found:
        what, line, column = found["what"], int(found["line"]), int(found["column"])
    else:  # "... (at end of document)"
        what, _, _ = str(error).partition(" (at ")
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    return ConfigError(
        f"{shown}:{line}:{column} is not valid TOML: {what}.",
        fix=f"correct line {line} of {shown}",
        code="CONFIG_SYNTAX",
        details={"file": shown, "line": line, "column": column},
    )


def _flat(prefix: str, table: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(f"{prefix}{key}.", value)
            if not value:
                yield f"{prefix}{key}", value
        else:
            yield f"{prefix}{key}", value


def _lines(text: str) -> dict[str, int]:
    """Dotted key → line on which it, or the table it names, first stands."""
    found: dict[str, int] = {}
    table = ""
    quotes = ""
    for number, line in enumerate(text.splitlines(), 1):
        if quotes:
            quotes = "" if quotes in line else quotes
            continue
        if header := _HEADER.match(line):
            table = _dotted(header["name"])
            found.setdefault(table, number)
        elif assignment := _ASSIGNMENT.match(line):
            key = _dotted(assignment["key"])
            found.setdefault(f"{table}.{key}" if table else key, number)
            quotes = next((q for q in ('"""', "'''") if line.count(q) % 2), "")
    return found


def _dotted(name: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in name.split("."))


def _source(shown: str, key: str, lines: dict[str, int]) -> str:
    """``qfund.toml:3``; a value inside of an inline table has the line of the table."""
    while key and key not in lines:
        key = key.rpartition(".")[0]
    return f"{shown}:{lines[key]}" if key else shown

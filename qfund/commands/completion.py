"""What the Tab key offers: run ids, symbols, strategy files, vendors, profiles, templates.

Promises: never an error, never a word on the screen, and never a database started for a Tab: ids and symbols come
from a server that runs already, or are not offered. Called by the shell through Typer.
"""

from __future__ import annotations

import os
from pathlib import Path


def complete_strategies(incomplete: str) -> list[str]:
    """Python files in the folder typed so far, and folders to go on with; ``strategies/`` first of all."""
    if not incomplete and Path("strategies").is_dir():
        return [str(path) for path in sorted(Path("strategies").glob("*.py"))]
    folder = Path(incomplete) if incomplete.endswith(os.sep) else Path(incomplete).parent
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    files = [str(entry) for entry in entries if entry.suffix == ".py" and entry.is_file()]
    folders = [
        f"{entry}{os.sep}" for entry in entries if entry.is_dir() and not entry.name.startswith((".", "_"))
    ]
    return [found for found in (*files, *folders) if found.startswith(incomplete)]


def complete_vendors(incomplete: str) -> list[str]:
    """The installed vendors."""
    from qfund import plugins

    return [name for name in plugins.names("qfund.vendors") if name.startswith(incomplete)]


def complete_profiles(incomplete: str) -> list[str]:
    """The profiles that have a file in this project, and ``paper``, which needs none."""
    from qfund.config import locate

    folder = locate(Path.cwd(), os.environ).folder
    found = {path.name.split(".")[1] for path in folder.glob("qfund.*.toml")} - {"local"}
    return sorted(name for name in found | {"paper"} if name.startswith(incomplete))


def complete_settings(incomplete: str) -> list[str]:
    """The names of settings."""
    from qfund.config.settings import keys

    return [key for key, _ in keys() if key.startswith(incomplete)]


def complete_symbols(incomplete: str) -> list[str]:
    """Stored symbols, after the last comma of what is typed."""
    done, comma, begun = incomplete.rpartition(",")
    taken = set(done.split(","))
    return [
        f"{done}{comma}{symbol}"
        for symbol in _symbols()
        if symbol.startswith(begun.upper()) and symbol not in taken
    ]


def _symbols() -> list[str]:
    return []

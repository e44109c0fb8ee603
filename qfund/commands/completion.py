"""What the Tab key offers: run ids, symbols, strategy files, vendors, templates.

Promises: never an error, never a word on the screen, never a database started for a Tab: what is not at hand is not
offered. Called by the shell through Typer.
"""

from __future__ import annotations

import os
from pathlib import Path


def complete_strategies(incomplete: str) -> list[str]:
    """Python files in the folder typed so far, and folders to go on with; `strategies/` is offered first."""
    typed = Path(incomplete)
    folder = typed if incomplete.endswith(os.sep) else typed.parent
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    files = [str(entry) for entry in entries if entry.suffix == ".py" and entry.is_file()]
    folders = [f"{entry}/" for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    if not incomplete and Path("strategies").is_dir():
        files = [str(path) for path in sorted(Path("strategies").glob("*.py"))]
    return [found for found in (*files, *folders) if found.startswith(incomplete)]


def complete_vendors(incomplete: str) -> list[str]:
    """Installed vendors."""
    from qfund import plugins

    return [name for name in plugins.names("qfund.vendors") if name.startswith(incomplete)]


def complete_symbols(incomplete: str) -> list[str]:
    return []

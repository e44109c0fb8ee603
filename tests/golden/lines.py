"""The command lines whose documents are kept, and how one is made."""

from __future__ import annotations

from pathlib import Path

from tests.support.program import run

FOLDER = Path(__file__).parent
LINES = {
    "config.show": ("config", "show"),
    "config.get": ("config", "get", "backtest.costs"),
    "config.unknown_key": ("config", "get", "backtest.cots"),
    "config.unknown_profile": ("config", "show", "--profile", "live"),
    "init": ("init",),
    "usage.unknown_command": ("dta",),
    "usage.unknown_option": ("config", "show", "--orgin"),
    "usage.missing_argument": ("config", "get"),
    "usage.no_command": ("config",),
}


def said(words: tuple[str, ...], folder: Path) -> str:
    """What the line prints with ``--json`` in an empty folder, the folder's name taken out."""
    text = run(*words, "--json", cwd=folder).out
    return text.replace(str(folder.resolve()), "FOLDER")

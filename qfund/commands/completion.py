"""What the Tab key offers: run ids, symbols, universes, strategy files, vendors, profiles, templates.

Promises: never an error, never a word on the screen, and never a database made for a Tab: ids and symbols
come from the project's store when there is one, else none are offered. Called by the shell through Typer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qfund.errors import QfundError

if TYPE_CHECKING:
    from qfund.store import Store

MOST_RUNS = 50


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


def complete_templates(incomplete: str) -> list[str]:
    """The strategy templates."""
    from qfund.strategy import templates

    return [name for name in templates.names() if name.startswith(incomplete)]


def complete_symbols(incomplete: str) -> list[str]:
    """Stored symbols, after the last comma of what is typed; those named before it are not offered again."""
    done, comma, begun = incomplete.rpartition(",")
    with _stored() as store:
        if store is None:
            return []
        from qfund.store import securities

        known = {listing.symbol for listing in securities.listings(store).values()}
    fresh = sorted(known - set(done.split(",")))
    return [f"{done}{comma}{symbol}" for symbol in fresh if symbol.startswith(begun.upper())]


def complete_universes(incomplete: str) -> list[str]:
    """The stored universes, and those that come with qfund."""
    from qfund.commands.origins import bundled

    known = set(bundled())
    with _stored() as store:
        if store is not None:
            from qfund.store import universes

            known |= {one.name for one in universes.universes(store)}
    return sorted(name for name in known if name.startswith(incomplete))


def complete_runs(incomplete: str) -> list[tuple[str, str]]:
    """The newest runs' ids, each with its strategy and period."""
    with _stored() as store:
        if store is None:
            return []
        from qfund.store import runs

        return [
            (run.run_id, f"{run.strategy} {run.since} to {run.until}")
            for run in runs.list_runs(store, limit=MOST_RUNS)
            if run.run_id.startswith(incomplete)
        ]


@contextmanager
def _stored() -> Iterator[Store | None]:
    """The project's store, or None when there is none yet or it cannot be opened now."""
    from qfund.config import load
    from qfund.store import open_store

    with ExitStack() as stack:
        try:
            settings = load(Path.cwd(), environ=os.environ)
            if settings.store.url is None and not (settings.home / "postgres").is_dir():
                store = None
            else:
                url = settings.store.url.reveal() if settings.store.url else None
                store = stack.enter_context(open_store(url, settings.home))
        except QfundError:
            store = None  # a Tab is no place for an error; the command itself will tell
        yield store

"""``qfund doctor``: whether this machine can do the work, one line a check, each failure with what mends it.

Promises: runs every check also after one failed; changes nothing outside the state folder, and outside of a
project tries the database in a temporary folder. Exit 3 when something has to be set right, 13 when something
does not answer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from qfund.commands.session import Session
from qfund.console import Outcome, Table
from qfund.errors import ConfigError, NotFoundError, QfundError, UpstreamError

OLDEST_PYTHON = (3, 11)
NEWEST_PYTHON = (3, 13)
LEAST_FREE = 500 * 1024**2  # bytes; a new cluster takes about 40 MB, its log and a few years of bars the rest
MOST_SKEW = 30.0  # seconds
BORN = datetime(2026, 1, 1, tzinfo=UTC)  # this program did not exist before


def register(root: typer.Typer) -> None:
    """Add ``qfund doctor`` to the command line."""
    root.command(name="doctor", short_help="Check that all is well.", rich_help_panel="Upkeep")(doctor)


@dataclass(frozen=True)
class Examined:
    """One check: its name, ``ok``, ``failed`` or ``not tried``, and what was found or the error."""

    name: str
    state: str
    found: str
    error: QfundError | None = None


def doctor(
    ctx: typer.Context,
    full: Annotated[
        bool, typer.Option("--full", help="Also simulate known orders and compare with the answer.")
    ] = False,
) -> None:
    """Check this machine, the configuration, the database, the plug-ins and the engine.

    Example: qfund doctor --full
    """
    session = Session.of(ctx)
    with session.console.status("Checking"):
        examined = list(_examined(session, full=full))
    errors = tuple(one.error for one in examined if one.error)
    session.console.show(
        Outcome(
            command="doctor",
            data={"checks": [{"name": e.name, "state": e.state, "found": e.found} for e in examined]},
            blocks=(Table(("check", "state", "found"), [(e.name, e.state, e.found) for e in examined]),),
            errors=errors,
            exit_code=max((error.exit_code for error in errors), default=0),
        )
    )


def _examined(session: Session, *, full: bool) -> Iterator[Examined]:
    """Every check, also after one failed; one that stumbles over an earlier one's fault was not tried."""
    told: set[str] = set()
    for name, check in _checks(session, full=full):
        try:
            yield Examined(name, "ok", check())
        except QfundError as error:
            if error.message in told:
                yield Examined(name, "not tried", "")
            else:
                yield Examined(name, "failed", "see below", error)
            told.add(error.message)


def _checks(session: Session, *, full: bool) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "python", _python
    yield "clock", _clock
    yield "configuration", lambda: _configuration(session)
    yield "state folder", lambda: _state_folder(session)
    yield "free disk", lambda: _free_disk(session)
    yield "database", lambda: _database(session)
    yield "vendors", _vendors
    yield "calendar", lambda: _calendar(session)
    yield "engine", _engine
    if full:
        yield "engine's answers", _answers


def _python() -> str:
    version = sys.version_info[:2]
    shown = ".".join(map(str, sys.version_info[:3]))
    if not OLDEST_PYTHON <= version <= NEWEST_PYTHON:
        raise ConfigError(
            f"This is Python {shown}; qfund is made for 3.11 to 3.13.",
            fix="make a virtual environment with Python 3.13 and install qfund there",
            code="PYTHON_VERSION",
        )
    return f"Python {shown}"


def _clock() -> str:
    now = datetime.now(UTC)
    installed = datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC)
    if now < max(BORN, installed - timedelta(days=1)):
        raise ConfigError(
            f"The clock says {now:%Y-%m-%d %H:%M}Z, before qfund was installed ({installed:%Y-%m-%d}).",
            fix="set the machine's clock (timedatectl set-ntp true)",
            code="CLOCK",
        )
    return f"{now:%Y-%m-%d %H:%M:%S}Z"


def _configuration(session: Session) -> str:
    settings = session.settings
    if settings.store.url is not None:
        settings.store.url.reveal()
    return ", ".join(path.name for path in settings.files) or "no file; defaults"


def _existing(path: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    return next(near for near in (path, *path.parents) if near.is_dir())


def _state_folder(session: Session) -> str:
    import tempfile

    home = session.settings.home
    try:
        with tempfile.NamedTemporaryFile(dir=_existing(home)):
            return str(home)
    except OSError as error:
        raise ConfigError(
            f"The state folder {home} cannot be written: {error.strerror}.",
            fix="run in a folder that you may write to, or set QFUND_HOME",
            code="STATE_FOLDER",
        ) from error


def _free_disk(session: Session) -> str:
    import shutil

    folder = _existing(session.settings.home)
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE:
        raise UpstreamError(
            f"Only {free / 1024**2:,.0f} MB are free at {folder}; qfund wants {LEAST_FREE / 1024**2:,.0f}.",
            fix="free some disk space",
            code="DISK_FULL",
        )
    return f"{free / 1024**3:,.1f} GB"


def _database(session: Session) -> str:
    import tempfile

    from qfund.store import check, open_store

    settings = session.settings
    if settings.store.url is None and not settings.home.exists():
        with tempfile.TemporaryDirectory() as folder, open_store(None, Path(folder)) as store:
            facts, where = check.facts(store), "tried in a temporary folder"
    else:
        with session.open_store() as store:
            facts = check.facts(store)
            where = "embedded" if facts.embedded else facts.url
    if abs(facts.clock_skew_seconds) > MOST_SKEW:
        raise ConfigError(
            f"The database's clock is {facts.clock_skew_seconds:+.0f} s off this machine's.",
            fix="set both clocks (timedatectl set-ntp true)",
            code="CLOCK",
        )
    return f"PostgreSQL {facts.server_version}, schema {facts.revision}, {where}"


def _vendors() -> str:
    from qfund import plugins

    names = plugins.names("qfund.vendors")
    if not names:
        raise ConfigError(
            "No data vendor is installed, not even the sample.",
            fix="pip install --force-reinstall qfund",
            code="NO_VENDOR",
        )
    for name in names:
        plugins.load("qfund.vendors", name)
    return ", ".join(names)


def _calendar(session: Session) -> str:
    from qfund.market.sessions import sessions

    name = session.settings.backtest.calendar
    today = datetime.now(UTC).date()
    try:
        ahead = sessions(name, today, today + timedelta(days=14))
    except NotFoundError as error:
        raise ConfigError(
            f"backtest.calendar: {error.message}", fix="qfund config show --origin", code=error.code
        ) from error
    if not len(ahead):
        raise ConfigError(
            f"The calendar {name} knows no session in the two weeks after {today}.",
            fix="pip install --upgrade exchange-calendars",
            code="CALENDAR_ENDS",
        )
    first: date = ahead[0].date()
    return f"{name}, next session {first}"


def _engine() -> str:
    from qfund.backtest.engine import engine_versions

    versions = engine_versions()
    return f"vectorbt {versions['vectorbt']} and its Rust kernel"


def _answers() -> str:
    from qfund.backtest.engine import probe

    found = probe()
    if not found.agrees:
        raise ConfigError(
            "On this machine the engine fills known orders differently from vectorbt's own portfolio"
            f" (relative difference {found.largest_difference:.2g}).",
            fix="pip install --force-reinstall 'vectorbt[rust]'",
            code="ENGINE_DIFFERS",
            details={"versions": found.versions},
        )
    return f"{found.orders} orders filled as vectorbt's Rust and numba engines fill them"

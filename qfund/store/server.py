"""The embedded PostgreSQL: one server per state folder, started by the first command, stopped by the last.

Everything of it lives in ``<home>/postgres`` (mode 0700): ``data`` the cluster, ``server.log``, the socket
and two lock files. No TCP port is opened. Promises:

- Commands share the server. ``start.lock`` serialises its creation and start; every user holds a shared lock
  on ``users.lock``, and whoever can turn that into an exclusive one at its end was the last and stops it.
  A killed command therefore leaves the server to the next; a killed server is recovered by the next start.
- The cluster is created beside its place and renamed, so that an interrupted creation leaves nothing behind.
- No mode or owner of anything outside ``<home>/postgres`` is changed, as root neither: see ``launch``.

It never deletes data, and never starts a server for a folder that another user owns.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from qfund.errors import ConfigError, UpstreamError
from qfund.store import postmaster
from qfund.store.postmaster import Owner, Programs

DATABASE = "qfund"
USER = "qfund"
START_SECONDS = 300.0  # recovery after a crash replays up to max_wal_size
RETRY_SECONDS = 15.0  # for the leftovers of a killed server to go
STOP_SECONDS = 120.0
LONGEST_LOG = 10 << 20  # bytes; a longer one is put aside before the next start
POLL_SECONDS = 0.01

Waiting = Callable[[str], None]


def _silent(_: str) -> None:
    """The listener that ignores why we wait."""


@contextmanager
def serving(home: Path, *, on_wait: Waiting = _silent) -> Iterator[str]:
    """Start or join the server of a state folder; yields its ``postgresql://`` address.

    Args:
        home: the state folder; created when it does not exist.
        on_wait: told in a few words whenever something takes longer than a moment.

    Raises:
        ConfigError: the folder cannot be written, or its server cannot be run by this user.
        UpstreamError: the disk is full, or the server does not start (with the end of its log).
    """
    place = _place(home)
    users = _join(place, on_wait)
    try:
        yield _address(place)
    finally:
        _leave(place, users)


class _Place:
    """The paths of one embedded server, and the user it runs as."""

    def __init__(self, folder: Path, owner: Owner) -> None:
        self.folder = folder
        self.owner = owner
        self.data = folder / "data"
        self.log = folder / "server.log"
        self.start_lock = folder / "start.lock"
        self.users_lock = folder / "users.lock"


def _place(home: Path) -> _Place:
    """The server's folder, made when it is missing; nothing above it is touched."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        home = home.resolve()
        folder = home / "postgres"
        if not folder.exists():
            _make_private(folder, postmaster.owner_for(home))
        _check_owner(folder)
        return _Place(folder, postmaster.owner_for(folder))
    except OSError as error:
        raise _disk_error(error, home) from error


def _make_private(folder: Path, owner: Owner) -> None:
    """A folder of mode 0700 that appears with its owner already right."""
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        owner.give(fresh)
        fresh.rename(folder)
    except OSError as error:
        fresh.rmdir()
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise  # else another command was first, which is as good


def _check_owner(folder: Path) -> None:
    holder = folder.stat().st_uid
    if os.geteuid() not in {0, holder}:
        raise ConfigError(
            f"The database in {folder} belongs to another user (uid {holder}).",
            fix="run as that user, or give this one a store of its own: set store.url",
            code="STORE_OWNER",
        )


def _disk_error(error: OSError, path: Path) -> ConfigError | UpstreamError:
    """What a failing system call on the state folder means to the user."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return disk_full(path)
    return ConfigError(
        f"The state folder {path} cannot be used: {error.strerror or error}.",
        fix="run in a folder that you may write to, or set store.url",
        code="STATE_FOLDER",
    )


def disk_full(path: Path | None = None) -> UpstreamError:
    """The error for a disk without space, wherever it shows."""
    where = "" if path is None else f" while writing to {path}"
    return UpstreamError(
        f"The disk is full{where}; nothing that was committed is lost.",
        fix="free some space and run the command again",
        code="DISK_FULL",
    )


# ---------------------------------------------------------------- locks


def _locked(path: Path, kind: int, why: str, owner: Owner, on_wait: Waiting) -> int:
    """A file descriptor that holds a ``flock``; waits for it as long as it takes."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        owner.give(path)
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait(why)
            fcntl.flock(descriptor, kind)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _join(place: _Place, on_wait: Waiting) -> int:
    """Become a user of the running server, starting it when needed; returns the users' lock."""
    starts = "waiting for another command that starts the database"
    stops = "waiting for another command that stops the database"
    with ExitStack() as stack:
        try:
            starting = _locked(place.start_lock, fcntl.LOCK_EX, starts, place.owner, on_wait)
            stack.callback(os.close, starting)
            users = _locked(place.users_lock, fcntl.LOCK_SH, stops, place.owner, on_wait)
            undo = stack.enter_context(ExitStack())
            undo.callback(os.close, users)
            _ensure_running(place, on_wait)
            undo.pop_all()  # it runs: the lock is kept
        except OSError as error:
            raise _disk_error(error, place.folder) from error
    return users


def _leave(place: _Place, users: int) -> None:
    """Stop being a user; the last one stops the server and waits until it has written everything."""
    try:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        pid = postmaster.running(place.data)
        if pid is None:
            return
        sockets = postmaster.socket_in_use(place.data)
        os.kill(pid, signal.SIGINT)  # "fast": roll back what is open, write a checkpoint, end
        patience = time.monotonic() + STOP_SECONDS
        while postmaster.running(place.data) == pid and time.monotonic() < patience:
            time.sleep(POLL_SECONDS)
        if sockets != place.folder and not any(sockets.iterdir()):
            sockets.rmdir()  # the private folder for a socket whose path would have been too long
    except (ProcessLookupError, FileNotFoundError, UpstreamError):
        return  # it ended by itself between two looks
    finally:
        os.close(users)


# ---------------------------------------------------------------- creation and start


def _ensure_running(place: _Place, on_wait: Waiting) -> None:
    """A server that answers, whatever the last command left behind; the start lock is held."""
    programs = postmaster.programs()
    for leftover in place.folder.glob("data.new-*"):
        _remove(leftover)
    if not (place.data / "PG_VERSION").exists():
        on_wait("creating the database")
        _create(place, programs)
    _check_version(place, programs)
    deadline = time.monotonic() + RETRY_SECONDS
    while not _started(place, programs, deadline, on_wait):
        time.sleep(0.2)


def _remove(leftover: Path) -> None:
    """Remove a killed creation, whose programs may go on writing for a moment."""
    deadline = time.monotonic() + RETRY_SECONDS
    while leftover.exists() and time.monotonic() < deadline:
        shutil.rmtree(leftover, ignore_errors=True)
        time.sleep(POLL_SECONDS)


def _create(place: _Place, programs: Programs) -> None:
    fresh = Path(tempfile.mkdtemp(prefix="data.new-", dir=place.folder))
    try:
        place.owner.give(fresh)
        postmaster.create(programs, place.owner, fresh, user=USER, database=DATABASE)
        fresh.rename(place.data)
        _sync_folder(place.folder)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_version(place: _Place, programs: Programs) -> None:
    found = (place.data / "PG_VERSION").read_text().strip()
    if found != programs.major:
        raise ConfigError(
            f"The database in {place.data} was made by PostgreSQL {found}; "
            f"this installation has PostgreSQL {programs.major}.",
            fix="install the qfund version that made it, or set store.url",
            code="STORE_VERSION",
        )


def _started(place: _Place, programs: Programs, deadline: float, on_wait: Waiting) -> bool:
    """Whether the server answers now; False: leftovers of a killed one are in the way, try again.

    Raises:
        UpstreamError: it does not start.
    """
    pid = postmaster.running(place.data)
    if pid is None and place.log.exists() and place.log.stat().st_size > LONGEST_LOG:
        place.log.replace(place.log.with_suffix(".log.old"))
    seen = place.log.stat().st_size if place.log.exists() else 0
    if pid is None:
        patient = time.monotonic() < deadline
        if not postmaster.cleared(place.data) and patient:
            return False
        pid = postmaster.start(programs, place.owner, place.data, place.log, _socket_folder(place))
    begun = time.monotonic()
    told = False
    while time.monotonic() - begun < START_SECONDS:
        if postmaster.answers(place.data):
            return True
        if not postmaster.alive(pid, place.data):
            return _excused(place, seen, retry=time.monotonic() < deadline)
        if not told and time.monotonic() - begun > 1:
            on_wait("waiting for the database to recover")
            told = True
        time.sleep(POLL_SECONDS)
    raise UpstreamError(
        f"The database did not start within {START_SECONDS:.0f} s: {_last_lines(place, seen)}",
        fix=f"read {place.log}",
        code="STORE_START",
    )


def _excused(place: _Place, seen: int, *, retry: bool) -> bool:
    """False when the server ended for a reason that passes; raises for one that does not."""
    said = _last_lines(place, seen)
    if "No space left on device" in said:
        raise disk_full(place.folder)
    passing = (
        "pre-existing shared memory block",
        "already exists",
        "database system is shutting down",
    )
    if retry and (not said or any(sign in said for sign in passing)):
        return False
    raise UpstreamError(
        f"The database does not start: {said or 'it says nothing'}",
        fix=f"read {place.log}",
        code="STORE_START",
    )


def _last_lines(place: _Place, seen: int, *, most: int = 6) -> str:
    """The end of what the server logged since byte ``seen``."""
    if not place.log.exists():
        return ""
    with place.log.open("rb") as log:
        log.seek(seen)
        lines = log.read()[-20_000:].decode(errors="replace").splitlines()
    return "\n".join(line for line in lines[-most:] if line.strip())


# ---------------------------------------------------------------- socket


def _socket_folder(place: _Place) -> Path:
    return postmaster.socket_folder(place.folder, place.owner)


def _address(place: _Place) -> str:
    """The ``postgresql://`` address that libpq understands; holds no secret."""
    from urllib.parse import quote

    host = quote(str(postmaster.socket_in_use(place.data)), safe="")
    return f"postgresql://{USER}@/{DATABASE}?host={host}&port={postmaster.PORT}"

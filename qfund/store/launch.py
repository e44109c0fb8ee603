"""A tiny program that becomes a PostgreSQL program: as an unprivileged user, in its own session.

Run by ``qfund.store.server`` as ``python -I -S launch.py JSON``; it imports the standard library only.
PostgreSQL refuses to run as uid 0, so root's server runs as another user. That user often cannot enter
root's folders; the answer is one *ambient capability* for the server's process (``capabilities(7)``), the
smallest that suffices, and none when the paths can be reached without. It never changes the mode or the
owner of anything.

The JSON object holds ``command`` (list), ``environment`` (dict), ``uid`` and ``gid`` (null: stay who we
are), ``reads`` and ``executes`` (paths that the user must reach), ``log`` (path: go to the background, in a
session of its own, and print the process id; null: stay in the foreground).

Exit codes of its own: 91 the user cannot be switched to or cannot reach a path (the reason is on stderr).
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

UNREACHABLE = 91

# linux/capability.h, linux/prctl.h
CAP_DAC_OVERRIDE = 1  # read, write and execute whatever the modes say
CAP_DAC_READ_SEARCH = 2  # read files and enter folders whatever the modes say
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAPABILITY_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _refuse(reason: str) -> NoReturn:
    sys.stderr.write(reason + "\n")
    raise SystemExit(UNREACHABLE)


def _permitted() -> int:
    """The capabilities this process may use, as a bit set."""
    sets = (_Sets * 2)()
    if _libc().capget(ctypes.byref(_Header(CAPABILITY_VERSION_3, 0)), sets) != 0:
        return 0
    return int(sets[0].permitted) | int(sets[1].permitted) << 32


def _keep_only(capability: int | None) -> None:
    """Give up every capability but one, and hand that one on to the program that is started."""
    bits = 0 if capability is None else 1 << capability
    sets = (_Sets * 2)(_Sets(bits, bits, bits), _Sets(0, 0, 0))
    libc = _libc()
    if libc.capset(ctypes.byref(_Header(CAPABILITY_VERSION_3, 0)), sets) != 0:
        _refuse(f"capset: {os.strerror(ctypes.get_errno())}")
    if capability is not None and libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0):
        _refuse(f"the capability cannot be handed on: {os.strerror(ctypes.get_errno())}")


def _missing(paths: Iterable[str], mode: int) -> str | None:
    """The first of the paths that the real user, without capabilities, cannot reach."""
    return next((path for path in paths if not os.access(path, mode)), None)


def _choose(unread: str | None, unrun: str | None, permitted: int) -> int | None:
    """The smallest capability that reaches everything, None when none is needed."""
    wanted = [CAP_DAC_OVERRIDE] if unrun else [CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE]
    if unread is None and unrun is None:
        return None
    for capability in wanted:
        if permitted >> capability & 1:
            return capability
    return _refuse(f"it cannot reach {unrun or unread}, and the capability to do so is not granted")


def _runs_only_for_owner(path: str) -> bool:
    """Whether the file's own bits, not only its folders, keep others from running it."""
    return not os.stat(path).st_mode & 0o001  # noqa: PTH116 - pathlib would double the start-up time


def _become(uid: int, gid: int, reads: list[str], executes: list[str]) -> None:
    linux = sys.platform == "linux"
    # Looked at while still root: afterwards the folders above may hide the file.
    locked = next((path for path in executes if _runs_only_for_owner(path)), None)
    permitted = _permitted() if linux else 0
    if linux:
        _libc().prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    try:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    except OSError as error:
        _refuse(f"uid {uid} cannot be switched to ({error.strerror})")
    unrun = _missing(executes, os.X_OK)
    unread = _missing(reads, os.R_OK) or unrun
    capability = _choose(unread, locked if unrun else None, permitted)
    if linux:
        _keep_only(capability)


def _to_background(log: str) -> None:
    """Fork: the parent prints the child's id and ends, the child leaves the terminal's session."""
    child = os.fork()
    if child:
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        os._exit(0)
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    silence = os.open(os.devnull, os.O_RDONLY)
    os.dup2(silence, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


def main(order: dict[str, Any]) -> NoReturn:
    """Become the program that the order names; see the module."""
    if order["uid"] is not None:
        _become(order["uid"], order["gid"], order["reads"], order["executes"])
    os.chdir("/")  # the caller's folder may be closed to the new user
    os.umask(0o077)
    if order["log"] is not None:
        _to_background(order["log"])
    os.execve(order["command"][0], order["command"], order["environment"])  # noqa: S606


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

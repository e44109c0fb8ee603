"""The real program as a user meets it: as a process with pipes, or on a pseudo-terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = (sys.executable, "-m", "qfund")
PATIENCE = 60.0


@dataclass(frozen=True)
class Ran:
    """How a run ended, and what it wrote."""

    code: int
    out: str
    err: str = ""

    @property
    def document(self) -> dict[str, Any]:
        """Stdout as the one JSON document that it must be."""
        found: dict[str, Any] = json.loads(self.out)
        return found


def environment(**more: str) -> dict[str, str]:
    """The process's variables without those that would change what qfund prints."""
    changing = ("QFUND", "NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(changing)}
    return {**kept, "TERM": "xterm-256color", **more}


def run(*words: str, cwd: Path, env: Mapping[str, str] | None = None, typed: str = "") -> Ran:
    """Run ``qfund`` with pipes."""
    done = subprocess.run(
        [*PROGRAM, *words],
        cwd=cwd,
        env=environment(**(env or {})),
        input=typed,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def run_on_terminal(
    words: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    reply_to: str | None = None,
    keys: str = "",
    piped: Sequence[str] = (),
    program: Sequence[str] = PROGRAM,
) -> Ran:
    """Run ``qfund`` on a pseudo-terminal, 100 columns wide.

    Args:
        words: the command line.
        cwd: where to run it.
        env: further variables.
        reply_to: once this text was written, ``keys`` are typed.
        keys: what is typed; ``\\x03`` is Ctrl-C.
        piped: of ``stdout`` and ``stderr``, those that are pipes instead.
        program: what to run instead of qfund.

    Returns:
        ``out`` is what came on the terminal, or through the pipe of stdout; ``err`` what came through that of stderr.
    """
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*program, *words],
        cwd=cwd,
        env=environment(COLUMNS="100", **(env or {})),
        stdin=follower,
        stdout=subprocess.PIPE if "stdout" in piped else follower,
        stderr=subprocess.PIPE if "stderr" in piped else follower,
        start_new_session=True,
        preexec_fn=_take_terminal,  # noqa: PLW1509 - nothing here has threads
    )
    os.close(follower)
    screen = _watch(leader, process, reply_to, keys)
    out, err = process.communicate(timeout=PATIENCE)
    os.close(leader)
    return Ran(
        process.returncode,
        (out or b"").decode() if "stdout" in piped else screen,
        (err or b"").decode() if "stderr" in piped else screen,
    )


def _take_terminal() -> None:
    """Make the pseudo-terminal the one whose Ctrl-C reaches the process."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _watch(leader: int, process: subprocess.Popen[bytes], reply_to: str | None, keys: str) -> str:
    """Read the screen until the process ends, typing the keys when the text to reply to stands there."""
    seen = b""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        ready, _, _ = select.select([leader], [], [], 0.05)
        if ready:
            try:
                read = os.read(leader, 65536)
            except OSError:  # Linux says EIO when the last writer has closed
                read = b""
            if not read:
                break
            seen += read
        elif process.poll() is not None:
            break
        if reply_to is not None and reply_to in seen.decode(errors="replace"):
            os.write(leader, keys.encode())
            reply_to = None
    else:
        process.send_signal(signal.SIGKILL)
    return seen.decode(errors="replace").replace("\r\n", "\n")

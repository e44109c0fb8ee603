"""Starting, watching and killing commands that use the store, as this user or as another."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
OTHER = "nobody"


class Command:
    """A running ``tests.support.client``, in a session of its own like a command in a terminal."""

    def __init__(
        self, home: Path, *what: str, before: tuple[str, ...] = (), python: str = sys.executable
    ) -> None:
        paths = [str(REPOSITORY), *(path for path in sys.path if path.endswith("site-packages"))]
        self.process = subprocess.Popen(
            [*before, python, "-m", "tests.support.client", str(home), *what],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(paths), "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def line(self, starts: str) -> str:
        """The next line that begins so; fails when the command ends without it."""
        said = []
        for line in self.process.stdout:
            said.append(line)
            if line.startswith(starts):
                return line.strip()
        pytest.fail(f"it ended with {self.process.wait()} and said {said}")

    def go_on(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def signal(self, number: int, *, group: bool = False) -> int:
        (os.killpg if group else os.kill)(self.process.pid, number)
        return self.process.wait(timeout=60)

    def end(self) -> tuple[int, str]:
        """Exit code, and what it still said."""
        said, _ = self.process.communicate(timeout=120)
        return self.process.returncode, said

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@contextmanager
def command(home: Path, *what: str, **how: object) -> Iterator[Command]:
    started = Command(home, *what, **how)
    try:
        yield started
    finally:
        started.close()


def said(home: Path, *what: str, **how: object) -> tuple[int, str]:
    """Run to the end: exit code and output."""
    with command(home, *what, **how) as one:
        return one.end()


def postmaster(home: Path) -> int | None:
    """The server's process id when it runs."""
    try:
        pid = int((home / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0])
        command_line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return None
    return pid if b"postgres" in command_line else None


def kill_server(home: Path) -> None:
    """Kill the server and wait until its backends have noticed."""
    data = home.resolve() / "postgres" / "data"
    os.kill(postmaster(home), signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any(works_in(data, entry) for entry in Path("/proc").glob("[0-9]*")):
        assert time.monotonic() < deadline, "the backends outlive their server"
        time.sleep(0.02)


def works_in(data: Path, entry: Path) -> bool:
    try:
        return (entry / "cwd").readlink() == data
    except OSError:
        return False  # it ended, or is another user's


def as_other() -> dict[str, object]:
    """How to run a command as an ordinary user, from root.

    The interpreter must be one that this user may reach; a build below root's home is not.
    """
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0:
        pytest.skip("only root can start a command as another user; the tests for one's own user run instead")
    if setpriv is None:
        pytest.skip("setpriv (util-linux) is not installed")
    before = (setpriv, f"--reuid={OTHER}", f"--regid={gid_of(OTHER)}", "--clear-groups")
    tried = [sys.executable, *(str(path) for path in Path("/usr/bin").glob("python3.1[1-9]"))]
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    # It has to be able to start itself again: setpriv's own exec still has root's rights to enter folders.
    test = (
        "import os, subprocess, sys;"
        f"ok = sys.version_info >= (3, 11) and all(os.access(path, os.R_OK) for path in ({packages!r}, {str(REPOSITORY)!r}));"
        "sys.exit(subprocess.run([sys.executable, '-c', 'pass']).returncode or not ok)"
    )
    for python in tried:
        try:
            if (
                subprocess.run(
                    [*before, python, "-c", test], capture_output=True, check=False, cwd="/"
                ).returncode
                == 0
            ):
                return {"before": before, "python": python}
        except OSError:
            continue
    # Reach the interpreter by capability; it can still write nowhere that an ordinary user cannot.
    before += ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    if subprocess.run(
        [*before, sys.executable, "-c", "pass"], capture_output=True, check=False, cwd="/"
    ).returncode:
        pytest.skip(f"no Python that the user {OTHER} may run")
    return {"before": before, "python": sys.executable}


def gid_of(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid

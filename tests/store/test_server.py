"""The embedded server: shared, stopped by the last, never lost, and nobody's folder is touched."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from qfund.errors import ConfigError, UpstreamError
from qfund.store import open_store, postmaster
from qfund.store.server import serving
from tests.support.commands import OTHER, as_other, command, gid_of, kill_server, said
from tests.support.commands import postmaster as server_of

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can mount a file system or become another user"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A state folder whose cluster has been created, stopped."""
    home = tmp_path_factory.mktemp("made")
    with open_store(None, home):
        pass
    return home


@pytest.fixture
def home(made, tmp_path):
    """A copy of it: creating a cluster takes longer than copying one."""
    copied = tmp_path / "home"
    shutil.copytree(made, copied, symlinks=True)
    if os.geteuid() == 0:
        for path in [copied / "postgres", *(copied / "postgres").rglob("*")]:
            os.chown(path, *owner(made / "postgres"), follow_symlinks=False)
    return copied


@pytest.fixture
def reachable():
    """A folder that every user may enter; pytest's own are closed to others."""
    place = Path(tempfile.mkdtemp(prefix="qfund-test-", dir="/tmp"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place, ignore_errors=True)


def owner(path):
    seen = path.stat()
    return seen.st_uid, seen.st_gid


# ---------------------------------------------------------------- sharing


def test_the_last_user_stops_the_server(home):
    with ExitStack() as first:
        one = first.enter_context(serving(home))
        with serving(home) as other:
            assert one == other
            pid = server_of(home)
        assert server_of(home) == pid is not None
    assert server_of(home) is None
    assert not (home / "postgres" / "data" / "postmaster.pid").exists()


def test_no_tcp_port_is_open_and_only_the_owner_enters(home):
    with open_store(None, home) as store, store.sql.connect() as connection:
        assert connection.exec_driver_sql("SHOW listen_addresses").scalar() == ""
        assert connection.exec_driver_sql("SHOW fsync").scalar() == "on"
        assert connection.exec_driver_sql("SHOW data_checksums").scalar() == "on"
        assert connection.exec_driver_sql("SHOW server_encoding").scalar() == "UTF8"
    assert (home / "postgres").stat().st_mode & 0o777 == 0o700


def test_two_commands_that_start_at_once_share_one_server(tmp_path):
    with command(tmp_path / "new", "join") as one, command(tmp_path / "new", "join") as other:
        assert one.line("joined") == other.line("joined")
        assert server_of(tmp_path / "new") is not None
        one.go_on()
        assert one.end() == (0, "left\n")
        assert server_of(tmp_path / "new") is not None
        other.go_on()
        assert other.end() == (0, "left\n")
    assert server_of(tmp_path / "new") is None


def test_many_commands_come_and_go(home):
    with ExitStack() as stack:
        running = [stack.enter_context(command(home, "insert", f"v{n}")) for n in range(5)]
        for one in running:
            one.line("committed")
            one.go_on()
        assert [one.end()[0] for one in running] == [0] * 5
    assert said(home, "names")[1].split()[1:] == sorted(
        f"v{n}{end}" for n in range(5) for end in ("", "-open")
    )
    assert server_of(home) is None


@linux
def test_the_server_is_out_of_reach_of_the_terminals_ctrl_c(home):
    with command(home, "join") as one, command(home, "join") as other:
        one.line("joined")
        other.line("joined")
        pid = server_of(home)
        assert os.getsid(pid) not in {os.getsid(one.process.pid), os.getsid(other.process.pid)}
        one.signal(signal.SIGINT, group=True)
        assert server_of(home) == pid
        other.go_on()
        assert other.end()[0] == 0
    assert server_of(home) is None


# ---------------------------------------------------------------- killed


def test_a_killed_command_leaves_what_it_committed_and_the_next_one_stops_the_server(home):
    with command(home, "insert", "kept") as one:
        one.line("committed kept")
        pid = server_of(home)
        one.signal(signal.SIGKILL)
    assert server_of(home) == pid
    assert said(home, "names") == (0, "names kept\n")
    assert server_of(home) is None


@linux
def test_a_killed_server_loses_nothing_committed_and_the_next_command_recovers_it(home):
    for name in ("one", "two"):
        with command(home, "insert", name) as victim:
            victim.line(f"committed {name}")
            kill_server(home)
            victim.go_on()
            code, told = victim.end()
        assert code == 13
        assert "STORE_LOST" in told
    assert said(home, "names") == (0, "names one two\n")


@linux
def test_a_server_killed_together_with_its_command_is_recovered(home):
    with command(home, "insert", "one") as victim:
        victim.line("committed one")
        kill_server(home)
        victim.signal(signal.SIGKILL)
        assert said(home, "names") == (0, "names one\n")


def test_a_stale_pid_file_that_names_a_stranger_is_no_obstacle(home):
    with subprocess.Popen(["sleep", "60"]) as stranger:
        try:
            lines = [
                str(stranger.pid),
                str(home / "postgres" / "data"),
                "1",
                "5432",
                str(home / "postgres"),
                "",
                "1 1",
                "ready",
            ]
            stale = home / "postgres" / "data" / "postmaster.pid"
            stale.write_text("\n".join(lines) + "\n")
            if os.geteuid() == 0:
                os.chown(stale, *owner(home / "postgres"))
            assert said(home, "names") == (0, "names\n")
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_creation_that_is_killed_leaves_no_half_cluster(tmp_path):
    home = tmp_path / "home"
    with command(home, "join") as one:
        one.line("waits creating")
        deadline = time.monotonic() + 20
        while not list((home / "postgres").glob("data.new-*/*")) and time.monotonic() < deadline:
            time.sleep(0.005)
        one.signal(signal.SIGKILL)
    assert not (home / "postgres" / "data").exists()
    assert said(home, "names") == (0, "names\n")
    assert not list((home / "postgres").glob("data.new-*"))


# ---------------------------------------------------------------- places


def test_a_long_path_puts_the_socket_into_a_private_folder(made, tmp_path):
    home = tmp_path / ("long" * 20) / "er"
    home.mkdir(parents=True)
    with serving(home) as url:
        sockets = postmaster.socket_in_use(home.resolve() / "postgres" / "data")
        assert len(os.fsencode(sockets)) < 100
        assert home.resolve() not in sockets.parents
        assert sockets.stat().st_mode & 0o777 == 0o700
        assert sockets.name in url
    assert not sockets.exists()
    with serving(home) as again:
        assert again == url


@linux
def test_a_socket_folder_that_somebody_else_made_is_refused(tmp_path):
    home = tmp_path / ("long" * 20) / "er"
    home.mkdir(parents=True)
    with serving(home):
        sockets = postmaster.socket_in_use(home.resolve() / "postgres" / "data")
    trap = tmp_path / "trap"
    trap.mkdir()
    sockets.symlink_to(trap)
    try:
        with pytest.raises(ConfigError, match="is not qfund's own"), serving(home):
            pass
    finally:
        sockets.unlink()


def test_a_cluster_of_another_version_is_left_alone(home):
    (home / "postgres" / "data" / "PG_VERSION").write_text("12\n")
    with pytest.raises(ConfigError, match="made by PostgreSQL 12") as told, serving(home):
        pass
    assert told.value.code == "STORE_VERSION"


def test_a_server_that_does_not_start_shows_the_end_of_its_log(home):
    (home / "postgres" / "data" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(UpstreamError, match="no_such_setting") as told, serving(home):
        pass
    assert told.value.code == "STORE_START"
    assert server_of(home) is None


def test_a_state_folder_that_cannot_be_made_is_a_matter_of_configuration(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used") as told, serving(tmp_path / "file" / "home"):
        pass
    assert (told.value.code, told.value.exit_code) == ("STATE_FOLDER", 3)


def test_a_read_only_folder_is_a_matter_of_configuration(reachable):
    how = as_other() if os.geteuid() == 0 else {}
    closed = reachable / "closed"
    closed.mkdir(mode=0o555)
    for home in (closed / "home", closed):
        code, told = said(home, "join", **how)
        assert code == 3
        assert "STATE_FOLDER" in told
        assert f"{home} cannot be used: Permission denied" in told


# ---------------------------------------------------------------- full disks


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 160 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160m,mode=0755", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path, keep: int) -> Path:
    """Leave so many bytes free."""
    filler = place / "filler"
    free = shutil.disk_usage(place).free
    with filler.open("wb") as out:
        out.write(b"\0" * max(0, free - keep))
    return filler


@root
@linux
def test_a_disk_that_fills_up_is_told_and_loses_nothing_committed(small_disk):
    home = small_disk / "home"
    with command(home, "insert", "kept") as one:
        one.line("committed")
        one.go_on()
        assert one.end()[0] == 0
    filler = fill(small_disk, keep=24 << 20)
    code, told = said(home, "fill", "60")
    assert code == 13, told
    assert "DISK_FULL" in told
    filler.unlink()
    assert said(home, "names") == (0, "names kept kept-open\n")


@root
@linux
def test_a_disk_without_room_for_the_database_is_told_and_nothing_half_is_left(small_disk):
    fill(small_disk, keep=10 << 20)
    code, told = said(small_disk / "home", "join")
    assert code == 13, told
    assert "DISK_FULL" in told
    assert [path.name for path in (small_disk / "home" / "postgres").glob("data*")] == []


# ---------------------------------------------------------------- modes


def modes(*places: Path) -> dict[str, tuple[int, int, int]]:
    """Mode, owner and group of folders, of all above them, and of all in the PostgreSQL programs' folder."""
    found = {}
    for place in places:
        for path in [place, *place.parents]:
            seen = path.stat()
            found[str(path)] = (seen.st_mode, seen.st_uid, seen.st_gid)
    programs = postmaster.programs().folder.parent.parent
    for path in [programs, *programs.rglob("*")]:
        seen = path.lstat()
        found[str(path)] = (seen.st_mode, seen.st_uid, seen.st_gid)
    return found


def test_ones_own_server_changes_no_mode_outside_its_folder(tmp_path):
    closed = tmp_path / "closed"
    home = closed / "home"
    home.mkdir(parents=True, mode=0o700)
    closed.chmod(0o700)
    home.chmod(0o700)
    folder = postmaster.programs().folder
    before = modes(home, folder)
    with open_store(None, home) as store:
        assert store.embedded
    assert modes(home, folder) == before
    assert [path.name for path in home.iterdir()] == ["postgres"]
    assert (home / "postgres").stat().st_mode & 0o777 == 0o700


@root
@linux
def test_roots_server_runs_as_nobody_with_no_more_than_the_right_to_read(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    with serving(home):
        status = dict(
            line.split(":\t")
            for line in Path(f"/proc/{server_of(home)}/status").read_text().splitlines()
            if ":\t" in line
        )
    assert status["Uid"].split() == [str(owner(home / "postgres")[0])] * 4
    assert status["Groups"].strip() == ""
    read_search = 1 << 2
    assert int(status["CapEff"], 16) | read_search == read_search
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16)


@root
@linux
def test_other_processes_of_nobody_are_not_let_in(home):
    """They share the server's uid, and must not borrow its right to read."""
    with serving(home) as url:
        login = subprocess.run(
            [shutil.which("setpriv"), f"--reuid={OTHER}", f"--regid={gid_of(OTHER)}", "--clear-groups",
             "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
             str(postmaster.programs().folder / "psql"), url, "-c", "SELECT 1"],
            capture_output=True, text=True, check=False, cwd="/", env={"LC_ALL": "C"},
        )  # fmt: skip
    assert login.returncode != 0
    assert "Peer authentication failed" in login.stderr


@root
@linux
def test_an_ordinary_users_server_in_a_closed_home(reachable):
    how = as_other()
    home = reachable / "user"
    home.mkdir(mode=0o700)
    shutil.chown(home, OTHER, gid_of(OTHER))
    folder = postmaster.programs().folder
    before = modes(home, folder)
    with command(home, "join", **how) as one:
        one.line("joined")
        pid = server_of(home)
        assert Path(f"/proc/{pid}").stat().st_uid == home.stat().st_uid
        one.go_on()
        assert one.end()[0] == 0
    assert modes(home, folder) == before
    assert (home / "postgres").stat().st_mode & 0o777 == 0o700


@root
@linux
def test_root_in_an_ordinary_users_folder_runs_the_server_as_that_user(tmp_path):
    home = tmp_path / "user"
    home.mkdir(mode=0o700)
    shutil.chown(home, "daemon")
    with serving(home):
        assert Path(f"/proc/{server_of(home)}").stat().st_uid == home.stat().st_uid
    assert {path.stat().st_uid for path in (home / "postgres").iterdir()} == {home.stat().st_uid}


@root
@linux
def test_the_folder_of_another_user_is_refused(reachable):
    how = as_other()
    home = reachable / "home"
    (home / "postgres").mkdir(parents=True)
    shutil.chown(home / "postgres", "daemon")
    code, told = said(home, "join", **how)
    assert code == 3
    assert "belongs to another user" in told


@root
@linux
def test_root_without_the_capabilities_is_told_what_to_do(tmp_path):
    setpriv = shutil.which("setpriv")
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    without = "-dac_read_search,-dac_override"
    code, told = said(home, "join", before=(setpriv, f"--bounding-set={without}", f"--inh-caps={without}"))
    assert code == 3, told
    assert "store.url" in told

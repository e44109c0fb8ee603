"""A pace that all processes share: never one request too many in any window, and hardly one too few."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from bisect import bisect_left
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfund.errors import LockedError, TimeoutExpiredError, UpstreamError
from qfund.store import open_store
from qfund.store.pacing import Paces, Spacing
from tests.support.databases import running_server

# ---------------------------------------------------------------- the arithmetic

rates = st.tuples(st.integers(1, 20_000), st.floats(0.5, 86_400))


def worst(times: list[float], seconds: float) -> int:
    """Most requests in any closed window."""
    return max((bisect_left(times, first + seconds + 1e-9) - i for i, first in enumerate(times)), default=0)


@given(rates)
def test_the_spacing_keeps_the_rate_by_its_formula_and_uses_it(rate):
    requests, seconds = rate
    spacing = Spacing.of(requests, seconds)
    assert math.floor((seconds + spacing.slack) / spacing.every) + 1 <= max(requests, 1)
    assert requests * spacing.every <= seconds / 0.945
    assert spacing.slack <= 0.006 * seconds
    assert 0 < spacing.margin <= 0.05 * seconds


@pytest.mark.parametrize(("requests", "seconds"), [(200, 60), (10_000, 60), (40, 2), (60, 60), (1000, 10)])
def test_at_least_95_of_100_may_leave(requests, seconds):
    assert seconds / Spacing.of(requests, seconds).every >= 0.95 * requests


@given(rate=st.tuples(st.integers(1, 1000), st.floats(0.5, 60)), idle=st.lists(st.floats(0, 3), max_size=300))
def test_no_window_is_too_full_whatever_the_pauses(rate, idle):
    """The statement's arithmetic, on a clock of the test: next = max(next, now) + every, slot = that − every − slack."""
    requests, seconds = rate
    spacing = Spacing.of(requests, seconds)
    now, tat, sent = 0.0, -math.inf, []
    for pause in [*idle, *[0.0] * min(300, 2 * requests)]:
        now += pause * spacing.every
        tat = max(tat, now) + spacing.every
        now = max(now, tat - spacing.every - spacing.slack)
        sent.append(now)
    assert worst(sent, seconds) <= requests


# ---------------------------------------------------------------- on a database


@contextmanager
def paces(store, *, left=math.inf, sleep=time.sleep):
    opened = Paces(store, sleep=sleep, left=lambda: left)
    try:
        yield opened
    finally:
        opened.close()


def row(store, account="a"):
    with store.sql.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT requests, seconds, told_at IS NOT NULL, next_at, clock_timestamp() FROM ops.pace"
            " WHERE account = %s",
            (account,),
        ).one()
    return tuple(found)


def run(store, statement):
    with store.sql.begin() as connection:
        connection.exec_driver_sql(statement)


def in_threads(number, work):
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_first_request_leaves_at_once_and_the_next_in_its_turn(store):
    with paces(store) as opened:
        pace = opened.pace("a", 10, 1.0)
        assert pace.wait() == 0.0
        assert pace.wait() > 0.05


def test_after_a_long_rest_only_a_small_burst_leaves_at_once(store):
    with paces(store) as opened:
        pace = opened.pace("a", 1000, 600.0)
        at_once = 0
        while pace.wait() == 0.0:
            at_once += 1
            assert at_once < 100
    assert at_once == 6  # 1 + 1000 // 200


def test_what_the_vendor_told_is_for_all_processes_and_outlives_a_declared_rate(store):
    with paces(store) as one, paces(store) as other:
        pace = one.pace("a", 200, 60)
        pace.allow(10_000, 60)
        other.pace("a", 200, 60)
        assert row(store)[:3] == (10_000, 60, True)
        pace.allow(200, 60)
        assert row(store)[:3] == (200, 60, True)


def test_a_declared_rate_holds_until_told_and_again_after_a_day(store):
    with paces(store) as opened:
        opened.pace("a", 200, 60)
        opened.pace("a", 1000, 60)
        assert row(store)[:3] == (1000, 60, False)
        opened.pace("a", 1000, 60).allow(5, 60)
        run(store, "UPDATE ops.pace SET told_at = told_at - interval '25 hours'")
        opened.pace("a", 200, 60)
        assert row(store)[:3] == (200, 60, False)


def test_accounts_do_not_know_of_each_other(store):
    with paces(store) as opened:
        one, other = opened.pace("a", 1, 60), opened.pace("b", 1, 60)
        assert (one.wait(), other.wait()) == (0.0, 0.0)


def test_a_block_holds_for_everybody_also_for_those_who_wait_already(store):
    """The block comes while another waits for a slot that lies before its end."""
    ends = []
    with paces(store) as one, paces(store) as other:
        pace, second = one.pace("a", 10, 4.0), other.pace("a", 10, 4.0)
        pace.wait()
        waiting = threading.Thread(target=lambda: (second.wait(), ends.append(time.monotonic())))
        waiting.start()
        time.sleep(0.1)
        began = time.monotonic()
        pace.block(1.0)
        pace.block(0.2)  # a shorter one takes nothing back
        pace.wait()
        ends.append(time.monotonic())
        waiting.join()
    assert all(end - began >= 0.99 for end in ends)
    assert abs(ends[0] - ends[1]) >= 0.3  # in turn, not together


def test_who_cannot_leave_in_time_is_told_at_once(store):
    with paces(store, left=5.0) as opened:
        pace = opened.pace("a", 1, 3600)
        pace.wait()
        with pytest.raises(TimeoutExpiredError) as told:
            pace.wait()
        assert told.value.exit_code == 124


def test_who_oversleeps_gives_the_slot_up_and_takes_another(store):
    slept = []

    def oversleep(seconds):
        slept.append(seconds)
        time.sleep(seconds + (0.5 if len(slept) == 1 else 0.0))

    with paces(store, sleep=oversleep) as opened:
        pace = opened.pace("a", 10, 2.0)
        pace.wait()
        before = row(store)[3]
        pace.wait()
        taken = (row(store)[3] - before).total_seconds()
    assert taken > 1.5 * Spacing.of(10, 2.0).every


def test_a_database_whose_clock_was_wrong_goes_on(store):
    with paces(store, left=30 * 3600) as opened:
        pace = opened.pace("a", 200, 60)
        run(
            store,
            "UPDATE ops.pace SET next_at = now() + interval '3 years', blocked_until = now() + interval '3 years'",
        )
        with paces(store, left=2.0) as short, pytest.raises(TimeoutExpiredError):
            short.pace("a", 200, 60).wait()
        _, _, _, next_at, now = row(store)
        assert (next_at - now).total_seconds() < 3700
        assert pace is not None


def test_a_lost_connection_is_taken_up_again(store):
    with paces(store) as opened:
        pace = opened.pace("a", 1000, 1.0)
        pace.wait()
        run(
            store,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        assert pace.wait() < 1


def test_a_lost_database_is_an_error_and_no_hang(tmp_path):
    with (
        running_server(tmp_path / "home") as server,
        server.database() as url,
        open_store(url, tmp_path) as store,
        paces(store) as opened,
    ):
        pace = opened.pace("a", 1000, 1.0)
        pace.wait()
        store.sql.dispose()
        name = url.rpartition("/")[2].partition("?")[0]
        server.run("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false", name)
        server.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"  # all but this
        )
        with pytest.raises(UpstreamError):
            pace.wait()


def test_a_row_that_somebody_keeps_is_an_error_and_no_hang(store):
    with paces(store) as opened, store.sql.begin() as connection:
        pace = opened.pace("a", 1000, 1.0)
        connection.exec_driver_sql("SELECT 1 FROM ops.pace FOR UPDATE")
        with pytest.raises(LockedError):
            pace.wait()


# ---------------------------------------------------------------- many at once, on a real clock

PROGRAM = """
import sys, threading, time
from pathlib import Path
from qfund.store import open_store
from qfund.store.pacing import Paces
url, threads, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
with open_store(url, Path(".")) as store:
    paces = Paces(store, left=lambda: float("inf"))
    pace, times = paces.pace("a", 60, 3.0), []
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.monotonic() + seconds
    def work():
        while time.monotonic() < end:
            pace.wait()
            times.append(time.monotonic())
    all_ = [threading.Thread(target=work) for _ in range(threads)]
    [one.start() for one in all_]
    [one.join() for one in all_]
    paces.close()
print(*times, flush=True)
"""


@pytest.mark.parametrize(("processes", "threads"), [(1, 1), (1, 16), (2, 4)])
def test_no_window_is_ever_too_full_and_the_rate_is_used(store_url, processes, threads):
    """60 in 3 s, for 8 s; the monotonic clock is one for all processes of a machine."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, store_url, str(threads), "8"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
    for one in started:
        assert one.stdout.readline() == "ready\n"
    for one in started:
        one.stdin.write("\n")
        one.stdin.flush()
    times = sorted(float(text) for one in started for text in one.communicate(timeout=60)[0].split())
    assert 0.9 * 60 <= worst(times, 3.0) <= 60
    assert len(times) >= 0.75 * 60 * (times[-1] - times[0]) / 3.0

"""The network of a run on a real database against a real server: the rate, the limits, the ledger."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from bisect import bisect_left

import pytest

from qfund.errors import BudgetError, InterruptedRunError, TimeoutExpiredError, UpstreamError
from qfund.ingest.meter import Deadline
from qfund.ingest.network import network
from qfund.store import requests
from qfund.store.requests import Sent
from qfund.vendors.contract import Rate
from tests.support.loopback import loopback, says

BODY = {"bars": {}}
SIZE = len(b'{"bars": {}}')


def wire(line, server, rate=Rate(1000, 1.0)):  # noqa: B008
    return line.network.wire(server.url, account="data 1f3a", rate=rate)


def test_a_run_is_counted_at_every_moment_and_its_ledger_written_at_its_end(store):
    with loopback(says(200, BODY)) as server, network(store, "fake") as line:
        one = wire(line, server)
        one.get("/")
        assert line.sent == Sent(1, size=SIZE)
        assert requests.months(store) == []
        line.record()
        assert requests.this_month(store) == {"fake": Sent(1, size=SIZE)}
        one.get("/")
    assert requests.this_month(store) == {"fake": Sent(2, size=2 * SIZE)}
    assert [line.account for line in requests.months(store)] == ["data 1f3a"]


def test_what_the_vendor_charges_is_in_the_ledger(store):
    with loopback(says(200, BODY)) as server, network(store, "fake", credits_per_request=2.5) as line:
        one = wire(line, server)
        one.get("/")
        line.record()
        one.get("/")
    assert requests.this_month(store)["fake"].credits == 5.0
    with store.sql.connect() as connection:
        assert connection.exec_driver_sql("SELECT credits FROM ops.request_ledger").scalar_one() == 5


def test_a_run_that_fails_is_in_the_ledger_too(store):
    with (
        loopback(says(500)) as server,
        pytest.raises(UpstreamError),
        network(store, "fake", attempts=2) as line,
    ):
        wire(line, server).get("/")
    assert requests.this_month(store)["fake"].requests == 2
    assert requests.this_month(store)["fake"].retried == 1


def test_what_ended_the_run_is_told_although_the_ledger_cannot_be_written(store):
    def fail(server):
        with network(store, "fake") as line:
            wire(line, server).get("/")
            with store.sql.begin() as connection:
                connection.exec_driver_sql("DROP TABLE ops.request_ledger")
            raise ZeroDivisionError

    with loopback(says(200, BODY)) as server, pytest.raises(ZeroDivisionError):
        fail(server)


def test_the_budget_ends_a_run_and_the_ledger_says_so(store):
    with loopback(says(200, BODY)) as server, network(store, "fake", max_requests=3) as line:
        one = wire(line, server)
        for _ in range(3):
            one.get("/")
        with pytest.raises(BudgetError):
            one.get("/")
    assert len(server.asked) == 3
    assert requests.this_month(store)["fake"].requests == 3


def test_the_time_of_a_run_ends_its_waiting_for_the_rate(store):
    with (
        loopback(says(200, BODY)) as server,
        network(store, "fake", deadline=Deadline.after(20)) as line,
    ):
        one = wire(line, server, Rate(1, 3600))
        one.get("/")
        with pytest.raises(TimeoutExpiredError):
            one.get("/")
    assert len(server.asked) == 1


def test_a_429_holds_up_another_run_of_the_account_too(store):
    with (
        loopback(says(429, retry_after="1"), says(200, BODY)) as server,
        network(store, "fake") as line,
        network(store, "fake") as other,
    ):
        one, second = wire(line, server), wire(other, server)
        asking = threading.Thread(target=lambda: one.get("/first"))
        asking.start()
        while not line.sent.throttled:
            time.sleep(0.005)
        time.sleep(0.1)
        second.get("/second")
        asking.join()
        assert line.sent.throttled == 1
    first, *later = server.asked
    assert all(asked.at - first.at >= 1.0 for asked in later)


def test_the_rate_that_the_vendor_tells_is_the_rate_of_all(store):
    with loopback(says(200, BODY, x_ratelimit_limit="50")) as server, network(store, "fake") as line:
        wire(line, server, Rate(200, 60)).get("/")
    with store.sql.connect() as connection:
        told = connection.exec_driver_sql("SELECT requests, seconds FROM ops.pace").one()
    assert tuple(told) == (50, 60)


def test_a_stopped_run_wakes_those_who_wait_and_lets_nothing_leave(store):
    ended = []
    with loopback(says(200, BODY)) as server, network(store, "fake") as line:
        one = wire(line, server, Rate(1, 3600))
        one.get("/")

        def wait():
            try:
                one.get("/")
            except InterruptedRunError:
                ended.append(True)

        waiting = [threading.Thread(target=wait) for _ in range(3)]
        for thread in waiting:
            thread.start()
        time.sleep(0.2)
        line.stop()
        for thread in waiting:
            thread.join(20)
        assert ended == [True] * 3
        with pytest.raises(InterruptedRunError):
            one.get("/")
    assert len(server.asked) == 1


# ---------------------------------------------------------------- the rate as the server sees it

PROGRAM = """
import sys, threading, time
from pathlib import Path
from qfund.ingest.network import network
from qfund.store import open_store
from qfund.vendors.contract import Rate
url, address, threads, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
with open_store(url, Path(".")) as store, network(store, "fake") as line:
    wire = line.network.wire(address, account="data", rate=Rate(60, 3.0))
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.monotonic() + seconds
    def work():
        while time.monotonic() < end:
            wire.get("/")
    all_ = [threading.Thread(target=work) for _ in range(threads)]
    [one.start() for one in all_]
    [one.join() for one in all_]
print(line.sent.requests, flush=True)
"""


@pytest.mark.parametrize(("processes", "threads"), [(1, 1), (1, 4), (1, 16), (2, 4)])
def test_the_server_never_counts_one_too_many_and_few_too_few(store, store_url, processes, threads):
    """60 requests in any 3 s, for 8 s, counted where they arrive.

    The fullest window shows that the rate is used, the mean that it is kept up on a busy machine too.
    """
    with loopback(says(200, BODY)) as server:
        started = [
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM, store_url, server.url, str(threads), "8"],
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
        sent = sum(int(one.communicate(timeout=60)[0]) for one in started)
        times = sorted(asked.at for asked in server.asked)
    assert len(times) == sent == requests.this_month(store)["fake"].requests
    fullest = max(bisect_left(times, first + 3.0) - i for i, first in enumerate(times))
    assert 0.9 * 60 <= fullest <= 60
    assert len(times) >= 0.75 * 60 * (times[-1] - times[0]) / 3.0

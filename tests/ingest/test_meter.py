"""The meter of a run: exact with any number of threads, and the two limits that end the run."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import pytest

from qfund.errors import BudgetError, TimeoutExpiredError, UpstreamError
from qfund.ingest.meter import Deadline, Traffic
from qfund.store.requests import Sent


def test_counts_are_exact_with_many_threads_and_over_all_accounts():
    traffic = Traffic()
    meters = [traffic.meter("data"), traffic.meter("trading")]

    def work(number):
        meter = meters[number % 2]
        meter.sending()
        meter.received(size=10, throttled=number % 4 == 0, retried=number % 8 == 0)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(800)))
    assert traffic.total == Sent(800, 200, 100, 8000)


def test_one_request_too_many_never_leaves_however_many_threads_want_it():
    traffic = Traffic(max_requests=100)
    meters = [traffic.meter("data"), traffic.meter("trading")]

    def work(number):
        try:
            meters[number % 2].sending()
        except BudgetError:
            return 0
        return 1

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(work, range(300))) == 100
    assert traffic.total.requests == 100


def test_no_budget_at_all_sends_nothing():
    with pytest.raises(BudgetError, match="The 0 requests of --max-requests") as told:
        Traffic(max_requests=0).meter("data").sending()
    assert told.value.exit_code == 9


def test_after_the_deadline_nothing_leaves():
    now = [100.0]
    deadline = Deadline.after(30, clock=lambda: now[0])
    meter = Traffic(deadline=deadline).meter("data")
    meter.sending()
    assert deadline.left() == 30
    now[0] = 130.0
    with pytest.raises(TimeoutExpiredError) as told:
        meter.sending()
    assert told.value.exit_code == 124


def test_without_a_deadline_there_is_always_time():
    assert Deadline().left() == Deadline.after(None).left() == math.inf


def test_each_count_is_recorded_once_and_a_failed_record_is_made_up_for():
    traffic, ledger = Traffic(), []
    meter = traffic.meter("data")
    meter.sending()
    traffic.record(ledger.append)
    traffic.record(ledger.append)
    meter.sending()
    meter.received(size=5, throttled=False, retried=False)

    def fail(_sent):
        raise UpstreamError("the database is lost")

    with pytest.raises(UpstreamError):
        traffic.record(fail)
    traffic.record(ledger.append)
    assert [lines["data"] for lines in ledger] == [Sent(1), Sent(), Sent(1, size=5)]

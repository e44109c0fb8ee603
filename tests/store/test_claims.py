"""An instrument of a series is fetched by one living run at a time; the dead hold nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from qfund.store import claims, coverage
from tests.support.stored import Shelf

PROGRAM = """
import sys
from pathlib import Path
from qfund.store import claims, coverage, open_store, securities
with open_store(sys.argv[1], Path(sys.argv[2])) as store:
    series = securities.series(store, vendor="acme", feed="", timeframe="1d")
    run = coverage.start_run(store, "acme", "bars 1d", {})
    with claims.living(store, run):
        print(sorted(claims.take(store, series, [int(n) for n in sys.argv[3:]], run)), flush=True)
        sys.stdin.readline()
"""


@pytest.fixture
def shelf(store):
    made = Shelf(store)
    made.list("A", "B", "C")
    return made


@pytest.fixture
def begin(store):
    return lambda: coverage.start_run(store, "acme", "bars 1d", {})


def statuses(store):
    return [run.status for run in reversed(coverage.recent_runs(store))]


def test_what_one_has_the_other_does_not_get_until_it_is_released(store, shelf, begin):
    a, b, c = sorted(shelf.ids.values())
    one, two = begin(), begin()
    with claims.living(store, one), claims.living(store, two):
        assert claims.take(store, shelf.series, [a, b], one) == {a, b}
        assert claims.take(store, shelf.series, [b, c], two) == {c}
        assert claims.take(store, shelf.series, [a, b], one) == {a, b}  # its own again
        claims.release(store, one)
        assert claims.take(store, shelf.series, [a, b], two) == {a, b}


def test_who_goes_on_and_who_was_killed_is_told_until_another_of_its_kind_follows(store, shelf, begin):
    dead, alive = begin(), begin()
    other = coverage.start_run(store, "acme", "bars 1m", {})
    with claims.living(store, alive):
        told = [(one.ingest_run_id, one.dataset, one.alive) for one in claims.unended(store)]
        assert told == [(dead, "bars 1d", False), (alive, "bars 1d", True), (other, "bars 1m", False)]
    claims.bury(store)
    assert [one.ingest_run_id for one in claims.unended(store)] == [alive, other]
    coverage.finish_run(store, begin(), "ok", {})
    assert [one.ingest_run_id for one in claims.unended(store)] == [other]


def test_another_series_is_another_claim(store, shelf, begin):
    minutes = Shelf(store, timeframe="1m")
    number = shelf.ids["A"]
    one, two = begin(), begin()
    with claims.living(store, one), claims.living(store, two):
        assert claims.take(store, shelf.series, [number], one) == {number}
        assert claims.take(store, minutes.series, [number], two) == {number}


def test_claims_end_with_the_block_of_a_living_run(store, shelf, begin):
    number = shelf.ids["A"]
    one, two = begin(), begin()
    with claims.living(store, one):
        claims.take(store, shelf.series, [number], one)
    with claims.living(store, two):
        assert claims.take(store, shelf.series, [number], two) == {number}


def test_nothing_is_claimed_for_nothing(store, shelf, begin):
    assert claims.take(store, shelf.series, [], begin()) == set()


def test_the_claims_of_a_killed_process_are_taken_over_and_its_run_is_marked(
    store, store_url, shelf, begin, tmp_path
):
    number = shelf.ids["A"]
    words = [sys.executable, "-c", PROGRAM, store_url, str(tmp_path), str(number)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == f"[{number}]\n"
        mine = begin()
        with claims.living(store, mine):
            claims.bury(store)
            assert statuses(store) == ["running", "running"]
            assert claims.take(store, shelf.series, [number], mine) == set()
            os.kill(other.pid, signal.SIGKILL)
            other.wait()
            while not claims.take(store, shelf.series, [number], mine):
                pass  # PostgreSQL notices in a moment that its client is gone
            claims.bury(store)
            assert statuses(store) == ["abandoned", "running"]

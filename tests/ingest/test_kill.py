"""kill -9 at any point, run again: equal to the truth, and nothing that was committed is asked for again."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from qfund.ingest.apply import Ingest
from qfund.ingest.look import Wish
from qfund.store import coverage
from tests.ingest.doubles import Truthful
from tests.ingest.test_apply import assert_equals_truth

# Point, at which step, and how many of the four chunks must be there at least when the process is dead: chunks are
# asked for ahead of their turn to be committed.
DEATHS = [
    ("request", 1, 0),
    ("answer", 2, 0),
    ("actions", 1, 0),
    ("in transaction", 3, 1),  # the first transaction is that of the corporate actions
    ("before commit", 1, 0),
    ("before commit", 2, 0),
    ("before commit", 5, 3),
    ("after commit", 1, 1),
    ("after commit", 4, 4),
]


def chunks_kept(store) -> int:
    runs = coverage.recent_runs(store, 1)
    return runs[0].counters.get("spans_kept", 0) if runs else 0


@pytest.mark.parametrize("death", DEATHS)
def test_a_killed_run_leaves_whole_steps_and_the_next_one_finishes(store, store_url, tmp_path, death):
    point, number, there = death
    words = [sys.executable, "-m", "tests.ingest.killed", store_url, str(tmp_path), point, str(number)]
    dead = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert dead.returncode == -signal.SIGKILL, dead.stderr
    kept = chunks_kept(store)
    assert kept >= there
    vendor = Truthful()
    work = Ingest(store, vendor, Wish())
    list(work.apply(work.plan()))
    assert len(vendor.requests) == 4 - kept
    assert_equals_truth(store)


def test_a_killed_run_is_told_from_a_running_one(store, store_url, tmp_path):
    words = [sys.executable, "-m", "tests.ingest.killed", store_url, str(tmp_path), "request", "2"]
    subprocess.run(words, capture_output=True, timeout=60, check=False)
    work = Ingest(store, Truthful(), Wish())
    list(work.apply(work.plan()))
    assert [run.status for run in coverage.recent_runs(store, 5)] == ["ok", "abandoned"]


def test_two_processes_at_once_fetch_each_span_once(store, store_url, tmp_path):
    """Each of the two asks for what is missing when its turn comes; together they ask for the four spans once."""
    program = (
        "import sys; from pathlib import Path\n"
        "from qfund.store import open_store\n"
        "from qfund.ingest.apply import Ingest\n"
        "from qfund.ingest.look import Wish\n"
        "from tests.ingest.doubles import Truthful\n"
        "vendor = Truthful()\n"
        "with open_store(sys.argv[1], Path(sys.argv[2])) as store:\n"
        "    work = Ingest(store, vendor, Wish(), patience=60.0)\n"
        "    plan = work.plan()\n"
        "    print('planned', flush=True); sys.stdin.readline()\n"
        "    list(work.apply(plan))\n"
        "print(len(vendor.requests))\n"
    )
    words = [sys.executable, "-c", program, store_url, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(words, **pipes) for _ in range(2)]
    for each in both:
        assert each.stdout.readline() == "planned\n"
    for each in both:
        each.stdin.write("go\n")
        each.stdin.flush()
    asked = sorted(int(each.communicate(timeout=60)[0]) for each in both)
    assert [each.returncode for each in both] == [0, 0]
    assert asked == [0, 4]
    assert_equals_truth(store)

"""Two programs ingest at once: nothing is asked twice, what is free is done first, one rate holds for both."""

from __future__ import annotations

import threading
from datetime import date

import pytest

from qfund.testing import Clock, faults
from tests.ingest.rig import EVENING, SINCE, UNTIL, assert_whole
from tests.support.ingesting import (
    BriskAlpaca,
    Cli,
    Trigger,
    TriggeredAlpaca,
    alpaca_variables,
    covered_pairs,
    statuses,
    wanted_pairs,
)

MANY = tuple(f"S{number:03d}" for number in range(12))
SPAN = "--since 2024-03-04 --until 2024-03-11 --reread 0"


def line(symbols, *more: str) -> str:
    return " ".join(["ingest --vendor alpaca --symbols", ",".join(symbols), SPAN, *more])


@pytest.fixture
def fake():
    with TriggeredAlpaca(clock=Clock(EVENING)) as made:
        for symbol in MANY:
            made.truth.walk(symbol, "1d", SINCE, UNTIL)
        yield made


def cli(fake, url, folder):
    return Cli(folder, alpaca_variables(fake, url))


def ended(*processes):
    """Exit code, stdout and stderr of each."""
    told = []
    for process in processes:
        out, err = process.communicate(timeout=60)
        told.append((process.returncode, out, err))
    return told


@pytest.mark.parametrize("jobs", [1, 4, 16])
def test_the_same_symbols_are_asked_for_once(store, store_url, fake, tmp_path, jobs):
    fake.script.add(faults.Delay(0.3), path="/bars", times=None)
    fake.script.add(faults.ShortPage(30), path="/bars", times=None)
    run = cli(fake, store_url, tmp_path)
    told = ended(*(run.start(line(MANY, f"--jobs {jobs}")) for _ in range(2)))
    assert {code for code, _, _ in told} <= {0, 75}, told
    assert 0 in {code for code, _, _ in told}
    assert fake.log.again("/bars") == []
    assert_whole(store, fake, MANY)
    assert covered_pairs(store) == wanted_pairs(MANY, SINCE, UNTIL)
    assert set(statuses(store)) == {"ok"}


def test_one_that_waits_says_so_and_ends_well_when_the_other_has_done_it_all(
    store, store_url, fake, tmp_path
):
    run = cli(fake, store_url, tmp_path)
    begun = threading.Event()
    fake.trigger = Trigger(lambda _: begun.set(), path="/bars")
    fake.script.add(faults.Delay(3.0), path="/bars")
    first = run.start(line(MANY))
    assert begun.wait(30)
    second = run.start(line(MANY))
    (one, two) = ended(first, second)
    assert (one[0], two[0]) == (0, 0)
    assert "Another ingest is fetching some of these symbols" in two[2]
    assert fake.log.again("/bars") == []
    assert_whole(store, fake, MANY)


def test_what_is_free_is_done_first_and_the_rest_waited_for(store, store_url, fake, tmp_path):
    run = cli(fake, store_url, tmp_path)
    begun = threading.Event()
    fake.trigger = Trigger(lambda _: begun.set(), path="/bars")
    fake.script.add(faults.Delay(3.0), path="/bars")  # the first run's only request for bars
    first = run.start(line(MANY[:6]))
    assert begun.wait(30)
    second = run.start(line(MANY[3:9]))
    assert [code for code, _, _ in ended(first, second)] == [0, 0]
    asked = fake.log.of("/bars")
    assert [entry.symbols for entry in asked] == [MANY[:6], MANY[6:9]]
    assert asked[1].finished < asked[0].finished  # while the first was still waiting for its answer
    assert fake.log.again("/bars") == []
    assert_whole(store, fake, MANY[:9])


def test_what_stays_taken_makes_exit_75_and_the_rest_is_kept(store, store_url, fake, tmp_path):
    run = cli(fake, store_url, tmp_path)
    begun = threading.Event()
    fake.trigger = Trigger(lambda _: begun.set(), path="/bars")
    fake.script.add(faults.Delay(13.0), path="/bars")
    first = run.start(line(MANY[:6]))
    assert begun.wait(30)
    alone = run.start(line(MANY[:6]))
    overlapping = run.start(line(MANY[3:9]))
    (one, two, three) = ended(first, alone, overlapping)
    assert (one[0], two[0], three[0]) == (0, 75, 75), (one, two, three)
    assert "Another ingest of S000, S001" in two[2]
    assert "S003, S004, S005: another ingest is fetching them" in three[2]
    assert fake.log.again("/bars") == []
    assert_whole(store, fake, MANY[:9])
    assert sorted(statuses(store)) == ["failed", "ok", "partial"]


@pytest.mark.parametrize("jobs", [1, 16])
def test_other_symbols_go_side_by_side_under_one_limit(store, store_url, tmp_path, jobs):
    """Chunks of one session each, cut by what is covered already, make about forty requests of bars."""
    with BriskAlpaca(clock=Clock(EVENING, frozen=False)) as fake:
        halves = MANY[:6], MANY[6:]
        since = date(2024, 2, 1)
        for symbol in MANY:
            fake.truth.walk(symbol, "1d", since, UNTIL)
        fake.script.add(faults.ShortPage(8), path="/bars", times=None)
        run = cli(fake, store_url, tmp_path)
        span = f"--since {since} --until {UNTIL} --reread 0 --jobs {jobs}"
        lines = [f"ingest --vendor alpaca --symbols {','.join(half)} {span}" for half in halves]
        told = ended(*(run.start(one) for one in lines))
        assert [code for code, _, _ in told] == [0, 0], told
        pages = {half: fake.log.of("/bars", symbol=half[0]) for half in halves}
        assert all(len(some) > 15 for some in pages.values())
        assert pages[halves[0]][0].arrived < pages[halves[1]][-1].arrived
        assert pages[halves[1]][0].arrived < pages[halves[0]][-1].arrived
        assert fake.log.over(fake.second.requests, fake.second.seconds) == []
        assert [entry.number for entry in fake.log.of() if entry.status == 429] == []
        assert_whole(store, fake, MANY, since=since)

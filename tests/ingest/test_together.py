"""Two programs ingest at once: nothing is asked twice, what is free is done first, one rate holds for both."""

from __future__ import annotations

import signal
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


@pytest.fixture
def held():
    """Starts a program and stops it (SIGSTOP) where its first request for bars is on the way: it lives, and holds."""
    started = []

    def hold(fake, run, words: str):
        there = Trigger(lambda process: process.send_signal(signal.SIGSTOP), path="/bars")
        fake.trigger = there
        process = there.victim = run.start(words)
        started.append(process)
        assert there.done.wait(60)
        fake.trigger = None
        return process

    yield hold
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.communicate()


def test_one_that_waits_says_so_and_ends_well_when_the_other_has_done_it_all(
    store, store_url, fake, held, tmp_path
):
    run = cli(fake, store_url, tmp_path)
    first = held(fake, run, line(MANY))
    second = run.start(line(MANY))
    said = []
    while not any("Another ingest is fetching some of these symbols" in one for one in said):
        said.append(second.stderr.readline())
        assert said[-1], said
    first.send_signal(signal.SIGCONT)
    assert [code for code, _, _ in ended(first, second)] == [0, 0]
    assert fake.log.again("/bars") == []
    assert_whole(store, fake, MANY)


def test_what_is_free_is_done_first_and_the_rest_waited_for(store, store_url, fake, held, tmp_path):
    run = cli(fake, store_url, tmp_path)
    first = held(fake, run, line(MANY[:6]))
    free = fake.trigger = Trigger(lambda _: None, path="/bars", symbol=MANY[8], when="after the answer")
    second = run.start(line(MANY[3:9]))
    assert free.done.wait(60)
    first.send_signal(signal.SIGCONT)
    assert [code for code, _, _ in ended(first, second)] == [0, 0]
    assert [entry.symbols for entry in fake.log.of("/bars")] == [MANY[:6], MANY[6:9]]
    assert fake.log.again("/bars") == []
    assert_whole(store, fake, MANY[:9])


def test_what_stays_taken_makes_exit_75_and_the_rest_is_kept(store, store_url, fake, held, tmp_path):
    run = cli(fake, store_url, tmp_path)
    first = held(fake, run, line(MANY[:6]))
    alone, overlapping = run.start(line(MANY[:6])), run.start(line(MANY[3:9]))
    two, three = ended(alone, overlapping)
    assert (two[0], three[0]) == (75, 75), (two, three)
    assert "Another ingest of S000, S001" in two[2]
    assert "S003, S004, S005: another ingest is fetching them" in three[2]
    first.send_signal(signal.SIGCONT)
    (one,) = ended(first)
    assert one[0] == 0, one
    assert fake.log.again("/bars") == []
    assert_whole(store, fake, MANY[:9])
    assert sorted(statuses(store)) == ["failed", "ok", "partial"]


@pytest.mark.parametrize("jobs", [1, 16])
def test_other_symbols_go_side_by_side_under_one_limit(store, store_url, held, tmp_path, jobs):
    """The first stands still until the second has an answer, so that both are on their way; then they race."""
    with BriskAlpaca(clock=Clock(EVENING, frozen=False)) as fake:
        halves = MANY[:6], MANY[6:]
        since = date(2024, 2, 1)
        for symbol in MANY:
            fake.truth.walk(symbol, "1d", since, UNTIL)
        fake.script.add(faults.ShortPage(8), path="/bars", times=None)
        run = cli(fake, store_url, tmp_path)
        span = f"--since {since} --until {UNTIL} --reread 0 --jobs {jobs}"
        lines = [f"ingest --vendor alpaca --symbols {','.join(half)} {span}" for half in halves]
        first = held(fake, run, lines[0])
        begun = fake.trigger = Trigger(lambda _: None, path="/bars", symbol=MANY[6], when="after the answer")
        second = run.start(lines[1])
        assert begun.done.wait(60)
        first.send_signal(signal.SIGCONT)
        told = ended(first, second)
        assert [code for code, _, _ in told] == [0, 0], told
        pages = {half: fake.log.of("/bars", symbol=half[0]) for half in halves}
        assert all(len(some) > 15 for some in pages.values())
        assert pages[halves[0]][0].arrived < pages[halves[1]][-1].arrived
        assert pages[halves[1]][0].arrived < pages[halves[0]][-1].arrived
        assert fake.log.over(fake.second.requests, fake.second.seconds) == []
        assert [entry.number for entry in fake.log.of() if entry.status == 429] == []
        assert_whole(store, fake, MANY, since=since)

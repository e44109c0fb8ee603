"""kill -9 of the real program at every request, between pages, after answers and while it commits; then once more.

The plan of these tests has five chunks and nine pages of bars, since two sessions are covered before:

    AAPL  4 5 6 7 8 11        IBM  4 5 · 7 8 11        MSFT  4 5 6 7 · 11        (March 2024, two bars a page)
"""

from __future__ import annotations

import random
import re
import signal
from datetime import date

import pytest

from qfund.store import requests
from qfund.testing import Clock, faults
from tests.ingest.rig import EVENING, SINCE, SYMBOLS, UNTIL, Way, assert_whole, ingest, offers
from tests.support.ingesting import (
    Cli,
    Trigger,
    TriggeredAlpaca,
    alpaca_variables,
    covered_pairs,
    kill,
    statuses,
    wait_for_the_dead,
    wanted_pairs,
)

LINE = "ingest --vendor alpaca --symbols AAPL,IBM,MSFT --since 2024-03-04 --until 2024-03-11 --reread 0"
REQUESTS = (
    14  # AAPL, which is new; the other two; corporate actions; the calendar; pages of chunks: 3, 1, 2, 2, 1
)


@pytest.fixture
def fake(store):
    with TriggeredAlpaca(clock=Clock(EVENING)) as made:
        for symbol in SYMBOLS:
            made.truth.walk(symbol, "1d", SINCE, UNTIL)
        way = Way(made, offers("1d", reread=0))
        ingest(store, way, symbols=("IBM",), since=date(2024, 3, 6), until=date(2024, 3, 6))
        ingest(store, way, symbols=("MSFT",), since=date(2024, 3, 8), until=date(2024, 3, 8))
        made.script.add(faults.ShortPage(2), path="/bars", times=None)
        made.log.clear()
        yield made


@pytest.fixture
def cli(fake, store_url, tmp_path):
    return Cli(tmp_path, alpaca_variables(fake, store_url))


@pytest.fixture
def die(cli, fake):
    """Runs the program until the trigger kills it; returns how it ended."""

    def run(words: str = "", **when) -> int:
        fake.trigger = Trigger(kill, **when)
        with cli.start(f"{LINE} {words}") as process:
            fake.trigger.victim = process
            out, err = process.communicate(timeout=60)
        fake.trigger = None
        assert process.returncode in (-signal.SIGKILL, 0), (out, err)
        return process.returncode

    return run


@pytest.fixture
def again(store, fake, cli, monkeypatch, capsys):
    """Runs it once more, and proves what is promised then."""

    def run(ended: int, line: str = LINE, timeframe: str = "1d", symbols=SYMBOLS) -> None:
        wait_for_the_dead(store)
        covered, sent = covered_pairs(store, timeframe), len(fake.log)
        before, asked = statuses(store), {entry.path[:10] for entry in fake.log.of()}
        fake.log.clear()
        ran = cli.here(line, monkeypatch, capsys)
        assert ran.code == 0, ran.err
        assert not covered & set(fake.log.asked("/bars"))
        assert_whole(store, fake, symbols, timeframe)
        wanted = wanted_pairs(symbols, SINCE, UNTIL)
        assert covered_pairs(store, timeframe) == wanted
        after = statuses(store)
        if covered != wanted:
            assert "running" in before or asked <= {"/v2/assets"}
            assert after == [*("abandoned" if one == "running" else one for one in before), "ok"]
        else:
            assert len(fake.log) == 0
        counted = sum(one.sent.requests for one in requests.months(store, "alpaca")) - told_before
        assert len(fake.log) <= counted <= len(fake.log) + sent
        assert ended in (0, -signal.SIGKILL)

    told_before = sum(one.sent.requests for one in requests.months(store, "alpaca"))
    return run


def test_the_run_that_is_killed_below_makes_that_many_requests(store, fake, cli):
    ran = cli(LINE)
    assert (ran.code, len(fake.log)) == (0, REQUESTS), ran.err
    assert re.search(rf"^all +1d +16 .* {REQUESTS} +0$", ran.out, re.MULTILINE)
    assert_whole(store, fake)


@pytest.mark.parametrize("number", range(1, REQUESTS + 1))
def test_killed_at_a_request(die, again, number):
    jobs = 1 if number % 2 else 4
    ended = die(f"--jobs {jobs}", number=number)
    assert ended == -signal.SIGKILL
    again(ended)


@pytest.mark.parametrize("number", [6, 8])
def test_killed_between_two_pages(die, again, number):
    again(die("--jobs 1", number=number, when="after the answer"))


@pytest.mark.parametrize("seed", range(4))
def test_killed_a_moment_after_an_answer_while_it_checks_or_commits(die, again, seed):
    chance = random.Random(seed)
    number = chance.choice([REQUESTS, REQUESTS, REQUESTS - 1, 8, 10])
    again(die("--jobs 2", number=number, when="after the answer", delay=0.003 + 0.3 * chance.random() ** 3))


def test_killed_before_it_knows_the_symbols(store_url, store, tmp_path, monkeypatch, capsys):
    with TriggeredAlpaca(clock=Clock(EVENING)) as fake:
        fake.truth.walk("IBM", "1d", SINCE, UNTIL)
        cli = Cli(tmp_path, alpaca_variables(fake, store_url))
        line = LINE.replace("AAPL,IBM,MSFT", "IBM")
        fake.trigger = Trigger(kill, path="/v2/assets")
        with cli.start(line) as process:
            fake.trigger.victim = process
            process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
        assert statuses(store) == []
        fake.trigger = None
        assert cli.here(line, monkeypatch, capsys).code == 0
        assert_whole(store, fake, ("IBM",))


@pytest.mark.parametrize("delay", [0.0, 0.08])
def test_killed_while_minutes_are_stored(store, fake, die, again, delay):
    for symbol in SYMBOLS:
        fake.truth.walk(symbol, "1m", SINCE, UNTIL)
    fake.script.clear()
    fake.script.add(faults.ShortPage(2500), path="/bars", times=None)
    ended = die("--timeframe 1m", path="/bars", number=3, when="after the answer", delay=delay)
    again(ended, f"{LINE} --timeframe 1m", "1m")

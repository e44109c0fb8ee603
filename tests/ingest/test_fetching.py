"""Chunks are fetched by a few threads: never more at a time than said, none after the end, news in order."""

from __future__ import annotations

import threading
from datetime import date

import pytest

from qfund.errors import BudgetError, UpstreamError
from qfund.ingest.fetching import Asking, Fetched, Fetching, Paged
from qfund.ingest.plan import FetchSpan

DAY = date(2024, 3, 4)
STEPS = [FetchSpan((f"S{number}",), DAY, DAY, 1) for number in range(12)]


class Asked:
    """Answers with the step's symbol; remembers who was asked, and how many at a time."""

    def __init__(self, failing=None):
        self.steps, self.most, self.failing = [], 0, failing or {}
        self._flying, self._lock = 0, threading.Lock()

    def __call__(self, step, tell):
        with self._lock:
            self.steps.append(step)
            self._flying += 1
            self.most = max(self.most, self._flying)
        try:
            if step in self.failing:
                raise self.failing[step]
            tell(1, 10)
            tell(2, 15)
            return step.symbols[0]
        finally:
            with self._lock:
                self._flying -= 1


def outcomes(news):
    return [one.outcome for one in news if isinstance(one, Fetched)]


@pytest.mark.parametrize("jobs", [1, 4, 16])
def test_every_chunk_comes_once_and_no_more_are_asked_at_a_time_than_said(jobs):
    ask = Asked()
    with Fetching(ask, jobs) as fetching:
        fetching.add(STEPS)
        found = outcomes(fetching)
    assert sorted(found) == sorted(step.symbols[0] for step in STEPS)
    assert ask.most <= jobs
    assert len(ask.steps) == len(STEPS)


def test_with_one_job_the_news_are_in_the_order_of_the_plan():
    with Fetching(Asked(), 1) as fetching:
        fetching.add(STEPS[:2])
        news = [(type(one), one.step.symbols[0], getattr(one, "pages", None)) for one in fetching]
    for symbol in ("S0", "S1"):
        mine = [(kind, pages) for kind, name, pages in news if name == symbol]
        assert mine == [(Asking, None), (Paged, 1), (Paged, 2), (Fetched, None)]


def test_no_more_than_one_chunk_beyond_the_jobs_waits_to_be_committed():
    """So that memory does not grow with the plan while the database is slow."""
    ask = Asked()
    with Fetching(ask, 2) as fetching:
        fetching.add(STEPS)
        news = (one for one in fetching if isinstance(one, Fetched))
        next(news)
        threading.Event().wait(0.2)  # the caller commits
        assert len(ask.steps) <= 3
        rest = list(news)
    assert len(rest) == len(STEPS) - 1


def test_a_chunk_that_fails_is_news_and_the_others_come():
    error = UpstreamError("503.")
    with Fetching(Asked({STEPS[3]: error}), 3) as fetching:
        fetching.add(STEPS)
        found = outcomes(fetching)
    assert found.count(error) == 1
    assert len(found) == len(STEPS)


@pytest.mark.parametrize("error", [BudgetError("9."), ZeroDivisionError("a fault of the vendor's class")])
def test_nothing_more_is_asked_after_an_error_that_ends_the_run(error):
    ask = Asked({STEPS[0]: error})
    with Fetching(ask, 1) as fetching:
        fetching.add(STEPS)
        found = outcomes(fetching)
    assert found[0] is error
    assert ask.steps == STEPS[:1]


def test_what_is_added_or_dropped_on_the_way_counts():
    ask = Asked()
    with Fetching(ask, 1) as fetching:
        fetching.add(STEPS[:4])
        for news in fetching:
            if isinstance(news, Fetched) and news.step == STEPS[0]:
                dropped = fetching.drop()
                fetching.add(STEPS[8:9])
    assert set(dropped) <= set(STEPS[1:4])
    assert [*ask.steps, *dropped] != []
    assert sorted(one.symbols for one in (*ask.steps, *dropped)) == sorted(
        one.symbols for one in (*STEPS[:4], STEPS[8])
    )


def test_a_caller_that_is_stopped_does_not_wait_for_requests_under_way():
    hang = threading.Event()

    def ask(_step, _tell):
        hang.wait(30)

    def stopped():
        with Fetching(ask, 1) as fetching:
            fetching.add(STEPS)
            for _ in fetching:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert not hang.is_set()
    hang.set()

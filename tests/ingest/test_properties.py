"""Whatever goes wrong, in whatever order: once a run ends well, the database is the truth and nobody was bothered.

Each example plays a script of faults against the real vendor on the real wire, breaks off runs in the middle of
a transaction, and then lets one run end. Lies that nobody can see (a symbol's bars left out, a bar that is half
built) are in a second property: they are healed by asking again.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from qfund.errors import QfundError, UpstreamError
from qfund.testing import Clock, faults
from qfund.vendors.contract import Rate
from tests.ingest.rig import EVENING, SINCE, SYMBOLS, UNTIL, Way, assert_whole, ingest, offers, revisions
from tests.support.ingesting import BriskAlpaca, covered_pairs, statuses, wanted_pairs

FEW = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
JOBS = 3

EMPTIED = (
    "sec.bar_1d", "sec.bar_revision", "sec.quarantine", "ops.coverage", "ops.ingest_run", "ops.ingest_claim",
    "ops.request_ledger",
)  # fmt: skip

visible = st.one_of(
    st.sampled_from([400, 404, 500, 502, 503, 504, 418]).map(faults.Status),
    st.sampled_from([faults.Status(429, retry_after=0.2), faults.Status(503, retry_after=0.1)]),
    st.sampled_from(["before headers", "after headers", "in the body"]).map(faults.Drop),
    st.sampled_from([faults.CutGzip(), faults.CutJson(), faults.Text(), faults.ContentType(), faults.ExpiredToken()]),
    st.integers(1, 4).map(faults.ShortPage),
    st.integers(1, 3).map(faults.Overlap),
    st.sampled_from([faults.EmptyPage(), faults.RepeatToken(), faults.TwoBars(), faults.HighBelowLow(row=-1)]),
    st.builds(
        faults.BadValue,
        st.sampled_from(["open", "high", "low", "close"]),
        st.sampled_from([None, -1.0, 0.0, float("nan"), float("inf"), "x"]),
        st.integers(-1, 2),
    ),
    st.sampled_from([faults.BadValue("volume", -1.0), faults.BadValue("volume", 1e18), faults.Future()]),
    st.sampled_from([-5.0, 1.0]).map(faults.Shifted),
)  # fmt: skip

unseen = st.one_of(
    st.sampled_from(SYMBOLS).map(faults.Missing),
    st.sampled_from([faults.NullBars(), faults.Forming()]),
)


@dataclass(frozen=True)
class Line:
    """One line of a script; it ends, since it plays a number of times."""

    fault: faults.Fault
    path: str
    number: int
    times: int


def lines(some):
    paths = st.sampled_from(["/bars", "/bars", "/bars", "/v1/corporate-actions", "/v2/assets", ""])
    return st.lists(st.builds(Line, some, paths, st.integers(1, 6), st.integers(1, 3)), max_size=5)


class BrokenOffError(BaseException):
    """The run ends here, as if the process had."""


@dataclass
class Breaking:
    """A store whose run is broken off at the n-th statement or commit that goes through ADBC."""

    store: object
    number: int
    error: BaseException
    _count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __getattr__(self, name):
        return getattr(self.store, name)

    def step(self):
        with self._lock:
            self._count += 1
            if self._count == self.number:
                raise self.error

    @contextmanager
    def transaction(self):
        with self.store.transaction() as connection:
            self.step()
            yield Watched(connection, self.step)
            self.step()


class Watched:
    """A connection, or a cursor of it, that counts what is done with it."""

    def __init__(self, inner, step):
        self._inner, self._step = inner, step

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if name in ("execute", "executemany", "adbc_ingest"):
            self._step()
        return found

    def cursor(self, *args, **options):
        return Watched(self._inner.cursor(*args, **options), self._step)

    def __enter__(self):
        self._inner.__enter__()
        return self

    def __exit__(self, *why):
        return self._inner.__exit__(*why)


breaks = st.lists(
    st.tuples(
        st.integers(1, 60), st.sampled_from([BrokenOffError(), UpstreamError("The database is gone.")])
    ),
    max_size=2,
)


class Brisker(BriskAlpaca):
    """So that an example takes no seconds; 129 requests fit into one, by the same formula."""

    minute = Rate(6000, 60.0)
    second = Rate(135, 1.0)


@pytest.fixture
def fake():
    with Brisker(clock=Clock(EVENING, frozen=False)) as made:
        for symbol in SYMBOLS:
            made.truth.walk(symbol, "1d", date(2024, 2, 20), UNTIL)
        yield made


@pytest.fixture
def way(fake):
    return Way(fake, {**offers("1d", reread=0, sessions_per_request=2), "concurrency": JOBS})


def clean(store, fake):
    """As if nothing had been ingested; who is known stays known."""
    with store.sql.begin() as connection:
        connection.exec_driver_sql(f"TRUNCATE {', '.join(EMPTIED)} CASCADE")
    fake.script.clear()
    fake.log.clear()


def assert_right(store, fake, jobs=JOBS):
    """Both oracles: database and coverage, and the log of the fake.

    A request that was under way when "wait" was answered to another is no fault; of several at a time all but one
    may have been.
    """
    assert_whole(store, fake)
    assert covered_pairs(store) == wanted_pairs(SYMBOLS, SINCE, UNTIL)
    assert set(statuses(store)) <= {"ok", "partial", "failed"}
    assert statuses(store)[-1] == "ok"
    log = fake.log
    assert log.over(fake.second.requests, fake.second.seconds) == []
    assert len(log.early(slack=0.01)) <= (jobs - 1) * sum(one.blocked_until is not None for one in log.of())
    assert log.writes() == []
    assert log.forbidden("feed", "currency") == []
    assert log.without(path="/v2/stocks/bars", adjustment="raw", sort="asc", limit="10000") == []
    assert [entry.number for entry in log.of("/v2/stocks/bars") if "asof" not in entry.params] == []
    assert log.crowded(jobs) == []


def played(fake, script):
    for line in script:
        fake.script.add(line.fault, path=line.path, number=line.number, times=line.times)


def attempt(store, way, jobs=JOBS, **wish):
    """A run that may fail in any way that is told, and in no other."""
    with suppress(QfundError, BrokenOffError):
        report, _ = ingest(store, way, jobs=jobs, attempts=2, **wish)
        if report.run_id is not None and not report.errors("again"):
            event("ended well under fire")


@FEW
@given(script=lines(visible), broken=breaks)
def test_after_any_faults_and_breaks_a_clean_run_makes_it_whole(store, fake, way, script, broken):
    clean(store, fake)
    played(fake, script)
    for number, error in broken:
        attempt(Breaking(store, number, error), way)
    attempt(store, way)
    kept = covered_pairs(store)
    fake.script.clear()
    fake.log.clear()
    report, _ = ingest(store, way, jobs=JOBS)
    assert report.errors("again") == ()
    assert not kept & set(fake.log.asked("/bars"))
    if report.run_id is None:
        assert len(fake.log) == 0
        assert_whole(store, fake)
        assert kept == wanted_pairs(SYMBOLS, SINCE, UNTIL)
    else:
        assert_right(store, fake)


@settings(FEW, max_examples=6)
@given(drawn=st.tuples(lines(visible), breaks, st.sampled_from([1, JOBS])))
def test_under_fire_no_request_is_one_that_must_not_be(store, fake, way, drawn):
    """Oracle B over the whole of it, the failing runs too."""
    script, broken, jobs = drawn
    clean(store, fake)
    played(fake, script)
    for number, error in broken:
        attempt(Breaking(store, number, error), way, jobs)
    attempt(store, way, jobs)
    fake.script.clear()
    ingest(store, way, jobs=jobs, refresh=True)
    assert_right(store, fake, jobs)


@settings(FEW, max_examples=6)
@given(script=lines(unseen))
def test_lies_that_nobody_can_see_are_healed_by_asking_again(store, fake, way, script):
    clean(store, fake)
    played(fake, script)
    attempt(store, way)
    fake.script.clear()
    report, _ = ingest(store, way, jobs=JOBS, refresh=True)
    assert report.errors("again") == ()
    assert len(revisions(store)) == report.total.changed
    assert_right(store, fake)

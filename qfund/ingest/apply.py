"""An ingest from its plan to its end: one run of a series at a time, step by step.

Promises: a run that is killed anywhere leaves whole steps or nothing of them, and the next run asks only for
the rest. A vendor that fails for some symbols costs those symbols only; one that fails several times in a row
is left alone. A plan is looked at again before it is done: if other runs have covered more in the meantime,
the rest is simply planned again; if anything else differs it is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from qfund.errors import ConfigError, DataQualityError, QfundError
from qfund.ingest.lock import alone
from qfund.ingest.look import Wish, listed, look, offered
from qfund.ingest.plan import Facts, FetchSpan, Plan, plan, renewed
from qfund.ingest.report import Began, Failed, Kept, Report
from qfund.ingest.steps import Target, ask, commit
from qfund.store import Store, coverage, securities, sources
from qfund.vendors.contract import Vendor

_LAST_RUNS = 50

Event = Began | Kept | Failed

PATIENCE = 10.0
"""Seconds to wait for another ingest of the same series."""

GIVE_UP_AFTER = 3
"""So many requests for a single symbol that failed for want of an answer, one after the other, end a run."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Ingest:
    """One ingest of one vendor's series into one store.

    Args:
        store: where everything is kept.
        vendor: whom to ask.
        wish: what for.
        clock: the present, timezone-aware UTC; bars that are not over by then are rejected.
        patience: seconds to wait for another ingest of the same series.
        on_wait: told in a sentence when there is something to wait for.
    """

    def __init__(
        self,
        store: Store,
        vendor: Vendor,
        wish: Wish,
        *,
        clock: Callable[[], datetime] = _utc_now,
        patience: float = PATIENCE,
        on_wait: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._vendor = vendor
        self._wish = wish
        self._clock = clock
        self._patience = patience
        self._on_wait = on_wait
        self._offer = offered(vendor, wish.timeframe)
        self._report: Report | None = None

    @property
    def report(self) -> Report:
        """What is committed so far, true at every moment since ``apply`` was called."""
        if self._report is None:
            raise RuntimeError("nothing was applied yet")
        return self._report

    def plan(self) -> Plan:
        """Look and plan; nothing is written.

        Raises:
            NotFoundError, UsageError, DataQualityError: see :func:`qfund.ingest.look.look`.
        """
        return plan(self._look())

    def apply(self, made: Plan) -> Generator[Event, None, None]:
        """Do the steps of a plan; each is yielded once it is committed or has failed.

        A plan without steps asks the vendor nothing and writes nothing. Close the iterator when you stop
        early: the account of the run is closed with it.

        Raises:
            RefusedError: what the plan was made from is no longer so.
            LockedError: another ingest of this series did not end in time.
            ConfigError: the vendor refuses the credentials.
            UpstreamError: the database is gone.
        """
        self._report = Report(made)
        return self._events(made)

    def _events(self, made: Plan) -> Generator[Event, None, None]:
        if not made.steps:
            return
        name = f"{self._vendor.name} {self._offer.feed} {self._offer.timeframe} bars"
        with alone(self._store, name, patience=self._patience, on_wait=self._on_wait):
            current = renewed(made, self._look())
            report = self._report = Report(current)
            if current.steps:
                yield from self._run(report, replanned=current.id != made.id)

    def _look(self) -> Facts:
        return look(self._store, self._vendor, self._wish, now=self._clock())

    def _run(self, report: Report, *, replanned: bool) -> Iterator[Event]:
        target = self._target(report)
        try:
            yield Began(target.run_id, report.plan, replanned)
            for number, step in enumerate(report.plan.steps):
                if report.in_a_row >= GIVE_UP_AFTER:
                    report.untried = len(report.plan.steps) - number
                    break
                yield from self._do(target, step, report)
            report.finished = True
        finally:
            if report.committing is not None:
                report.settle(self._look())
            error = None if report.finished else "it was stopped before its end"
            coverage.finish_run(self._store, target.run_id, report.status, report.counters, error)

    def _target(self, report: Report) -> Target:
        """Make the instruments, the series and the run known to the store."""
        offer, facts = self._offer, report.plan.seen
        symbols = tuple(one.symbol for one in facts.symbols)
        # What the vendor says now wins: names change, and shares are delisted.
        stored = {one.symbol: one for one in listed(self._store, self._vendor, symbols)}
        fresh = {one.symbol: one for one in self._vendor.listings(symbols)}
        ids = securities.register(
            self._store,
            self._vendor.name,
            list((stored | fresh).values()),
            terms=self._vendor.capabilities.terms,
        )
        series = sources.series(
            self._store,
            vendor=self._vendor.name,
            feed=offer.feed,
            basis=offer.basis,
            price_kind=offer.price_kind,
            hours=offer.hours,
            timeframe=offer.timeframe,
        )
        params = {
            "plan": report.plan.id,
            "feed": facts.feed,
            "symbols": symbols,
            "since": str(facts.asked[0]),
            "until": str(facts.asked[1]),
        }
        dataset = f"bars {offer.timeframe}"
        self._bury(dataset)
        run_id = coverage.start_run(self._store, self._vendor.name, dataset, params)
        report.run_id = run_id
        return Target(self._store, series, ids, run_id)

    def _bury(self, dataset: str) -> None:
        """Mark runs that died: none can be alive while this one holds the series' lock."""
        ours = (self._vendor.name, dataset, self._offer.feed)
        for run in coverage.recent_runs(self._store, _LAST_RUNS):
            if run.status == "running" and (run.vendor, run.dataset, run.params.get("feed")) == ours:
                coverage.finish_run(
                    self._store, run.ingest_run_id, "abandoned", run.counters, "it was killed"
                )

    def _do(self, target: Target, step: FetchSpan, report: Report) -> Iterator[Event]:
        """One step; when a request for several symbols fails, each is asked for alone."""
        outcome = self._attempt(target, step, report)
        if not isinstance(outcome, QfundError):
            yield outcome
        elif len(step.symbols) > 1:
            for symbol in step.symbols:
                yield from self._do(target, replace(step, symbols=(symbol,)), report)
        else:
            yield report.fail(step, outcome)

    def _attempt(self, target: Target, step: FetchSpan, report: Report) -> Kept | QfundError:
        """The step, committed, or what was wrong with the vendor's answer.

        Raises:
            ConfigError: the vendor refuses the credentials.
            QfundError: the database failed.
        """
        try:
            answer = ask(self._vendor, self._offer, step, self._clock)
        except ConfigError:
            raise
        except QfundError as error:
            return error
        try:
            return commit(target, step, answer, report)
        except DataQualityError as error:  # such as a dividend that exceeds the price
            report.committing = None
            return error

"""An ingest from its plan to its end: one run of a series, chunk by chunk.

Promises: a run that is killed anywhere leaves whole chunks or nothing of them, and the next run asks only for
the rest. Two runs never fetch the same symbol of a series at the same time: what another run has claimed is
waited for, and then only what is still missing is asked for. A vendor that refuses a symbol costs that symbol
only; one that does not answer several times in a row is left alone. A plan is looked at again before it is
done: if other runs have covered more in the meantime, the rest is simply planned again; if anything else
differs it is refused.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Container, Generator, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from qfund.errors import (
    DataQualityError,
    LockedError,
    QfundError,
)
from qfund.ingest import actions, drift, ledger
from qfund.ingest.estimate import Estimate, estimate, stored_bar_bytes
from qfund.ingest.fetching import ENDS_THE_RUN, Asking, Fetched, Fetching, Paged
from qfund.ingest.look import Wish, last_sessions, look, offered, remembered
from qfund.ingest.plan import Facts, FetchSpan, Plan, dates_of, overtaken, plan, renewed
from qfund.ingest.report import Began, Failed, Kept, Report
from qfund.ingest.steps import Answer, Target, ask, commit
from qfund.store import Store, claims, coverage, securities, sources
from qfund.store.requests import Sent
from qfund.store.sources import Series
from qfund.vendors.contract import Vendor

Event = Began | Asking | Paged | Kept | Failed

PATIENCE = 10.0
"""Seconds to wait for another ingest of the same symbols."""

USUAL_JOBS = 4
"""So many chunks at a time keep the wire and this process busy; of more, all would only end later, with less
committed when the run is stopped."""

GIVE_UP_AFTER = 3
"""So many chunks lost in a row, for want of an answer, end a run."""

GIVE_UP_AFTER_ERRORS = 12
"""So many requests in a row that were answered with an error end a run: enough to single out two symbols."""

_POLL_SECONDS = 0.1


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Ingest:
    """One ingest of one vendor's series into one store.

    Args:
        store: where everything is kept.
        vendor: whom to ask.
        wish: what for.
        clock: the present by the vendor's clock, timezone-aware UTC; bars that are not over by then are left
            out.
        jobs: how many chunks to fetch at a time, if the vendor allows so many; None for :data:`USUAL_JOBS`.
        patience: seconds to wait for another ingest of the same symbols.
        on_wait: told in a sentence when there is something to wait for.
        sent: what has gone over the wire so far.
        record: called after each chunk and at the end, to write the ledger of requests.
    """

    def __init__(
        self,
        store: Store,
        vendor: Vendor,
        wish: Wish,
        *,
        clock: Callable[[], datetime] = _utc_now,
        jobs: int | None = None,
        patience: float = PATIENCE,
        on_wait: Callable[[str], None] = lambda _: None,
        sent: Callable[[], Sent] = Sent,
        record: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._vendor = remembered(vendor)
        self._wish = wish
        self._clock = clock
        self._jobs = max(1, min(jobs or USUAL_JOBS, vendor.capabilities.concurrency))
        self._patience = patience
        self._on_wait = on_wait
        self._sent = sent
        self._record = record
        self._offer = offered(vendor, wish)
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
        return plan(self._look(closely=False))

    def estimate(self, made: Plan) -> Estimate:
        """The most that a plan can cost; nothing is asked and nothing is written."""
        measured = stored_bar_bytes(self._store, self._offer.timeframe)
        return estimate(made, self._offer, self._vendor.capabilities, bar_bytes=measured)

    def empty(self, made: Plan) -> dict[str, int]:
        """Symbol → sessions of a plan's span that were answered without a bar; asks nobody."""
        series = sources.find_series(self._store, self._vendor.name, self._offer)
        if series is None:
            return {}
        names = [one.symbol for one in made.seen.symbols]
        since, until = made.seen.asked
        found: Counter[str] = Counter()
        for gap in ledger.gaps(self._store, series, symbols=names, since=since, until=until, thin=0):
            if gap.kind == "empty":
                found[gap.symbol] += gap.sessions
        return dict(found)

    def apply(self, made: Plan) -> Generator[Event, None, None]:
        """Do the steps of a plan; each is yielded once it is committed or has failed.

        A plan without steps asks the vendor nothing and writes nothing. Close the iterator when you stop
        early: the account of the run is closed with it. Limits, time and credentials that end the run early
        are told by ``report.stopped``, after what had been fetched was committed.

        Raises:
            RefusedError: what the plan was made from is no longer so.
            LockedError: another ingest of these symbols did not end in time, and nothing else was to do.
            UpstreamError: the database is gone.
        """
        self._report = Report(made, sent=self._sent)
        return self._events(made)

    def _events(self, made: Plan) -> Generator[Event, None, None]:
        if not made.steps:
            return
        facts = self._registered(renewed(made, self._look(closely=False)))
        series = self._series()
        run_id = self._begin(made)
        report = self._report = Report(plan(facts), run_id, sent=self._sent)
        error: str | None = "it was stopped before its end"
        try:
            with claims.living(self._store, run_id):
                yield from self._shares(report, series, facts, made)
            report.finished = report.stopped is None
            error = None if report.stopped is None else report.stopped.message
        finally:
            if report.committing is not None:
                report.settle(self._look())
            coverage.finish_run(self._store, run_id, report.status, report.counters, error)

    def _look(self, *, closely: bool = True) -> Facts:
        """What is found now: again when it was only by looking that the vendor's clock became known."""
        while True:
            now = self._clock()
            found = look(self._store, self._vendor, self._wish, now=now, closely=closely)
            if last_sessions(self._offer, self._clock()) == last_sessions(self._offer, now):
                return found

    # ------------------------------------------------------------ before the first chunk

    def _registered(self, made: Plan) -> Facts:
        """The facts again, once it is certain who is meant and every instrument has its number."""
        facts = made.seen
        if not made.missing and all(one.instrument is not None for one in facts.symbols):
            return facts
        if any(one.instrument is None for one in facts.symbols):
            facts = self._look()
        symbols = tuple(dict.fromkeys(one.symbol for one in facts.symbols))
        ids = securities.register(
            self._store,
            self._vendor.name,
            self._vendor.listings(symbols),  # names change, and shares are delisted
            terms=self._vendor.capabilities.terms,
        )
        # What became of those known before is seen once they are claimed.
        known = {one.instrument for one in facts.symbols}
        return facts if known.issuperset(ids.values()) else self._look()

    def _series(self) -> Series:
        offer = self._offer
        return sources.series(
            self._store,
            vendor=self._vendor.name,
            feed=offer.feed,
            basis=offer.basis,
            price_kind=offer.price_kind,
            hours=offer.hours,
            timeframe=offer.timeframe,
            calendar=offer.calendar,
        )

    def _begin(self, made: Plan) -> int:
        """A new run in the store; runs that died are marked as such."""
        facts = made.seen
        params = {
            "plan": made.id,
            "feed": facts.feed,
            "symbols": [one.symbol for one in facts.symbols],
            "since": str(facts.asked[0]),
            "until": str(facts.asked[1]),
        }
        claims.bury(self._store)
        return coverage.start_run(self._store, self._vendor.name, f"bars {self._offer.timeframe}", params)

    # ------------------------------------------------------------ shares of the work

    def _shares(self, report: Report, series: Series, facts: Facts, made: Plan) -> Iterator[Event]:
        """Claim what no other run is fetching, do it, and wait for the rest until patience ends."""
        assert report.run_id is not None  # noqa: S101 - given to it a few lines above
        waiting = {one.instrument for one in facts.symbols if one.instrument is not None}
        deadline = time.monotonic() + self._patience
        waited = False
        while waiting and report.stopped is None:
            mine = claims.take(self._store, series, sorted(waiting), report.run_id)
            if mine:
                yield from self._share(report, series, mine, made)
                waiting -= mine
                claims.release(self._store, report.run_id)
                deadline = time.monotonic() + self._patience
            elif time.monotonic() >= deadline:
                break
            else:
                if not waited:
                    self._on_wait("Another ingest is fetching some of these symbols; waiting for it to end.")
                    waited = True
                time.sleep(_POLL_SECONDS)
        report.locked = tuple(one.symbol for one in facts.symbols if one.instrument in waiting)
        if report.locked and not report.kept and report.stopped is None:
            raise LockedError(
                f"Another ingest of {', '.join(report.locked)} is running; it keeps what it fetches.",
                fix="run the same command again when the other has ended",
            )

    def _share(self, report: Report, series: Series, mine: set[int], made: Plan) -> Iterator[Event]:
        """Do what is still missing of the claimed instruments."""
        facts = self._facts_of(mine)
        current = plan(facts)
        names = {one.symbol for one in facts.symbols}
        before = replace(made.seen, symbols=tuple(one for one in made.seen.symbols if one.symbol in names))
        report.add(current)
        assert report.run_id is not None  # noqa: S101
        yield Began(
            report.run_id,
            current,
            overtaken=overtaken(before, facts),
            further=current.wanted - plan(before).wanted,
        )
        if not current.steps:
            return
        try:
            told = actions.asked(self._vendor, self._offer, facts, current.steps)
            if current.missing and self._offer.market == "us_equity":
                report.notes += self._drift(current)
        except ENDS_THE_RUN as error:
            report.stopped = error
            return
        report.told += actions.stored(self._store, series, facts, told)
        if told.renamed:  # from now on each session is asked for under the name it had
            facts = self._facts_of(mine)
            report.planned -= len(current.steps)
            said, current = current.wanted, plan(facts)
            report.add(current)
            yield Began(report.run_id, current, further=current.wanted - said)
        target = Target(self._store, series, self._offer, facts, report.run_id, told.known)
        steps, without = _parted(current.steps, told.unknown)
        for step in without:
            yield report.pass_over(step, told.unknown[step.symbols[0]])
        with Fetching(self._ask, self._jobs) as fetching:
            fetching.add(steps)
            for news in fetching:
                if isinstance(news, Fetched):
                    yield from self._settled(target, news, report, fetching)
                else:
                    yield news

    def _facts_of(self, mine: set[int]) -> Facts:
        """What is found now of the claimed instruments."""
        now = self._look()
        return replace(now, symbols=tuple(one for one in now.symbols if one.instrument in mine))

    def _drift(self, current: Plan) -> tuple[str, ...]:
        """Where the broker's own calendar disagrees; that it answers with an error is no reason to stop.

        Raises:
            ConfigError, BudgetError, TimeoutExpiredError, InterruptedRunError, UnreachableError: the run has
                to end.
        """
        since = min(step.since for step in current.steps)
        until = max(step.until for step in current.steps)
        try:
            return drift.disagreements(
                self._vendor.itself, self._vendor.name, self._offer.calendar, since, until
            )
        except ENDS_THE_RUN:
            raise
        except QfundError as error:
            return (f"{self._vendor.name}'s own calendar could not be compared: {error.message}",)

    def _ask(self, step: FetchSpan, tell: Callable[[int, int], None]) -> Answer:
        days = dates_of(self.report.plan.seen, step)
        return ask(self._vendor, self._offer, step, self._clock, tell, days=days)

    def _settled(self, target: Target, news: Fetched, report: Report, fetching: Fetching) -> Iterator[Event]:
        """Commit a chunk, or see what its failure means for the others."""
        outcome = self._committed(target, news, report)
        if isinstance(outcome, Kept):
            self._record()
            yield outcome
            return
        if isinstance(outcome, ENDS_THE_RUN):
            report.stopped = report.stopped or outcome
            report.untried += len(fetching.drop()) + 1
            return
        report.in_a_row += 1 if outcome.retryable else 0
        if len(news.step.symbols) > 1 and report.in_a_row < GIVE_UP_AFTER_ERRORS:
            middle = len(news.step.symbols) // 2
            parts = news.step.symbols[:middle], news.step.symbols[middle:]
            fetching.add(replace(news.step, symbols=part) for part in parts)
            return
        yield report.fail(news.step, outcome)
        self._give_up_in_time(report, fetching)

    def _give_up_in_time(self, report: Report, fetching: Fetching) -> None:
        """Leave a vendor alone that failed several times in a row."""
        if report.lost_in_a_row >= GIVE_UP_AFTER or report.in_a_row >= GIVE_UP_AFTER_ERRORS:
            report.untried += len(fetching.drop())

    def _committed(self, target: Target, news: Fetched, report: Report) -> Kept | QfundError:
        """The chunk, committed, or what was wrong with the vendor's answer.

        Raises:
            QfundError: the database failed.
        """
        if isinstance(news.outcome, QfundError):
            return news.outcome
        if isinstance(news.outcome, BaseException):
            raise news.outcome
        try:
            return commit(target, news.step, news.outcome, report)
        except DataQualityError as error:  # such as a dividend that exceeds the price
            report.committing = None
            return error


def _parted(steps: Sequence[FetchSpan], unknown: Container[str]) -> tuple[list[FetchSpan], list[FetchSpan]]:
    """The steps without some symbols, and those symbols' steps one by one.

    Bars are not kept without their corporate actions, so they are not asked for without them either.
    """
    kept, without = [], []
    for step in steps:
        known = tuple(symbol for symbol in step.symbols if symbol not in unknown)
        kept += [replace(step, symbols=known)] if known else []
        without += [replace(step, symbols=(symbol,)) for symbol in step.symbols if symbol in unknown]
    return kept, without

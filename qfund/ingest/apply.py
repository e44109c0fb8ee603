"""The steps of a plan, done one by one: fetch, check, commit.

Promises: a step's bars, actions, coverage and counters are one transaction, so that a run that is killed
anywhere leaves whole steps or nothing of them, and the next run asks only for the rest. One run of a series at
a time. Coverage is what was asked and answered and fit: a session with a rejected bar is asked again. A vendor
that fails for some symbols costs those symbols only. Never repairs a bar, never deletes one.

A plan is looked at again before it is done. If other runs have covered more in the meantime, the rest is simply
planned again; if anything else differs (listings, what the vendor has, coverage taken back) it is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa

from qfund.errors import ConfigError, QfundError, RefusedError, UpstreamError
from qfund.ingest.check import Checked, check
from qfund.ingest.lock import alone
from qfund.ingest.look import Wish, listed, look, offered
from qfund.ingest.plan import Facts, FetchSpan, Plan, Span, plan, spans_of, within
from qfund.ingest.report import Began, Failed, Kept, Report, Tally
from qfund.market.actions import CorporateAction
from qfund.store import Store, actions, bars, coverage, securities
from qfund.vendors.contract import BarRequest, Offer, Vendor, schema

Event = Began | Kept | Failed

_PATIENCE = 10.0
_GIVE_UP_AFTER = 3
_MOST_QUARANTINED = 1000


@dataclass(frozen=True, eq=False)
class _Answer:
    """A step's answer, checked, with the corporate actions around it."""

    checked: Checked
    actions: list[CorporateAction]


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

    Attributes:
        report: what is committed so far, true at every moment after ``plan``.
    """

    def __init__(
        self,
        store: Store,
        vendor: Vendor,
        wish: Wish,
        *,
        clock: Callable[[], datetime] = _utc_now,
        patience: float = _PATIENCE,
        on_wait: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._vendor = vendor
        self._wish = wish
        self._clock = clock
        self._patience = patience
        self._on_wait = on_wait
        self._offer = offered(vendor, wish.timeframe)
        self._failures_in_a_row = 0

    def plan(self) -> Plan:
        """Look and plan; nothing is written.

        Raises:
            NotFoundError, UsageError, DataQualityError: see :func:`qfund.ingest.look.look`.
        """
        made = plan(self._look())
        self.report = Report(made)
        return made

    def apply(self, made: Plan) -> Iterator[Event]:
        """Do the steps of a plan, each yielded once it is committed or has failed.

        A plan without steps asks the vendor nothing and writes nothing.

        Raises:
            RefusedError: what the plan was made from is no longer so.
            LockedError: another ingest of this series did not end in time.
            ConfigError: the vendor refuses the credentials.
            UpstreamError: the database is gone.
        """
        self.report = Report(made)
        if not made.steps:
            return
        name = f"{self._vendor.name} {self._offer.feed} {self._offer.timeframe}"
        with alone(self._store, name, patience=self._patience, on_wait=self._on_wait):
            current = renewed(made, self._look())
            self.report = Report(current)
            if current.steps:
                yield from self._run(current, replanned=current.id != made.id)

    def _look(self) -> Facts:
        return look(self._store, self._vendor, self._wish, now=self._clock())

    def _run(self, current: Plan, *, replanned: bool) -> Iterator[Event]:
        symbols = tuple(one.symbol for one in current.seen.symbols)
        listings = listed(self._store, self._vendor, symbols)
        self._ids = securities.register(self._store, self._vendor.name, listings)
        self._series = securities.series(
            self._store,
            vendor=self._vendor.name,
            feed=self._offer.feed,
            basis=self._offer.basis,
            price_kind=self._offer.price_kind,
            hours=self._offer.hours,
            timeframe=self._offer.timeframe,
        )
        params = {"plan": current.id, "symbols": symbols, "span": [str(d) for d in current.seen.asked]}
        report = self.report
        report.run_id = coverage.start_run(
            self._store, self._vendor.name, f"bars {self._offer.timeframe}", params
        )
        try:
            yield Began(report.run_id, current, replanned)
            for number, step in enumerate(current.steps):
                if self._failures_in_a_row >= _GIVE_UP_AFTER:
                    report.untried = len(current.steps) - number
                    break
                yield from self._do(step)
        finally:
            self._close()

    def _do(self, step: FetchSpan) -> Iterator[Event]:
        """One step; when a request for several symbols fails, each is asked for alone."""
        try:
            answer = self._ask(step)
        except ConfigError:
            raise
        except QfundError as error:
            if len(step.symbols) > 1:
                for symbol in step.symbols:
                    yield from self._do(replace(step, symbols=(symbol,)))
                return
            self._failures_in_a_row += 1 if error.retryable else 0
            failed = Failed(step, error)
            self.report.failed.append(failed)
            yield failed
            return
        self._failures_in_a_row = 0
        yield self._commit(step, answer)

    def _ask(self, step: FetchSpan) -> _Answer:
        """All pages of a step's answer, checked, and the actions that its bars need.

        Raises:
            QfundError: the vendor failed, or its answer was cut short or had another shape.
        """
        request = BarRequest(step.symbols, self._wish.timeframe, step.since, step.until)
        tables, more = [schema(request.timeframe).empty_table()], True
        for page in self._vendor.bars(request):
            tables.append(conformed(page.bars, request.timeframe))
            more = page.next_cursor is not None
        if more:
            raise UpstreamError(
                f"{self._vendor.name} ended its answer before the last page.", code="CUT_SHORT"
            )
        checked = check(
            pa.concat_tables(tables),
            request,
            self._offer,
            calendar=self._vendor.capabilities.calendar,
            now=self._clock(),
        )
        # An action on the first session after the span carries the span's bars across it.
        after = step.until + _LONGEST_CLOSURE
        return _Answer(checked, self._vendor.actions(step.symbols, step.since, after))

    def _commit(self, step: FetchSpan, answer: _Answer) -> Kept:
        """Bars, actions, coverage and counters, all or nothing."""
        ids = {symbol: self._ids[symbol] for symbol in step.symbols}
        report, series = self.report, self._series
        with self._store.transaction() as connection:
            tallies = self._write_bars(connection, step, answer.checked)
            new_actions = actions.write_actions(
                connection, self._vendor.name, answer.actions, ids, series
            )
            fit = _fit(self.report.plan.seen, step, answer.checked.rejected)
            coverage.add_coverage(
                connection, series, {ids[symbol]: spans for symbol, spans in fit.items() if spans}
            )
            reasons = Counter(answer.checked.rejected["reason"].to_pylist())
            report.committing = Kept(step, tallies, reasons, answer.checked.repeated, new_actions)
            coverage.count_run(connection, report.run_id, report.counters)
        return report.confirm()

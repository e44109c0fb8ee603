"""One step of an ingest: ask, check, commit.

Promises: a step's bars, actions, coverage and counters are one transaction. Coverage is what was asked, answered
and fit: a session with a rejected bar stays uncovered and is asked again by the next run. Rejected bars are kept
with the run, up to a limit; their number always. Never repairs a bar, never deletes one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pyarrow as pa

from qfund.errors import UpstreamError
from qfund.ingest.check import Checked, check, conformed
from qfund.ingest.look import LONGEST_CLOSURE
from qfund.ingest.plan import FetchSpan, Span, spans_of, within
from qfund.ingest.report import MOST_QUARANTINED, Kept, Report, Tally
from qfund.market.actions import CorporateAction
from qfund.store import Store, coverage
from qfund.store.actions import write_actions
from qfund.store.bars import write_bars
from qfund.store.sources import Series
from qfund.vendors.contract import BarRequest, Offer, Vendor


@dataclass(frozen=True, eq=False)
class Answer:
    """A step's answer, checked, with the corporate actions that its bars need."""

    checked: Checked
    actions: list[CorporateAction]


def ask(vendor: Vendor, offer: Offer, step: FetchSpan, clock: Callable[[], datetime]) -> Answer:
    """All pages of a step's answer, checked, and the corporate actions around it.

    Raises:
        QfundError: the vendor failed, or its answer was cut short or had another shape.
    """
    request = BarRequest(step.symbols, offer.timeframe, step.since, step.until)
    tables, more = [], True
    for page in vendor.bars(request):
        tables.append(conformed(page.bars, request.timeframe))
        more = page.next_cursor is not None
    if more:
        raise UpstreamError(f"{vendor.name} ended its answer before the last page.", code="CUT_SHORT")
    calendar = vendor.capabilities.calendar
    checked = check(pa.concat_tables(tables), request, offer, calendar=calendar, now=clock())
    # An action shortly after the span is what carries the span's bars across it.
    after = step.until + LONGEST_CLOSURE
    return Answer(checked, vendor.actions(step.symbols, step.since, after))


@dataclass(frozen=True)
class Target:
    """Where the steps of one run go.

    Attributes:
        store: the database.
        series: the series of the bars.
        ids: symbol → instrument number.
        run_id: number of the ingest run.
    """

    store: Store
    series: Series
    ids: Mapping[str, int]
    run_id: int


def commit(target: Target, step: FetchSpan, answer: Answer, report: Report) -> Kept:
    """Store bars, actions, coverage and counters: all or nothing; counted in the report when it is certain."""
    checked = answer.checked
    ids = {symbol: target.ids[symbol] for symbol in step.symbols}
    fit = fit_spans(report.plan.seen.sessions, step, checked.rejected)
    with target.store.transaction() as connection:
        written = {
            symbol: write_bars(connection, target.series, rows, ids, ingest_run_id=target.run_id)
            for symbol, rows in _by_symbol(checked.good)
        }
        actions = write_actions(
            connection, target.series.vendor, answer.actions, ids, target.series
        )
        coverage.add_coverage(
            connection, target.series, {ids[symbol]: fit[symbol] for symbol in step.symbols}
        )
        done = _kept(report.plan.seen.sessions, step, checked, fit, written, actions)
        report.committing = done
        coverage.count(connection, target.run_id, report.counters)
    return report.confirm(done)


def fit_spans(
    sessions: tuple[date, ...], step: FetchSpan, rejected: pa.Table
) -> dict[str, list[Span]]:
    """What a step covers of each symbol: all of its sessions but those with a rejected bar.

    A rejected bar without a session could belong to any, so nothing of its symbol is covered then.
    """
    days = tuple(day for day in sessions if step.since <= day <= step.until)
    doubtful: dict[str, set[date | None]] = defaultdict(set)
    for symbol, day in zip(
        rejected["symbol"].to_pylist(), rejected["session"].to_pylist(), strict=True
    ):
        doubtful[symbol].add(day)
    fit = {}
    for symbol in step.symbols:
        doubts = doubtful[symbol]
        fine = np.array([day not in doubts and None not in doubts for day in days])
        fit[symbol] = spans_of(days, fine)
    return fit


def _by_symbol(good: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each symbol, which lie together; written one by one so that each has its own count."""
    runs = pa.compute.run_end_encode(good["symbol"].combine_chunks())
    start = 0
    for symbol, stop in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield symbol, good.slice(start, stop - start)
        start = stop


def _kept(
    facts_sessions: tuple[date, ...],
    step: FetchSpan,
    answer: Answer,
    written: Mapping[str, Written],
) -> None:
    pass

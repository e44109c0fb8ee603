"""One step of an ingest: ask, check, commit.

Promises: a step's bars, actions, coverage and counters are one transaction. Coverage is what was asked,
answered and fit: a session with a rejected bar stays uncovered and is asked again by the next run. Rejected
bars are kept with the run, up to a limit; their number always. Never repairs a bar, never deletes one.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa
from pyarrow import compute

from qfund.errors import UpstreamError
from qfund.ingest.check import Checked, check, conformed
from qfund.ingest.look import LONGEST_CLOSURE
from qfund.ingest.plan import FetchSpan, Span, spans_of
from qfund.ingest.report import MOST_QUARANTINED, Kept, Report, Tally
from qfund.market import sessions
from qfund.market.actions import CorporateAction
from qfund.store import Store, coverage
from qfund.store.actions import write_actions
from qfund.store.bars import Written, write_bars
from qfund.store.sources import Series
from qfund.vendors.contract import BarRequest, Offer, Vendor

NAMELESS = "(no symbol)"
"""Under this name rejected rows without a symbol are counted."""


@dataclass(frozen=True, eq=False)
class Answer:
    """A step's answer, checked, with the corporate actions that its bars need."""

    checked: Checked
    actions: list[CorporateAction]


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
    return Answer(checked, _actions(vendor, step))


def _actions(vendor: Vendor, step: FetchSpan) -> list[CorporateAction]:
    """The corporate actions on the step's sessions and the next one, which carry its bars across.

    Raises:
        UpstreamError: an action of another symbol came.
    """
    after = step.until + timedelta(days=1)
    coming = sessions.sessions(vendor.capabilities.calendar, after, after + LONGEST_CLOSURE)
    found = vendor.actions(step.symbols, step.since, coming[0].date())
    strange = sorted({action.symbol for action in found} - set(step.symbols))
    if strange:
        raise UpstreamError(
            f"{vendor.name} answered with corporate actions of {', '.join(strange)}, not asked for.",
            code="BAD_ANSWER",
        )
    return found


def commit(target: Target, step: FetchSpan, answer: Answer, report: Report) -> Kept:
    """Store bars, actions, coverage and counters: all or nothing.

    The step is counted in the report once its commit is certain.
    """
    days = tuple(day for day in report.plan.seen.sessions if step.since <= day <= step.until)
    rejected = rejected_days(answer.checked.rejected)
    covers = fit_spans(step.symbols, days, rejected)
    ids = {symbol: target.ids[symbol] for symbol in step.symbols}
    with target.store.transaction() as connection:
        written = {
            symbol: write_bars(connection, target.series, rows, ids, ingest_run_id=target.run_id)
            for symbol, rows in _by_symbol(answer.checked.good)
        }
        added = write_actions(connection, target.series.vendor, answer.actions, ids, target.series)
        fit = {ids[symbol]: spans for symbol, spans in covers.items() if spans}
        coverage.add_coverage(connection, target.series, fit)
        done = Kept(
            step=step,
            tallies=_tallies(step.symbols, days, answer.checked, rejected, written),
            reasons=Counter(answer.checked.rejected["reason"].to_pylist()),
            repeated=answer.checked.repeated,
            actions=added,
            covers=covers,
            quarantine=_quarantine(answer.checked.rejected),
        )
        report.committing = done
        coverage.count_run(connection, target.run_id, report.counters)
    return report.confirm(done)


def rejected_days(rejected: pa.Table) -> dict[str, set[date | None]]:
    """The sessions of the rejected bars of each symbol; None stands for a bar that has none."""
    found: dict[str, set[date | None]] = defaultdict(set)
    symbols, days = rejected["symbol"].to_pylist(), rejected["session"].to_pylist()
    for symbol, day in zip(symbols, days, strict=True):
        found[symbol or NAMELESS].add(day)
    return found


def fit_spans(
    symbols: Sequence[str], days: tuple[date, ...], rejected: Mapping[str, set[date | None]]
) -> dict[str, list[Span]]:
    """What a step covers of each symbol: all of its sessions but those with a rejected bar.

    A rejected bar without a session could belong to any, so nothing of its symbol is covered then.
    """
    fit = {}
    for symbol in symbols:
        doubtful = rejected.get(symbol, set())
        fine = np.array([day not in doubtful and None not in doubtful for day in days])
        fit[symbol] = spans_of(days, fine)
    return fit


def _by_symbol(good: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each symbol, which lie together; written one by one so that each has its own count."""
    if not len(good):
        return
    runs = compute.run_end_encode(good["symbol"].combine_chunks())
    start = 0
    for symbol, stop in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield symbol, good.slice(start, stop - start)
        start = stop


def _tallies(
    symbols: Sequence[str],
    days: tuple[date, ...],
    checked: Checked,
    rejected: Mapping[str, set[date | None]],
    written: Mapping[str, Written],
) -> dict[str, Tally]:
    """Bars and holes of each symbol; strangers appear with the rows that were rejected."""
    bad = Counter(symbol or NAMELESS for symbol in checked.rejected["symbol"].to_pylist())
    there = {symbol: set(rows["session"].unique().to_pylist()) for symbol, rows in _by_symbol(checked.good)}
    found = {}
    for symbol in [*symbols, *(each for each in bad if each not in symbols)]:
        counts = written.get(symbol, Written())
        seen = there.get(symbol, set()) | rejected.get(symbol, set())
        holes = sum(day not in seen for day in days) if symbol in symbols else 0
        found[symbol] = Tally(counts.new, counts.changed, counts.same, bad[symbol], holes)
    return found


def _quarantine(rejected: pa.Table) -> list[dict[str, object]]:
    """Rejected rows, JSON-ready: dates and times as text, numbers that JSON has not as text."""

    def plain(value: object) -> object:
        if isinstance(value, date):  # datetime too
            return value.isoformat()
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value

    rows = rejected.slice(0, MOST_QUARANTINED).to_pylist()
    return [{name: plain(value) for name, value in row.items()} for row in rows]

"""One chunk of an ingest: ask, check, commit.

Promises: a chunk's bars, actions, coverage and counters are one transaction. Coverage is what was asked,
answered and fit: a session with a rejected bar stays uncovered and is asked again by the next run. Rejected
bars go to the quarantine; their number is always exact. Never repairs a bar, never deletes one.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property

import numpy as np
import pyarrow as pa

from qfund.errors import BadRequestError, UpstreamError
from qfund.ingest.check import Checked, check, conformed
from qfund.ingest.judging import judged
from qfund.ingest.look import last_sessions
from qfund.ingest.plan import Facts, FetchSpan, Span, SymbolFacts, spans_of, within
from qfund.ingest.report import Kept, Report, Tally
from qfund.market.actions import CorporateAction
from qfund.store import Store, coverage, quarantine, repairs
from qfund.store.bars import Written, write_bars
from qfund.store.sources import Series
from qfund.vendors.contract import BarRequest, Offer, Page, Vendor, unfit_schema

NAMELESS = "(no symbol)"
"""Under this name rejected rows without a symbol are counted."""

EMPTY_PAGES = 3
"""So many pages in a row without a bar, each saying that more follows, are no progress."""


@dataclass(frozen=True, eq=False)
class Answer:
    """A chunk's answer, checked.

    Attributes:
        checked: its bars, sorted into what is fit and what is not.
        unfit: its rows that are no bars, see ``Page.unfit``.
        pages: of how many pages it came.
        final: the last session that was over and final by the vendor's clock when the answer was whole; later
            ones are never covered by it, whatever the plan's clock said.
    """

    checked: Checked
    unfit: pa.Table
    pages: int
    final: date


@dataclass(frozen=True)
class Target:
    """Where the chunks of one run go.

    Attributes:
        store: the database.
        series: the series of the bars.
        offer: what the vendor says of it.
        facts: what the run found.
        run_id: number of the ingest run.
        actions: symbol → its corporate actions around the run's sessions.
    """

    store: Store
    series: Series
    offer: Offer
    facts: Facts
    run_id: int
    actions: Mapping[str, Sequence[CorporateAction]]

    def instruments(self, step: FetchSpan) -> dict[str, int]:
        """Symbol → instrument number, as the symbols are meant during a step."""
        return {
            one.symbol: one.instrument
            for one in self._named(step)
            if one.instrument is not None
            and (one.listed_on is None or one.listed_on <= step.until)
            and (one.delisted_on is None or step.since <= one.delisted_on)
        }

    def asked_before(self, step: FetchSpan, days: tuple[date, ...]) -> bool:
        """Whether any of the step's symbols was answered on any of these days before."""
        return any(one.covered and within(days, one.covered).any() for one in self._named(step))

    def _named(self, step: FetchSpan) -> Iterator[SymbolFacts]:
        return (one for symbol in step.symbols for one in self._by_symbol.get(symbol, ()))

    @cached_property
    def _by_symbol(self) -> Mapping[str, Sequence[SymbolFacts]]:
        """A symbol that was used again stands for several instruments."""
        found: dict[str, list[SymbolFacts]] = defaultdict(list)
        for one in self.facts.symbols:
            found[one.symbol].append(one)
        return found


def ask(
    vendor: Vendor,
    offer: Offer,
    step: FetchSpan,
    clock: Callable[[], datetime],
    tell: Callable[[int, int], None] = lambda _pages, _bars: None,
    *,
    days: Span | None = None,
) -> Answer:
    """All pages of a chunk's answer, checked. A cursor that the vendor forgot costs one fresh start.

    Args:
        vendor: whom to ask.
        offer: for which series.
        step: the chunk.
        clock: the vendor's clock; bars that are not over by then are left out.
        tell: told after each page how many pages and bars have come.
        days: first and last date that come with the chunk's sessions; None for the sessions' own.

    Raises:
        QfundError: the vendor failed, or its answer was cut short, went in circles or had another shape.
    """
    request = BarRequest(step.symbols, offer.timeframe, step.since, step.until, offer, days)
    begun = time.monotonic()
    try:
        pages = _pages(vendor, request, tell)
    except _ForgottenCursorError:
        pages = _pages(vendor, request, tell)
    now = clock() - timedelta(seconds=time.monotonic() - begun)  # the vendor's clock when it was asked
    checked = check(pa.concat_tables([page.bars for page in pages]), request, now=now)
    none = unfit_schema(offer.timeframe).empty_table()
    unfit = [none, *(page.unfit for page in pages if page.unfit is not None)]
    over = last_sessions(offer, now)[0]
    final = over if offer.last is None else min(over, offer.whole or offer.last)
    return Answer(checked, pa.concat_tables(unfit, promote_options="default"), len(pages), final)


class _ForgottenCursorError(BadRequestError):
    """The first page came, a later one was refused."""


def _pages(vendor: Vendor, request: BarRequest, tell: Callable[[int, int], None]) -> list[Page]:
    pages: list[Page] = []
    bars = 0
    try:
        for page in _guarded(vendor, vendor.bars(request), windows=request.offer.pages_are_windows):
            pages.append(replace(page, bars=conformed(page.bars, request.timeframe)))
            bars += page.bars.num_rows
            tell(len(pages), bars)
    except BadRequestError as error:
        if pages and not isinstance(error, _ForgottenCursorError):
            raise _ForgottenCursorError(error.message, code=error.code, details=error.details) from error
        raise
    return pages


def _guarded(vendor: Vendor, pages: Iterator[Page], *, windows: bool) -> Iterator[Page]:
    """The pages, as long as they lead somewhere; windows of time may be empty as long as they are new.

    Raises:
        UpstreamError: the same cursor came twice, several pages in a row held nothing, or the last one said
            that more follows.
    """
    seen: set[str] = set()
    idle, more = 0, True
    for page in pages:
        yield page
        more = page.next_cursor is not None
        idle = 0 if page.bars.num_rows else idle + 1
        stuck = more and idle >= EMPTY_PAGES and not windows
        if page.next_cursor in seen or stuck:
            raise UpstreamError(f"{vendor.name}'s answer goes in circles.", code="NO_PROGRESS")
        if page.next_cursor is not None:
            seen.add(page.next_cursor)
    if more:
        raise UpstreamError(f"{vendor.name} ended its answer before the last page.", code="CUT_SHORT")


def commit(target: Target, step: FetchSpan, answer: Answer, report: Report) -> Kept:
    """Store bars, actions, coverage and counters: all or nothing.

    The chunk is counted in the report once its commit is certain.
    """
    days = tuple(day for day in target.facts.sessions if step.since <= day <= step.until)
    final = tuple(day for day in days if day <= answer.final)
    ids = target.instruments(step)
    actions = _actions_of(target, step)
    with target.store.transaction() as connection:
        again = target.asked_before(step, days)
        seen = judged(
            connection,
            target.series,
            step,
            target.offer,
            answer.checked,
            ids=ids,
            actions=actions,
            again=again,
        )
        checked = seen.checked
        rejects = _rejects(checked, answer.unfit)
        rejected = _unanswered(checked, answer.unfit, step.symbols, days)
        covers = {} if step.unfinished else fit_spans(step.symbols, final, rejected)
        written = write_bars(
            connection,
            target.series,
            checked.good,
            ids,
            ingest_run_id=target.run_id,
            unfinished=(step.since,) if step.unfinished else (),
        )
        repairs.superseded(connection, target.series, ids, checked.good)
        fit = {ids[symbol]: spans for symbol, spans in covers.items() if spans}
        coverage.add_coverage(connection, target.series, fit)
        doubtful = {
            ids[name]: [day for day in found if day] for name, found in rejected.items() if name in ids
        }
        coverage.reopen(connection, target.series, doubtful)
        quarantine.write(connection, target.series, target.run_id, ids, rejects)
        quarantine.release(connection, target.series, target.run_id, fit)
        done = Kept(
            step=step,
            tallies=_tallies(step, days, checked.good, rejects, written=written.by_instrument, ids=ids),
            reasons=Counter(rejects["reason"].to_pylist()),
            left_out=checked.left_out,
            repeated=checked.repeated,
            said=seen.said,
            rejects=rejects if len(rejects) else None,
            actions=0,
            covers=covers,
        )
        report.committing = done
        coverage.count_run(connection, target.run_id, report.counters)
    return report.confirm(done)


def _actions_of(target: Target, step: FetchSpan) -> list[CorporateAction]:
    """The corporate actions of a step's symbols that its sessions and the next one need, and later ones."""
    return [one for symbol in step.symbols for one in target.actions.get(symbol, ())]


def rejected_days(rejected: pa.Table) -> dict[str, set[date | None]]:
    """The sessions of the rejected bars of each symbol; None stands for a bar that has none."""
    found: dict[str, set[date | None]] = defaultdict(set)
    symbols, days = rejected["symbol"].to_pylist(), rejected["session"].to_pylist()
    for symbol, day in zip(symbols, days, strict=True):
        found[symbol or NAMELESS].add(day)
    return found


def _rejects(checked: Checked, unfit: pa.Table) -> pa.Table:
    """All rows that are not fit, with their reasons: the bars, then what is none."""
    if not len(unfit):
        return checked.rejected
    # Columns of the vendor's own, such as a line, go with them.
    tables = [checked.rejected, unfit.drop_columns(["beside"])]
    return pa.concat_tables(tables, promote_options="default")


def _unanswered(
    checked: Checked, unfit: pa.Table, symbols: Sequence[str], days: tuple[date, ...]
) -> dict[str, set[date | None]]:
    """The sessions of each symbol that a rejected bar, or what is none, leaves unanswered."""
    found = rejected_days(checked.rejected)
    for symbol, unsure in unsure_days(unfit, checked.good, symbols, days).items():
        found[symbol] |= unsure
    return found


def unsure_days(
    unfit: pa.Table, good: pa.Table, symbols: Sequence[str], days: tuple[date, ...]
) -> dict[str, set[date]]:
    """The sessions of each symbol to which a row that is no bar may belong, so that they are not answered.

    A row without a symbol may be of any. One without a session may belong to each session that has no fit
    bar, and to those that the vendor says it stands beside.
    """
    found: dict[str, set[date]] = defaultdict(set)
    if not len(unfit):
        return found
    empty = {symbol: set(days) for symbol in symbols}
    for pair in good.select(["symbol", "session"]).group_by(["symbol", "session"]).aggregate([]).to_pylist():
        empty[pair["symbol"]].discard(pair["session"])
    for row in unfit.select(["symbol", "session", "beside"]).to_pylist():
        for symbol in symbols if row["symbol"] is None else (row["symbol"],):
            known = row["session"]
            found[symbol].update(row["beside"] or () if known is None else (known,))
            if known is None:
                found[symbol] |= empty.pop(symbol, set())
    return found


def fit_spans(
    symbols: Sequence[str], days: tuple[date, ...], rejected: Mapping[str, set[date | None]]
) -> dict[str, list[Span]]:
    """What a step covers of each symbol: all of its sessions but those with a rejected bar.

    A rejected bar without a session could belong to any, so nothing of its symbol is covered then.
    """
    fit = {}
    for symbol in symbols:
        doubtful = rejected.get(symbol)
        if not doubtful:
            fit[symbol] = [(days[0], days[-1])] if days else []
            continue
        fine = np.array([day not in doubtful and None not in doubtful for day in days])
        fit[symbol] = spans_of(days, fine)
    return fit


def _tallies(
    step: FetchSpan,
    days: tuple[date, ...],
    good: pa.Table,
    rejects: pa.Table,
    *,
    written: Mapping[int, Written],
    ids: Mapping[str, int],
) -> dict[str, Tally]:
    """Bars and holes of each symbol; strangers appear with the rows that were rejected."""
    bad = Counter(symbol or NAMELESS for symbol in rejects["symbol"].to_pylist())
    held = _sessions_held(good)
    rejected = rejected_days(rejects)
    found = {}
    for symbol in [*step.symbols, *(each for each in bad if each not in ids)]:
        counts = written.get(ids.get(symbol, -1), Written())
        holes = 0
        if symbol in ids:
            doubtful = len({day for day in rejected.get(symbol, ()) if day is not None})
            holes = max(0, len(days) - held.get(symbol, 0) - doubtful)
        found[symbol] = Tally(counts.new, counts.changed, counts.same, bad[symbol], holes)
    return found


def _sessions_held(good: pa.Table) -> dict[str, int]:
    """Symbol → how many sessions have a fit bar."""
    pairs = good.select(["symbol", "session"]).group_by(["symbol", "session"]).aggregate([])
    counts = pairs["symbol"].combine_chunks().value_counts() if len(pairs) else []
    return {one["values"].as_py(): one["counts"].as_py() for one in counts}

"""What an ingest has done so far, true at every moment, also when it is stopped in the middle.

Promises: only what is committed counts as kept. Pure; never touches the store or a terminal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Literal

import pyarrow as pa

from qfund.errors import (
    BudgetError,
    DataQualityError,
    LockedError,
    PartialError,
    QfundError,
    UpstreamError,
)
from qfund.ingest.check import REASONS
from qfund.ingest.plan import Facts, FetchSpan, Plan, Span, within
from qfund.store.requests import Sent


@dataclass(frozen=True)
class Tally:
    """Bars of one symbol, or of all.

    Attributes:
        new: bars that were not stored before.
        changed: bars that said something else; the old values are kept as revisions.
        same: bars that were stored already and agree.
        rejected: bars that failed the check and were not stored.
        holes: sessions that were asked and answered without a bar.
    """

    new: int = 0
    changed: int = 0
    same: int = 0
    rejected: int = 0
    holes: int = 0

    @property
    def stored(self) -> int:
        """Bars that agree with the vendor now."""
        return self.new + self.changed + self.same

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.new + other.new,
            self.changed + other.changed,
            self.same + other.same,
            self.rejected + other.rejected,
            self.holes + other.holes,
        )


@dataclass(frozen=True)
class Began:
    """The work starts.

    Attributes:
        run_id: number of the ingest run in the store.
        plan: what will be done.
        overtaken: whether another run has covered more in the meantime, so that less is to be done.
        further: so many sessions more than was said before are to be asked for, summed over symbols; negative
            for fewer. What others have covered, the vendor's own clock and a change of name make it so.
    """

    run_id: int
    plan: Plan
    overtaken: bool = False
    further: int = 0


@dataclass(frozen=True)
class Kept:
    """A step is committed: bars, actions, coverage and counters together.

    Attributes:
        step: what was asked.
        tallies: symbol → bars; also symbols that were not asked for, when rows of theirs were rejected.
        reasons: reason of rejection → rows.
        repeated: exact repeats that were left out.
        actions: corporate actions that were new.
        covers: symbol → the spans of the step that are covered now.
        left_out: reason → rows that are normal but were not wanted, such as the evening's minutes.
        said: what is wrong with the answer beyond single bars, a sentence each.
        rejects: the rejected rows with their reasons; None without any.
    """

    step: FetchSpan
    tallies: Mapping[str, Tally]
    reasons: Mapping[str, int]
    repeated: int
    actions: int
    covers: Mapping[str, Sequence[Span]]
    left_out: Mapping[str, int] = field(default_factory=dict)
    said: tuple[str, ...] = ()
    rejects: pa.Table | None = None

    @cached_property
    def total(self) -> Tally:
        """All symbols together."""
        return sum(self.tallies.values(), Tally())


@dataclass(frozen=True)
class Failed:
    """A step got no usable answer; nothing of it is kept.

    Attributes:
        step: what was asked, of one symbol.
        error: why.
    """

    step: FetchSpan
    error: QfundError


@dataclass
class Report:
    """The account of one ingest; the one object of this room that changes.

    Attributes:
        plan: what is to be done.
        run_id: number of the ingest run, None before it began.
        kept: the steps that are committed.
        failed: the steps that got no usable answer.
        untried: steps that were given up because the vendor did not answer several times in a row, or because
            the run was stopped.
        in_a_row: how many chunks in a row came to nothing for want of an answer, also those split since.
        lost_in_a_row: how many of them were lost, split as far as they could be.
        committing: a step whose commit was sent and whose answer did not arrive yet.
        finished: whether the run came to its end.
        stopped: why the run ended early: a limit, the time, the credentials; None when it did not.
        locked: symbols that another run was fetching all the time.
        told: corporate actions written before the first chunk.
        notes: sentences for the operator, such as where the broker's calendar differs.
        planned: steps that were to be done.
        sent: what went over the wire so far; zero without a network.
    """

    plan: Plan
    run_id: int | None = None
    kept: list[Kept] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    untried: int = 0
    in_a_row: int = 0
    lost_in_a_row: int = 0
    committing: Kept | None = None
    finished: bool = False
    stopped: QfundError | None = None
    locked: tuple[str, ...] = ()
    told: int = 0
    notes: tuple[str, ...] = ()
    planned: int = 0
    sent: Callable[[], Sent] = Sent

    def add(self, plan: Plan) -> None:
        """Count the steps of a share of the work."""
        self.planned += len(plan.steps)

    def confirm(self, step: Kept) -> Kept:
        """Count a step whose commit is known to have happened."""
        self.committing = None
        self.in_a_row = self.lost_in_a_row = 0
        self.kept.append(step)
        return step

    def settle(self, facts: Facts) -> None:
        """Count the step whose commit was interrupted, if the coverage found now says that it happened."""
        step = self.committing
        if step is None:
            return
        found = {one.symbol: within(facts.sessions, one.covered) for one in facts.symbols}
        wanted = {name: within(facts.sessions, spans) for name, spans in step.covers.items()}
        if all((found[name] >= covers).all() for name, covers in wanted.items()):
            self.confirm(step)
        self.committing = None

    def fail(self, step: FetchSpan, error: QfundError) -> Failed:
        """Count a step that got no usable answer."""
        self.lost_in_a_row += 1 if error.retryable else 0
        failed = Failed(step, error)
        self.failed.append(failed)
        return failed

    def pass_over(self, step: FetchSpan, error: QfundError) -> Failed:
        """Count a step that was not asked for, since what it needs could not be had."""
        failed = Failed(step, error)
        self.failed.append(failed)
        return failed

    @property
    def status(self) -> Literal["ok", "partial", "failed"]:
        """``ok``, ``partial`` or ``failed``, as the store keeps it with the run."""
        whole = self.finished and not (self.failed or self.locked or self.stopped)
        if whole and not self.total.rejected:
            return "ok"
        return "partial" if self.kept else "failed"

    @property
    def by_symbol(self) -> dict[str, Tally]:
        """Symbol → bars, in the order of the plan; strangers last."""
        found: dict[str, Tally] = {one.symbol: Tally() for one in self.plan.seen.symbols}
        for step in self.kept:
            for symbol, tally in step.tallies.items():
                found[symbol] = found.get(symbol, Tally()) + tally
        return found

    @property
    def total(self) -> Tally:
        """All symbols together."""
        return sum((step.total for step in self.kept), Tally())

    @property
    def actions(self) -> int:
        """Corporate actions that were new."""
        return self.told + sum(step.actions for step in self.kept)

    @property
    def left_out(self) -> dict[str, int]:
        """Reason → rows that were not wanted."""
        found: Counter[str] = Counter()
        for step in self.kept:
            found.update(step.left_out)
        return dict(found)

    @property
    def rejects(self) -> pa.Table | None:
        """All rejected rows with their reasons; None without any."""
        found = [step.rejects for step in self.kept if step.rejects is not None]
        return pa.concat_tables(found, promote_options="default") if found else None

    @property
    def reasons(self) -> dict[str, int]:
        """Reason of rejection → rows, in the order of the check."""
        found: Counter[str] = Counter()
        for step in self.kept:
            found.update(step.reasons)
        return {reason: found[reason] for reason in REASONS if found[reason]}

    @property
    def counters(self) -> dict[str, object]:
        """The account as the store keeps it with the run, with a step that is just being committed."""
        steps = [*self.kept, *([self.committing] if self.committing else [])]
        total = sum((step.total for step in steps), Tally())
        return {
            "plan": self.plan.id,
            "spans": self.planned,
            "spans_kept": len(steps),
            "spans_failed": len(self.failed),
            "rows_new": total.new,
            "rows_changed": total.changed,
            "rows_same": total.same,
            "rows_rejected": total.rejected,
            "rows_repeated": sum(step.repeated for step in steps),
            "holes": total.holes,
            "rows_left_out": sum(sum(step.left_out.values()) for step in steps),
            "actions": self.told + sum(step.actions for step in steps),
            **asdict(self.sent()),
        }

    def summary(self) -> str:
        """``kept 3 of 5 spans, 8,210 bars``."""
        asked = len(self.kept) + len(self.failed) + self.untried
        of = max(self.planned, asked)
        spans = "span" if of == 1 else "spans"
        return f"kept {len(self.kept)} of {of} {spans}, {self.total.stored:,} bars"

    def errors(self, retry: str) -> tuple[QfundError, ...]:
        """What the operator must know, what weighs most first.

        Args:
            retry: the command that asks for the rest.
        """
        found: list[QfundError] = []
        if self.stopped is not None:
            found.append(self._stop(self.stopped, retry))
        if self.failed:
            found.append(self._failure(retry))
        if self.plan.seen.unknown:
            found.append(self._unknown(retry))
        if self.locked:
            found.append(self._locked(retry))
        if self.total.rejected:
            found.append(self._rejection(retry))
        return tuple(found)

    def _stop(self, stopped: QfundError, retry: str) -> QfundError:
        fix = retry if stopped.retryable else stopped.fix or retry
        if isinstance(stopped, BudgetError) and not self.kept:
            fix = "give a larger limit, since a chunk is kept as a whole: see --estimate"
        return type(stopped)(
            f"{stopped.message} {self.summary().capitalize()}.",
            fix=fix,
            code=stopped.code,
            details={**stopped.details, "kept": self.counters},
        )

    def _unknown(self, retry: str) -> PartialError:
        names = self.plan.seen.unknown
        verb = "is" if len(names) == 1 else "are"
        return PartialError(
            f"{', '.join(names)} {verb} unknown to {self.plan.seen.vendor}; the others are kept. Leave out"
            " what it does not know, or name it again when the vendor knows more.",
            fix=retry,
            code="UNKNOWN_SYMBOL",
            details={"symbols": list(names)},
        )

    def _locked(self, retry: str) -> LockedError:
        return LockedError(
            f"{', '.join(self.locked)}: another ingest is fetching them; it keeps what it fetches.",
            fix=retry,
            details={"symbols": list(self.locked)},
        )

    def _failure(self, retry: str) -> QfundError:
        symbols = sorted({symbol for one in self.failed for symbol in one.step.symbols})
        first = self.failed[0]
        left = f" {self.untried} further spans were not tried." if self.untried else ""
        told = f"{', '.join(symbols)} failed: {first.error.message}{left}"
        details = {"symbols": symbols, "spans_failed": len(self.failed), "untried": self.untried}
        if not self.kept:
            return UpstreamError(
                f"Nothing was kept. {told}", fix=retry, code=first.error.code, details=details
            )
        said = f"{self.summary().capitalize()}. {told}"
        if self._is_down:
            return UpstreamError(said, fix=retry, code=first.error.code, details=details)
        return PartialError(said, fix=retry, details=details)

    @property
    def _is_down(self) -> bool:
        """Whether it was the vendor that failed, not a symbol: it was given up, or lets nobody in."""
        return bool(self.untried) or self.failed[-1].error.code == "VENDOR_THROTTLES"

    def _rejection(self, retry: str) -> QfundError:
        count = self.total.rejected
        told = ", ".join(f"{n:,} {REASONS[reason]}" for reason, n in self.reasons.items())
        said = " ".join(dict.fromkeys(sentence for step in self.kept for sentence in step.said))
        were = "bar was" if count == 1 else "bars were"
        return DataQualityError(
            f"{count:,} {were} not fit to be stored: {told}. The others are kept; the days concerned stay "
            f"missing and the next ingest asks for them again.{' ' if said else ''}{said}",
            fix="qfund data check" if not said else retry,
            code="BARS_REJECTED",
            details={"reasons": self.reasons},
        )

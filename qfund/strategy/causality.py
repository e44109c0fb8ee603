"""Does a strategy see the future? It is run on other histories and must decide the same past.

The check, for a number of moments t spread over the history and over the rows where something is decided:

- *truncated*: without the bars after t, every decision up to and with t is the same;
- *perturbed*: with other bars after t (noise, none, constants, other scales), it is the same, too;
- *start*: with a history that begins later, decisions after the declared warm-up are the same;
- *random*: the same bars twice give the same decisions;
- *raises*: it can decide at all when the history ends at t.

Promises: deterministic by seed; a fresh instance for every evaluation, and short histories before the long
one, so that nothing remembered can help. A difference counts only where the decision does not hang on
rounding (it survives shaking all prices by a billionth). Passing is evidence at the moments tried, no proof.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd

from qfund.errors import DataQualityError
from qfund.market.bars import Bars
from qfund.strategy.api import Strategy
from qfund.strategy.hints import Hint, hints
from qfund.strategy.targets import moment
from qfund.strategy.trial import TOLERANCE, Trial, differing
from qfund.strategy.variation import FUTURES, Future, until, with_future

Kind = Literal["random", "raises", "truncated", "perturbed", "start"]

START_TOLERANCE = 1e-3  # recursive averages forget their start only little by little
STARTS = 3
RESUMED: tuple[Future, ...] = ("dearer", "cheaper")  # a price after a hole shows as a rise or a fall
CELLS = 250_000  # bars looked at when the universe is larger: a few hundredths of a second an evaluation


@dataclass(frozen=True)
class Finding:
    """A decision that changed where it may not.

    Attributes:
        kind: which comparison failed, see the module.
        column: the symbol; empty when it is none in particular.
        time: the first offending row found: a date for daily bars, RFC 3339 UTC for minutes.
        detail: one sentence with the numbers.
    """

    kind: Kind
    column: str
    time: str
    detail: str


@dataclass(frozen=True)
class Verdict:
    """What the check found.

    Attributes:
        ok: no look-ahead, no randomness, no failure. A finding of kind ``start`` is a warning only: it cannot
            make a backtest too good, but live trading on a shorter history will decide otherwise.
        findings: at most one of each kind, most serious first.
        checked: moments at which the history was cut and its future changed.
        evaluations: how often the strategy was run.
        symbols: how many symbols were looked at.
        hints: suspicious lines of the source; only when not ok and the source was given.
    """

    ok: bool
    findings: tuple[Finding, ...]
    checked: int
    evaluations: int = 0
    symbols: int = 0
    hints: tuple[Hint, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """The findings that do not forbid a backtest, as sentences."""
        return tuple(finding.detail for finding in self.findings if finding.kind == "start")

    def refusal(self, name: str, path: object) -> DataQualityError | None:
        """The error that keeps such a strategy from being believed; None when it is ok."""
        if self.ok:
            return None
        finding = self.findings[0]
        code, what = {
            "random": ("NOT_REPRODUCIBLE", "decides at random"),
            "raises": ("HISTORY_TOO_SHORT", "cannot decide on part of the history"),
        }.get(finding.kind, ("LOOKAHEAD", "sees the future"))
        likely = "".join(f" Look at line {hint.line}: {hint.code}." for hint in self.hints[:1])
        mend = f"mend line {self.hints[0].line} of {path}" if self.hints else None
        return DataQualityError(
            f"{name} {what}: {finding.detail}{likely}",
            fix=mend or f"qfund strategy check {path}  # more moments, and what they have in common",
            code=code,
            details={"kind": finding.kind, "column": finding.column, "time": finding.time},
        )


def check(
    make: Callable[[], Strategy],
    bars: Bars,
    *,
    samples: int,
    seed: int,
    cells: int | None = CELLS,
    source: str | None = None,
) -> Verdict:
    """Run a strategy on cut, changed and later-starting histories, and compare its decisions.

    Args:
        make: gives a fresh instance each time.
        bars: the history; rows before the warm-up decide nothing.
        samples: moments to try, each with two evaluations; 0 tries none. Sixteen reach every month
            in which the strategy decides something.
        seed: of the moments and of the changed futures.
        cells: look at fewer symbols when there are more bars than this; None for all of them.
        source: the strategy's text, for hints.

    Raises:
        DataQualityError: as `qfund.strategy.targets.checked_targets`, on the whole history.
    """
    rng = np.random.default_rng(seed)
    trial = Trial(make, bars, rng)
    trial.narrow(cells)
    first, last = trial.warmup - 1, len(bars) - 2
    if samples <= 0 or last < first:
        return Verdict(True, (), 0, trial.evaluations, trial.width)
    early = _spread(first, last, max(1, samples // 4), rng)
    holes = _holes(trial, samples // 4, rng)
    early = sorted({*early, *holes})
    cuts = {row: trial.attempt(until(trial.bars, row)) for row in early}
    if trial.is_random():
        return _verdict(trial, [_random(trial)], len(cuts), source)
    for row in _decisive(trial, early, samples - len(early), rng):
        cuts[row] = trial.attempt(until(trial.bars, row))
    futures = [(row, FUTURES[turn % len(FUTURES)]) for turn, row in enumerate(sorted(cuts))]
    futures += [(row, future) for row in holes for future in RESUMED]
    findings = [
        _raises(trial, cuts),
        _truncated(trial, cuts),
        _perturbed(trial, futures, rng),
    ]
    if not any(findings):  # what looks ahead depends on its history's start, too, for another reason
        findings.append(_start(trial, min(STARTS, samples), rng))
    return _verdict(trial, findings, len(cuts), source)


def _spread(first: int, last: int, count: int, rng: np.random.Generator) -> list[int]:
    """Rows in ``[first, last]``, one at random from each of ``count`` equal parts, increasing."""
    edges = np.linspace(first, last + 1, min(count, last - first + 1) + 1).astype(int)
    return [int(rng.integers(low, max(high, low + 1))) for low, high in pairwise(edges)]


def _holes(trial: Trial, count: int, rng: np.random.Generator) -> list[int]:
    """Rows at which a hole in the prices is about to end: a halt, or the time before a listing.

    Only there does filling a hole from its far side show. Halts come first: before a listing there is little
    to decide.
    """
    missing = trial.bars.close.isna().to_numpy()
    ends = missing[:-1] & ~missing[1:]
    halted = ends & ~np.logical_and.accumulate(missing, axis=0)[:-1]
    halts = np.flatnonzero(halted[trial.warmup - 1 :].any(axis=1))
    others = np.flatnonzero(ends[trial.warmup - 1 :].any(axis=1))
    rows = [*rng.permutation(halts)[: (count + 1) // 2], *rng.permutation(others)[: count // 2]]
    return [int(row) + trial.warmup - 1 for row in rows]


def _decisive(trial: Trial, taken: Sequence[int], count: int, rng: np.random.Generator) -> list[int]:
    """More rows, where the strategy decides something new, from the months (or hours) tried least so far.

    A leak shows only at rows where it acts, and some act on certain dates only; rows where nothing is decided
    would be wasted.
    """
    first, last = trial.warmup - 1, len(trial.bars) - 2
    standing = pd.DataFrame(trial.whole).ffill().shift(1).to_numpy()
    new = (~np.isnan(trial.whole) & (trial.whole != standing)).any(axis=1)
    inside = np.arange(len(new))
    free = (inside >= first) & (inside <= last) & ~np.isin(inside, taken)
    candidates = np.flatnonzero(free & new)
    if len(candidates) < count:
        candidates = np.flatnonzero(free)
    index = trial.bars.index
    parts = np.asarray(index.month if trial.bars.timeframe == "1d" else index.hour)
    tried = Counter(parts[taken].tolist())
    left = {
        part: rng.permutation(candidates[parts[candidates] == part]).tolist()
        for part in rng.permutation(np.unique(parts[candidates])).tolist()
    }
    chosen: list[int] = []
    for _ in range(min(count, len(candidates))):
        part = min((part for part, rows in left.items() if rows), key=lambda part: tried[part])
        tried[part] += 1
        chosen.append(left[part].pop())
    return chosen


def _random(trial: Trial) -> Finding:
    found = np.argwhere(differing(trial.again, trial.whole, TOLERANCE * trial.scale))
    row, column = (int(place) for place in found[0])
    symbol, when = trial.told(row, column)
    one, other = _weight(trial.whole[row, column]), _weight(trial.again[row, column])
    detail = f"the same bars give {one} and {other} for {symbol} on {when}; give its generator a seed."
    return Finding("random", symbol, when, detail)


def _raises(trial: Trial, cuts: dict[int, np.ndarray | DataQualityError]) -> Finding | None:
    for row, result in sorted(cuts.items()):
        if isinstance(result, DataQualityError):
            when = moment(trial.bars.index, row)
            return Finding(
                "raises",
                "",
                when,
                f"when the history ends on {when} ({row + 1} bars, its warm-up is {trial.warmup}): "
                f"{result.message}",
            )
    return None


def _truncated(trial: Trial, cuts: dict[int, np.ndarray | DataQualityError]) -> Finding | None:
    seen = [(t, result) for t, result in cuts.items() if isinstance(result, np.ndarray)]
    return _earliest(trial, "truncated", seen, "while the bars after {t} are not there yet")


def _perturbed(
    trial: Trial, futures: Iterable[tuple[int, Future]], rng: np.random.Generator
) -> Finding | None:
    seen = []
    for row, future in futures:
        result = trial.attempt(with_future(trial.bars, row, future, rng))
        if isinstance(result, np.ndarray):  # it may rightly fail later on, on a future that cannot be
            seen.append((row, result[: row + 1]))
    return _earliest(trial, "perturbed", seen, "when only the bars after {t} are others")


def _earliest(trial: Trial, kind: Kind, seen: Iterable[tuple[int, np.ndarray]], how: str) -> Finding | None:
    """The first decision in time that any of the other histories changed."""
    best: tuple[int, int, int, float] | None = None
    touched: set[int] = set()
    for t, other in seen:
        places = trial.changed(other)
        touched.update(places[:, 1].tolist())
        if len(places) and (best is None or int(places[0, 0]) < best[0]):
            row, column = int(places[0, 0]), int(places[0, 1])
            best = (row, column, t, float(other[row, column]))
    if best is None:
        return None
    row, column, t, other_weight = best
    symbol, when = trial.told(row, column)
    others = f" ({len(touched)} symbols in all)" if len(touched) > 1 else ""
    detail = (
        f"the decision of {when} for {symbol} is {_weight(trial.whole[row, column])}, but "
        f"{_weight(other_weight)} {how.format(t=moment(trial.bars.index, t))}{others}."
    )
    return Finding(kind, symbol, when, detail)


def _start(trial: Trial, count: int, rng: np.random.Generator) -> Finding | None:
    """Standing decisions of histories that begin later, where both have decided something."""
    size, warmup = trial.whole.shape[0], trial.warmup
    if size - warmup - 1 < 1:
        return None
    standing = pd.DataFrame(trial.whole).ffill().to_numpy()
    found: list[tuple[int, np.ndarray, np.ndarray]] = []
    starts = _spread(1, size - warmup - 1, 2 * count, rng)[:count]
    for start in starts:
        later = trial.attempt(trial.bars.rows(start, None))
        if isinstance(later, DataQualityError):
            continue
        later = pd.DataFrame(later).ffill().to_numpy()
        whole = standing[start:]
        both = ~(np.isnan(whole) | np.isnan(later))
        places = both & differing(later, whole, START_TOLERANCE * trial.scale)
        if places.any():
            places &= ~trial.fragile[start:]
        if places.any():
            found.append((start, np.argwhere(places), later))
    if not found or 2 * len(found) <= len(starts):  # one odd row near a crossing is no rule
        return None
    return _start_finding(trial, found, standing)


def _start_finding(
    trial: Trial, found: list[tuple[int, np.ndarray, np.ndarray]], standing: np.ndarray
) -> Finding:
    start, places, later = found[0]
    row, column = int(places[0, 0]), int(places[0, 1])
    symbol, when = trial.told(start + row, column)
    needed = max(int(where[:, 0].max()) for _, where, _ in found) + 2
    settles = all(where[-1, 0] < 0.9 * len(part) for _, where, part in found)
    advice = (
        f"From {needed} bars on it agrees, but its warm-up is {trial.warmup}: return {needed}."
        if settles
        else "It never agrees for good: what it decides hangs on where its history begins."
    )
    return Finding(
        "start",
        symbol,
        when,
        f"with a history that begins on {moment(trial.bars.index, start)}, the standing decision of {when} "
        f"for {symbol} is {_weight(later[row, column])} instead of "
        f"{_weight(standing[start + row, column])}. {advice}",
    )


def _verdict(trial: Trial, findings: Iterable[Finding | None], checked: int, source: str | None) -> Verdict:
    kept = tuple(finding for finding in findings if finding is not None)
    ok = all(finding.kind == "start" for finding in kept)
    where = () if ok or source is None else hints(source)
    return Verdict(ok, kept, checked, trial.evaluations, trial.width, where)


def _weight(value: float) -> str:
    return "no decision" if np.isnan(value) else f"{value:.6g}"

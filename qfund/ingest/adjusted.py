"""Adjusted prices although raw ones were asked for: how they give themselves away.

Promises: pure. A vendor that adjusts is named with symbol, ratio and date, and all of the symbol's rows
are doubtful, not only those that moved. Three traces are known: a split that does not show in the prices;
prices that are all another by one ratio when they are read again; and, as a hint only, a jump by a split's
ratio without a split.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Literal

import numpy as np
import pyarrow as pa
from pyarrow import compute

from qfund.ingest.neighbours import Line, line
from qfund.market.actions import CorporateAction
from qfund.market.bars import Timeframe
from qfund.market.hours import MINUTE

LEAST_SPLIT = 1.3
"""A smaller split may hide in a day's move."""

LONGEST_CLOSURE = 15
"""Days; bars farther apart are the two sides of a hole."""

SIMPLE = tuple(
    sorted(
        {Fraction(a, b) for a in range(1, 11) for b in range(1, 5) if a != b}
        | {Fraction(n) for n in (12, 15, 20, 25, 30, 40, 50, 100)}
    )
)
"""Ratios at which shares are split; their inverses are those of reverse splits."""

SHARE = 0.9
"""Nearly all: so many of the numbers that are compared must agree on a ratio."""

_RATIOS = np.array(sorted({float(one) for one in SIMPLE} | {float(1 / one) for one in SIMPLE}))
_TICK = 0.0051  # prices are rounded to cents, below $1 to hundredths of cents
_TICK_OF_CHEAP = 0.000051


@dataclass(frozen=True)
class Adjusted:
    """One symbol's prices are not raw.

    Attributes:
        symbol: whose.
        trace: ``split`` (a split does not show), ``reread`` (all prices moved by one ratio), ``volume``
            (all volumes did) or ``dividend`` (a ratio just below 1, up to a date).
        ratio: what the prices (``volume``: the volumes) are multiplied by.
        on: the ex-date, or the last session that is concerned.
    """

    symbol: str
    trace: Literal["split", "reread", "volume", "dividend"]
    ratio: float
    on: date

    def said(self, vendor: str) -> str:
        """What is wrong, in a sentence that names all of it."""
        start = f"{vendor} answered with adjusted prices of {self.symbol} although raw ones were asked for: "
        words = ratio_in_words(self.ratio)
        match self.trace:
            case "split":
                return f"{start}its split of {self.on} ({words}) does not show in them."
            case "reread":
                return f"{start}those up to {self.on} are {words} of what they were when first read."
            case "volume":
                return f"{start}volumes up to {self.on} are {words} of what they were when first read."
            case "dividend":
                return f"{start}those before {self.on} are {words} of what they were, as after a dividend."


def ratio_in_words(ratio: float) -> str:
    """``1/2``, ``3/2``, ``10``, or six digits where it is no split's ratio."""
    near = _RATIOS[np.argmin(np.abs(np.log(_RATIOS / ratio)))]
    if abs(near / ratio - 1) < 0.005:
        simple = Fraction(float(near)).limit_denominator(100)
        return str(simple)
    return f"{ratio:.6g}"


def adjusted(
    good: pa.Table,
    timeframe: Timeframe,
    *,
    around: pa.Table | None = None,
    stored: pa.Table | None = None,
    actions: Sequence[CorporateAction] = (),
) -> list[Adjusted]:
    """The symbols whose prices are adjusted; at most one finding each.

    Args:
        good: rows fit by themselves, in the columns of the vendor contract; raw prices were asked for.
        timeframe: length of the bars.
        around: stored bars before and after the span, see ``doubts.doubtful``.
        stored: bars stored at the times of ``good`` by earlier reads, in the same columns, any order.
        actions: corporate actions of the symbols, from the session of the last bar in ``around`` on.
    """
    if not len(good):
        return []
    found: dict[str, Adjusted] = {}
    splits = [one for one in actions if one.kind == "split"]
    if splits:
        bars = line(good, around, timeframe)
        found |= {one.symbol: one for one in _hidden_splits(bars, splits)}
    if stored is not None and len(stored):
        found |= {one.symbol: one for one in _moved(good, stored, timeframe)}
    return [found[symbol] for symbol in sorted(found)]


def rows_of(good: pa.Table, found: Sequence[Adjusted]) -> np.ndarray:
    """Which rows are of the symbols found: bool, one for each row."""
    names = pa.array([one.symbol for one in found], pa.string())
    chosen = compute.is_in(good.column("symbol"), value_set=names)
    return np.asarray(chosen.combine_chunks().to_numpy(zero_copy_only=False), dtype=bool)


# ---------------------------------------------------------------- a split that does not show


def _hidden_splits(bars: Line, splits: Sequence[CorporateAction]) -> Iterator[Adjusted]:
    """Splits across which the prices go on as if nothing had happened."""
    opened, _, _, close, _ = bars.values
    for split in splits:
        ratio = float((split.old_rate or 1) / (split.new_rate or 1))  # of the price after to that before
        if max(ratio, 1 / ratio) < LEAST_SPLIT:
            continue
        own = bars.of_symbol(split.symbol)
        ex_date = (split.ex_date - date(1970, 1, 1)).days
        at = own.start + int(np.searchsorted(bars.days[own], ex_date))
        if not own.start < at < own.stop or (bars.came[own] < 0).all():
            continue
        if bars.days[at] - bars.days[at - 1] > LONGEST_CLOSURE:
            continue
        moves = np.log(np.array([opened[at], close[at]]) / close[at - 1])
        if (np.abs(moves) < np.abs(moves - np.log(ratio))).all():
            yield Adjusted(split.symbol, "split", ratio, split.ex_date)


# ---------------------------------------------------------------- another answer than before


def _moved(good: pa.Table, stored: pa.Table, timeframe: Timeframe) -> Iterator[Adjusted]:
    """Symbols of which all that was read again is another by one ratio."""
    now, then = _pairs(line(good, None, timeframe), line(stored, None, timeframe))
    changed = np.zeros(len(now), dtype=bool)
    for fresh, old in zip(now.values, then.values, strict=True):
        changed |= fresh != old
    for number in np.unique(now.symbols[changed]):
        own = now.symbols == number
        one = _ratio(now, then, own)
        if one is not None:
            trace, ratio, last = one
            yield Adjusted(now.names[number], trace, ratio, last)


def _pairs(now: Line, then: Line) -> tuple[Line, Line]:
    """The bars that both have, in the same order."""
    place = {name: at for at, name in enumerate(then.names)}
    renumbered = np.array([place.get(name, -1) for name in now.names], dtype=np.int64)[now.symbols]
    keys, wanted = _keys(then.symbols, then), _keys(renumbered, now)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    both = keys[at] == wanted
    return now.taken(both), then.taken(at[both])


def _keys(numbers: np.ndarray, bars: Line) -> np.ndarray:
    """One int64 for each symbol and day or minute, in their order."""
    unit = 1 if bars.daily else MINUTE
    return np.asarray((numbers.astype(np.int64) << 34) + bars.times // unit)


def _ratio(
    now: Line, then: Line, own: np.ndarray
) -> tuple[Literal["reread", "volume", "dividend"], float, date] | None:
    """By which ratio a symbol's prices or volumes moved up to some day, if nearly all did and none after."""
    days = now.days[own]
    fresh, old = (np.vstack([one[own] for one in bars.values]) for bars in (now, then))
    heavier, volume_ratio = _volume_ratio(fresh[4], old[4])
    tick = np.where(old[:4] < 1, _TICK_OF_CHEAP, _TICK)
    moved = (np.abs(fresh[:4] - old[:4]) > 2 * tick).mean(axis=0) >= 0.5
    if not moved.any():
        up_to = _prefix(heavier)
        whole = volume_ratio is not None and up_to > 1
        return ("volume", volume_ratio, _date(days[up_to - 1])) if whole and volume_ratio else None
    up_to = _prefix(moved)
    fresh, old, tick = fresh[:4, :up_to], old[:4, :up_to], tick[:, :up_to]
    ratio = float(np.median(fresh / old)) if up_to else 1.0
    fits = np.abs(fresh - ratio * old) <= tick + 2e-4 * fresh
    if not up_to or fits.mean() < SHARE or (up_to == 1 and volume_ratio is None):
        return None
    simple = _nearest(ratio)
    if simple is not None:
        return "reread", simple, _date(days[up_to - 1])
    after = days[up_to] if up_to < len(days) else days[up_to - 1] + 1
    return ("dividend", ratio, _date(after)) if 0.5 < ratio < 1 else None


def _prefix(changed: np.ndarray) -> int:
    """How many bars from the first on were changed, when nearly all of them were and none after; else 0."""
    last = int(np.flatnonzero(changed)[-1]) + 1 if changed.any() else 0
    return last if last and changed[:last].mean() >= SHARE else 0


def _volume_ratio(fresh: np.ndarray, old: np.ndarray) -> tuple[np.ndarray, float | None]:
    """Which volumes are another by more than a tenth, and the split's ratio if it is one for nearly all."""
    ratio = np.where((old > 0) & (fresh > 0), fresh, 1.0) / np.where((old > 0) & (fresh > 0), old, 1.0)
    heavier = np.abs(np.log(ratio)) > 0.1
    return heavier, _split_ratio(fresh[heavier], old[heavier]) if heavier.any() else None


def _split_ratio(fresh: np.ndarray, old: np.ndarray) -> float | None:
    """The split's ratio by which nearly all of the volumes are another."""
    ratio = float(np.median(fresh / old))
    near = np.abs(fresh / old / ratio - 1) <= 1e-3 + 1 / np.maximum(np.minimum(fresh, old), 1)
    return _nearest(ratio) if near.mean() >= SHARE else None


def _nearest(ratio: float, within: float = 0.005, known: np.ndarray = _RATIOS) -> float | None:
    """The split's ratio that is near, None where there is none."""
    near = float(known[np.argmin(np.abs(np.log(known / ratio)))])
    return near if abs(ratio / near - 1) <= within else None


def _date(day: int) -> date:
    return date(1970, 1, 1) + timedelta(days=int(day))


# ---------------------------------------------------------------- a hint only

_COMMON = (Fraction(3, 2), *(Fraction(n) for n in (2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 40, 50, 100)))
_JUMPS = np.array(sorted({float(one) for one in _COMMON} | {float(1 / one) for one in _COMMON}))

JUMP_WITHIN = 0.02
"""How near open and close after an unexplained jump must lie to a split's ratio."""

LEAST_JUMP = 1.45


@dataclass(frozen=True)
class Jump:
    """A lasting move by a split's ratio on a day without a corporate action.

    Attributes:
        symbol: whose.
        session: the first session at the new level.
        ratio: the split's ratio that is nearest, of the price after to that before.
    """

    symbol: str
    session: date
    ratio: float


def unexplained_jumps(bars: Line, actions: Sequence[CorporateAction] = ()) -> list[Jump]:
    """Lasting moves by a split's ratio on days without a corporate action: perhaps a split nobody told of."""
    if len(bars) < 3:
        return []
    opened, _, _, close, _ = bars.values
    before, first, settled, later = close[:-2], opened[1:-1], close[1:-1], close[2:]
    far = np.abs(np.log(settled / before)) >= np.log(LEAST_JUMP)
    far &= bars.between(2) & (np.diff(bars.days)[:-1] <= LONGEST_CLOSURE) & (np.diff(bars.days)[:-1] > 0)
    found = []
    for at in np.flatnonzero(far):
        ratio = _nearest(float(settled[at] / before[at]), JUMP_WITHIN, _JUMPS)
        if ratio is None or ratio != _nearest(float(first[at] / before[at]), 2 * JUMP_WITHIN, _JUMPS):
            continue
        if abs(later[at] / settled[at] - 1) > 0.2:
            continue
        symbol, session = bars.names[bars.symbols[at + 1]], _date(bars.days[at + 1])
        last = _date(bars.days[at])
        if not any(one.symbol == symbol and last < one.ex_date <= session for one in actions):
            found.append(Jump(symbol, session, ratio))
    return found

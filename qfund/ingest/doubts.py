"""What only its neighbours can tell of a bar: that it is a spike, or that it is stale.

Promises: pure and vectorised. A move that lasts is no spike, however large: AAPL closed 51.9 % lower on
2000-09-29 and stayed there. A corporate action between the neighbours explains everything. The last bar of
all is judged when the next one has come.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from qfund.ingest.neighbours import Line, line
from qfund.market.actions import CorporateAction
from qfund.market.bars import Timeframe
from qfund.vendors.contract import BarRequest

SPIKE: dict[Timeframe, float] = {"1d": 0.40, "1m": 0.15}
"""How far the whole range of a spike lies off both neighbours' ranges.

A day: in the sample, and on any liquid share, no day ever stood so far off two days that agree. A minute: the
exchanges' price bands pause a share of $3 or more before it can move 10 % off its five-minute mean, 20 %
around the open and the close for the quietest ("Limit Up-Limit Down Plan", tiers 1 and 2)."""

CHEAP, SPIKE_OF_CHEAP = 3.0, 0.40
"""Below $3 the bands are 20 % and wider, so that a minute of a cheap share may stand as far off as a day."""

AGREE = 0.5
"""Neighbours agree when their closes are nearer than this share of the limit."""

STALE = 5
"""So many identical bars in a row are stale."""

STALE_VOLUME = 1000.0
"""A bar of one single price may repeat on a quiet day (one round lot at the same price, one tick); it counts
as identical only with at least this volume, and not in round lots."""

_ROUND_LOT = 100.0


def doubtful(
    good: pa.Table,
    request: BarRequest,
    *,
    around: pa.Table | None = None,
    actions: Sequence[CorporateAction] = (),
) -> dict[str, np.ndarray]:
    """Which good rows their neighbours contradict.

    Args:
        good: rows fit by themselves, see ``check.Checked.good``; no two of one symbol and time.
        request: what was asked.
        around: bars stored before and after the span, in the same columns and any order: four on each side of
            each symbol are enough that no border hides anything.
        actions: corporate actions of the symbols in the span, of whatever kind.

    Returns:
        Key of ``check.REASONS`` → mask over the rows of ``good``, for reasons that occur.
    """
    if not len(good):
        return {}
    bars = line(good, around, request.timeframe)
    found = {
        "stale": stale(bars),
        "spike": spikes(bars, request.timeframe, market=request.offer.market, actions=actions),
    }
    masks = {reason: bars.mask(chosen, len(good)) for reason, chosen in found.items()}
    return {reason: mask for reason, mask in masks.items() if mask.any()}


def spikes(
    bars: Line, timeframe: Timeframe, *, market: str, actions: Iterable[CorporateAction] = ()
) -> np.ndarray:
    """Which bars lie far off two neighbours that agree: bool, one for each bar."""
    found = np.zeros(len(bars), dtype=bool)
    if len(bars) < 3:
        return found
    _, high, low, close, _ = bars.values
    before, after = close[:-2], close[2:]
    limit = np.full(len(before), SPIKE[timeframe])
    if timeframe == "1m" and market == "us_equity":
        limit[np.minimum(before, after) < CHEAP] = SPIKE_OF_CHEAP
    agree = np.abs(after - before) <= AGREE * limit * np.minimum(before, after)
    above = low[1:-1] > (1 + limit) * np.maximum(high[:-2], high[2:])
    below = high[1:-1] < (1 - limit) * np.minimum(low[:-2], low[2:])
    found[1:-1] = bars.between(2) & agree & (above | below)
    if found.any():
        for at in np.flatnonzero(found):
            found[at] = not _explained(bars, int(at), actions)
    return found


def _explained(bars: Line, at: int, actions: Iterable[CorporateAction]) -> bool:
    """Whether something happened to the share after the bar before and up to the bar after."""
    symbol = bars.names[bars.symbols[at]]
    first, last = (np.int64(bars.days[at + side]).astype("datetime64[D]").item() for side in (-1, 1))
    return any(one.symbol == symbol and first < one.ex_date <= last for one in actions)


def stale(bars: Line) -> np.ndarray:
    """Which bars repeat the one before in a row of at least :data:`STALE` identical ones: bool for each bar.

    The first of the row is not among them: it may be right.
    """
    found = np.zeros(len(bars), dtype=bool)
    if len(bars) < STALE:
        return found
    _, high, low, _, volume = bars.values
    alike = bars.between() & (volume[1:] > 0)
    for one in bars.values:
        alike &= one[1:] == one[:-1]
        if not alike.any():
            return found
    flat = high[1:] == low[1:]
    alike &= ~flat | ((volume[1:] >= STALE_VOLUME) & (volume[1:] % _ROUND_LOT != 0))
    edges = np.flatnonzero(np.diff(alike.astype(np.int8), prepend=0, append=0))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if stop - start >= STALE - 1:
            found[start + 1 : stop + 1] = True
    return found

"""Events between bars: splits, dividends, spin-offs and delistings, placed before the bar they come ahead of.

Promises: an event of session S is applied before the first bar of the first session on or after S; on one day
delistings come first, then dividends and spin-offs, then splits, so that a dividend is money per share held
at the close before. A spin-off is a dividend of the value that is handed out: (1 − its factor) × the close
before. Other actions are none of the money's business. Nothing here holds money; see
:mod:`qfund.backtest.book`.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

import numpy as np
import pandas as pd

from qfund.backtest.inputs import Market, Tape
from qfund.errors import DataQualityError
from qfund.market.actions import CorporateAction


@dataclass(frozen=True)
class Delisting:
    """The symbol in ``column`` has traded for the last time."""

    column: int


@dataclass(frozen=True)
class Dividend:
    """Cash of ``per_share`` for each share of ``column`` held at the close before."""

    column: int
    per_share: float
    ex_date: date


@dataclass(frozen=True)
class Split:
    """Each share of ``column`` held at the close before becomes ``ratio`` shares."""

    column: int
    ratio: Fraction
    ex_date: date


Event = Delisting | Dividend | Split


@dataclass(frozen=True, eq=False)
class Calendar:
    """The events of a simulation.

    Attributes:
        before: bar number → events to apply before that bar, in order.
        marks: float64 (bars, symbols); the last close of each symbol at each bar's close, in the shares of
            that bar (restated when a split falls into a gap); NaN before the first bar.
        gone: column → first bar after the symbol's last session.
    """

    before: Mapping[int, tuple[Event, ...]]
    marks: np.ndarray
    gone: Mapping[int, int]

    def growth(self, bars: int) -> dict[int, np.ndarray]:
        """Column → shares at each bar for one share of the first bar; only columns that split.

        Args:
            bars: how many bars there are; each array is float64 of shape (bars,).
        """
        grown: dict[int, np.ndarray] = {}
        for row, events in sorted(self.before.items()):
            for event in events:
                if isinstance(event, Split):
                    shares = grown.setdefault(event.column, np.ones(bars))
                    shares[row:] *= float(event.ratio)
        return grown


def calendar(market: Market, tape: Tape) -> Calendar:
    """Place the market's actions and delistings on its bars.

    Raises:
        DataQualityError: dividends in more than one currency.
    """
    columns = {symbol: place for place, symbol in enumerate(tape.symbols)}
    known = [action for action in market.actions if action.symbol in columns]
    currencies = sorted({action.currency for action in known if action.kind == "dividend"})
    if len(currencies) > 1:
        raise DataQualityError(
            f"The dividends are in {' and '.join(currencies)}; one simulation has one currency.",
            code="MIXED_CURRENCIES",
        )
    before: dict[int, list[Event]] = defaultdict(list)
    gone = {}
    for symbol, last in market.delisted.items():
        row = int(tape.sessions.searchsorted(pd.Timestamp(last), "right"))
        if symbol in columns and row < len(tape.index):
            gone[columns[symbol]] = row
            before[row].append(Delisting(columns[symbol]))
    for action in sorted(known, key=lambda a: (a.ex_date, a.kind, a.symbol)):  # dividend < spinoff < split
        row = tape.row_of(action.ex_date)
        last_session = market.delisted.get(action.symbol)
        over = last_session is not None and action.ex_date > last_session
        if 0 < row < len(tape.index) and not over:
            event = _event(action, columns[action.symbol], row, tape, before)
            before[row] += [] if event is None else [event]
    frozen = {row: tuple(events) for row, events in before.items()}
    return Calendar(before=frozen, marks=_marks(tape, frozen), gone=gone)


def repeated(actions: tuple[CorporateAction, ...]) -> list[CorporateAction]:
    """The actions that are given more than once with the same symbol, day and amounts."""
    return [action for action, times in Counter(actions).items() if times > 1]


def _event(
    action: CorporateAction, column: int, row: int, tape: Tape, before: Mapping[int, Sequence[Event]]
) -> Event | None:
    """What an action does to who holds the share; None when that is nothing, or unknown."""
    if action.kind == "split" and action.new_rate is not None and action.old_rate is not None:
        ratio = Fraction(action.new_rate) / Fraction(action.old_rate)
        return Split(column, ratio, action.ex_date)
    if action.kind == "dividend":
        return Dividend(column, float(action.cash_amount or 0), action.ex_date)
    if action.kind == "spinoff" and action.price_factor is not None:
        last = _last_close(column, row, tape, before)
        return None if last is None else Dividend(column, (1 - action.price_factor) * last, action.ex_date)
    return None


def _last_close(column: int, row: int, tape: Tape, before: Mapping[int, Sequence[Event]]) -> float | None:
    """The last close before a bar, in the shares that are held before the event being placed."""
    traded = np.flatnonzero(tape.traded[:row, column])
    if not len(traded):
        return None
    last = int(traded[-1])
    ratios = [
        float(event.ratio)
        for at, events in before.items()
        if last < at <= row
        for event in events
        if isinstance(event, Split) and event.column == column
    ]
    return float(tape.close[last, column]) / math.prod(ratios)


def _marks(tape: Tape, before: Mapping[int, tuple[Event, ...]]) -> np.ndarray:
    if tape.complete:
        return tape.close
    marks = np.asarray(pd.DataFrame(tape.close).ffill().to_numpy())
    marks = np.array(marks, order="C", copy=True)
    for row, events in before.items():
        for event in events:
            if isinstance(event, Split) and not tape.traded[row, event.column]:
                later = np.flatnonzero(tape.traded[row:, event.column])
                stop = row + int(later[0]) if len(later) else len(marks)
                marks[row:stop, event.column] /= float(event.ratio)
    return marks

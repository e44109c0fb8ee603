"""Trades: round trips from flat to flat, cut out of the lines of the book.

Promises: the sum of all trades' profit, open ones at the last close, is the change of equity, to rounding. A
reversal closes one trade and opens another; adding to and reducing a position stays one trade. Dividends and
cash in lieu belong to the trade that held the shares.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
import pandas as pd

from qfund.backtest.book import FLAT, Kind
from qfund.backtest.events import Calendar
from qfund.backtest.inputs import Fill, Tape

SOME = 50_000  # lines that are worked on at a time


def round_trips(
    lines: np.ndarray,
    tape: Tape,
    events: Calendar,
    *,
    highs: pd.DataFrame,
    lows: pd.DataFrame,
    fill: Fill,
) -> pd.DataFrame:
    """The trades of a book, in the order of entry.

    Shares and prices of a trade are stated in the shares of the bar that opened it: after a 2:1 split on the
    way, an exit at 60 counts as 120.

    Args:
        lines: structured array of :data:`qfund.backtest.book.LINE`, in the order of booking.
        tape: the market's arrays.
        events: its splits and last closes.
        highs: raw highs, time × symbol.
        lows: raw lows, likewise.
        fill: when orders were filled, which decides whether the first and last bar count for MFE and MAE.

    Returns:
        Columns: ``symbol``; ``direction`` long or short; ``entered_at``, ``exited_at`` (bar; NaT while open);
        ``price_in``, ``price_out`` average fills (an open trade: last close); ``shares`` most ever held;
        ``pnl`` money, net of costs, with dividends; ``pnl_pct`` of the money put in, in percent; ``fees``
        commission; ``bars`` held; ``status`` open or closed; ``mfe_pct``, ``mae_pct`` best and worst price on
        the way against ``price_in``, in percent, never below and never above zero.
    """
    growth = events.growth(len(tape.index))
    trips = _join([_trips(_parts(part, growth), tape, events, growth) for part in _by_symbol(lines)])
    best, worst = _excursions(trips, highs, lows, fill, growth)
    last = len(tape.index) - 1
    scale = trips.growth
    frame = pd.DataFrame(
        {
            "symbol": np.asarray(tape.symbols, dtype=object)[trips.column],
            "direction": np.where(trips.side > 0, "long", "short").astype(object),
            "entered_at": tape.index[trips.entered],
            "exited_at": pd.Series(tape.index[trips.exited]).mask(trips.open),
            "price_in": trips.price_in / scale,
            "price_out": trips.price_out / scale,
            "shares": trips.most * scale,
            "pnl": trips.pnl,
            "pnl_pct": 100 * trips.pnl / trips.invested,
            "fees": trips.fees,
            "bars": np.where(trips.open, last, trips.exited) - trips.entered,
            "status": np.where(trips.open, "open", "closed").astype(object),
            "mfe_pct": best,
            "mae_pct": worst,
        }
    )
    return frame.iloc[np.argsort(trips.entered, kind="stable")].reset_index(drop=True)


@dataclass(frozen=True, eq=False)
class _Parts:
    """Lines by symbol, reversals cut in two, in shares of the first bar; arrays of equal length."""

    column: np.ndarray
    row: np.ndarray
    change: np.ndarray  # signed shares; 0 for a dividend
    price: np.ndarray
    commission: np.ndarray
    cash: np.ndarray
    before: np.ndarray  # position before and after the line
    after: np.ndarray


@dataclass(frozen=True, eq=False)
class _Trips:
    """One element per trade; prices and shares in shares of the first bar."""

    column: np.ndarray
    side: np.ndarray  # +1 long, -1 short
    entered: np.ndarray
    exited: np.ndarray  # bar of the last line, where the trade is closed
    open: np.ndarray
    price_in: np.ndarray
    price_out: np.ndarray
    invested: np.ndarray
    most: np.ndarray
    pnl: np.ndarray
    fees: np.ndarray
    growth: np.ndarray  # shares of the entry bar for one share of the first bar


def _by_symbol(lines: np.ndarray) -> Iterator[np.ndarray]:
    """The lines ordered by symbol, some symbols at a time: millions at once would not fit the caches."""
    columns = lines["column"]
    order = np.argsort(columns, kind="stable")
    stops = np.cumsum(np.bincount(columns)) if len(lines) else np.array([0])
    start = 0
    while start < len(lines):
        # as many whole symbols as fit, at least one
        place = max(int(np.searchsorted(stops, start + SOME, "right")) - 1, 0)
        stop = int(stops[place])
        if stop <= start:
            stop = int(stops[np.searchsorted(stops, start, "right")])
        yield lines[order[start:stop]]
        start = stop


def _join(found: list[_Trips]) -> _Trips:
    if not found:
        nothing, numbers = np.empty(0), np.empty(0, dtype=np.int64)
        given = {item.name: nothing for item in fields(_Trips)}
        whole = dict.fromkeys(("column", "entered", "exited"), numbers)
        return _Trips(**{**given, **whole, "open": nothing.astype(bool)})
    return _Trips(
        **{item.name: np.concatenate([getattr(part, item.name) for part in found]) for item in fields(_Trips)}
    )


def _parts(lines: np.ndarray, growth: dict[int, np.ndarray]) -> _Parts:
    column, row = lines["column"].astype(np.int64), lines["row"].astype(np.int64)
    price, commission, cash = (lines[name] for name in ("price", "commission", "cash"))
    scale = _scale(column, row, growth)
    change = np.where(lines["kind"] == Kind.DIVIDEND, 0.0, lines["shares"]) / scale
    before, after = _positions(column, change)
    crossing = before * after < 0
    if not crossing.any():
        return _Parts(column, row, change, price * scale, commission, cash, before, after)
    place = np.repeat(np.arange(len(lines)), 1 + crossing)
    second = np.zeros(len(place), dtype=bool)
    second[1:] = place[1:] == place[:-1]
    first = np.zeros(len(place), dtype=bool)
    first[:-1] = second[1:]
    change, before, after = change[place], before[place], after[place]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(first, -before / change, np.where(second, after / change, 1.0))
    before, after = np.where(second, 0.0, before), np.where(first, 0.0, after)
    return _Parts(
        column=column[place],
        row=row[place],
        change=change * share,
        price=(price * scale)[place],
        commission=commission[place] * share,
        cash=cash[place] * share,
        before=before,
        after=after,
    )


def _scale(column: np.ndarray, row: np.ndarray, growth: dict[int, np.ndarray]) -> np.ndarray:
    """Shares at each row for one share of the first bar."""
    scale = np.ones(len(column))
    for place, shares in growth.items():
        mine = column == place
        scale[mine] = shares[row[mine]]
    return scale


def _positions(column: np.ndarray, change: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares before and after each line, symbol by symbol; rounding around flat is flat."""
    total = np.empty(len(change))
    edges = np.flatnonzero(np.diff(column, prepend=-1))
    # one sum per symbol: a sum over all of them would carry rounding from one to the next
    for first, stop in pairwise([*edges.tolist(), len(column)]):
        total[first:stop] = np.cumsum(change[first:stop])
    previous = _shifted(total, edges)
    flat = np.abs(total) <= FLAT * np.maximum(np.abs(previous), np.abs(change))
    after = np.where(flat, 0.0, total)
    return _shifted(after, edges), after


def _shifted(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The value before each one, zero at the first of each symbol."""
    before = np.zeros_like(values)
    before[1:] = values[:-1]
    before[edges] = 0.0
    return before


def _trips(parts: _Parts, tape: Tape, events: Calendar, growth: dict[int, np.ndarray]) -> _Trips:
    starts = np.flatnonzero((parts.before == 0) & (parts.change != 0))
    ends = (np.append(starts[1:], len(parts.column)) - 1)[: len(starts)]
    column, side = parts.column[starts], np.sign(parts.after[starts])
    entering = np.abs(parts.after) > np.abs(parts.before)
    size = np.abs(parts.change)
    bought, sold = np.where(entering, size, 0.0), np.where(entering, 0.0, size)
    shares_in, money_in = _sums(bought, starts), _sums(bought * parts.price, starts)
    shares_out, money_out = _sums(sold, starts), _sums(sold * parts.price, starts)
    left = parts.after[ends]
    final = np.full(len(starts), len(tape.index) - 1)
    mark = events.marks[-1, column] * _scale(column, final, growth)
    is_open = left != 0
    with np.errstate(invalid="ignore", divide="ignore"):
        price_out = np.where(is_open, mark, money_out / shares_out)
    entered = parts.row[starts]
    return _Trips(
        column=column,
        side=side,
        entered=entered,
        exited=parts.row[ends],
        open=is_open,
        price_in=money_in / shares_in,
        price_out=price_out,
        invested=money_in,
        most=_peaks(np.abs(parts.after), starts),
        pnl=_sums(parts.cash, starts) + np.where(is_open, left * mark, 0.0),
        fees=_sums(parts.commission, starts),
        growth=_scale(column, entered, growth),
    )


def _sums(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return np.add.reduceat(values, starts) if len(starts) else np.empty(0)


def _peaks(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return np.maximum.reduceat(values, starts) if len(starts) else np.empty(0)


def _excursions(
    trips: _Trips, highs: pd.DataFrame, lows: pd.DataFrame, fill: Fill, growth: dict[int, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Best and worst price on the way against the average entry, in percent.

    A trade entered at an open has the whole of that bar before it and nothing of the bar at whose open it was
    left; one that trades at closes is the other way round.
    """
    shift = 0 if fill == "next_open" else 1
    bars = len(highs)
    first = trips.entered + shift
    stop = np.where(trips.open, bars, trips.exited + shift)
    top, bottom = np.full(len(first), np.nan), np.full(len(first), np.nan)
    tall, deep = highs.to_numpy(), lows.to_numpy()
    for column in np.unique(trips.column):
        mine = np.flatnonzero(trips.column == column)
        spans = np.column_stack([first[mine], stop[mine]]).ravel()
        shares = growth.get(int(column), np.ones(bars))
        # one bar of nothing at the end, so that a span may start behind the last bar
        top[mine] = np.fmax.reduceat(np.append(tall[:, column] * shares, np.nan), spans)[::2]
        bottom[mine] = np.fmin.reduceat(np.append(deep[:, column] * shares, np.nan), spans)[::2]
    left = np.where(trips.open, np.nan, trips.price_out)
    rise = np.fmax(np.fmax(top, left) / trips.price_in - 1, 0.0)
    fall = np.fmin(np.fmin(bottom, left) / trips.price_in - 1, 0.0)
    long = trips.side > 0
    return 100 * np.where(long, rise, -fall), 100 * np.where(long, fall, -rise)

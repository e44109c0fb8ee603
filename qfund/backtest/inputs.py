"""What a simulation is given: the market in raw prices, and the rules of trading in it.

Promises: everything that cannot be simulated is refused here, with the place of the fault; what passes is
finite and positive. Nothing here trades, or changes the caller's frames.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, get_args

import numpy as np
import pandas as pd

from qfund.errors import DataQualityError, UsageError
from qfund.market.actions import CorporateAction
from qfund.market.bars import Bars

Fill = Literal["next_open", "close"]
FILLS: tuple[Fill, ...] = get_args(Fill)


@dataclass(frozen=True, eq=False)
class Market:
    """The market as it was traded.

    Attributes:
        raw: unadjusted bars, time × symbol; NaN where a symbol did not trade.
        actions: splits, dividends and spin-offs (with their ``price_factor``) of these symbols; others are
            ignored.
        delisted: symbol → last session it could trade. Prices after that session are ignored.
    """

    raw: Bars
    actions: tuple[CorporateAction, ...] = ()
    delisted: Mapping[str, date] = field(default_factory=dict)


@dataclass(frozen=True)
class Rules:
    """How the money is run.

    Attributes:
        cash: starting cash, in the currency of the prices.
        fractional: whether parts of shares can be held; else orders are rounded down to whole shares.
        fill: ``"next_open"`` fills a wish at the open of the symbol's next bar; ``"close"`` fills it at the
            very close that decided it, which is optimistic and warned about.
    """

    cash: float = 100_000.0
    fractional: bool = True
    fill: Fill = "next_open"

    def __post_init__(self) -> None:
        """Refuse rules that no account has. Raises UsageError."""
        if not (math.isfinite(self.cash) and self.cash > 0):
            raise UsageError(f"The starting cash is {self.cash}; it must be above zero.")
        if self.fill not in FILLS:
            raise UsageError(f"fill is '{self.fill}'; it is one of {', '.join(FILLS)}.")


@dataclass(frozen=True, eq=False)
class Tape:
    """The market as arrays, float64 of shape (bars, symbols) unless stated.

    Attributes:
        open: raw opens, NaN where the symbol did not trade.
        close: raw closes, likewise.
        traded: bool; the symbol has a bar.
        complete: every symbol has every bar.
        sessions: the session of each bar, naive midnights.
        symbols: the columns.
        index: the times of the bars.
    """

    open: np.ndarray
    close: np.ndarray
    traded: np.ndarray
    complete: bool
    sessions: pd.DatetimeIndex
    symbols: tuple[str, ...]
    index: pd.DatetimeIndex

    def row_of(self, day: date) -> int:
        """The first bar of the first session on or after ``day``; the number of bars if there is none."""
        return int(self.sessions.searchsorted(pd.Timestamp(day), "left"))


def tape(market: Market) -> Tape:
    """The market's arrays, checked.

    Raises:
        DataQualityError: no bars or symbols, adjusted prices, or a price that is zero, negative or infinite.
    """
    raw = market.raw
    if len(raw) == 0 or len(raw.symbols) == 0:
        raise DataQualityError(
            "There is nothing to simulate: no bars or no symbols.",
            fix="qfund data status",
            code="NO_BARS",
        )
    if raw.adjust != "raw":
        raise DataQualityError(
            f"The money is simulated on raw prices, but these bars are adjusted ({raw.adjust}).",
            code="NOT_RAW",
        )
    opens = _prices(raw, "open")
    closes = _prices(raw, "close")
    ends = _ends(market)
    if ends:
        opens, closes = opens.copy(), closes.copy()  # the caller's frames stay as they are
    for column, row in ends:
        opens[row:, column] = np.nan
        closes[row:, column] = np.nan
    traded = ~(np.isnan(opens) | np.isnan(closes))
    return Tape(
        open=opens,
        close=closes,
        traded=traded,
        complete=bool(traded.all()),
        sessions=raw.sessions,
        symbols=raw.symbols,
        index=raw.index,
    )


def weights(market: Market, targets: pd.DataFrame) -> np.ndarray:
    """The targets as a float64 array of shape (bars, symbols); NaN means no wish.

    Raises:
        UsageError: other times or symbols than the market's, or values that are not numbers.
        DataQualityError: an infinite target.
    """
    raw = market.raw
    if not targets.columns.equals(raw.close.columns) or not targets.index.equals(raw.close.index):
        raise UsageError(
            "The targets do not have the times and symbols of the bars: "
            f"{targets.shape[0]} × {targets.shape[1]} against "
            f"{len(raw)} × {len(raw.symbols)}.",
            code="TARGETS_SHAPE",
        )
    try:
        values = targets.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise UsageError(f"The targets are not all numbers: {error}.", code="TARGETS_TYPE") from error
    if np.isinf(values).any():
        row, column = np.argwhere(np.isinf(values))[0]
        raise DataQualityError(
            f"The target of {raw.symbols[column]} at {raw.index[row]} is infinite.",
            code="TARGETS_INFINITE",
        )
    return values


def _prices(raw: Bars, name: str) -> np.ndarray:
    values = np.ascontiguousarray(getattr(raw, name).to_numpy(dtype=np.float64))
    # NaN is neither
    bad = (values <= 0) | (values == np.inf)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise DataQualityError(
            f"The {name} of {raw.symbols[column]} at {raw.index[row]} is {values[row, column]:g}; "
            "a price is a finite number above zero.",
            fix=f"qfund data status --symbols {raw.symbols[column]}",
            code="BAD_PRICE",
        )
    return values


def _ends(market: Market) -> list[tuple[int, int]]:
    """(column, first row that is over) of every delisted symbol, where there is such a row."""
    raw = market.raw
    places = {symbol: place for place, symbol in enumerate(raw.symbols)}
    found = []
    for symbol, last in market.delisted.items():
        row = int(raw.sessions.searchsorted(pd.Timestamp(last), "right"))
        if symbol in places and row < len(raw):
            found.append((places[symbol], row))
    return found

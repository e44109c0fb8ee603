"""Bars: open, high, low, close and volume of many symbols, as time × symbol frames.

Promises: the five frames share one index and one set of columns; nothing here changes a frame in place, reads
a file or looks at the clock. A missing bar (not listed yet, halted, delisted) is NaN in all five frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Literal, get_args

import numpy as np
import pandas as pd

Timeframe = Literal["1d", "1m"]
Adjust = Literal["raw", "split", "all"]

TIMEFRAMES: tuple[Timeframe, ...] = get_args(Timeframe)
ADJUSTS: tuple[Adjust, ...] = get_args(Adjust)
FIELDS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, eq=False)
class Bars:
    """A block of bars, time × symbol.

    Attributes:
        open: prices at the start of each bar; float64, index time, columns symbols, currency of the venue.
        high: highest prices.
        low: lowest prices.
        close: prices at the end of each bar.
        volume: units traded.
        timeframe: ``"1d"`` or ``"1m"``.
        adjust: ``"raw"``, ``"split"`` (splits and spin-offs) or ``"all"`` (dividends too).
        as_of: what was known at this UTC instant was used for the adjustment; None means all that is stored.
        calendar: the ``exchange_calendars`` name of the sessions.
        session_of_row: the session each row belongs to, naive midnight dates, one per row. None for daily
            bars, whose index holds the sessions themselves.

    The index of daily bars holds session dates (naive midnights, name ``session``); the index of minute bars
    holds the *ends* of the bars (timezone-aware UTC, name ``time``). Both are strictly increasing.
    """

    open: pd.DataFrame
    high: pd.DataFrame
    low: pd.DataFrame
    close: pd.DataFrame
    volume: pd.DataFrame
    timeframe: Timeframe = "1d"
    adjust: Adjust = "raw"
    as_of: datetime | None = None
    calendar: str = "XNYS"
    session_of_row: pd.DatetimeIndex | None = None

    @classmethod
    def from_arrays(
        cls,
        index: pd.DatetimeIndex,
        symbols: Sequence[str],
        fields: dict[str, np.ndarray],
        *,
        timeframe: Timeframe = "1d",
        adjust: Adjust = "raw",
        as_of: datetime | None = None,
        calendar: str = "XNYS",
        session_of_row: pd.DatetimeIndex | None = None,
    ) -> Bars:
        """Bars over five float64 arrays of shape (rows, symbols), without copying them."""
        columns = pd.Index(list(symbols), name="symbol", dtype=object)
        frames = {
            name: pd.DataFrame(fields[name], index=index, columns=columns, copy=False) for name in FIELDS
        }
        return cls(
            **frames,
            timeframe=timeframe,
            adjust=adjust,
            as_of=as_of,
            calendar=calendar,
            session_of_row=session_of_row,
        )

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.close)

    @property
    def index(self) -> pd.DatetimeIndex:
        """The times of the rows, see the class."""
        index = self.close.index
        if not isinstance(index, pd.DatetimeIndex):
            raise TypeError("the index of bars holds times")
        return index

    @property
    def symbols(self) -> tuple[str, ...]:
        """The columns, in order."""
        return tuple(str(symbol) for symbol in self.close.columns)

    @property
    def sessions(self) -> pd.DatetimeIndex:
        """The session of each row: naive midnight dates, as long as the bars."""
        return self.index if self.session_of_row is None else self.session_of_row

    def rows(self, start: int | None = None, stop: int | None = None) -> Bars:
        """The rows ``start:stop`` by position, as Python slices them; frames are views."""
        part = slice(start, stop)
        frames = {name: getattr(self, name).iloc[part] for name in FIELDS}
        kept = None if self.session_of_row is None else self.session_of_row[part]
        return replace(self, **frames, session_of_row=kept)

    def between(self, since: date | None, until: date | None) -> Bars:
        """The rows whose session lies in ``[since, until]``; None leaves that side open."""
        sessions = self.sessions
        start = 0 if since is None else int(sessions.searchsorted(pd.Timestamp(since), "left"))
        stop = len(self) if until is None else int(sessions.searchsorted(pd.Timestamp(until), "right"))
        return self.rows(start, stop)

    def select(self, symbols: Iterable[str]) -> Bars:
        """The named symbols, in the order given. Raises KeyError for one that is not there."""
        names = list(symbols)
        return replace(self, **{name: getattr(self, name)[names] for name in FIELDS})

    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when any value, time or symbol changes.

        SHA-256 over timeframe, adjustment, calendar, symbols, index (nanoseconds) and the five frames in
        C order as little-endian float64, NaN in one canonical form.
        """
        digest = hashlib.sha256()
        head = [self.timeframe, self.adjust, self.calendar, *self.symbols]
        digest.update("\x1f".join(head).encode())
        digest.update(self.index.as_unit("ns").asi8.astype("<i8").tobytes())
        for name in FIELDS:
            values = np.ascontiguousarray(getattr(self, name).to_numpy(dtype="<f8"))
            if np.isnan(values).any():
                values = np.where(np.isnan(values), np.nan, values)
            digest.update(values.tobytes())
        return digest.hexdigest()[:16]

"""Rows of bars as arrays: symbols as numbers, times as integers, each minute with its session.

Promises: symbols are numbered in their order, so that sorting numbers sorts symbols; a null symbol comes
last. A minute bar without a session gets the session whose hours hold it, else the date at the exchange.
Values are never changed; missing ones are NaN.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from pyarrow import compute

from qfund.market.bars import FIELDS, Timeframe
from qfund.market.hours import Windows
from qfund.vendors.contract import schema

_NEVER = np.iinfo(np.int64).max
_NO_DAY = np.iinfo(np.int32).max


@dataclass(frozen=True, eq=False)
class BarTable:
    """Bars in columns, of one timeframe.

    Attributes:
        names: the symbols, increasing.
        symbols: the number of each row's symbol among ``names``; ``len(names)`` for a null; int32.
        times: minute bars: int64 microseconds since 1970-01-01 UTC at which the bar starts; daily bars: the
            same as ``days``. The largest int64 stands for a null.
        days: the session, int32 days since 1970-01-01; the largest int32 stands for a null.
        place: the session's position in the windows, -1 where no session holds the bar: for daily bars by
            its date, for minute bars by its date and hours; int64.
        astray: minute bars that lie on a session's date and outside its hours; all false for daily bars.
        homeless: minute bars whose time no session's hours hold.
        values: open, high, low, close, volume as float64.
        timeframe: length of a bar.
    """

    names: list[str]
    symbols: np.ndarray
    times: np.ndarray
    days: np.ndarray
    place: np.ndarray
    astray: np.ndarray
    homeless: np.ndarray
    values: tuple[np.ndarray, ...]
    timeframe: Timeframe

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.symbols)

    @property
    def no_time(self) -> np.ndarray:
        """Rows without a time."""
        return np.asarray(self.times == _NEVER)

    @property
    def no_session(self) -> np.ndarray:
        """Rows without a session."""
        return np.asarray(self.days == _NO_DAY)

    def taken(self, rows: np.ndarray) -> BarTable:
        """The rows of a mask or of positions."""
        columns = ("symbols", "times", "days", "place", "astray", "homeless")
        return replace(
            self,
            **{name: getattr(self, name)[rows] for name in columns},
            values=tuple(one[rows] for one in self.values),
        )

    def order(self) -> np.ndarray | None:
        """Positions that sort the rows by symbol and time, equal ones by all they say; None: they are."""
        same = self.symbols[1:] == self.symbols[:-1]
        rising = (self.symbols[1:] > self.symbols[:-1]) | (same & (self.times[1:] > self.times[:-1]))
        if rising.all():
            return None
        order = _sorted_by(self.symbols, self.times)
        symbols, times = self.symbols[order], self.times[order]
        again = (symbols[1:] == symbols[:-1]) & (times[1:] == times[:-1])
        if not again.any():
            return order
        tied = np.zeros(len(order), dtype=bool)
        tied[1:] |= again
        tied[:-1] |= again
        some = order[tied]
        said = [comparable(one[some]) for one in reversed(self.values)]
        order[tied] = some[np.lexsort((*said, self.days[some], self.times[some], self.symbols[some]))]
        return order

    def repeats_and_conflicts(self) -> tuple[np.ndarray | None, np.ndarray]:
        """Of sorted rows: which repeat the row before exactly, and which have another bar at their time.

        Returns:
            Two masks; the first is None when no two rows share a symbol and a time.
        """
        conflict = np.zeros(len(self), dtype=bool)
        again = (self.symbols[1:] == self.symbols[:-1]) & (self.times[1:] == self.times[:-1])
        if not again.any():
            return None, conflict
        at = np.flatnonzero(again) + 1
        equal = self.days[at] == self.days[at - 1]
        for one in self.values:
            equal &= comparable(one[at]) == comparable(one[at - 1])
        repeated = np.zeros(len(self), dtype=bool)
        repeated[at[equal]] = True
        # All rows of one time are in doubt as soon as two of them differ, wherever these two lie.
        group = np.cumsum(np.append(True, ~again)) - 1
        doubtful = np.zeros(int(group[-1]) + 1, dtype=bool)
        doubtful[group[at[~equal]]] = True
        return repeated, doubtful[group]

    def table(self) -> pa.Table:
        """The rows in the columns of the vendor contract."""
        wanted = schema(self.timeframe)
        names = pa.array([*self.names, None], pa.string())
        columns: dict[str, pa.Array] = {
            "symbol": names.take(pa.array(self.symbols)),
            "session": _nullable(self.days, _NO_DAY).cast(pa.date32()),
            **{name: pa.array(values) for name, values in zip(FIELDS, self.values, strict=True)},
        }
        if self.timeframe == "1m":
            columns["ts"] = _nullable(self.times, _NEVER).cast(pa.timestamp("us", tz="UTC"))
        return pa.table([columns[name] for name in wanted.names], schema=wanted)


def bar_table(table: pa.Table, timeframe: Timeframe, hours: Windows) -> BarTable:
    """The rows of a table in the contract's columns, each column in one piece.

    Args:
        table: what ``check.conformed`` returns.
        timeframe: length of the bars.
        hours: the sessions of the request.
    """
    names, symbols = numbered(table.column("symbol"))
    given = integers(table.column("session").cast(pa.int32()), _NO_DAY)
    values = tuple(floats(table.column(name)) for name in FIELDS)
    if timeframe == "1d":
        place = hours.place_of_days(given)
        no = np.zeros(len(given), dtype=bool)
        return BarTable(names, symbols, given.astype(np.int64), given, place, no, no, values, timeframe)
    times = integers(table.column("ts").cast(pa.int64()), _NEVER)
    timed = times != _NEVER
    held = hours.place_of_times(np.where(timed, times, 0))
    days, place = _days_and_places(given, np.where(timed, times, 0), held, hours)
    untimed = ~timed
    if untimed.any():
        days, place = np.where(untimed, given, days), np.where(untimed, -1, place)
    astray = (place < 0) & timed
    if astray.any():
        astray[astray] = hours.place_of_days(days[astray]) >= 0
    return BarTable(names, symbols, times, days, place, astray, held < 0, values, timeframe)


def _days_and_places(
    given: np.ndarray, times: np.ndarray, held: np.ndarray, hours: Windows
) -> tuple[np.ndarray, np.ndarray]:
    """The session of each minute bar, and its position where the session's hours hold the bar."""
    if len(hours.days):
        found = hours.days[np.maximum(held, 0)]
        lost = held < 0
    else:
        found, lost = np.zeros(len(times), np.int32), np.ones(len(times), dtype=bool)
    if lost.any():
        found = np.where(lost, 0, found).astype(np.int32)
        found[lost] = hours.local_days(times[lost])
    days = np.where(given == _NO_DAY, found, given)
    agreed = days == found
    return days, held if agreed.all() else np.where(agreed, held, -1)


def _sorted_by(symbols: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Positions that sort by symbol, then time; by one number for both where that fits."""
    first = int(times.min())
    bits = (int(times.max()) - first).bit_length()
    if bits + int(symbols.max()).bit_length() > 62:
        return np.lexsort((times, symbols))
    return np.argsort((symbols.astype(np.int64) << bits) + (times - first))


def numbered(column: pa.ChunkedArray) -> tuple[list[str], np.ndarray]:
    """The symbols in order, and each row's number among them, their count for a null; int32."""
    encoded = _one(column).dictionary_encode()
    found = encoded.dictionary.to_pylist()
    order = sorted(range(len(found)), key=found.__getitem__)
    rank = np.empty(len(found) + 1, dtype=np.int32)
    rank[order] = np.arange(len(found), dtype=np.int32)
    rank[-1] = len(found)
    codes = encoded.indices
    if codes.null_count:
        codes = compute.fill_null(codes, len(found))
    return [found[at] for at in order], rank[codes.to_numpy(zero_copy_only=False)]


def integers(column: pa.ChunkedArray, null: int) -> np.ndarray:
    """A column of whole numbers, with ``null`` where one is missing."""
    one = _one(column)
    if one.null_count:
        one = compute.fill_null(one, null)
    return np.asarray(one.to_numpy(zero_copy_only=False))


def floats(column: pa.ChunkedArray) -> np.ndarray:
    """A column of float64, NaN where one is missing."""
    return np.asarray(_one(column).to_numpy(zero_copy_only=False))


def _one(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece."""
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [_empty(column)])


def _empty(column: pa.ChunkedArray) -> pa.Array:
    return pa.array([], column.type)


def _nullable(values: np.ndarray, null: int) -> pa.Array:
    gone = values == null
    return pa.array(values, mask=gone) if gone.any() else pa.array(values)


def comparable(values: np.ndarray) -> np.ndarray:
    """Numbers as integers that are equal when the numbers are, NaN too; -0 is 0."""
    plain = np.where(np.isnan(values), np.nan, values + 0.0)
    return plain.view(np.int64)

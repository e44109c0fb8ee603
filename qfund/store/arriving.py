"""Bars on their way in: symbols become numbers, rows get their order, what cannot be a bar is refused.

Promises: afterwards rows are unique and sorted by instrument, session and time, no value is missing or
infinite. Two rows for one bar are one if they are equal, and an error if they are not: never a guess. It
repairs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qfund.errors import DataQualityError, NotFoundError
from qfund.market.bars import FIELDS, Timeframe

_DAY = np.dtype("datetime64[D]")
_MOST_GROUPS = 1 << 22


@dataclass(frozen=True, eq=False)
class Arriving:
    """Rows sorted by (instrument, session, time), each key once.

    Attributes:
        ids: instrument numbers, int32.
        days: sessions, int32 days since 1970-01-01.
        times: starts of minute bars, int64 microseconds since 1970-01-01 UTC; empty for daily bars.
        values: the five fields as float64 arrays and, when given, ``vwap`` and ``trades`` as Arrow (nulls
            allowed).
    """

    ids: np.ndarray
    days: np.ndarray
    times: np.ndarray
    values: dict[str, np.ndarray | pa.Array]

    def __len__(self) -> int:
        """The number of bars."""
        return len(self.ids)

    @property
    def span(self) -> tuple[date, date]:
        """The earliest and the latest session."""
        return date.fromisoformat(self.first), date.fromisoformat(self.last)

    @property
    def first(self) -> str:
        """The earliest session, as ISO text."""
        return str(np.int64(self.days.min()).astype(_DAY))

    @property
    def last(self) -> str:
        """The latest session, as ISO text."""
        return str(np.int64(self.days.max()).astype(_DAY))


def arriving(table: pa.Table, ids: Mapping[str, int], timeframe: Timeframe) -> Arriving:
    """Check and order a table of bars.

    Args:
        table: ``symbol`` (string), ``session`` (date32), ``ts`` (timestamp[us, UTC], minute bars only:
            start of the bar), ``open high low close volume`` (float64), optionally ``vwap`` (float64) and
            ``trades``.
        ids: symbol → instrument number.
        timeframe: length of the bars.

    Raises:
        DataQualityError: a missing or infinite value, or two different rows for one bar.
        NotFoundError: a symbol without an instrument number.
        ValueError: a column is missing, which is a fault of the caller.
    """
    wanted = ["symbol", "session", *(["ts"] if timeframe == "1m" else []), *FIELDS]
    absent = [name for name in wanted if name not in table.column_names]
    if absent:
        raise ValueError(f"a table of {timeframe} bars needs the columns {', '.join(absent)}")
    extra = [name for name in ("vwap", "trades") if name in table.column_names and timeframe == "1d"]
    for name in wanted:
        if table.column(name).null_count:
            raise DataQualityError(f"A bar has no {name}.", code="BAR_VALUE")
    numbers = _numbers(table.column("symbol"), ids)
    days = _array(table.column("session").cast(pa.int32()))
    times = _times(table) if timeframe == "1m" else np.empty(0, np.int64)
    values: dict[str, np.ndarray | pa.Array] = {name: _floats(table, name) for name in FIELDS}
    for name in extra:
        kind = pa.float64() if name == "vwap" else pa.int32()
        values[name] = table.column(name).cast(kind).combine_chunks()
    return _in_order(Arriving(numbers, days, times, values), ids)


def _array(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.combine_chunks().to_numpy(zero_copy_only=False))


def _times(table: pa.Table) -> np.ndarray:
    return _array(table.column("ts").cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()))


def _floats(table: pa.Table, name: str) -> np.ndarray:
    values = _array(table.column(name).cast(pa.float64()))
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        symbol, session = table.column("symbol")[row], table.column("session")[row]
        raise DataQualityError(
            f"The bar of {symbol} on {session} has {name} = {values[row]}.", code="BAR_VALUE"
        )
    return values


def _numbers(symbols: pa.ChunkedArray, ids: Mapping[str, int]) -> np.ndarray:
    encoded = pc.dictionary_encode(symbols).combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0) if encoded.num_chunks else pa.array([], pa.string()).dictionary_encode()
    names = encoded.dictionary.to_pylist()
    unknown = [name for name in names if name not in ids]
    if unknown:
        raise NotFoundError(
            f"Bars came for '{unknown[0]}', which was not asked for.",
            code="UNKNOWN_SYMBOL",
            details={"symbols": unknown},
        )
    numbers = np.array([ids[name] for name in names], dtype=np.int32)
    return np.asarray(numbers[encoded.indices.to_numpy(zero_copy_only=False)])


def _in_order(rows: Arriving, ids: Mapping[str, int]) -> Arriving:
    """Sorted by key, with exact repeats left out."""
    if _increases(rows):
        return rows
    keys = _keys(rows)
    order = np.argsort(keys, kind="stable")
    rows, keys = taken(rows, order), keys[order]
    repeated = np.flatnonzero(keys[1:] == keys[:-1]) + 1
    if not len(repeated):
        return rows
    for name, column in rows.values.items():
        values = comparable(column)
        differs = values[repeated] != values[repeated - 1]
        if differs.any():
            row = int(repeated[np.argmax(differs)])
            _refuse_two(rows, row, name, ids)
    kept = np.ones(len(keys), dtype=bool)
    kept[repeated] = False
    return taken(rows, kept)


def comparable(column: np.ndarray | pa.Array) -> np.ndarray:
    """Values to compare: optional columns may hold nulls, which equal each other and no number."""
    if isinstance(column, np.ndarray):
        return column
    return np.asarray(pc.fill_null(column.cast(pa.float64()), float("-inf")).to_numpy(zero_copy_only=False))


def _refuse_two(rows: Arriving, row: int, name: str, ids: Mapping[str, int]) -> None:
    symbol = next(s for s, number in ids.items() if number == rows.ids[row])
    when = str(np.int64(rows.days[row]).astype(_DAY))
    if len(rows.times):
        when = str(np.datetime64(int(rows.times[row]), "us")) + "Z"
    one, two = (comparable(rows.values[name])[k] for k in (row - 1, row))
    raise DataQualityError(
        f"Two different bars came for {symbol} at {when}: {name} {one} and {two}.",
        code="TWO_BARS",
        details={"symbol": symbol, "at": when, "field": name},
    )


def taken(rows: Arriving, positions: np.ndarray) -> Arriving:
    """The rows of a mask or of positions, in that order."""
    times = rows.times[positions] if len(rows.times) else rows.times
    values = {
        name: column[positions] if isinstance(column, np.ndarray) else _arrow_taken(column, positions)
        for name, column in rows.values.items()
    }
    return Arriving(rows.ids[positions], rows.days[positions], times, values)


def _arrow_taken(column: pa.Array, positions: np.ndarray) -> pa.Array:
    chosen = pa.array(positions)
    return column.filter(chosen) if positions.dtype == bool else column.take(chosen)


def group_keys(ids: np.ndarray, days: np.ndarray) -> np.ndarray:
    """One int64 for each instrument and session, in their order."""
    return ids.astype(np.int64) << 32 | days.astype(np.int64) + (1 << 24)


def _increases(rows: Arriving) -> bool:
    """Whether each row comes after the one before it: how most vendors answer."""
    if len(rows) < 2:
        return True
    last = rows.times if len(rows.times) else rows.days
    up, level = rows.ids[1:] > rows.ids[:-1], rows.ids[1:] == rows.ids[:-1]
    return bool((up | (level & (last[1:] > last[:-1]))).all())


def _keys(rows: Arriving) -> np.ndarray:
    """One int64 per row that orders rows; instruments are renumbered so that times fit beside them."""
    if not len(rows.times):
        return group_keys(rows.ids, rows.days)
    lowest, highest = int(rows.ids.min()), int(rows.ids.max())
    if highest - lowest < _MOST_GROUPS:
        groups = rows.ids.astype(np.int64) - lowest
    else:
        groups = np.unique(rows.ids, return_inverse=True)[1].astype(np.int64)
    seconds = rows.times // 1_000_000  # the session follows from the time
    return np.asarray(groups << 40 | seconds + (1 << 38))

"""Minute bars in their packed form: one row per instrument and session, holding arrays.

Promises: what is unpacked is what was packed, to the last bit: prices that are whole numbers of a tick go as
integers, all others as float8, decided for each session. Every bar keeps since when it is held. Reads and
writes in the caller's transaction; never decides which of two bars wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from qfund.market.bars import FIELDS
from qfund.store.arriving import group_keys
from qfund.store.daily import pg_array
from qfund.store.sources import Series

PRICES = FIELDS[:4]
MINUTE = 60_000_000  # microseconds
_INSTANT = pa.timestamp("us", tz="UTC")
_DECIMALS = (2, 4, 5, 6, 9)  # cents; US shares below a dollar; currencies; crypto
_MOST_TICKS = 2**31 - 1
_SESSIONS_AT_ONCE = 32  # the server works on some while the next are encoded
_TICKS = tuple(f"{name}_ticks" for name in PRICES)
ARRAYS = ("minute", "decimals", *FIELDS, *_TICKS, "volume_units")
"""Columns of the packed form that hold values, beside ``held``."""

_ELEMENTS = {"minute": ">i2"} | dict.fromkeys(FIELDS, ">f8") | dict.fromkeys((*_TICKS, "volume_units"), ">i4")
_SENT_HEAD = 20  # dimensions, whether there are nulls, type, length, lower bound: four bytes each

SENT = ", ".join("b.decimals" if name == "decimals" else f"array_send(b.{name}) AS {name}" for name in ARRAYS)
"""The same columns of a table under the alias ``b`` as bytes, which costs both sides less than lists."""


@dataclass(frozen=True, eq=False)
class Minutes:
    """Minute bars in columns, sorted by instrument, session and minute.

    Attributes:
        ids: instrument numbers, int32.
        days: sessions, int32 days since 1970-01-01.
        minutes: starts of the bars, int64 minutes since 1970-01-01 UTC.
        values: float64 of shape (5, bars), in the order of ``FIELDS``.
        held: since when the store has the bar, int64 microseconds since 1970-01-01 UTC.
        runs: the ingest run that wrote it, int32.
    """

    ids: np.ndarray
    days: np.ndarray
    minutes: np.ndarray
    values: np.ndarray
    held: np.ndarray
    runs: np.ndarray

    def __len__(self) -> int:
        """The number of bars."""
        return len(self.ids)

    @property
    def groups(self) -> np.ndarray:
        """One int64 for each instrument and session, not decreasing."""
        return group_keys(self.ids, self.days)

    @property
    def starts(self) -> np.ndarray:
        """The position of the first bar of each instrument and session."""
        if not len(self):
            return np.empty(0, np.int64)
        return np.concatenate([[0], np.flatnonzero(np.diff(self.groups)) + 1])

    def take(self, rows: np.ndarray) -> Minutes:
        """The bars of a mask or of positions."""
        return Minutes(
            self.ids[rows],
            self.days[rows],
            self.minutes[rows],
            self.values[:, rows],
            self.held[rows],
            self.runs[rows],
        )

    def since_their_first(self) -> Minutes:
        """The same bars, each held since the first of its session was: how a replaced session is told."""
        starts = self.starts
        if not len(starts):
            return self
        first = np.minimum.reduceat(self.held, starts)
        return replace(self, held=np.repeat(first, np.diff(np.append(starts, len(self)))))


NO_BARS = Minutes(
    np.empty(0, np.int32),
    np.empty(0, np.int32),
    np.empty(0, np.int64),
    np.empty((5, 0)),
    np.empty(0, np.int64),
    np.empty(0, np.int32),
)
"""What is found where nothing is stored."""


def joined(one: Minutes, other: Minutes) -> Minutes:
    """Both, one after the other; not sorted."""
    return Minutes(
        np.concatenate([one.ids, other.ids]),
        np.concatenate([one.days, other.days]),
        np.concatenate([one.minutes, other.minutes]),
        np.hstack([one.values, other.values]),
        np.concatenate([one.held, other.held]),
        np.concatenate([one.runs, other.runs]),
    )


def spanned(groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Instrument numbers and days of group keys."""
    return (groups >> 32).astype(np.int32), ((groups & 0xFFFF_FFFF) - (1 << 24)).astype(np.int32)


def matching(series: Series, groups: np.ndarray, row: str = "b") -> str:
    """The condition that a row belongs to a series and to one of the instruments' sessions."""
    ids, days = spanned(groups)
    one, last = (np.int64(day).astype("datetime64[D]") for day in (days.min(), days.max()))
    return (
        f"{row}.source_id = {series.source_id} AND {row}.session BETWEEN '{one}' AND '{last}'"  # noqa: S608
        f" AND ({row}.instrument_id, {row}.session) IN (SELECT k.id, date '1970-01-01' + k.day"
        f" FROM unnest('{pg_array(ids)}'::integer[], '{pg_array(days)}'::integer[]) AS k (id, day))"
    )


# ---------------------------------------------------------------- into the table


def copy(cursor: Any, series: Series, bars: Minutes, opens: Mapping[int, int]) -> None:
    """COPY bars as packed rows; the sessions must not be there.

    Args:
        cursor: ADBC, in the caller's transaction.
        series: of which series.
        bars: whole sessions.
        opens: session → its open, in minutes since 1970-01-01.
    """
    starts = bars.starts
    columns = _head(series, bars, starts, opens) | _values(bars, starts)
    _ingest(cursor, "bar_1m_day", columns)


def keep(
    cursor: Any, series: Series, bars: Minutes, opens: Mapping[int, int], *, run: int, moment: Any
) -> None:
    """COPY the bars of sessions that are about to be replaced into the revisions, as plain float8 arrays."""
    starts = bars.starts
    columns = _head(series, bars, starts, opens)
    columns["old_run_id"] = columns.pop("ingest_run_id")
    columns["new_run_id"] = pa.repeat(pa.scalar(run, pa.int32()), len(starts))
    columns["replaced_at"] = pa.repeat(pa.scalar(moment, _INSTANT), len(starts))
    del columns["stored_at"]
    offsets = _offsets(bars, starts)
    for name, values in zip(FIELDS, bars.values, strict=True):
        columns[name] = pa.ListArray.from_arrays(offsets, pa.array(values))
    _ingest(cursor, "session_revision", columns)


def _ingest(cursor: Any, table: str, columns: Mapping[str, Any]) -> None:
    whole = pa.table(columns)
    batches = whole.combine_chunks().to_batches(max_chunksize=_SESSIONS_AT_ONCE)
    reader = pa.RecordBatchReader.from_batches(whole.schema, batches)
    cursor.adbc_ingest(table, reader, mode="append", db_schema_name="sec")


def _offsets(bars: Minutes, starts: np.ndarray) -> pa.Array:
    return pa.array(np.append(starts, len(bars)).astype(np.int32))


def _head(series: Series, bars: Minutes, starts: np.ndarray, opens: Mapping[int, int]) -> dict[str, pa.Array]:
    """The columns that both tables have: keys, times, minutes."""
    days = bars.days[starts]
    open_of_row = np.array([opens[day] for day in days.tolist()], dtype=np.int64)
    lengths = np.diff(np.append(starts, len(bars)))
    minute = (bars.minutes - np.repeat(open_of_row, lengths)).astype(np.int16)
    first = np.minimum.reduceat(bars.held, starts)
    several = np.maximum.reduceat(bars.held, starts) != first
    offsets = _offsets(bars, starts)
    columns = {
        "session_open": pa.array(open_of_row * MINUTE).cast(_INSTANT),
        "stored_at": pa.array(first).cast(_INSTANT),
        "instrument_id": pa.array(bars.ids[starts], pa.int32()),
        "session": pa.array(days, pa.int32()).cast(pa.date32()),
        "ingest_run_id": pa.array(np.maximum.reduceat(bars.runs, starts), pa.int32()),
        "source_id": pa.repeat(pa.scalar(series.source_id, pa.int16()), len(starts)),
        "minute": pa.ListArray.from_arrays(offsets, pa.array(minute)),
    }
    if several.any():
        held = pa.array(bars.held).cast(_INSTANT)
        columns["held"] = pa.ListArray.from_arrays(offsets, held, mask=pa.array(~several))
    return columns


def _values(bars: Minutes, starts: np.ndarray) -> dict[str, pa.Array]:
    """The value columns: each session in one of the two forms; a form that none has is left out."""
    offsets = _offsets(bars, starts)
    decimals, ticks = _as_ticks(bars.values[:4], starts)
    units, whole = _as_units(bars.values[4], starts)
    plain = decimals < 0
    columns: dict[str, pa.Array] = {}
    for names, values, absent in (
        (PRICES, bars.values[:4], ~plain),
        (_TICKS, ticks, plain),
        (("volume",), bars.values[4:], whole),
        (("volume_units",), units[None, :], ~whole),
    ):
        if absent.all():
            continue
        mask = pa.array(absent) if absent.any() else None
        for name, column in zip(names, values, strict=True):
            columns[name] = pa.ListArray.from_arrays(offsets, pa.array(column), mask=mask)
    if not plain.all():
        columns["decimals"] = pa.array(decimals, pa.int16(), mask=plain)
    return columns


def _as_ticks(prices: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each session's decimals (int16, -1: its prices are no whole ticks) and all prices as ticks, int32."""
    bars = prices.shape[1]
    lengths = np.diff(np.append(starts, bars))
    decimals = np.full(len(starts), -1, dtype=np.int16)
    ticks = np.zeros(prices.shape, dtype=np.int32)
    for places in _DECIMALS:
        open_ones = decimals < 0
        if not open_ones.any():
            break
        rows: Any = slice(None) if open_ones.all() else np.repeat(open_ones, lengths)
        sizes = lengths[open_ones]
        firsts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        fits = np.ones(len(sizes), dtype=bool)
        found = []
        for row in prices:
            scaled, exact = _scaled(row[rows], 10.0**places)
            fits &= np.logical_and.reduceat(exact, firsts)
            found.append(scaled)
        chosen = np.repeat(fits, sizes)
        for row, scaled in zip(ticks, found, strict=True):
            row[rows] = np.where(chosen, scaled, 0)
        decimals[np.flatnonzero(open_ones)[fits]] = places
    return decimals, ticks


def _scaled(values: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Values in whole parts of a scale, and which of them come back from that to the last bit."""
    scaled = np.rint(values * scale)
    return scaled, (scaled / scale == values) & (np.abs(scaled) <= _MOST_TICKS)


def _as_units(volume: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Volumes as int32, and for which sessions that is exact."""
    scaled, exact = _scaled(volume, 1.0)
    whole = np.logical_and.reduceat(exact, starts)
    return np.where(exact, scaled, 0).astype(np.int32), whole


# ---------------------------------------------------------------- out of the table


def unpacked(table: pa.Table | pa.RecordBatch) -> tuple[Minutes, np.ndarray]:
    """Packed rows as bars, in the order of the rows, and each row's session open.

    Args:
        table: ``instrument_id session session_open`` and :data:`ARRAYS`, as lists or as :data:`SENT`;
            optionally ``stored_at``, ``held``, ``ingest_run_id``, without which those of the bars are 0.

    Returns:
        The bars, and the opens in minutes since 1970-01-01.
    """
    if not table.num_rows:
        return NO_BARS, np.empty(0, np.int64)
    table = _listed(table)
    opens = plain(table.column("session_open").cast(_INSTANT).cast(pa.int64())) // MINUTE
    packed = _one(table.column("minute"))
    lengths = plain(packed.value_lengths())
    bars = Minutes(
        ids=np.repeat(plain(table.column("instrument_id")), lengths),
        days=np.repeat(plain(table.column("session").cast(pa.int32())), lengths),
        minutes=np.repeat(opens, lengths) + plain(packed.flatten()),
        values=_unpacked_values(table, lengths),
        held=_held(table, lengths),
        runs=_runs(table, lengths),
    )
    return bars, opens


def _listed(table: pa.Table | pa.RecordBatch) -> pa.Table:
    """The same rows with lists in place of bytes."""
    columns = {name: _one(table.column(name)) for name in table.schema.names}
    for name, element in _ELEMENTS.items():
        if pa.types.is_binary(columns[name].type):
            columns[name] = _received(columns[name], np.dtype(element))
    return pa.table(columns)


def _received(sent: pa.BinaryArray, element: np.dtype) -> pa.ListArray:
    """Arrays in PostgreSQL's binary form (``array_send`` in its arrayfuncs.c) as lists.

    Each has one dimension and no null in it: that is how they are written.
    """
    _, offsets, data = sent.buffers()
    starts = np.frombuffer(offsets, np.int32)[sent.offset : sent.offset + len(sent) + 1]
    each = np.dtype([("size", ">i4"), ("value", element)])
    lengths = np.maximum(np.diff(starts) - _SENT_HEAD, 0) // each.itemsize
    parts = [
        np.frombuffer(data, each, count=length, offset=start + _SENT_HEAD)["value"]
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=False)
        if length
    ]
    values = np.concatenate(parts or [np.empty(0, element)]).astype(element.newbyteorder("="))
    ends = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    return pa.ListArray.from_arrays(ends, pa.array(values), mask=sent.is_null())


def _unpacked_values(table: Any, lengths: np.ndarray) -> np.ndarray:
    values = np.empty((5, int(lengths.sum())))
    decimals = _one(table.column("decimals"))
    places = plain(decimals.fill_null(0)).astype(np.float64)
    scale: Any = 10.0**places
    as_ticks = plain(decimals.is_valid())
    uniform = len(scale) > 0 and bool(as_ticks.all() and (scale == scale[0]).all())
    scale = scale[0] if uniform else np.repeat(scale, lengths)
    for place, name in enumerate(PRICES):
        _fill(values[place], table, (name, _TICKS[place]), as_ticks, lengths)
        if uniform or as_ticks.any():
            values[place] /= scale  # 1 for those that are no ticks
    whole = plain(_one(table.column("volume_units")).is_valid())
    _fill(values[4], table, ("volume", "volume_units"), whole, lengths)
    return values


def _fill(
    out: np.ndarray, table: Any, names: tuple[str, str], integers: np.ndarray, lengths: np.ndarray
) -> None:
    """Put a column's two forms where they belong; ``integers`` says which rows have the second."""
    if integers.all():
        out[:] = plain(_one(table.column(names[1])).flatten())
    elif not integers.any():
        out[:] = plain(_one(table.column(names[0])).flatten())
    else:
        of_bar = np.repeat(integers, lengths)
        out[of_bar] = plain(_one(table.column(names[1])).flatten())
        out[~of_bar] = plain(_one(table.column(names[0])).flatten())


def _held(table: Any, lengths: np.ndarray) -> np.ndarray:
    if "stored_at" not in table.schema.names:
        return np.zeros(int(lengths.sum()), dtype=np.int64)
    found = np.repeat(plain(table.column("stored_at").cast(_INSTANT).cast(pa.int64())), lengths)
    if "held" in table.schema.names:
        lists = _one(table.column("held"))
        several = np.repeat(plain(lists.is_valid()), lengths)
        if several.any():
            found[several] = plain(lists.flatten().cast(_INSTANT).cast(pa.int64()))
    return found


def _runs(table: Any, lengths: np.ndarray) -> np.ndarray:
    if "ingest_run_id" not in table.schema.names:
        return np.zeros(int(lengths.sum()), dtype=np.int32)
    return np.repeat(plain(table.column("ingest_run_id")), lengths)


def _one(column: Any) -> Any:
    """A column as one array, whether it comes from a table or from a record batch."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def plain(column: Any) -> np.ndarray:
    """An Arrow column without nulls as numpy."""
    return np.asarray(_one(column).to_numpy(zero_copy_only=False))


def stored(cursor: Any, series: Series, groups: np.ndarray) -> tuple[Minutes, dict[int, int]]:
    """The packed bars of some instruments' sessions, sorted; and those sessions' opens as they are stored."""
    cursor.execute(
        "SELECT b.instrument_id, b.session, b.session_open, b.stored_at, b.held, b.ingest_run_id,"  # noqa: S608
        f" {SENT} FROM sec.bar_1m_day b"
        f" WHERE {matching(series, groups)} ORDER BY b.instrument_id, b.session"
    )
    table = cursor.fetch_arrow_table()
    bars, opens = unpacked(table)
    days = plain(table.column("session").cast(pa.int32()))
    return bars, dict(zip(days.tolist(), opens.tolist(), strict=True))


def delete(cursor: Any, series: Series, groups: np.ndarray) -> None:
    """Take out the packed rows of some instruments' sessions."""
    cursor.execute(f"DELETE FROM sec.bar_1m_day b WHERE {matching(series, groups)}")  # noqa: S608

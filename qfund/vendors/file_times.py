"""Times of a file: dates, instants with or without zone, seconds since 1970 in any unit.

Promises: row by row, what is no time is null; a time without a zone is never taken for UTC but needs the zone
to be said; a time that a zone's clocks show twice or never is null, and so is one outside the years 1900 to
2099. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from pyarrow import compute

from qfund.errors import UsageError

INSTANT = pa.timestamp("us", tz="UTC")
_WALL = pa.timestamp("us")

# Seconds of the years 1970 to 2099. A number of a unit that lies outside is one of another unit: the smallest
# number of milliseconds that could be seconds as well is one of February 1970.
_END = 4_102_444_800
_UNITS = (("s", _END), ("ms", _END * 10**3), ("us", _END * 10**6), ("ns", _END * 10**9))


_DATES = date(1900, 1, 1), date(2099, 12, 31)
_INSTANTS = datetime(1900, 1, 1, tzinfo=UTC), datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True, eq=False)
class Times:
    """The times of all rows; of the two exactly one holds a row that could be read.

    Attributes:
        ts: UTC, microseconds; null where the row has a date only, or nothing that is a time.
        day: date32; null likewise.
    """

    ts: pa.Array
    day: pa.Array


class _ZoneNeededError(Exception):
    """Some time has no zone, and none was declared."""


def read(column: pa.Array, zone: str | None, *, name: str) -> Times:
    """The times of a column of dates, timestamps, numbers or text.

    Args:
        column: as the file holds it.
        zone: IANA name of the zone of times that have none.
        name: the column's, for errors.

    Raises:
        UsageError: the zone is needed and was not declared, or not one of the rows holds a time.
    """
    try:
        found = _read(column, zone)
    except _ZoneNeededError:
        raise UsageError(
            f"The times of column '{name}' have no zone, such as {_sample(column)}.",
            fix="say what clock they are of: --with zone=America/New_York, or --with zone=UTC",
            code="ZONE_REQUIRED",
        ) from None
    found = _known_years(found)
    if len(column) and found.ts.null_count == found.day.null_count == len(column):
        raise UsageError(
            f"Column '{name}' holds no times that qfund reads, such as {_sample(column)}; it reads"
            " 2024-03-08, 2024-03-08 09:30:00, 2024-03-08T14:30:00Z, 20240308, and numbers of s, ms, µs or ns"
            " since 1970.",
            fix="--with map=ts=COLUMN names another column",
            code="NO_TIMES",
        )
    return found


def _known_years(found: Times) -> Times:
    """The times, without those of years that are a slip for sure."""
    return Times(
        *(
            compute.if_else(_between(column, first, last), column, pa.scalar(None, column.type))
            for column, first, last in ((found.ts, *_INSTANTS), (found.day, *_DATES))
        )
    )


def _between(column: pa.Array, first: object, last: object) -> pa.Array:
    low, high = (pa.scalar(one, column.type) for one in (first, last))
    return compute.and_(compute.greater_equal(column, low), compute.less_equal(column, high))


def _read(column: pa.Array, zone: str | None) -> Times:
    kind = column.type
    if pa.types.is_date(kind):
        return _days(column.cast(pa.date32()))
    if pa.types.is_timestamp(kind):
        if kind.tz is not None:
            return _instants(column.cast(INSTANT, safe=False))
        return _wall(column.cast(_WALL, safe=False), zone)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return numbers(column)
    return _text(column.cast(pa.string()), zone)


def _days(day: pa.Array) -> Times:
    return Times(pa.nulls(len(day), INSTANT), day)


def _instants(ts: pa.Array) -> Times:
    return Times(ts, pa.nulls(len(ts), pa.date32()))


def _text(column: pa.Array, zone: str | None) -> Times:
    """Text: each way that could hold for all rows, then row by row."""
    for kind in (pa.int64(), pa.float64()):
        try:
            return numbers(column.cast(kind))
        except pa.ArrowInvalid:
            pass
    try:
        return _instants(column.cast(pa.timestamp("ns", tz="UTC")).cast(INSTANT, safe=False))
    except pa.ArrowInvalid:
        pass
    try:
        return _wall(column.cast(pa.timestamp("ns")).cast(_WALL, safe=False), zone)
    except pa.ArrowInvalid:
        return _by_row(column, zone)


def _by_row(column: pa.Array, zone: str | None) -> Times:
    distinct = column.dictionary_encode()
    values = [_one(text, zone) for text in distinct.dictionary.to_pylist()]
    table = pa.table(
        [pa.array([ts for ts, _ in values], INSTANT), pa.array([day for _, day in values], pa.date32())],
        names=["ts", "day"],
    ).take(distinct.indices)
    return Times(table["ts"].combine_chunks(), table["day"].combine_chunks())


def _one(text: str, zone: str | None) -> tuple[Any, Any]:
    """Instant and date of one text; both None when it is no time."""
    text = text.strip()
    if text.replace(".", "", 1).isdigit():
        kind = pa.float64() if "." in text else pa.int64()
        found = numbers(pa.array([text]).cast(kind)) if len(text) <= 19 else None
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None, None
        if moment.tzinfo is not None:
            return moment.astimezone(UTC), None
        if len(text) <= len("2024-03-08"):
            return None, moment.date()
        found = _wall(pa.array([moment], _WALL), zone, dates=False)
    return (None, None) if found is None else (found.ts[0].as_py(), found.day[0].as_py())


def _wall(wall: pa.Array, zone: str | None, *, dates: bool = True) -> Times:
    """Times on a clock; all of them midnights are dates, whatever the zone."""
    day = wall.cast(pa.date32(), safe=False)
    midnights = compute.all(compute.equal(day.cast(_WALL), wall), min_count=0).as_py()
    if dates and midnights:
        return _days(day)
    if zone is None:
        raise _ZoneNeededError
    # Where the two differ the clocks showed the time twice, or skipped it.
    first, second = (
        compute.assume_timezone(wall, zone, ambiguous=which, nonexistent=which)
        for which in ("earliest", "latest")
    )
    sure = compute.equal(first, second)
    return _instants(compute.if_else(sure, first, pa.scalar(None, first.type)).cast(INSTANT))


def numbers(column: pa.Array) -> Times:
    """Numbers, each by its size: 19700101 … 20991231 are dates, the others seconds, ms, µs or ns since 1970.

    Anything outside the years 1970 to 2099, and below zero, is null. A file may change its unit, as Binance's
    did from ms to µs on 2025-01-01.
    """
    absent = column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    exact = pa.types.is_integer(column.type)
    value = column.fill_null(-1).to_numpy(zero_copy_only=False)
    # A float of this size holds no halves of microseconds, so that nothing is lost below.
    value = value.astype(np.int64) if exact else np.where(np.abs(value) < 9e18, value, -1.0)
    day, is_day = _calendar_days(value)
    micros = np.full(len(value), np.iinfo(np.int64).min)
    lowest = 0
    scales = {"s": 10**6, "ms": 10**3, "us": 1}
    for unit, end in _UNITS:
        here = (value >= lowest) & (value < end)
        scaled = value[here] // 1000 if unit == "ns" else value[here] * scales[unit]
        micros[here] = scaled.astype(np.int64)
        lowest = end
    known = (micros != np.iinfo(np.int64).min) & ~absent
    ts = pa.array(micros, pa.int64(), mask=~(known & ~is_day)).cast(INSTANT)
    return Times(ts, pa.array(day, pa.date32(), mask=~(is_day & ~absent)))


def _calendar_days(value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers such as 20240308 as dates, and which of them are."""
    whole = np.where((value >= 19_700_101) & (value <= 20_991_231), value, 19_700_101).astype(np.int64)
    year, month, day = whole // 10_000, whole // 100 % 100, whole % 100
    start = (year - 1970).astype("datetime64[Y]").astype("datetime64[M]") + (np.clip(month, 1, 12) - 1)
    made = start.astype("datetime64[D]") + (day - 1)
    valid = (month >= 1) & (month <= 12) & (day >= 1) & (made.astype("datetime64[M]") == start)
    return made, valid & (whole == value)


def _sample(column: pa.Array) -> str:
    first = next((one for one in column.drop_null().slice(0, 1).to_pylist()), None)
    return f"'{first}'" if first is not None else "nothing at all"


def checked_zone(name: str | None) -> str | None:
    """The zone's IANA name as it was given.

    Raises:
        UsageError: there is no such zone.
    """
    if not name:
        return None
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise UsageError(
            f"There is no time zone '{name}'.",
            fix="--with zone=UTC, --with zone=America/New_York (names of the IANA list)",
            code="UNKNOWN_ZONE",
        ) from error
    return name

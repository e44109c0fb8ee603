"""The rows of a file by symbol and day: which of them are bars, and which come with which request.

Promises: every row comes with exactly one symbol and one day, so that requests that share out all symbols and
days give each row once. The day is the session whose hours hold the row's time, by the calendar and not by
the clock, else the date at the exchange; a row that says none comes with the readable row before it. Nothing
is left out and nothing repaired.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, cast

import numpy as np
import pyarrow as pa
from pyarrow import compute

from qfund.errors import UsageError
from qfund.market.bars import FIELDS, Timeframe
from qfund.market.hours import MINUTE, Hours, Windows, windows
from qfund.market.sessions import zone
from qfund.vendors import file_reading, file_times
from qfund.vendors.contract import BarRequest, Page, schema, unfit_schema

_DAY = pa.date32()


@dataclass(frozen=True, eq=False)
class FileBars:
    """The rows of a file, by symbol, day and line.

    Attributes:
        table: ``line``, ``symbol``, ``ts``, ``session`` (as the file says it), the values, ``reason`` (why
            the row is no bar) and ``beside`` (see ``contract.unfit_schema``); null where there is none.
        symbols: all, sorted.
        starts: first row of each symbol in the table, and the end of the last.
        days: datetime64[D], the day that each row comes with, increasing within a symbol.
        timeframes: the lengths that the bars may have.
    """

    table: pa.Table
    symbols: tuple[str, ...]
    starts: np.ndarray
    days: np.ndarray
    timeframes: tuple[Timeframe, ...]

    @property
    def first(self) -> date:
        """The earliest day."""
        return cast("date", self.days.min().item())

    @property
    def last(self) -> date:
        """The latest day."""
        return cast("date", self.days.max().item())

    def whole(self, calendar: str, hours: Hours, now: datetime) -> date:
        """The last day of minutes that is over in the file: its latest, unless that ends before its session.

        A file is cut at a moment, so one symbol that goes on to the end tells it of all. Of a day that has
        not come yet nothing is told.
        """
        if self.last > now.date():
            return self.last
        found = windows(calendar, hours, self.last, self.last)
        newest = compute.max(self.table["ts"].filter(pa.array(self.days == np.datetime64(self.last)))).value
        if newest is None or not len(found.ends) or newest + MINUTE >= found.ends[-1]:
            return self.last
        return self.last - timedelta(days=1)

    def page(self, request: BarRequest) -> Page:
        """The rows that come with a request: bars, and what is none."""
        first, last = (np.datetime64(one) for one in request.dates)
        parts = [np.empty(0, dtype=np.int64)]
        for symbol in request.symbols:
            at = int(np.searchsorted(self.symbols, symbol))
            if at < len(self.symbols) and self.symbols[at] == symbol:
                start, stop = self.starts[at], self.starts[at + 1]
                days = self.days[start:stop]
                low = start + np.searchsorted(days, first, "left")
                high = start + np.searchsorted(days, last, "right")
                parts.append(np.arange(low, high))
        rows = self.table.take(pa.array(np.concatenate(parts)))
        fit = compute.is_null(rows["reason"])
        bars = _as(request.timeframe, rows.filter(fit)).select(schema(request.timeframe).names)
        unfit = rows.filter(compute.invert(fit))
        return Page(bars, unfit=unfit.select([*unfit_schema(request.timeframe).names, "line"]))

    def census(self) -> pa.Table:
        """See `contract.CountsRows`."""
        code = np.repeat(np.arange(len(self.symbols)), np.diff(self.starts))
        new = np.ones(len(code), dtype=bool)
        new[1:] = (code[1:] != code[:-1]) | (self.days[1:] != self.days[:-1])
        starts = np.flatnonzero(new)
        return pa.table(
            {
                "symbol": pa.array(self.symbols).take(pa.array(code[starts])),
                "day": pa.array(self.days[starts]).cast(_DAY),
                "rows": pa.array(np.diff(np.append(starts, len(code)))),
            }
        )

    def with_lines(self, rejected: pa.Table) -> pa.Table:
        """Rejected rows with the lines that they have in the file, by line; equal rows by their order in it.

        What is no bar has kept its line. Bars are found by what they say: the core may have filled in the
        session of an instant.
        """
        given = rejected["line"] if "line" in rejected.column_names else pa.nulls(len(rejected), pa.int64())
        rejected = rejected.drop_columns([name for name in ("line",) if name in rejected.column_names])
        daily = "ts" not in rejected.column_names
        keys = ["symbol", "session" if daily else "ts", *FIELDS]
        fit = compute.is_null(self.table["reason"])
        known = self.table.filter(fit).select([*keys, "line"]).to_pandas(date_as_object=False)
        theirs = rejected.select(keys).to_pandas(date_as_object=False)
        known = known[known["symbol"].isin(theirs["symbol"])]
        for frame in (theirs, known):
            frame["nth"] = frame.groupby(keys, dropna=False).cumcount()
        found = theirs.merge(known, on=[*keys, "nth"], how="left")
        line = pa.array(found["line"].to_numpy(), from_pandas=True).cast(pa.int64())
        return rejected.add_column(0, "line", compute.coalesce(given, line)).sort_by("line")


def _as(timeframe: Timeframe, rows: pa.Table) -> pa.Table:
    if timeframe == "1d":
        return rows
    place = rows.column_names.index("session")  # the core finds the sessions of instants
    return rows.set_column(place, "session", pa.nulls(len(rows), _DAY))


def by_symbol_and_day(rows: file_reading.Rows, calendar: str, hours: Hours, now: datetime) -> FileBars:
    """The rows of a file in order, with what the times say of the bars' length.

    Args:
        rows: as they were read.
        calendar: of the sessions.
        hours: of the day that the bars cover.
        now: about the present; a row of a later time is placed by its date.
    """
    ts = rows.times.ts
    own = _own_days(ts, calendar, hours, now)
    session, timeframes = _sessions(rows.times, own, calendar, hours, now)
    placed = compute.coalesce(session, own)  # a date among minutes is no time, but it has a place
    reason = _reasons(rows, ts if timeframes == ("1m",) else session)
    placed = compute.if_else(compute.is_in(reason, value_set=_TIMELESS), pa.scalar(None, _DAY), placed)
    before, after = compute.fill_null_forward(placed), compute.fill_null_backward(placed)
    symbol = compute.fill_null_backward(compute.fill_null_forward(rows.symbol))
    if symbol.null_count:
        raise UsageError("The file names no symbol in any row.", code="NO_SYMBOLS")
    names = tuple(sorted(symbol.unique().to_pylist()))
    code = compute.index_in(symbol, value_set=pa.array(names)).to_numpy(zero_copy_only=False)
    days = compute.coalesce(before, after).to_numpy(zero_copy_only=False).astype("datetime64[D]")
    order = np.lexsort((rows.line, days, code))
    columns = {"line": rows.line, "symbol": rows.symbol, "ts": ts, "session": session, **rows.values}
    columns |= {"reason": reason, "beside": _beside(placed, before, after)}
    starts = np.searchsorted(code[order], np.arange(len(names) + 1))
    return FileBars(pa.table(columns).take(pa.array(order)), names, starts, days[order], timeframes)


# ---------------------------------------------------------------- what is no bar

_TIMELESS = pa.array(["torn", "bad_time"])


def _reasons(rows: file_reading.Rows, known: pa.Array) -> pa.Array:
    """Why each row is no bar, null for bars; ``known`` is null where there is no time that a bar can have."""
    reason = pa.nulls(len(rows.line), pa.string())
    for code, faulty in (
        ("no_symbol", rows.symbol.is_null()),
        ("bad_time", known.is_null()),
        ("torn", pa.array(rows.torn)),
    ):
        reason = compute.if_else(faulty, pa.scalar(code), reason)
    return reason


def _beside(placed: pa.Array, before: pa.Array, after: pa.Array) -> pa.Array:
    """For each row without a day those of the readable rows around it."""
    lost = np.flatnonzero(placed.is_null().to_numpy(zero_copy_only=False))
    sides = zip(before.take(pa.array(lost)).to_pylist(), after.take(pa.array(lost)).to_pylist(), strict=True)
    around = [sorted({side for side in pair if side is not None}) for pair in sides]
    found = np.full(len(placed), -1)
    found[lost] = np.arange(len(lost))
    lists = pa.array(around, pa.list_(_DAY))
    return lists.take(pa.array(found, mask=found < 0))


# ---------------------------------------------------------------- days


def _sessions(
    times: file_times.Times, own: pa.Array, calendar: str, hours: Hours, now: datetime
) -> tuple[pa.Array, tuple[Timeframe, ...]]:
    """The session of each row, where it says one, and the possible lengths of the bars.

    Dates are daily bars. So are instants that are all midnights of UTC or of the calendar's zone, dates in
    disguise, and those that are all the openings of sessions that last the whole day. Instants at one time of
    day may be either; at several they are minutes, and then a date is no time.
    """
    ts, day = times.ts, times.day
    seen = ts.drop_null()
    if not len(seen):
        return day, ("1d",)
    clocks = [_wall(ts, "UTC"), _wall(ts, str(zone(calendar)))]
    for clock in clocks:
        if _clock_times(clock) == [0]:
            return compute.coalesce(day, clock.cast(_DAY, safe=False)), ("1d",)
    opens = _windows(seen, calendar, hours, now)
    if opens.round_the_clock and np.isin(_micros(seen), opens.opens).all():
        return compute.coalesce(day, own), ("1d",)
    if all(len(_clock_times(clock)) > 1 for clock in clocks):
        return pa.nulls(len(ts), _DAY), ("1m",)
    return compute.coalesce(day, own), ("1d", "1m")


def _own_days(ts: pa.Array, calendar: str, hours: Hours, now: datetime) -> pa.Array:
    """The session whose hours hold each instant, else its date at the exchange; null without an instant."""
    seen = ts.drop_null()
    dates = _wall(ts, str(zone(calendar))).cast(_DAY, safe=False)
    if not len(seen):
        return dates
    known = _windows(seen, calendar, hours, now)
    if not len(known.days):
        return dates
    at = known.place_of_times(_micros(ts.fill_null(pa.scalar(0, ts.type))))
    held = pa.array(known.days[np.maximum(at, 0)], pa.int32(), mask=at < 0).cast(_DAY)
    return compute.if_else(ts.is_null(), pa.scalar(None, _DAY), compute.coalesce(held, dates))


def _windows(seen: pa.Array, calendar: str, hours: Hours, now: datetime) -> Windows:
    """The sessions around some instants, as far as they have begun."""
    ends = compute.min_max(seen).as_py()
    tomorrow = (now + timedelta(days=1)).date()
    first = min(ends["min"].date() - timedelta(days=4), tomorrow)
    return windows(calendar, hours, first, min(ends["max"].date() + timedelta(days=4), tomorrow))


def _wall(ts: pa.Array, zone_name: str) -> pa.Array:
    return compute.local_timestamp(ts.cast(pa.timestamp("us", tz=zone_name)))


def _micros(ts: pa.Array) -> np.ndarray:
    return np.asarray(ts.cast(pa.int64()).to_numpy(zero_copy_only=False))


def _clock_times(wall: pa.Array) -> list[Any]:
    """The one time of day that all have, µs since midnight, or two of several."""
    midnights = wall.cast(_DAY, safe=False).cast(pa.timestamp("us")).cast(pa.int64())
    of_day = compute.subtract(wall.cast(pa.int64()), midnights).drop_null()
    others = compute.min_max(of_day).as_py()
    return sorted({others["min"], others["max"]})

"""Bars from a file: CSV or Parquet, with one row for each bar.

Promises: what the file says is taken as it is or comes out as a row that the core rejects, with its line, so
that rejects can be written beside the file; columns and zones are recognised or asked for, never guessed.
Reads the one file; writes only `Files.write_rejects`. Times are the starts of bars.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast, get_args, runtime_checkable

import numpy as np
import pyarrow as pa
from pyarrow import compute

from qfund.errors import UsageError, did_you_mean
from qfund.market.actions import CorporateAction
from qfund.market.bars import Timeframe
from qfund.market.instruments import InstrumentKind, Listing
from qfund.market.sessions import FX, zone
from qfund.vendors import file_columns, file_reading, file_times
from qfund.vendors.contract import BarRequest, Capabilities, Offer, Page, PriceKind, Setting, Setup, schema

ALWAYS = "24/7"
_FX_SHIFT = (
    7 * 3_600_000_000
)  # µs from 17:00 New York, where a session of foreign exchange begins, to midnight
_MARKETS = {FX: "fx", ALWAYS: "crypto"}
_KINDS: dict[str, InstrumentKind] = {FX: "fx", ALWAYS: "crypto"}


@runtime_checkable
class KeepsRejects(Protocol):
    """A vendor that can show where rejected rows came from; an optional capability."""

    def write_rejects(self, rejected: pa.Table) -> Path:
        """Write rejected rows with their reasons and return where."""
        ...


class Files:
    """One file of bars.

    ``capabilities`` of the class say how it is used; those of an instance what its file offers.
    """

    name: ClassVar[str] = "files"
    capabilities: Capabilities = Capabilities(
        title="Your own CSV or Parquet file: --path FILE",
        terms="yours",
        offers=(),
        small=True,
        options=(
            Setting("path", "the file; .csv, .csv.gz, .parquet"),
            Setting("map", "its columns, where they are not recognised: ts=Time,close=Last"),
            Setting("zone", "zone of times that have none, such as America/New_York"),
            Setting("symbol", "the symbol, when the file has no column of symbols"),
            Setting("feed", "name of the series; the file's name when not said"),
            Setting("calendar", "calendar of the sessions: XNYS, FX, 24/7, …", "XNYS"),
            Setting("price_kind", "trade, mid, bid or ask", "trade"),
        ),
    )

    def __init__(self, setup: Setup | None = None) -> None:
        """Reads the file, when one is named.

        Raises:
            UsageError, NotFoundError: see `file_reading.read`; an option's value is not one.
        """
        self._setup = setup or Setup()
        if self._setup.values.get("path"):
            self.capabilities = replace(
                type(self).capabilities,
                offers=self._offers,
                symbols_per_request=max(1, min(100, len(self._bars.symbols))),
            )

    def market(self, symbol: str) -> str:
        """The market of the file's calendar: ``fx``, ``crypto``, or ``us_equity`` for every other."""
        del symbol
        return _MARKETS.get(self._calendar, "us_equity")

    def listings(self, symbols: Sequence[str] | None = None) -> list[Listing]:
        """The symbols of the file. A pair is priced in its second currency, everything else in USD."""
        kind = _KINDS.get(self._calendar, "equity")
        mic = self._calendar if self._calendar not in _KINDS else None
        return [
            Listing(symbol, symbol, kind, _currency(symbol, kind), mic)
            for symbol in self._bars.symbols
            if symbols is None or symbol in symbols
        ]

    def bars(self, request: BarRequest) -> Iterator[Page]:
        """The rows of a request in one page, by symbol, session and line.

        A row without a time comes with the session, and one without a symbol with the symbol, of the readable
        row before it in the file, so that the core sees and rejects it once.
        """
        yield Page(self._bars.page(request))

    def actions(self, symbols: Sequence[str], since: date, until: date) -> list[CorporateAction]:
        """None: a file of bars tells of none."""
        del symbols, since, until
        return []

    def write_rejects(self, rejected: pa.Table) -> Path:
        """Write rejected rows beside the file, see `write_rejects`, each with its line where it is found.

        Args:
            rejected: columns of the contract as pages gave them, and ``reason``.
        """
        return write_rejects(self._path, self._bars.with_lines(rejected))

    # ------------------------------------------------------------ the file

    @property
    def _path(self) -> Path:
        said = self._setup.values.get("path")
        if not said:
            raise UsageError(
                "Which file?", fix="qfund ingest --vendor files --path FILE", code="PATH_REQUIRED"
            )
        path = Path(said).expanduser()
        return path if self._setup.folder is None else self._setup.folder / path

    @property
    def _calendar(self) -> str:
        return self._option("calendar")

    def _option(self, name: str) -> str:
        default = next(one.default for one in type(self).capabilities.options if one.name == name)
        return self._setup.values.get(name) or default or ""

    @cached_property
    def _bars(self) -> FileBars:
        how = file_reading.How(
            mapping=file_columns.parsed_map(self._option("map")),
            zone=file_times.checked_zone(self._option("zone")),
            symbol=self._option("symbol") or None,
            volume=self._price_kind == "trade",
        )
        return sorted_bars(file_reading.read(self._path, how), self._calendar)

    @property
    def _price_kind(self) -> PriceKind:
        said = self._option("price_kind")
        if said not in get_args(PriceKind):
            raise UsageError(
                f"'{said}' is no kind of price.{did_you_mean(said, get_args(PriceKind))}",
                fix="--with price_kind=mid",
                code="UNKNOWN_PRICE_KIND",
            )
        return cast("PriceKind", said)

    @property
    def _offers(self) -> tuple[Offer, ...]:
        bars = self._bars
        stem = self._path.name.partition(".")[0]
        return tuple(
            Offer(
                timeframe,
                self._option("feed") or stem,
                bars.first,
                bars.last,
                sessions_per_request=10_000,
                hours="always" if self._calendar in _KINDS else "regular",
                price_kind=self._price_kind,
                market=self.market(""),
                calendar=self._calendar,
                quiet_bars=True,
                answers_more=timeframe == "1m" and self._calendar not in _KINDS,
            )
            for timeframe in bars.timeframes
        )


def _currency(symbol: str, kind: InstrumentKind) -> str:
    quote = symbol.replace("/", "_").replace("-", "_").rpartition("_")
    if quote[1] and kind in ("fx", "crypto"):
        return quote[2]
    return symbol[3:] if kind == "fx" and len(symbol) == 6 else "USD"


def write_rejects(path: Path, rejected: pa.Table) -> Path:
    """Write rejected rows as ``FILE.rejects.csv`` beside a file, in place of an older one.

    Args:
        path: the file that they came from.
        rejected: any columns; the order is kept.

    Returns:
        Where they were written.
    """
    from pyarrow import csv

    target = path.with_name(f"{path.name}.rejects.csv")
    csv.write_csv(rejected, target)
    return target


# ---------------------------------------------------------------- rows in order


@dataclass(frozen=True, eq=False)
class FileBars:
    """The rows of a file by symbol and session.

    Attributes:
        table: ``line``, ``symbol``, ``ts``, ``day`` (session as the file says it; both may be null), values.
        symbols: all, sorted.
        starts: first row of each symbol in the table, and the end of the last.
        days: datetime64[D], the session that each row comes with, increasing within a symbol.
        timeframes: the lengths that the bars may have.
    """

    table: pa.Table
    symbols: tuple[str, ...]
    starts: np.ndarray
    days: np.ndarray
    timeframes: tuple[Timeframe, ...]

    @property
    def first(self) -> date:
        """The earliest session."""
        return cast("date", self.days.min().item())

    @property
    def last(self) -> date:
        """The latest session."""
        return cast("date", self.days.max().item())

    def page(self, request: BarRequest) -> pa.Table:
        """The rows of a request, in the contract's columns."""
        parts = [np.empty(0, dtype=np.int64)]
        for symbol in request.symbols:
            at = int(np.searchsorted(self.symbols, symbol))
            if at < len(self.symbols) and self.symbols[at] == symbol:
                start, stop = self.starts[at], self.starts[at + 1]
                days = self.days[start:stop]
                low = start + np.searchsorted(days, np.datetime64(request.since), "left")
                high = start + np.searchsorted(days, np.datetime64(request.until), "right")
                parts.append(np.arange(low, high))
        return self._as(request.timeframe, self.table.take(pa.array(np.concatenate(parts))))

    def _as(self, timeframe: Timeframe, rows: pa.Table) -> pa.Table:
        if timeframe == "1d":
            rows = rows.rename_columns(["session" if name == "day" else name for name in rows.column_names])
        else:  # the core finds the sessions of instants
            rows = rows.append_column("session", pa.nulls(len(rows), pa.date32()))
        return rows.select(schema(timeframe).names)

    def with_lines(self, rejected: pa.Table) -> pa.Table:
        """Rejected rows with the lines that they have in the file, by line; equal rows by their order in it.

        Rows are found by what they say: the core may have filled in the session of an instant.
        """
        daily = "ts" not in rejected.column_names
        mine = self._as("1d" if daily else "1m", self.table).append_column("line", self.table["line"])
        keys = [name for name in mine.column_names if name not in ("line", *(() if daily else ("session",)))]
        theirs = rejected.to_pandas(date_as_object=False)
        known = mine.to_pandas(date_as_object=False)
        known = known[known["symbol"].isin(theirs["symbol"]) | known["symbol"].isna()]
        for frame in (theirs, known):
            frame["nth"] = frame.groupby(keys, dropna=False).cumcount()
        found = theirs.merge(known[[*keys, "nth", "line"]], on=[*keys, "nth"], how="left")
        line = pa.array(found["line"].to_numpy(), from_pandas=True).cast(pa.int64())
        return rejected.add_column(0, "line", line).sort_by("line")


def sorted_bars(rows: file_reading.Rows, calendar: str) -> FileBars:
    """The rows of a file by symbol and session, with what the times say of the bars' length."""
    ts, day, timeframes = _days(rows.times, calendar)
    place = compute.coalesce(day, _local_dates(ts, calendar))
    place = compute.fill_null_backward(compute.fill_null_forward(place))
    symbol = compute.fill_null_backward(compute.fill_null_forward(rows.symbol))
    if symbol.null_count:
        raise UsageError("The file names no symbol in any row.", code="NO_SYMBOLS")
    names = tuple(sorted(symbol.unique().to_pylist()))
    code = compute.index_in(symbol, value_set=pa.array(names)).to_numpy(zero_copy_only=False)
    days = place.to_numpy(zero_copy_only=False).astype("datetime64[D]")
    order = np.lexsort((rows.line, days, code))
    table = pa.table({"line": rows.line, "symbol": rows.symbol, "ts": ts, "day": day, **rows.values}).take(
        pa.array(order)
    )
    starts = np.searchsorted(code[order], np.arange(len(names) + 1))
    return FileBars(table, names, starts, days[order], timeframes)


def _days(times: file_times.Times, calendar: str) -> tuple[pa.Array, pa.Array, tuple[Timeframe, ...]]:
    """Instants, sessions and possible lengths of bars.

    Dates are daily bars. So are instants that are all midnights of UTC or of the calendar's zone: dates in
    disguise. Instants at one time of day may be either; at several they are minutes, and then a date is no
    time.
    """
    ts, day = times.ts, times.day
    seen = ts.drop_null()
    if not len(seen):
        return ts, day, ("1d",)
    utc, local = _local(seen, "UTC", 0), _local_sessions(seen, calendar)
    for clock, whole in ((utc, _local(ts, "UTC", 0)), (local, _local_sessions(ts, calendar))):
        if _clock_times(clock) == [0]:
            return ts, compute.coalesce(day, whole.cast(pa.date32(), safe=False)), ("1d",)
    if len(_clock_times(utc)) > 1 and len(_clock_times(local)) > 1:
        return ts, pa.nulls(len(ts), pa.date32()), ("1m",)
    return ts, compute.coalesce(day, _local_dates(ts, calendar)), ("1d", "1m")


def _local(ts: pa.Array, zone_name: str, shift: int) -> pa.Array:
    wall = compute.local_timestamp(ts.cast(pa.timestamp("us", tz=zone_name)))
    return compute.add(wall, pa.scalar(shift, pa.duration("us")))


def _local_sessions(ts: pa.Array, calendar: str) -> pa.Array:
    """Times on the calendar's clocks, moved so that sessions of foreign exchange begin at midnight."""
    return _local(ts, str(zone(calendar)), _FX_SHIFT if calendar == FX else 0)


def _local_dates(ts: pa.Array, calendar: str) -> pa.Array:
    return _local_sessions(ts, calendar).cast(pa.date32(), safe=False)


def _clock_times(wall: pa.Array) -> list[Any]:
    """The one time of day that all have, µs since midnight, or two of several."""
    of_day = compute.subtract(wall.cast(pa.int64()), _midnights(wall)).drop_null()
    others = compute.min_max(of_day).as_py()
    return sorted({others["min"], others["max"]})


def _midnights(wall: pa.Array) -> pa.Array:
    return wall.cast(pa.date32(), safe=False).cast(pa.timestamp("us")).cast(pa.int64())

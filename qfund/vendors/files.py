"""Bars from a file: CSV or Parquet, with one row for each bar.

Promises: what the file says is taken as it is or comes out as a row that the core rejects, with its line, so
that rejects can be written beside the file; every row comes with exactly one request, and `Files.census`
counts them all, so that none can get lost; columns and zones are recognised or asked for, never guessed.
Reads the one file; writes only `Files.write_rejects`. Times are the starts of bars.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Protocol, cast, get_args, runtime_checkable

import pyarrow as pa

from qfund.errors import UsageError, did_you_mean
from qfund.market.actions import CorporateAction
from qfund.market.instruments import InstrumentKind, Listing
from qfund.market.sessions import FX
from qfund.vendors import file_columns, file_reading, file_times
from qfund.vendors.contract import BarRequest, Capabilities, Hours, Offer, Page, PriceKind, Setting, Setup
from qfund.vendors.file_rows import FileBars, by_symbol_and_day

ALWAYS = "24/7"
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
        """The rows of a request in one page, by symbol, day and line; see `FileBars` for who comes when.

        A row without a time comes with the day, and one without a symbol with the symbol, of the readable
        row before it in the file, so that the core sees and rejects it once.
        """
        yield self._bars.page(request)

    def census(self) -> pa.Table:
        """How many ``rows`` of the file come with each ``symbol`` and ``day``."""
        return self._bars.census()

    def actions(self, symbols: Sequence[str], since: date, until: date) -> list[CorporateAction]:
        """None: a file of bars tells of none."""
        del symbols, since, until
        return []

    def write_rejects(self, rejected: pa.Table) -> Path:
        """Write rejected rows beside the file, see `write_rejects`, each with its line where it is found.

        Args:
            rejected: columns of the contract as pages gave them, ``reason``, and ``line`` of what is no bar.
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
        return by_symbol_and_day(file_reading.read(self._path, how), self._calendar, self._hours, self._now)

    @property
    def _now(self) -> datetime:
        return datetime.now(UTC) if self._setup.network is None else self._setup.network.now()

    @property
    def _hours(self) -> Hours:
        return "always" if self._calendar in _KINDS else "regular"

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
                hours=self._hours,
                price_kind=self._price_kind,
                market=self.market(""),
                calendar=self._calendar,
                quiet_bars=True,
                answers_more=timeframe == "1m" and self._calendar not in _KINDS,
                whole=bars.whole(self._calendar, self._hours, self._now) if timeframe == "1m" else None,
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

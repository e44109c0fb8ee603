"""The bundled sample: real US daily prices, public domain, without key or network.

Promises: daily bars are exactly those of the file (see ``sample_data/NOTICE.md``); corporate actions are the
steps of its adjusted close; minute bars are made up from the daily ones and declare ``feed="synthetic"``.
It reads its own package data and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from importlib.resources import as_file, files
from typing import ClassVar

import numpy as np
import pyarrow as pa
from pyarrow import compute, csv

from qfund.market import sessions
from qfund.market.actions import CorporateAction
from qfund.market.instruments import Listing
from qfund.vendors import synthetic
from qfund.vendors.contract import DAILY_SCHEMA, MINUTE_SCHEMA, BarRequest, Capabilities, Offer, Page, Setup

FIRST = date(2000, 3, 1)
LAST = date(2013, 3, 1)

LISTINGS = (
    Listing("AAPL", "Apple Inc.", listed_on=date(1980, 12, 12)),
    Listing("FB", "Facebook, Inc. (META since 2022)", listed_on=date(2012, 5, 18)),
    Listing("GOOG", "Google Inc. (class A, GOOGL since 2014)", listed_on=date(2004, 8, 19)),
    Listing("IBM", "International Business Machines Corporation"),
    Listing("MSFT", "Microsoft Corporation", listed_on=date(1986, 3, 13)),
)

_COLUMN_TYPES = pa.schema([*DAILY_SCHEMA, ("adj_close", pa.float64())])

# The noise in the file's adj_close / close is below 1e-6; its smallest dividend makes a step of 1.1e-3.
_LEAST_STEP = 1e-4
_LEAST_SPLIT = 0.2


@dataclass(frozen=True)
class _Step:
    """A session on which the file's adj_close / close moved, and what surrounds it."""

    symbol: str
    session: date
    ratio: float
    close: float


class Sample:
    """Five US shares, 2000-03-01 … 2013-03-01: the vendor that always works."""

    name: ClassVar[str] = "sample"
    capabilities: ClassVar[Capabilities] = Capabilities(
        title="Five US shares 2000–2013, bundled: AAPL, FB, GOOG, IBM, MSFT",
        terms="public domain (Quandl WIKI Prices)",
        offers=(
            Offer("1d", feed="wiki", first=FIRST, last=LAST, sessions_per_request=252),
            Offer("1m", feed="synthetic", first=FIRST, last=LAST, sessions_per_request=63),
        ),
        symbols_per_request=50,
        small=True,
    )

    def __init__(self, setup: Setup | None = None) -> None:
        """Nothing can be set: the prices are part of the program."""

    def market(self, symbol: str) -> str:
        """All of them are US shares."""
        del symbol
        return "us_equity"

    def listings(self, symbols: Sequence[str] | None = None) -> list[Listing]:
        """The listings of these symbols, or all five."""
        return [listing for listing in LISTINGS if symbols is None or listing.symbol in symbols]

    def bars(self, request: BarRequest) -> Iterator[Page]:
        """Daily bars of the file in one page, or synthetic minute bars with one page for each symbol."""
        if request.timeframe == "1d":
            days = self._days(request.symbols, request.since, request.until)
            yield Page(days.select(DAILY_SCHEMA.names))
            return
        for number, symbol in enumerate(request.symbols, start=1):
            days = self._days((symbol,), request.since, request.until)
            more = str(number) if number < len(request.symbols) else None
            yield Page(_minutes(symbol, days), more)

    def actions(self, symbols: Sequence[str], since: date, until: date) -> list[CorporateAction]:
        """The splits and dividends with an ex-date in the span, by symbol and date."""
        return [
            _action(step) for step in self._steps if step.symbol in symbols and since <= step.session <= until
        ]

    def adjusted_close(self, symbol: str) -> tuple[list[date], np.ndarray]:
        """The file's own adjusted close of a symbol, an independent answer to check adjustment against.

        Returns:
            The sessions, and float64 prices that also embed the events after the file's end.
        """
        rows = self._days((symbol,), FIRST, LAST)
        return rows["session"].to_pylist(), rows["adj_close"].to_numpy()

    @cached_property
    def _file(self) -> pa.Table:
        """All rows of the file, as typed columns, ordered by symbol and session."""
        types = csv.ConvertOptions(column_types=_COLUMN_TYPES)
        with as_file(files("qfund.vendors") / "sample_data" / "daily.csv.gz") as path:
            return csv.read_csv(path, convert_options=types).combine_chunks()

    def _days(self, symbols: Sequence[str], since: date, until: date) -> pa.Table:
        rows = self._file
        wanted = compute.is_in(rows["symbol"], value_set=pa.array(symbols, pa.string()))
        inside = compute.and_(
            compute.greater_equal(rows["session"], pa.scalar(since, pa.date32())),
            compute.less_equal(rows["session"], pa.scalar(until, pa.date32())),
        )
        return rows.filter(compute.and_(wanted, inside))

    @cached_property
    def _steps(self) -> tuple[_Step, ...]:
        symbol = self._file["symbol"].to_pylist()
        session = self._file["session"].to_pylist()
        close = self._file["close"].to_numpy()
        factor = self._file["adj_close"].to_numpy() / close
        ratio = factor[1:] / factor[:-1]
        moved = np.flatnonzero(np.abs(ratio - 1.0) > _LEAST_STEP) + 1
        return tuple(
            _Step(symbol[row], session[row], float(ratio[row - 1]), float(close[row]))
            for row in moved
            if symbol[row] == symbol[row - 1]
        )


def _action(step: _Step) -> CorporateAction:
    """A split where the step is a simple fraction far from 1, else the dividend that explains it."""
    # The file does not say when an event was announced; at the start of its ex-date all the world knew it.
    known = datetime.combine(step.session, time(), UTC)
    simple = Fraction(step.ratio).limit_denominator(4)
    if abs(step.ratio - 1.0) > _LEAST_SPLIT and abs(step.ratio / simple - 1.0) < _LEAST_STEP:
        return CorporateAction(
            step.symbol,
            "split",
            step.session,
            new_rate=Decimal(simple.numerator),
            old_rate=Decimal(simple.denominator),
            vendor_ref=f"{step.symbol}-{step.session}-split",
            known_at=known,
        )
    # Quandl WIKI adjusts by 1 + D / close of the ex-date, which gives the declared amount back.
    amount = Decimal(f"{step.close * (step.ratio - 1.0):.4f}").normalize()
    return CorporateAction(
        step.symbol,
        "dividend",
        step.session,
        cash_amount=amount,
        price_factor=1.0 / step.ratio,
        vendor_ref=f"{step.symbol}-{step.session}-dividend",
        known_at=known,
    )


def _minutes(symbol: str, days: pa.Table) -> pa.Table:
    """Synthetic minute bars of one symbol's daily rows, in the columns of a page."""
    if not len(days):
        return MINUTE_SCHEMA.empty_table()
    day_list = days["session"].to_pylist()
    calendar = "XNYS"
    known = sessions.sessions(calendar, day_list[0], day_list[-1])
    opens, _ = sessions.opens_and_closes(calendar, day_list[0], day_list[-1])
    rows = known.searchsorted(np.array(day_list, dtype="datetime64[us]"))
    lengths = sessions.minutes_in_session(calendar, day_list[0], day_list[-1])[rows]
    starts = opens.tz_localize(None).to_numpy().astype("datetime64[us]")[rows]
    price = {name: days[name].to_numpy() for name in ("open", "high", "low", "close")}
    book = synthetic.Days(session=day_list, volume=days["volume"].to_numpy().astype(np.int64), **price)
    parts = []
    for length in np.unique(lengths):
        positions = np.flatnonzero(lengths == length)
        made = synthetic.minutes(symbol, book.take(positions), int(length))
        parts.append(_table(symbol, made, positions, day_list, starts))
    return pa.concat_tables(parts).sort_by("ts")


def _table(
    symbol: str,
    made: synthetic.Minutes,
    positions: np.ndarray,
    day_list: list[date],
    starts: np.ndarray,
) -> pa.Table:
    day = positions[made.day]
    stamps = starts[day] + made.minute.astype("timedelta64[m]")
    dates = np.array(day_list, dtype="datetime64[D]")[day]
    return pa.table(
        [
            pa.array(np.full(len(day), symbol, dtype=object), pa.string()),
            pa.array(stamps.astype("datetime64[us]"), pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC")),
            pa.array(dates, pa.date32()),
            made.open,
            made.high,
            made.low,
            made.close,
            made.volume,
        ],
        schema=MINUTE_SCHEMA,
    )

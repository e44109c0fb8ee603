"""Vendors that answer from the truth, and vendors that fail in one scripted way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date

import pyarrow as pa

from qfund.errors import UpstreamError
from qfund.vendors.contract import DAILY_SCHEMA, BarRequest, Capabilities, Offer, Page, Setup
from qfund.vendors.sample import Sample

FIRST, LAST = date(2012, 1, 3), date(2012, 6, 29)  # 125 sessions
SYMBOLS = ("AAPL", "FB", "IBM")


class Truthful:
    """Three real shares over half a year, in requests of 42 sessions and two symbols; remembers what it was asked.

    ``FB`` was listed on 2012-05-18, so that a plan is AAPL+IBM three times and FB once: 4 steps.
    """

    name = "truthful"
    capabilities = Capabilities(
        title="half a year", terms="public domain", small=True, symbols_per_request=2,
        offers=(Offer("1d", feed="wiki", first=FIRST, last=LAST, sessions_per_request=42),),
    )  # fmt: skip

    def __init__(self, setup: Setup | None = None) -> None:
        self.requests: list[BarRequest] = []
        self._source = Sample()

    def market(self, symbol: str) -> str:
        return "us_equity"

    def listings(self, symbols: Sequence[str] | None = None):
        return self._source.listings([s for s in SYMBOLS if symbols is None or s in symbols])

    def bars(self, request: BarRequest) -> Iterator[Page]:
        self.requests.append(request)
        yield from self.answer(request)

    def answer(self, request: BarRequest) -> Iterator[Page]:
        """One page for each symbol."""
        for number, symbol in enumerate(request.symbols, start=1):
            alone = replace(request, symbols=(symbol,))
            (page,) = self._source.bars(alone)
            yield Page(page.bars, str(number) if number < len(request.symbols) else None)

    def actions(self, symbols, since, until):
        return self._source.actions(symbols, since, until)


class Failing(Truthful):
    """Raises for one symbol, after a first page, as long as it is told to."""

    def __init__(self, symbol: str, error: Exception | None = None) -> None:
        super().__init__()
        self.symbol = symbol
        self.error: Exception | None = error or UpstreamError("The vendor answers 503.")

    def answer(self, request):
        for page in super().answer(request):
            if self.symbol in request.symbols and self.error:
                raise self.error
            yield page


class Altered(Truthful):
    """Gives the truth through a function of the page's table."""

    def __init__(self, change: Callable[[pa.Table, BarRequest], pa.Table]) -> None:
        super().__init__()
        self.change = change

    def answer(self, request):
        for page in super().answer(request):
            yield Page(self.change(page.bars, request), page.next_cursor)


class CutShort(Truthful):
    """Says there is more, and stops."""

    def answer(self, request):
        yield Page(next(iter(super().answer(request))).bars, "more")


def replaced(table: pa.Table, symbol: str, day: date, **values: float) -> pa.Table:
    """The table with some values of one bar changed."""
    rows = table.to_pylist()
    for row in rows:
        if (row["symbol"], row["session"]) == (symbol, day):
            row.update(values)
    return pa.Table.from_pylist(rows, schema=DAILY_SCHEMA)

"""Short ways to put small bars into a store, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa

from qfund.market.actions import CorporateAction
from qfund.market.bars import FIELDS, Bars
from qfund.market.instruments import Listing
from qfund.store import Store, actions, bars, securities
from qfund.store.bars import Written
from qfund.store.sources import Series

ALWAYS = (date(1990, 1, 1), date(2100, 1, 1))

Row = Sequence[object]
"""Daily: symbol, session, open, high, low, close, volume. Minute: symbol, start of the bar, session, open, …"""


def daily_table(rows: Iterable[Row]) -> pa.Table:
    listed = list(rows)
    columns = {
        "symbol": pa.array([row[0] for row in listed], pa.string()),
        "session": pa.array([row[1] for row in listed], pa.date32()),
    }
    for place, name in enumerate(FIELDS, 2):
        columns[name] = pa.array([row[place] for row in listed], pa.float64())
    return pa.table(columns)


def minute_table(rows: Iterable[Row]) -> pa.Table:
    listed = list(rows)
    table = daily_table([(row[0], *row[2:]) for row in listed])
    return table.append_column("ts", pa.array([row[1] for row in listed], pa.timestamp("us", tz="UTC")))


def flat(symbol: str, session: date, price: float, volume: float = 100.0) -> Row:
    """A daily bar that opens, stays and closes at one price."""
    return (symbol, session, price, price, price, price, volume)


def minute(symbol: str, start: datetime, price: float, volume: float = 10.0) -> Row:
    """A minute bar at one price, in the session of its UTC date."""
    return (symbol, start, start.date(), price, price, price, price, volume)


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def soon() -> datetime:
    """A moment after everything that has been stored so far."""
    return datetime.now(UTC) + timedelta(microseconds=1)


class Shelf:
    """One vendor's series in a store."""

    def __init__(self, store: Store, *, timeframe: str = "1d", vendor: str = "acme", feed: str = "") -> None:
        self.store = store
        self.vendor = vendor
        self.series: Series = securities.series(store, vendor=vendor, feed=feed, timeframe=timeframe)
        self.ids: dict[str, int] = {}

    def list(self, *symbols: str) -> None:
        self.ids |= securities.register(self.store, self.vendor, [Listing(s, f"{s} Inc") for s in symbols])

    def write(self, rows: Iterable[Row], run: int = 1) -> Written:
        listed = list(rows)
        self.list(*sorted({str(row[0]) for row in listed} - set(self.ids)))
        table = daily_table(listed) if self.series.timeframe == "1d" else minute_table(listed)
        with self.store.transaction() as conn:
            return bars.write_bars(conn, self.series, table, self.ids, ingest_run_id=run)

    def act(self, *some: CorporateAction, whole: tuple[date, date] | None = None) -> int:
        with self.store.transaction() as conn:
            return actions.write_actions(conn, self.vendor, some, self.ids, self.series, whole=whole)

    def read(
        self,
        *symbols: str,
        adjust: str = "raw",
        as_of: datetime | None = None,
        since: date = ALWAYS[0],
        until: date = ALWAYS[1],
    ) -> Bars:
        return bars.read_bars(
            self.store,
            symbols or sorted(self.ids),
            series=self.series,
            since=since,
            until=until,
            adjust=adjust,
            as_of=as_of,
        )

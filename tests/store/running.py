"""Minutes of sessions that run: short ways to write, read and count them."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pandas as pd

from qfund.store import bars
from qfund.store.bars import Written
from tests.support.stored import Shelf, at, minute_table

DAY, NEXT = date(2024, 1, 2), date(2024, 1, 3)


def query(store, text):
    with store.sql.connect() as connection:
        return connection.exec_driver_sql(text).all()


def opened(day: date, after: int = 0) -> datetime:
    """The NYSE's open in winter, and minutes after it."""
    return at(day.year, day.month, day.day, 14, 30) + timedelta(minutes=after)


def write(shelf: Shelf, rows, unfinished=(), run: int = 1) -> Written:
    listed = list(rows)
    shelf.list(*sorted({str(row[0]) for row in listed} - set(shelf.ids)))
    with shelf.store.transaction() as conn:
        return bars.write_bars(
            conn, shelf.series, minute_table(listed), shelf.ids, ingest_run_id=run, unfinished=unfinished
        )


def shelf_of(store, **how) -> Shelf:
    return Shelf(store, timeframe="1m", **how)


def closes(shelf: Shelf, symbol: str = "A", as_of=None) -> dict[int, float]:
    """Minute of the day after the open → close."""
    column = shelf.read(symbol, as_of=as_of).close[symbol].dropna()
    return {
        int((stamp - pd.Timestamp(opened(stamp.date()))).total_seconds() // 60) - 1: float(value)
        for stamp, value in column.items()
    }


def packed_and_hot(store) -> tuple[int, int]:
    (row,) = query(
        store,
        "SELECT (SELECT coalesce(sum(cardinality(minute)), 0) FROM sec.bar_1m_day),"
        " (SELECT count(*) FROM sec.bar_1m_hot)",
    )
    return int(row[0]), int(row[1])

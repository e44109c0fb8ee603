"""Folders of exported bars, for the tests of what writes and what reads them."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

from qfund.store import coverage
from qfund.store.export import Export, Selected
from tests.support.stored import Shelf, at, minute

DAYS = [date(2023, 12, 29), date(2024, 1, 2), date(2024, 1, 3)]


def minutes(store) -> Shelf:
    """Three sessions of two symbols over a new year, one of them with a slash in its name."""
    shelf = Shelf(store, timeframe="1m", feed="sip")
    shelf.write(
        minute(s, at(day.year, day.month, day.day, 14, 30) + timedelta(minutes=k), 10 + k, 5)
        for s in ("A", "B/USD")
        for day in DAYS
        for k in range(4)
    )
    with store.transaction() as conn:
        coverage.add_coverage(conn, shelf.series, {shelf.ids["A"]: [(DAYS[0], DAYS[1])]})
    return shelf


def out(store, folder: Path, selected: Selected) -> list:
    return list(Export(store, folder, selected).run())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

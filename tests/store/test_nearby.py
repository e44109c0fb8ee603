"""Stored bars of a span, and around it, come in the columns in which bars arrive."""

from __future__ import annotations

from datetime import UTC, date, datetime

from qfund.store import nearby
from tests.support.stored import Shelf, flat, minute

DAYS = [date(2024, 3, day) for day in (1, 4, 5, 6, 7, 8, 11, 12, 13, 14)]


def test_what_is_around_a_span_is_near_and_of_each_symbol(store):
    shelf = Shelf(store)
    shelf.write([*(flat("A", day, 10.0) for day in DAYS), flat("B", DAYS[0], 5.0), flat("B", DAYS[9], 6.0)])
    with store.transaction() as conn:
        found = nearby.around(conn, shelf.series, shelf.ids, DAYS[5], DAYS[6], count=2)
        inside = nearby.within(conn, shelf.series, shelf.ids, DAYS[5], DAYS[6])
        assert len(nearby.around(conn, shelf.series, {}, DAYS[5], DAYS[6])) == 0
    rows = set(zip(found["symbol"].to_pylist(), found["session"].to_pylist(), strict=True))
    assert rows == {("A", DAYS[k]) for k in (3, 4, 7, 8)} | {("B", DAYS[0]), ("B", DAYS[9])}
    assert inside["session"].to_pylist() == [DAYS[5], DAYS[6]]
    assert inside.schema == nearby.columns("1d")


def test_bars_far_away_say_nothing(store):
    shelf = Shelf(store)
    shelf.write([flat("A", date(2024, 1, 2), 10.0)])
    with store.transaction() as conn:
        assert len(nearby.around(conn, shelf.series, shelf.ids, DAYS[0], DAYS[1])) == 0


def test_minutes_around_are_those_of_the_nearest_sessions(store):
    shelf = Shelf(store, timeframe="1m")
    shelf.write(
        minute("A", datetime(day.year, day.month, day.day, 15, at, tzinfo=UTC), 10.0)
        for day in DAYS[:5]
        for at in range(6)
    )
    with store.transaction() as conn:
        found = nearby.around(conn, shelf.series, shelf.ids, DAYS[2], DAYS[2])
        inside = nearby.within(conn, shelf.series, shelf.ids, DAYS[2], DAYS[2])
    times = [(ts.day, ts.minute) for ts in found["ts"].to_pylist()]
    assert times == [(4, 2), (4, 3), (4, 4), (4, 5), (6, 0), (6, 1), (6, 2), (6, 3)]
    assert len(inside) == 6
    assert inside.schema == nearby.columns("1m")


def test_parts_follow_each_other(store):
    shelf = Shelf(store)
    shelf.write(flat("A", day, 10.0) for day in DAYS)
    with store.transaction() as conn:
        parts = list(nearby.batches(conn, shelf.series, shelf.ids, DAYS[0], DAYS[-1]))
    assert [day for part in parts for day in part["session"].to_pylist()] == DAYS

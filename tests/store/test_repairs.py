"""Bars that another series had are known bar by bar, and give way to those of their own vendor."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from qfund.store import bars as store_bars
from qfund.store import coverage, repairs
from tests.support.stored import Shelf, daily_table, flat, minute, minute_table

MON, TUE, WED = date(2024, 3, 4), date(2024, 3, 5), date(2024, 3, 6)


@pytest.fixture(params=["1d"])
def pair(store, request):
    return Shelf(store, timeframe=request.param), Shelf(store, vendor="other", timeframe=request.param)


def fill(shelf, other, table):
    run = coverage.start_run(shelf.store, shelf.vendor, "repair", {})
    ids = {"A": (shelf.ids["A"], other.ids["A"])}
    with shelf.store.transaction() as conn:
        return repairs.fill(conn, shelf.series, other.series, table, ids, run_id=run), run


def marks(shelf):
    return repairs.provenance(shelf.store, shelf.series, shelf.ids["A"], date(2024, 1, 1), date(2024, 12, 31))


def send(shelf, table):
    """What the commit of an ingest does."""
    with shelf.store.transaction() as conn:
        repairs.superseded(conn, shelf.series, shelf.ids, table)
        return store_bars.write_bars(conn, shelf.series, table, shelf.ids, ingest_run_id=9)


def test_only_holes_are_filled_and_each_bar_says_from_where(pair):
    shelf, other = pair
    shelf.write([flat("A", MON, 10.0), flat("A", WED, 12.0)])
    rows = [flat("A", MON, 99.0), flat("A", TUE, 11.0), flat("A", WED, 99.0)]
    other.write(rows)
    copied, run = fill(shelf, other, daily_table(rows))
    assert copied["session"].to_pylist() == [TUE]
    assert shelf.read("A").close["A"].tolist() == [10.0, 11.0, 12.0]
    (one,) = marks(shelf)
    assert (one.session, one.minutes, one.vendor, one.ingest_run_id) == (TUE, None, "other", run)


def test_the_vendors_own_bar_replaces_the_copy_and_its_mark(pair):
    shelf, other = pair
    shelf.write([flat("A", MON, 10.0)])
    other.write([flat("A", TUE, 11.0), flat("A", WED, 12.0)])
    fill(shelf, other, daily_table([flat("A", TUE, 11.0), flat("A", WED, 12.0)]))
    written = send(shelf, daily_table([flat("A", MON, 10.0), flat("A", TUE, 11.5)]))
    assert (written.changed, written.same) == (1, 1)  # the copy is kept as a revision
    assert [one.session for one in marks(shelf)] == [WED]
    assert send(shelf, daily_table([flat("A", WED, 12.0)])).same == 1  # the same price, and its own now
    assert marks(shelf) == []


def test_where_nothing_was_repaired_nothing_is_superseded(pair):
    shelf, _ = pair
    shelf.write([flat("A", MON, 10.0)])
    with shelf.store.transaction() as conn:
        assert repairs.superseded(conn, shelf.series, shelf.ids, daily_table([flat("A", MON, 1.0)])) == 0
        assert repairs.superseded(conn, shelf.series, shelf.ids, daily_table([])) == 0


def test_minutes_are_marked_one_by_one(store):
    shelf, other = Shelf(store, timeframe="1m"), Shelf(store, vendor="other", timeframe="1m")
    rows = [minute("A", datetime(2024, 3, 4, 14, at, tzinfo=UTC), 10.0) for at in range(30, 40)]
    shelf.write(rows[:2])
    other.write(rows)
    copied, _ = fill(shelf, other, minute_table(rows))
    assert len(copied) == 8
    assert marks(shelf)[0].minutes == (2, 3, 4, 5, 6, 7, 8, 9)
    send(shelf, minute_table(rows[3:5]))
    assert marks(shelf)[0].minutes == (2, 5, 6, 7, 8, 9)
    send(shelf, minute_table(rows))
    assert marks(shelf) == []


def test_two_sources_in_one_session_keep_their_names(store):
    shelf, other = Shelf(store, timeframe="1m"), Shelf(store, vendor="other", timeframe="1m")
    third = Shelf(store, vendor="third", timeframe="1m")
    rows = [minute("A", datetime(2024, 3, 4, 14, at, tzinfo=UTC), 10.0) for at in range(30, 34)]
    shelf.write(rows[:1])
    for one, some in ((other, rows[1:2]), (third, rows[1:])):
        one.write(some)
        fill(shelf, one, minute_table(some))
    assert {one.vendor: one.minutes for one in marks(shelf)} == {"other": (1,), "third": (2, 3)}
    send(shelf, minute_table(rows[2:]))
    assert {one.vendor: one.minutes for one in marks(shelf)} == {"other": (1,)}

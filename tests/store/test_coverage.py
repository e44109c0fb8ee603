"""Coverage and the account of what is stored."""

from __future__ import annotations

from datetime import date

from qfund.store import coverage
from tests.support.stored import Shelf, at, flat, minute


def test_spans_unite_and_come_back_inclusive(store):
    shelf = Shelf(store)
    shelf.list("A", "B")
    a, b = shelf.ids["A"], shelf.ids["B"]
    spans = [
        {a: [(date(2024, 1, 2), date(2024, 1, 5))], b: [(date(2024, 1, 2), date(2024, 1, 2))]},
        {a: [(date(2024, 1, 6), date(2024, 1, 9)), (date(2024, 2, 1), date(2024, 2, 2))], b: []},
        {a: [(date(2024, 1, 3), date(2024, 1, 4))]},
    ]
    for some in spans:
        with store.transaction() as conn:
            coverage.add_coverage(conn, shelf.series, some)
    assert coverage.covered(store, shelf.series, [a, b, 99]) == {
        a: [(date(2024, 1, 2), date(2024, 1, 9)), (date(2024, 2, 1), date(2024, 2, 2))],
        b: [(date(2024, 1, 2), date(2024, 1, 2))],
    }
    assert coverage.covered(store, None, [a]) == {}


def test_timeframes_of_one_source_are_covered_apart(store):
    daily, minutes = Shelf(store), Shelf(store, timeframe="1m")
    daily.list("A")
    assert daily.series.source_id == minutes.series.source_id
    with store.transaction() as conn:
        coverage.add_coverage(conn, daily.series, {daily.ids["A"]: [(date(2024, 1, 2), date(2024, 1, 5))]})
    assert coverage.covered(store, minutes.series, list(daily.ids.values())) == {}


def test_status_counts_bars_and_says_how_far_they_reach(store):
    shelf, minutes = Shelf(store), Shelf(store, timeframe="1m", feed="synthetic")
    shelf.write([flat("A", date(2024, 1, day), 1) for day in (2, 4, 8)])
    minutes.write([minute("A", at(2024, 1, 2, 14, 30 + k), 1) for k in range(3)])
    shelf.list("EMPTY")
    with store.transaction() as conn:
        coverage.add_coverage(
            conn,
            shelf.series,
            {
                shelf.ids["A"]: [(date(2023, 12, 1), date(2024, 1, 5))],
                shelf.ids["EMPTY"]: [(date(2024, 1, 2), date(2024, 1, 3))],
            },
        )
    daily, empty, packed = coverage.status(store)
    assert (daily.symbol, daily.first, daily.last) == ("A", date(2024, 1, 2), date(2024, 1, 8))
    assert (daily.bars, daily.instrument_id) == (3, shelf.ids["A"])
    assert (empty.symbol, empty.first, empty.last, empty.bars) == ("EMPTY", None, None, 0)
    assert (packed.timeframe, packed.feed, packed.bars) == ("1m", "synthetic", 3)
    assert [row.timeframe for row in coverage.status(store, vendor="acme", timeframe="1m")] == ["1m"]
    assert coverage.status(store, vendor="nobody") == []


def test_an_ingest_run_tells_what_it_did_also_while_it_runs(store):
    number = coverage.start_run(store, "acme", "bars 1d", {"symbols": ("A",), "since": date(2024, 1, 2)})
    with store.transaction() as conn:
        coverage.count_run(conn, number, {"rows_new": 3})
    (running,) = coverage.recent_runs(store, 5)
    assert (running.status, running.counters, running.finished_at) == ("running", {"rows_new": 3}, None)
    assert running.params == {"symbols": ["A"], "since": "2024-01-02"}
    coverage.finish_run(store, number, "partial", {"rows_new": 4}, error="B: 404")
    later = coverage.start_run(store, "acme", "bars 1d", {})
    newest, done = coverage.recent_runs(store, 5)
    assert newest.ingest_run_id == later
    assert (done.status, done.counters, done.error) == ("partial", {"rows_new": 4}, "B: 404")
    assert done.finished_at >= done.started_at

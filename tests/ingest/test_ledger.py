"""The ledger of gaps knows every expected session without bars, and why it has none."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfund.ingest.ledger import KINDS, Standing, gaps, standings
from qfund.market.instruments import Listing
from qfund.market.sessions import opens_and_closes, sessions
from qfund.store import coverage, quarantine, securities
from tests.support.stored import Shelf, daily_table, flat, minute

MARCH = [day.date() for day in sessions("XNYS", date(2024, 3, 1), date(2024, 3, 29))]  # without Good Friday


def cover(shelf, *spans, symbol="A"):
    with shelf.store.transaction() as conn:
        coverage.add_coverage(conn, shelf.series, {shelf.ids[symbol]: spans})


def doubt(shelf, *days, symbol="A", reason="spike"):
    run = coverage.start_run(shelf.store, shelf.vendor, "bars", {})
    table = daily_table([flat(symbol, day, 1.0) for day in days])
    table = table.append_column("reason", pa.array([reason] * len(days)))
    if shelf.series.timeframe == "1m":
        table = table.append_column("ts", pa.nulls(len(days), pa.timestamp("us", tz="UTC")))
    with shelf.store.transaction() as conn:
        quarantine.write(conn, shelf.series, run, shelf.ids, table)


def told(shelf, **how):
    return [
        (one.symbol, one.kind, one.since, one.until, one.sessions)
        for one in gaps(shelf.store, shelf.series, **how)
    ]


@pytest.fixture
def shelf(store):
    return Shelf(store)


def test_a_whole_series_has_no_gap(shelf):
    shelf.write(flat("A", day, 10.0) for day in MARCH)
    cover(shelf, (MARCH[0], MARCH[-1]))
    assert told(shelf) == []


def test_each_kind_of_gap_is_named(shelf):
    held = [day for at, day in enumerate(MARCH) if at not in (2, 3, 7, 8, 12)]
    shelf.write(flat("A", day, 10.0) for day in held)
    cover(shelf, (MARCH[0], MARCH[6]), (MARCH[9], MARCH[11]), (MARCH[13], MARCH[-1]))
    doubt(shelf, MARCH[12])
    (standing,) = standings(shelf.store, shelf.series).values()
    assert standing == Standing(expected=20, asked=17, missing=5)
    assert told(shelf) == [
        ("A", "empty", MARCH[2], MARCH[3], 2),
        ("A", "not_asked", MARCH[7], MARCH[8], 2),
        ("A", "quarantined", MARCH[12], MARCH[12], 1),
    ]
    assert {one.kind for one in gaps(shelf.store, shelf.series)} <= set(KINDS)


def test_closed_days_are_no_gap_and_spans_go_across_them(shelf):
    friday, monday = date(2024, 3, 8), date(2024, 3, 11)
    shelf.write(flat("A", day, 10.0) for day in MARCH if day not in (friday, monday))
    cover(shelf, (MARCH[0], date(2024, 3, 29)))  # Good Friday was asked for too
    assert told(shelf) == [("A", "empty", friday, monday, 2)]


def test_without_dates_the_ledger_begins_with_each_symbol_and_ends_with_the_series(shelf):
    shelf.write(flat("A", day, 10.0) for day in MARCH[:10])
    shelf.write(flat("B", day, 10.0) for day in MARCH[5:])
    cover(shelf, (MARCH[0], MARCH[9]))
    cover(shelf, (MARCH[5], MARCH[-1]), symbol="B")
    assert told(shelf) == [("A", "not_asked", MARCH[10], MARCH[-1], len(MARCH) - 10)]
    assert told(shelf, symbols=["B"]) == []


def test_dates_widen_and_narrow_it(shelf):
    shelf.write(flat("A", day, 10.0) for day in MARCH[5:10])
    cover(shelf, (MARCH[5], MARCH[9]))
    wide = told(shelf, since=MARCH[0], until=MARCH[-1])
    assert wide == [
        ("A", "not_asked", MARCH[0], MARCH[4], 5),
        ("A", "not_asked", MARCH[10], MARCH[-1], len(MARCH) - 10),
    ]
    assert told(shelf, since=MARCH[6], until=MARCH[8]) == []


def test_nothing_is_expected_before_a_listing_and_after_a_delisting(store):
    shelf = Shelf(store)
    listing = Listing("A", "A Inc", listed_on=MARCH[3], delisted_on=MARCH[8])
    shelf.ids |= securities.register(store, "acme", [listing])
    shelf.write(flat("A", day, 10.0) for day in MARCH[4:9])
    cover(shelf, (MARCH[4], MARCH[8]))
    assert told(shelf, since=MARCH[0], until=MARCH[-1]) == [("A", "not_asked", MARCH[3], MARCH[3], 1)]


def test_a_bar_copied_from_elsewhere_fills_a_gap(shelf):
    shelf.write(flat("A", day, 10.0) for day in MARCH[:5])
    cover(shelf, (MARCH[0], MARCH[1]), (MARCH[4], MARCH[4]))  # the two between were never asked
    assert told(shelf) == []


def test_sessions_with_few_minutes_are_thin_and_half_days_are_short(store):
    shelf = Shelf(store, timeframe="1m")
    days = [date(2024, 7, 2), date(2024, 7, 3), date(2024, 7, 5)]
    opens, _ = opens_and_closes("XNYS", days[0], days[-1])
    rows = []
    for opened, count in zip(opens, (390, 110, 190), strict=True):
        first = opened.to_pydatetime()
        rows += [minute("A", first + timedelta(minutes=at), 10.0) for at in range(count)]
    shelf.write(rows)
    cover(shelf, (days[0], days[-1]))
    (one,) = gaps(store, shelf.series)
    assert (one.kind, one.since, one.bars, one.expected) == ("thin", days[2], 190, 390)
    assert list(gaps(store, shelf.series, thin=0)) == []
    assert [one.since for one in gaps(store, shelf.series, thin=60)] == [days[1]]


def test_minutes_that_were_not_answered_whole_are_still_to_be_asked(store):
    shelf = Shelf(store, timeframe="1m")
    shelf.write([minute("A", datetime(2024, 3, 4, 15, 0, tzinfo=UTC), 10.0)])
    cover(shelf, (date(2024, 3, 5), date(2024, 3, 5)))
    doubt(shelf, date(2024, 3, 6))
    assert told(shelf, since=date(2024, 3, 4), until=date(2024, 3, 6)) == [
        ("A", "not_asked", date(2024, 3, 4), date(2024, 3, 4), 1),
        ("A", "empty", date(2024, 3, 5), date(2024, 3, 5), 1),
        ("A", "quarantined", date(2024, 3, 6), date(2024, 3, 6), 1),
    ]


def test_a_symbol_of_which_all_was_rejected_is_in_the_ledger(shelf):
    shelf.list("A")
    doubt(shelf, MARCH[2])
    assert told(shelf) == [("A", "quarantined", MARCH[2], MARCH[2], 1)]


def test_what_is_missing_after_the_last_answered_session_is_a_gap(shelf):
    """Torn, stored and rejected sessions after the last answered one are expected too."""
    shelf.write(flat("A", day, 10.0) for day in (*MARCH[:4], MARCH[5]))
    cover(shelf, (MARCH[0], MARCH[2]))
    doubt(shelf, MARCH[6])
    assert told(shelf) == [
        ("A", "not_asked", MARCH[4], MARCH[4], 1),
        ("A", "quarantined", MARCH[6], MARCH[6], 1),
    ]
    (standing,) = standings(shelf.store, shelf.series).values()
    assert standing == Standing(expected=7, asked=3, missing=2)


def test_bars_before_the_first_answered_session_begin_the_ledger(shelf):
    shelf.write(flat("A", day, 10.0) for day in (MARCH[0], MARCH[2]))
    cover(shelf, (MARCH[2], MARCH[2]))
    assert told(shelf) == [("A", "not_asked", MARCH[1], MARCH[1], 1)]


def test_bars_that_were_never_answered_whole_are_in_the_ledger(shelf):
    shelf.write(flat("A", day, 10.0) for day in (MARCH[0], MARCH[2]))
    assert told(shelf) == [("A", "not_asked", MARCH[1], MARCH[1], 1)]


@pytest.mark.parametrize("reason", ["future", "before_calendar", "outside_span", "not_a_session"])
def test_a_bar_of_a_day_that_is_none_expects_no_sessions(shelf, reason):
    shelf.write(flat("A", day, 10.0) for day in MARCH[:3])
    cover(shelf, (MARCH[0], MARCH[2]))
    doubt(shelf, date(1901, 1, 5), date(2090, 1, 7), reason=reason)
    assert told(shelf) == []


def test_an_empty_store_has_no_ledger(shelf):
    assert told(shelf) == []
    assert told(shelf, since=MARCH[0], until=MARCH[-1]) == []


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=len(MARCH), max_size=len(MARCH)))
def test_every_session_without_a_bar_is_in_the_ledger_once(pg_server, tmp_path_factory, states):
    """``states``: of each session whether it is covered, and whether it has a bar."""
    from qfund.store import open_store

    with pg_server.database() as url, open_store(url, tmp_path_factory.mktemp("home")) as store:
        shelf = Shelf(store)
        shelf.list("A")
        shelf.write(flat("A", day, 10.0) for day, (_, bar) in zip(MARCH, states, strict=True) if bar)
        cover(shelf, *((day, day) for day, (asked, _) in zip(MARCH, states, strict=True) if asked))
        found = {}
        for gap in gaps(store, shelf.series, since=MARCH[0], until=MARCH[-1]):
            inside = [day for day in MARCH if gap.since <= day <= gap.until]
            assert len(inside) == gap.sessions
            for day in inside:
                assert day not in found
                found[day] = gap.kind
        expected = {
            day: "empty" if asked else "not_asked"
            for day, (asked, bar) in zip(MARCH, states, strict=True)
            if not bar
        }
        if any(asked or bar for asked, bar in states):
            assert found == expected

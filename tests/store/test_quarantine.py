"""What was not fit waits in quarantine, once, until an answer is fit or a person accepts it."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest

from qfund.store import coverage, quarantine
from tests.support.stored import Shelf, daily_table, flat, minute_table

NAN = float("nan")
MON, TUE, WED = date(2024, 3, 4), date(2024, 3, 5), date(2024, 3, 6)


@pytest.fixture
def shelf(store):
    found = Shelf(store)
    found.list("A", "B")
    return found


def begin(shelf):
    return coverage.start_run(shelf.store, shelf.vendor, "bars 1d", {})


def put(shelf, rows, *reasons, run=None):
    make = daily_table if shelf.series.timeframe == "1d" else minute_table
    table = make(rows).append_column("reason", pa.array(reasons, pa.string()))
    with shelf.store.transaction() as conn:
        return quarantine.write(conn, shelf.series, run or begin(shelf), shelf.ids, table)


def open_reasons(shelf):
    return [one.reason for one in quarantine.entries(shelf.store)]


def test_a_bad_bar_is_kept_as_it_came(shelf):
    assert put(shelf, [("A", MON, 10.1, 11.0, NAN, -0.5, 1e18)], "not_a_number") == 1
    (one,) = quarantine.entries(shelf.store)
    assert (one.vendor, one.symbol, one.session, one.ts, one.reason) == (
        "acme",
        "A",
        MON,
        None,
        "not_a_number",
    )
    assert one.instrument_id == shelf.ids["A"]
    assert one.bar == {"open": 10.1, "high": 11, "low": "NaN", "close": -0.5, "volume": 1e18}
    assert quarantine.counts(shelf.store) == {"not_a_number": 1}


def test_the_same_bad_bar_does_not_pile_up(shelf):
    for _ in range(3):
        put(shelf, [flat("A", MON, 50.0)], "spike")
    put(shelf, [flat("A", MON, 51.0)], "spike")  # another price now: the newest is shown
    (one,) = quarantine.entries(shelf.store)
    assert one.times_seen == 4
    assert one.bar["close"] == 51
    assert one.seen_at > one.first_seen_at


def test_the_same_chunk_twice_in_a_run_is_seen_once(shelf):
    run = begin(shelf)
    put(shelf, [flat("A", MON, 50.0)], "spike", run=run)
    put(shelf, [flat("A", MON, 50.0)], "spike", run=run)
    assert quarantine.entries(shelf.store)[0].times_seen == 1


def test_bars_that_conflict_are_all_kept(shelf):
    for _ in range(2):
        put(shelf, [flat("A", MON, 50.0), flat("A", MON, 51.0)], "conflict", "conflict")
    assert sorted(one.bar["close"] for one in quarantine.entries(shelf.store)) == [50, 51]


def test_rows_without_symbol_or_time_are_kept_too(shelf):
    rows = [(None, MON, 1.0, 1.0, 1.0, 1.0, 1.0), ("Z", None, 1.0, 1.0, 1.0, 1.0, 1.0), flat("A", None, 1.0)]
    put(shelf, rows, "symbol", "symbol", "wrong_zone")
    put(shelf, rows, "symbol", "symbol", "wrong_zone")
    assert sorted(open_reasons(shelf)) == ["symbol", "symbol", "wrong_zone"]
    assert [one.instrument_id for one in quarantine.entries(shelf.store, symbols=["A"])] == [shelf.ids["A"]]


def test_rows_of_which_no_session_is_known_are_kept_one_by_one(shelf):
    put(shelf, [flat("A", None, 1.0), flat("A", None, 2.0), flat("A", None, 2.0)], *["bad_time"] * 3)
    assert sorted(one.bar["close"] for one in quarantine.entries(shelf.store)) == [1, 2]


def test_a_run_keeps_ten_thousand_rows_and_no_more(shelf):
    run = begin(shelf)
    days = [date.fromordinal(date(1990, 1, 1).toordinal() + n) for n in range(quarantine.MOST_ROWS + 5)]
    rows = [flat("A", day, 1.0) for day in days]
    assert put(shelf, rows[:6], *["spike"] * 6, run=run) == 6
    assert put(shelf, rows[6:], *["spike"] * (len(rows) - 6), run=run) == quarantine.MOST_ROWS - 6
    assert quarantine.counts(shelf.store) == {"spike": quarantine.MOST_ROWS}
    assert put(shelf, rows[:1], "spike", run=run) == 0


def test_nothing_to_keep(shelf):
    assert put(shelf, []) == 0
    assert quarantine.entries(shelf.store) == []


# ---------------------------------------------------------------- a later answer


def release(shelf, **spans):
    with shelf.store.transaction() as conn:
        fit = {shelf.ids[symbol]: some for symbol, some in spans.items()}
        return quarantine.release(conn, shelf.series, begin(shelf), fit)


def test_a_later_fit_answer_releases_the_bars_of_its_sessions(shelf):
    put(shelf, [flat("A", MON, 1.0), flat("A", WED, 1.0), flat("B", MON, 1.0)], *["spike"] * 3)
    assert release(shelf, A=[(MON, TUE)]) == 1
    assert [(one.symbol, one.session) for one in quarantine.entries(shelf.store)] == [("A", WED), ("B", MON)]
    assert release(shelf, A=[(MON, TUE)]) == 0
    assert release(shelf) == 0


def test_a_bar_without_a_time_goes_with_any_fit_answer_of_its_symbol(shelf):
    put(shelf, [flat("A", None, 1.0), flat("B", None, 1.0)], "wrong_zone", "wrong_zone")
    assert release(shelf, A=[(WED, WED)]) == 1
    assert [one.symbol for one in quarantine.entries(shelf.store)] == ["B"]


def test_a_symbol_that_was_not_asked_for_goes_when_it_does_not_come_again(shelf):
    put(shelf, [flat("Z", MON, 1.0)], "symbol")
    assert release(shelf, A=[(TUE, WED)]) == 0
    assert release(shelf, A=[(MON, WED)]) == 1


def test_what_has_neither_symbol_nor_session_goes_with_any_later_fit_answer(shelf):
    put(shelf, [(None, None, NAN, NAN, NAN, NAN, NAN)], "torn")
    assert release(shelf, A=[(MON, MON)]) == 1


def test_a_run_does_not_release_what_it_wrote_itself(shelf):
    run = begin(shelf)
    put(shelf, [flat("A", MON, 1.0)], "spike", run=run)
    with shelf.store.transaction() as conn:
        assert quarantine.release(conn, shelf.series, run, {shelf.ids["A"]: [(MON, MON)]}) == 0


def test_a_released_bar_that_comes_again_is_new(shelf):
    put(shelf, [flat("A", MON, 1.0)], "spike")
    release(shelf, A=[(MON, MON)])
    put(shelf, [flat("A", MON, 1.0)], "spike")
    (one,) = quarantine.entries(shelf.store)
    assert one.times_seen == 1

"""Corporate actions and adjusted reads, against examples worked on paper."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest

from qfund.errors import DataQualityError
from qfund.market.actions import KINDS, PRICED, CorporateAction, Factors
from qfund.store import actions
from qfund.store.bars import write_bars
from tests.support.stored import ALWAYS, Shelf, at, flat, minute, minute_table, soon

D = [date(2024, 1, day) for day in (2, 3, 4, 5, 8)]


def split(day, new, old, **more):
    return CorporateAction("A", "split", day, new_rate=Decimal(new), old_rate=Decimal(old), **more)


def dividend(day, amount, **more):
    return CorporateAction("A", "dividend", day, cash_amount=Decimal(amount), **more)


def query(store, text, *values):
    with store.sql.connect() as connection:
        return connection.exec_driver_sql(text, values or None).all()


@pytest.fixture
def shelf(store):
    """Closes 100, 104 | 2:1 split | 52, 51 | dividend 1.02 | 50."""
    made = Shelf(store)
    made.write(
        [
            ("A", day, close, close + 1, close - 1, close, 1000)
            for day, close in zip(D, (100, 104, 52, 51, 50), strict=True)
        ]
    )
    return made


def test_a_split_halves_the_prices_before_it_and_doubles_their_volume(shelf):
    assert shelf.act(split(D[2], "2", "1")) == 1
    raw, adjusted = shelf.read("A"), shelf.read("A", adjust="split")
    assert raw.close["A"].tolist() == [100, 104, 52, 51, 50]
    assert adjusted.close["A"].tolist() == [50, 52, 52, 51, 50]
    assert adjusted.high["A"].tolist() == [50.5, 52.5, 53, 52, 51]
    assert adjusted.volume["A"].tolist() == [2000, 2000, 1000, 1000, 1000]
    assert adjusted.adjust == "split"


def test_a_dividend_scales_prices_by_one_minus_its_part_of_the_close_before_and_leaves_volume(shelf):
    # Close before the ex-date D[4] is 51, the dividend 1.02: factor 1 - 1.02/51 = 0.98.
    shelf.act(split(D[2], "2", "1"), dividend(D[4], "1.02"))
    read = shelf.read("A", adjust="all")
    np.testing.assert_allclose(read.close["A"], [49, 50.96, 50.96, 49.98, 50], rtol=1e-15)
    assert read.volume["A"].tolist() == [2000, 2000, 1000, 1000, 1000]
    assert shelf.read("A", adjust="split").close["A"].tolist() == [50, 52, 52, 51, 50]


def test_the_sql_function_gives_what_the_reader_gives(shelf, store):
    shelf.act(split(D[2], "3", "2"), dividend(D[4], "0.51"), dividend(D[1], "1"))
    read = shelf.read("A", adjust="all")
    rows = query(
        store,
        "SELECT session, open, high, low, close, volume FROM sec.bar_1d_adjusted(%s, %s, '2000-01-01', '2100-01-01', '{split,dividend}')",
        shelf.ids["A"],
        shelf.series.source_id,
    )
    assert [row[0] for row in rows] == D
    for place, field in enumerate(("open", "high", "low", "close", "volume"), 1):
        np.testing.assert_allclose([row[place] for row in rows], getattr(read, field)["A"], rtol=1e-14)
    # ex-dates D[1] and D[4]: 1 - 1/100 and 1 - 0.51/51; the split 2/3 lies between.
    np.testing.assert_allclose(rows[0][4], 100 * 0.99 * (2 / 3) * 0.99, rtol=1e-14)


def test_a_reverse_split(shelf):
    shelf.act(split(D[2], "1", "10"))
    assert shelf.read("A", adjust="split").close["A"].tolist()[:3] == [1000, 1040, 52]
    assert shelf.read("A", adjust="split").volume["A"].tolist()[:3] == [100, 100, 1000]


def test_the_same_actions_again_are_not_new_and_nothing_is_written(shelf, store):
    shelf.act(split(D[2], "2", "1"), dividend(D[4], "1.02"))
    before = query(store, "SELECT xmin, * FROM sec.adjustment ORDER BY ca_id")
    assert shelf.act(dividend(D[4], "1.020"), split(D[2], "2", "1")) == 0
    assert query(store, "SELECT xmin, * FROM sec.adjustment ORDER BY ca_id") == before


def test_an_action_learned_late_is_not_applied_as_of_before(shelf):
    before = soon()
    shelf.act(split(D[2], "2", "1"))
    assert shelf.read("A", adjust="split", as_of=before).close["A"].tolist() == [100, 104, 52, 51, 50]
    assert shelf.read("A", adjust="split", as_of=soon()).close["A"].tolist() == [50, 52, 52, 51, 50]
    assert actions.read_actions(shelf.store, ["A"], since=D[0], until=D[4], as_of=before) == []
    assert len(actions.read_actions(shelf.store, ["A"], since=D[0], until=D[4], as_of=soon())) == 1


def test_an_action_is_not_known_before_its_own_moment(shelf):
    announced = soon() + timedelta(hours=1)
    shelf.act(split(D[2], "2", "1", known_at=announced))
    assert shelf.read("A", adjust="split", as_of=soon()).close["A"].iloc[0] == 100
    assert shelf.read("A", adjust="split", as_of=announced).close["A"].iloc[0] == 50
    assert shelf.read("A", adjust="split").close["A"].iloc[0] == 50


def test_before_the_store_knew_the_vendor_only_the_announcement_counts(shelf):
    shelf.act(split(D[2], "2", "1", known_at=at(2024, 1, 4)), dividend(D[4], "1.02", known_at=at(2024, 1, 6)))
    read = shelf.read("A", adjust="all", as_of=at(2024, 1, 5, 22))
    assert read.close["A"].tolist() == [50, 52, 52, 51]
    known = actions.read_actions(shelf.store, ["A"], since=D[0], until=D[4], as_of=at(2024, 1, 5, 22))
    assert [one.kind for one in known] == ["split"]


def test_a_corrected_action_replaces_the_first_one_and_a_past_reader_still_sees_that(shelf):
    shelf.act(dividend(D[4], "1.02"))
    first = soon()
    assert shelf.act(dividend(D[4], "2.04")) == 1
    np.testing.assert_allclose(shelf.read("A", adjust="all").close["A"].iloc[3], 51 * 0.96, rtol=1e-15)
    np.testing.assert_allclose(
        shelf.read("A", adjust="all", as_of=first).close["A"].iloc[3], 51 * 0.98, rtol=1e-15
    )
    now = actions.read_actions(shelf.store, ["A"], since=ALWAYS[0], until=ALWAYS[1])
    assert [one.cash_amount for one in now] == [Decimal("2.04")]


def test_two_dividends_on_one_day_both_count(shelf):
    assert shelf.act(dividend(D[4], "0.51"), dividend(D[4], "1.02")) == 2
    np.testing.assert_allclose(shelf.read("A", adjust="all").close["A"].iloc[3], 51 * 0.99 * 0.98, rtol=1e-15)


def test_a_restated_close_makes_the_dividends_factor_anew(shelf):
    shelf.act(dividend(D[4], "1.02"))
    first = soon()
    shelf.write([("A", D[3], 51, 52, 50, 50.5, 1000), flat("A", D[0], 100)])
    shelf.act()
    np.testing.assert_allclose(
        shelf.read("A", adjust="all").close["A"].iloc[3], 50.5 * (1 - 1.02 / 50.5), rtol=1e-15
    )
    np.testing.assert_allclose(
        shelf.read("A", adjust="all", as_of=first).close["A"].iloc[3], 51 * 0.98, rtol=1e-15
    )


def test_a_dividend_before_all_bars_waits_for_the_bars_before_it(store):
    shelf = Shelf(store)
    shelf.write([flat("A", D[2], 50)])
    assert shelf.act(dividend(D[2], "1")) == 1
    assert shelf.read("A", adjust="all").close["A"].tolist() == [50]
    shelf.write([flat("A", D[1], 100)])
    shelf.act()
    assert shelf.read("A", adjust="all").close["A"].tolist() == [99, 50]


def test_a_dividend_as_large_as_the_price_is_refused(shelf):
    with pytest.raises(DataQualityError, match="does not fit a previous close of 51") as told:
        shelf.act(dividend(D[4], "51"))
    assert told.value.code == "ACTION_MISFIT"


def test_minutes_are_adjusted_by_the_session_they_belong_to(shelf, store):
    minutes = Shelf(store, timeframe="1m", feed="synthetic")
    minutes.write([minute("A", at(2024, 1, 3, 20, 59), 104), minute("A", at(2024, 1, 4, 14, 30), 52)])
    shelf.act(split(D[2], "2", "1"))
    read = minutes.read("A", adjust="all")
    assert read.close["A"].tolist() == [52, 52]
    assert read.volume["A"].tolist() == [20, 10]


def test_a_dividend_factor_comes_from_minutes_when_there_are_no_daily_bars(store):
    minutes = Shelf(store, timeframe="1m")
    minutes.write(
        [
            minute("A", at(2024, 1, 3, 20, 58), 90),
            minute("A", at(2024, 1, 3, 20, 59), 100),
            minute("A", at(2024, 1, 4, 14, 30), 99),
        ]
    )
    minutes.act(dividend(D[2], "1"))
    np.testing.assert_allclose(minutes.read("A", adjust="all").close["A"], [89.1, 99, 99], rtol=1e-15)


def test_a_dividend_factor_comes_from_the_last_session_though_its_minutes_are_not_packed_yet(store):
    minutes = Shelf(store, timeframe="1m")
    minutes.write([minute("A", at(2024, 1, 2, 20, 59), 50)])
    table = minute_table([minute("A", at(2024, 1, 3, 20, 58), 90), minute("A", at(2024, 1, 3, 20, 59), 100)])
    with store.transaction() as conn:
        write_bars(conn, minutes.series, table, minutes.ids, ingest_run_id=1, unfinished={D[1]})
    minutes.act(dividend(D[2], "1"))
    np.testing.assert_allclose(minutes.read("A", adjust="all").close["A"], [49.5, 89.1, 99], rtol=1e-15)


def test_a_dividend_factor_comes_from_the_nearest_session_whatever_its_bars_are(shelf, store):
    """The daily bars end days before the ex-date, the minutes go on."""
    minutes = Shelf(store, timeframe="1m")
    minutes.write([minute("A", at(2024, 1, 9, 20, 59), 100)])
    shelf.act(dividend(date(2024, 1, 10), "1"))
    np.testing.assert_allclose(shelf.read("A", adjust="all").close["A"].iloc[-1], 49.5, rtol=1e-15)


def test_actions_come_back_as_they_went_in(shelf):
    given = [
        split(D[2], "2", "1", vendor_ref="s-1", known_at=at(2024, 1, 1)),
        dividend(D[4], "0.123456789012345678"),
    ]
    shelf.act(*given)
    read = actions.read_actions(shelf.store, ["A"], since=ALWAYS[0], until=ALWAYS[1], vendor="acme")
    assert read == given
    assert (read[0].vendor_ref, read[0].known_at) == ("s-1", at(2024, 1, 1))
    assert read[1].cash_amount == Decimal("0.123456789012345678")
    assert actions.read_actions(shelf.store, ["A"], since=D[3], until=D[3]) == []


def test_a_factor_that_the_vendor_publishes_is_used_as_it_is(shelf):
    shelf.act(dividend(D[4], "1.02", price_factor=0.9))
    read = shelf.read("A", adjust="all")
    np.testing.assert_allclose(read.close["A"], [90, 93.6, 46.8, 45.9, 50], rtol=1e-15)
    [stored] = actions.read_actions(shelf.store, ["A"], since=ALWAYS[0], until=ALWAYS[1])
    assert stored.price_factor == 0.9


def test_a_close_from_the_far_side_of_a_hole_makes_no_factor(shelf):
    """The hole is mended later; then the close before the ex-date is known, and its factor with it."""
    late = date(2024, 3, 1)
    shelf.write([("A", late, 40, 40, 40, 40, 1000)])
    shelf.act(dividend(late, "1"))
    assert shelf.read("A", adjust="all").close["A"].tolist() == [100, 104, 52, 51, 50, 40]
    shelf.write([("A", date(2024, 2, 29), 20, 20, 20, 20, 1000)])
    shelf.act()
    np.testing.assert_allclose(
        shelf.read("A", adjust="all").close["A"], [95, 98.8, 49.4, 48.45, 47.5, 19, 40], rtol=1e-15
    )


# ---------------------------------------------------------------- spin-offs


def spinoff(day, new, old, **more):
    more = {"other_symbol": "B"} | more
    return CorporateAction("A", "spinoff", day, new_rate=Decimal(new), old_rate=Decimal(old), **more)


FLAT = [flat("A", D[0], 100), flat("A", D[1], 100), flat("A", D[2], 90), flat("A", D[3], 90)]


@pytest.fixture
def parted(store):
    """A closes at 100 before it hands out one B for four A, and at 90 after it."""
    made = Shelf(store)
    made.write(FLAT)
    return made


def test_a_spin_off_of_one_for_four_carries_prices_by_the_value_received(parted):
    # B closes at 40 on the ex-date: 1/4 x 40 = 10 of the 100 before are handed out, factor 0.9.
    parted.write([flat("B", D[2], 40), flat("B", D[3], 44)])
    parted.act(spinoff(D[2], "1", "4"))
    for adjust in ("split", "all"):
        read = parted.read("A", adjust=adjust)
        np.testing.assert_allclose(read.close["A"], [90, 90, 90, 90], rtol=1e-15)
        assert read.volume["A"].tolist() == [100, 100, 100, 100]
    assert parted.read("A").close["A"].tolist() == [100, 100, 90, 90]
    assert actions.unapplied(parted.store, "acme", today=D[4]) == []


def test_the_sql_function_carries_over_spin_offs_by_default_as_the_reader_does(parted, store):
    parted.write([flat("B", D[2], 40)])
    parted.act(spinoff(D[2], "1", "4"), dividend(D[1], "1"))
    rows = query(
        store,
        "SELECT close FROM sec.bar_1d_adjusted(%s, %s, '2000-01-01', '2100-01-01')",
        parted.ids["A"],
        parted.series.source_id,
    )
    assert [row[0] for row in rows] == parted.read("A", adjust="split").close["A"].tolist()


def test_a_spin_off_waits_for_the_prices_of_what_is_received_and_says_so(parted):
    parted.act(spinoff(D[2], "1", "4"))
    assert parted.read("A", adjust="all").close["A"].tolist() == [100, 100, 90, 90]
    [told] = actions.unapplied(parted.store, "acme", today=D[4])
    assert told.sentence == (
        "The spin-off of B from A on 2024-01-04 is not applied: no close of B in the 15 days from then on is stored."
    )
    assert told.fix == "qfund ingest --vendor acme --symbols B --since 2024-01-04"
    waited = soon()
    # Only B is asked for now; the factor of A is made all the same.
    parted.write([flat("B", D[3], 40)])
    ids, parted.ids = parted.ids, {"B": parted.ids["B"]}
    parted.act()
    parted.ids = ids
    assert parted.read("A", adjust="all").close["A"].tolist() == [90, 90, 90, 90]
    assert actions.unapplied(parted.store, "acme", today=D[4]) == []
    # What the store could have answered while it waited is still its answer for that moment.
    assert parted.read("A", adjust="all", as_of=waited).close["A"].tolist() == [100, 100, 90, 90]


def test_whoever_brings_the_bars_of_what_is_received_brings_the_factor(parted):
    parted.act(spinoff(D[2], "1", "4"))
    parted.write([flat("B", D[2], 40)])
    assert parted.read("A", adjust="all").close["A"].tolist() == [90, 90, 90, 90]


def test_what_is_received_must_trade_within_fifteen_days(parted):
    parted.write([flat("B", D[2] + timedelta(days=16), 40)])
    parted.act(spinoff(D[2], "1", "4"))
    assert len(actions.unapplied(parted.store, "acme", today=D[4])) == 1
    parted.write([flat("B", D[2] + timedelta(days=15), 20)])
    parted.act()
    np.testing.assert_allclose(parted.read("A", adjust="all").close["A"].iloc[0], 95, rtol=1e-15)


def test_a_restated_close_of_what_is_received_makes_the_factor_anew(parted):
    parted.write([flat("B", D[2], 40)])
    parted.act(spinoff(D[2], "1", "4"))
    first = soon()
    parted.write([flat("B", D[2], 60)])
    parted.act()
    np.testing.assert_allclose(parted.read("A", adjust="all").close["A"].iloc[0], 85, rtol=1e-15)
    np.testing.assert_allclose(parted.read("A", adjust="all", as_of=first).close["A"].iloc[0], 90, rtol=1e-15)


def test_in_the_past_a_spin_off_is_not_carried_before_what_is_received_has_closed(parted):
    parted.write([flat("B", D[2], 40)])
    parted.act(spinoff(D[2], "1", "4", known_at=at(2024, 1, 1)))
    early = parted.read("A", adjust="all", as_of=at(2024, 1, 3, 22))
    late = parted.read("A", adjust="all", as_of=at(2024, 1, 5, 22))
    assert early.close["A"].tolist() == [100, 100]
    assert late.close["A"].tolist() == [90, 90, 90, 90]


def test_a_spin_off_worth_more_than_the_share_is_told_and_loses_no_bars(parted):
    parted.write([flat("B", D[2], 500)])
    assert parted.act(spinoff(D[2], "1", "4")) == 1
    [told] = actions.unapplied(parted.store, "acme", today=D[4])
    assert "B worth 125 for each share does not fit a previous close of 100" in told.sentence


def test_what_lies_ahead_or_before_all_bars_is_no_fault(parted):
    parted.act(spinoff(D[4], "1", "4"), spinoff(date(2023, 12, 1), "1", "4"))
    assert actions.unapplied(parted.store, "acme", today=D[3]) == []
    assert len(actions.unapplied(parted.store, "acme", list(parted.ids.values()), today=D[4])) == 1
    assert actions.unapplied(parted.store, "acme", [], today=D[4]) == []
    assert actions.unapplied(parted.store, "nobody", today=D[4]) == []


def test_a_dividend_whose_close_before_lies_in_a_hole_is_told(shelf):
    shelf.act(dividend(date(2024, 3, 1), "1"))
    [told] = actions.unapplied(shelf.store, "acme", today=date(2024, 3, 2))
    assert "dividend of A on 2024-03-01 is not applied: no close of A in the 15 days before" in told.sentence
    assert told.fix == "qfund ingest --vendor acme --symbols A --since 2024-02-15"


# ---------------------------------------------------------------- every kind, late, corrected, taken back


def test_a_split_announced_late_leaves_reads_as_of_before_the_announcement_unchanged(shelf):
    """Ex-date 4 January, told on 8 January: on the 5th prices were still read as they were."""
    shelf.act(split(D[2], "2", "1", known_at=at(2024, 1, 8, 12)))
    then = shelf.read("A", adjust="split", as_of=at(2024, 1, 5, 22))
    assert then.close["A"].tolist() == [100, 104, 52, 51]
    told = shelf.read("A", adjust="split", as_of=at(2024, 1, 8, 22))
    assert told.close["A"].tolist() == [50, 52, 52, 51, 50]


def test_a_stock_dividend_of_five_percent_arrives_as_a_split(shelf):
    shelf.act(split(D[2], "1.05", "1"))
    read = shelf.read("A", adjust="split")
    np.testing.assert_allclose(read.close["A"].iloc[:2], [100 / 1.05, 104 / 1.05], rtol=1e-15)
    np.testing.assert_allclose(read.volume["A"].iloc[:2], [1050, 1050], rtol=1e-15)


def test_every_kind_is_kept_as_the_vendor_told_it_and_only_three_change_prices(shelf):
    payload = '{"b": 1,  "a": "two  spaces"}'
    quiet = [kind for kind in KINDS if kind not in PRICED]
    given = [
        CorporateAction("A", kind, D[3], other_symbol="B", payload=payload, vendor_ref=f"id-{kind}")
        for kind in quiet
    ]
    assert shelf.act(*given) == len(quiet)
    assert shelf.act(*given) == 0
    read = actions.read_actions(shelf.store, ["A"], since=D[0], until=D[4])
    assert read == sorted(given, key=lambda one: one.kind)
    assert {one.payload for one in read} == {payload}
    assert shelf.read("A", adjust="all").close["A"].tolist() == [100, 104, 52, 51, 50]


def test_only_the_kinds_that_are_asked_for_are_read(shelf):
    shelf.act(split(D[2], "2", "1"), dividend(D[4], "1.02"), CorporateAction("A", "redemption", D[3]))
    read = actions.read_actions(shelf.store, ["A"], since=D[0], until=D[4], kinds=("split", "redemption"))
    assert [one.kind for one in read] == ["split", "redemption"]


def test_actions_are_read_with_their_factors_as_of_a_moment(shelf):
    before = soon()
    shelf.act(split(D[2], "2", "1"), dividend(D[4], "1.02"), CorporateAction("A", "redemption", D[3]))
    read = actions.read_applied(shelf.store, since=D[0], until=D[4])
    assert [(one.action.kind, one.vendor, one.factors) for one in read] == [
        ("split", "acme", Factors(0.5, 2.0)),
        ("redemption", "acme", None),
        ("dividend", "acme", Factors(0.98, 1.0)),
    ]
    assert actions.read_applied(shelf.store, since=D[0], until=D[4], as_of=before) == []


def test_an_action_that_moves_to_another_day_under_its_reference_leaves_the_first_day(shelf):
    shelf.act(dividend(D[3], "1.02", vendor_ref="d-1"))
    first = soon()
    assert shelf.act(dividend(D[4], "1.02", vendor_ref="d-1")) == 1
    assert [one.ex_date for one in actions.read_actions(shelf.store, ["A"], since=D[0], until=D[4])] == [D[4]]
    then = actions.read_actions(shelf.store, ["A"], since=D[0], until=D[4], as_of=first)
    assert [one.ex_date for one in then] == [D[3]]


def test_an_action_that_is_taken_back_is_withdrawn_where_the_download_was_whole(shelf):
    shelf.act(split(D[2], "2", "1"), dividend(D[4], "1.02"))
    first = soon()
    shelf.act(whole=(D[3], D[4]))
    assert [one.kind for one in actions.read_actions(shelf.store, ["A"], since=D[0], until=D[4])] == ["split"]
    assert shelf.read("A", adjust="all").close["A"].tolist() == [50, 52, 52, 51, 50]
    np.testing.assert_allclose(
        shelf.read("A", adjust="all", as_of=first).close["A"].iloc[3], 51 * 0.98, rtol=1e-15
    )


def test_an_action_of_a_symbol_that_is_not_known_is_left_out(shelf):
    merger = CorporateAction("ZZZ", "stock_merger", D[2], other_symbol="A")
    assert shelf.act(merger) == 0
    assert actions.read_applied(shelf.store, since=D[0], until=D[4]) == []


def test_an_action_under_a_symbol_of_that_day_finds_its_instrument(shelf):
    shelf.list("C")
    ids, shelf.ids = shelf.ids, {"A": shelf.ids["A"]}
    assert shelf.act(CorporateAction("C", "redemption", D[2])) == 1
    [found] = actions.read_applied(shelf.store, since=D[0], until=D[4])
    assert found.instrument_id == ids["C"]

"""Corporate actions and adjusted reads, against examples worked on paper."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest

from qfund.errors import DataQualityError
from qfund.market.actions import CorporateAction
from qfund.store import actions
from tests.support.stored import ALWAYS, Shelf, at, flat, minute, soon

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

"""Bars that their neighbours contradict are doubted; moves that last, and what an action explains, are not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfund.ingest.doubts import AROUND_IS_ENOUGH, doubtful
from qfund.market.actions import CorporateAction
from qfund.vendors.contract import DAILY_SCHEMA, MINUTE_SCHEMA, BarRequest, Offer
from qfund.vendors.sample import FIRST, LAST, Sample

DAILY = Offer("1d", "f", first=date(2000, 1, 1), last=None, sessions_per_request=99)
MINUTES = replace(DAILY, timeframe="1m")
DAYS = [date(2024, 3, 1) + timedelta(days=n) for n in range(40)]


def bars(prices, *, symbol="A", first=0, volumes=None):
    """Daily bars with a cent of range around each price, on following days."""
    rows = []
    for at, price in enumerate(prices):
        volume = 1000.0 + at if volumes is None else volumes[at]
        rows.append((symbol, DAYS[first + at], price, price + 0.01, price - 0.01, price, volume))
    return pa.table([list(column) for column in zip(*rows, strict=True)], schema=DAILY_SCHEMA)


def minutes(prices):
    start = datetime(2024, 3, 8, 14, 30, tzinfo=UTC)
    rows = [
        ("A", start + timedelta(minutes=at), date(2024, 3, 8), p, p * 1.0001, p * 0.9999, p, 100.0 + at)
        for at, p in enumerate(prices)
    ]
    return pa.table([list(column) for column in zip(*rows, strict=True)], schema=MINUTE_SCHEMA)


def found(table, *, offer=DAILY, around=None, actions=()):
    request = BarRequest(("A", "B"), offer.timeframe, DAYS[0], DAYS[-1], offer)
    masks = doubtful(table, request, around=around, actions=actions)
    return {reason: mask.nonzero()[0].tolist() for reason, mask in masks.items()}


@pytest.mark.parametrize("wrong", [1000.0, 10.0, 145.0, 55.0, 0.1])
def test_a_day_far_off_two_that_agree_is_a_spike(wrong):
    assert found(bars([100, 101, wrong, 100, 102])) == {"spike": [2]}


@pytest.mark.parametrize(
    "prices",
    [
        [100, 101, 48.1, 48, 49],  # AAPL on 2000-09-29 fell by 51.9 % and stayed there
        [48, 49, 101, 100, 102],
        [100, 101, 135, 100, 102],  # a third, and back
        [100, 101, 62, 100, 102],
        [100, 150, 280, 190, 100],  # a squeeze: the neighbours are under way themselves
        [100, 101, 150],  # the last bar is judged when the next one has come
        [150, 100, 101],
    ],
)
def test_a_move_that_lasts_or_is_less_is_no_spike(prices):
    assert found(bars(prices)) == {}


def test_a_day_that_reaches_back_to_its_neighbours_is_no_spike():
    table = bars([100, 101, 150, 100, 102])
    low = pa.array([99.99, 100.99, 101.0, 99.99, 101.99])
    assert found(table.set_column(4, "low", low)) == {}


def test_a_spike_at_the_border_is_seen_with_what_is_stored_around():
    prices = [100.0, 101.0, 1000.0, 100.0, 102.0]
    whole = bars(prices)
    assert found(whole.slice(2, 3)) == {}
    assert found(whole.slice(2, 3), around=whole.slice(0, 2)) == {"spike": [0]}
    assert found(whole.slice(0, 3), around=whole.slice(3, 1)) == {"spike": [2]}
    assert found(whole.slice(2, 1), around=pa.concat_tables([whole.slice(3), whole.slice(0, 2)])) == {
        "spike": [0]
    }


def test_a_stored_spike_is_not_told_of_the_bars_beside_it():
    whole = bars([100.0, 1000.0, 100.0, 102.0])
    assert found(whole.slice(2), around=whole.slice(0, 2)) == {}


def test_an_action_explains_a_spike():
    split = CorporateAction("A", "split", DAYS[2], new_rate=Decimal(1), old_rate=Decimal(10))
    table = bars([100, 101, 1000, 100, 102])
    assert found(table, actions=[split]) == {}
    assert found(table, actions=[replace(split, ex_date=DAYS[3])]) == {}
    assert found(table, actions=[replace(split, ex_date=DAYS[5])]) == {"spike": [2]}
    assert found(table, actions=[replace(split, symbol="B")]) == {"spike": [2]}


def test_neighbours_are_those_of_the_same_symbol():
    table = pa.concat_tables([bars([100, 101]), bars([1000], symbol="B"), bars([100, 101], symbol="C")])
    assert found(table) == {}


def test_a_minute_needs_less_than_a_day_to_be_a_spike_unless_it_is_cheap():
    assert found(minutes([100, 100.1, 120, 100, 100.1]), offer=MINUTES) == {"spike": [2]}
    assert found(minutes([100, 100.1, 114, 100, 100.1]), offer=MINUTES) == {}
    assert found(minutes([2.0, 2.01, 2.5, 2.0, 2.01]), offer=MINUTES) == {}
    assert found(minutes([2.0, 2.01, 20, 2.0, 2.01]), offer=MINUTES) == {"spike": [2]}
    assert found(minutes([1.08, 1.081, 1.3, 1.08, 1.081]), offer=replace(MINUTES, market="fx")) == {
        "spike": [2]
    }


def test_the_same_bar_again_and_again_is_stale_but_for_the_first():
    table = bars([100, 101, 101, 101, 101, 101, 102], volumes=[5, 7, 7, 7, 7, 7, 8])
    assert found(table) == {"stale": [2, 3, 4, 5]}
    assert found(table.slice(0, 5)) == {}


def test_stale_bars_are_seen_across_the_border_of_a_span():
    table = bars([101] * 6, volumes=[7] * 6)
    assert found(table.slice(4), around=table.slice(0, 4)) == {"stale": [0, 1]}
    assert found(table.slice(0, 2), around=table.slice(2)) == {"stale": [1]}


@pytest.mark.parametrize(
    ("volume", "stale"), [(0.0, False), (1.0, False), (100.0, False), (5000.0, False), (1234.0, True)]
)
def test_quiet_minutes_at_one_price_are_not_stale(volume, stale):
    """Of bars of a single price only those with a volume that nobody trades by habit count as the same."""
    rows = [("A", day, 10.0, 10.0, 10.0, 10.0, volume) for day in DAYS[:6]]
    table = pa.table([list(column) for column in zip(*rows, strict=True)], schema=DAILY_SCHEMA)
    assert found(table) == ({"stale": [1, 2, 3, 4, 5]} if stale else {})


def test_nothing_is_doubted_of_nothing():
    assert found(DAILY_SCHEMA.empty_table()) == {}
    assert found(bars([100])) == {}


def test_the_whole_sample_is_beyond_doubt():
    source = Sample()
    names = tuple(one.symbol for one in source.listings())
    for timeframe, since in (("1d", FIRST), ("1m", date(2011, 1, 3))):
        request = BarRequest(names, timeframe, since, LAST, source.capabilities.offer(timeframe))
        table = pa.concat_tables([page.bars for page in source.bars(request)])
        assert doubtful(table, request, actions=source.actions(names, since, LAST)) == {}
        assert doubtful(table, request) == {}  # not even without knowing of the splits


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([10.0, 10.1, 30.0, 3.0]), min_size=1, max_size=20), st.data())
def test_cutting_an_answer_in_two_hides_nothing_and_adds_nothing(prices, data):
    whole = bars(prices, volumes=[7.0] * len(prices))
    cut = data.draw(st.integers(0, len(prices)))
    one, two = whole.slice(0, cut), whole.slice(cut)
    near = AROUND_IS_ENOUGH
    parts = [
        found(one, around=two.slice(0, near)),
        found(two, around=one.slice(max(0, cut - near))),
    ]
    together = {}
    for part, offset in zip(parts, (0, cut), strict=True):
        for reason, rows in part.items():
            together.setdefault(reason, []).extend(row + offset for row in rows)
    assert together == found(whole)

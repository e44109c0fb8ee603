"""Holes are filled from a second vendor that agrees around them; nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from qfund.errors import RefusedError
from qfund.ingest.repair import LEAST_OVERLAP, Fetched, disagreement, fill, find
from qfund.market.sessions import opens_and_closes, sessions
from qfund.store import coverage, repairs
from tests.support.stored import Shelf, daily_table, flat, minute

DAYS = [day.date() for day in sessions("XNYS", date(2024, 2, 1), date(2024, 4, 30))]
HOLE = DAYS[20:22]


class Second:
    """A second vendor that has what it is given, and remembers what it was asked."""

    def __init__(self, shelf, *, failed=None):
        self.shelf = shelf
        self.failed = failed or {}
        self.asked = []

    def __call__(self, symbols, since, until, /):
        self.asked.append((tuple(symbols), since, until))
        return Fetched(self.shelf.series if self.shelf else None, self.failed)


def price(day):
    return 100.0 + day.day / 10


def series(store, vendor, days, *, symbol="A", factor=1.0, covered=True):
    shelf = Shelf(store, vendor=vendor)
    shelf.write(flat(symbol, day, round(price(day) * factor, 4)) for day in days)
    if covered:
        with store.transaction() as conn:
            coverage.add_coverage(conn, shelf.series, {shelf.ids[symbol]: [(DAYS[0], DAYS[-1])]})
    return shelf


@pytest.fixture
def broken(store):
    return series(store, "acme", [day for day in DAYS if day not in HOLE])


def repaired(store, broken, second, **how):
    return list(fill(store, broken.series, find(store, broken.series, **how), second))


def test_a_hole_is_filled_and_each_bar_says_from_where(store, broken):
    other = series(store, "other", DAYS, factor=1.002)
    second = Second(other)
    (done,) = repaired(store, broken, second)
    assert (done.hole.symbol, done.hole.sessions, done.bars, done.sessions) == ("A", tuple(HOLE), 2, 2)
    assert done.refused is None
    closes = broken.read("A").close["A"]
    assert len(closes) == len(DAYS)
    assert closes.loc[str(HOLE[0])] == round(price(HOLE[0]) * 1.002, 4)
    assert closes.loc[str(DAYS[19])] == price(DAYS[19])  # its own bars stay as they are
    marks = repairs.provenance(store, broken.series, broken.ids["A"], DAYS[0], DAYS[-1])
    assert [(one.session, one.vendor) for one in marks] == [(day, "other") for day in HOLE]
    ((symbols, since, until),) = second.asked
    assert symbols == ("A",)
    assert since < DAYS[19]
    assert until > DAYS[22]
    run = coverage.recent_runs(store)[0]
    assert (run.dataset, run.status, run.counters["bars"]) == ("repair 1d", "ok", 2)


def test_a_second_repair_finds_nothing_to_do(store, broken):
    second = Second(series(store, "other", DAYS))
    repaired(store, broken, second)
    assert repaired(store, broken, second) == []
    assert len(second.asked) == 1


def test_vendors_that_do_not_agree_fill_nothing(store, broken):
    (done,) = repaired(store, broken, Second(series(store, "other", DAYS, factor=1.02)))
    assert done.bars == 0
    assert "2.0% apart" in done.refused
    assert len(broken.read("A").close) == len(DAYS) - 2


def test_a_vendor_that_adjusts_before_the_hole_only_fills_nothing(store, broken):
    other = Shelf(store, vendor="other")
    other.write(flat("A", day, price(day) / (2 if day < HOLE[0] else 1)) for day in DAYS)
    (done,) = repaired(store, broken, Second(other))
    assert "before it are 50.0% apart" in done.refused


def test_vendors_that_cannot_be_compared_fill_nothing(store, broken):
    (done,) = repaired(store, broken, Second(series(store, "other", HOLE)))
    assert f"fewer than {LEAST_OVERLAP}" in done.refused


def test_a_hole_that_the_other_has_too_stays(store, broken):
    other = series(store, "other", [day for day in DAYS if day not in HOLE])
    (done,) = repaired(store, broken, Second(other))
    assert (done.bars, done.refused) == (0, None)


def test_a_vendor_that_cannot_be_asked_is_told(store, broken):
    other = series(store, "other", DAYS)
    (done,) = repaired(store, broken, Second(other, failed={"A": "It answers 503"}))
    assert (done.failed, done.refused, done.bars) == (True, "It answers 503", 0)
    (done,) = repaired(store, broken, Second(None))
    assert done.failed


@pytest.mark.parametrize("difference", [{"basis": "all"}, {"price_kind": "bid"}, {"hours": "extended"}])
def test_bars_of_another_kind_are_refused(store, broken, difference):
    other = series(store, "other", DAYS)
    other.series = replace(other.series, **difference)
    with pytest.raises(RefusedError):
        repaired(store, broken, Second(other))
    assert len(broken.read("A").close) == len(DAYS) - 2


def test_holes_are_looked_for_between_the_bars_or_where_one_says(store):
    broken = series(store, "acme", DAYS[10:20] + DAYS[22:40])
    assert [one.sessions for one in find(store, broken.series)] == [tuple(HOLE)]
    wide = find(store, broken.series, since=DAYS[5], until=DAYS[45])
    assert {day for one in wide for day in one.sessions} == {*DAYS[5:10], *HOLE, *DAYS[40:46]}
    assert find(store, broken.series, symbols=["B"]) == []
    assert find(store, broken.series, since=DAYS[25], until=DAYS[30]) == []


def test_holes_far_apart_are_judged_for_themselves(store):
    far = [DAYS[10], DAYS[40]]
    broken = series(store, "acme", [day for day in DAYS if day not in far])
    other = Shelf(store, vendor="other")
    other.write(flat("A", day, price(day) * (1.5 if day < DAYS[25] else 1)) for day in DAYS)
    first, second = repaired(store, broken, Second(other))
    assert first.refused
    assert (second.bars, second.refused) == (1, None)


def test_minutes_fill_empty_sessions_and_those_with_few(store):
    days = DAYS[:8]
    opens, _ = opens_and_closes("XNYS", days[0], days[-1])
    starts = {day: opened.to_pydatetime() for day, opened in zip(days, opens, strict=True)}

    def rows(lengths):
        return [
            minute("A", starts[day] + timedelta(minutes=at), 100.0)
            for day, count in zip(days, lengths, strict=True)
            for at in range(count)
        ]

    broken, other = Shelf(store, timeframe="1m"), Shelf(store, vendor="other", timeframe="1m")
    broken.write(rows([390, 390, 390, 0, 30, 300, 390, 390]))
    other.write(rows([390] * 8))
    with store.transaction() as conn:
        coverage.add_coverage(conn, broken.series, {broken.ids["A"]: [(days[0], days[-1])]})
    (done,) = repaired(store, broken, Second(other))
    assert done.hole.sessions == (days[3], days[4])
    assert (done.bars, done.sessions) == (390 + 360, 2)
    marks = repairs.provenance(store, broken.series, broken.ids["A"], days[0], days[-1])
    assert marks[1].minutes == tuple(range(30, 390))


def test_agreement_is_asked_for_on_each_side():
    def bars(factor, days):
        return daily_table([flat("A", day, price(day) * factor) for day in days])

    assert disagreement(bars(1, DAYS[:20]), bars(1.009, DAYS), HOLE) is None
    assert "after it" in disagreement(bars(1, DAYS[22:]), bars(1.011, DAYS), HOLE)
    assert "fewer" in disagreement(bars(1, DAYS[18:20]), bars(1, DAYS), HOLE)

"""What is stored is judged by the rules for what arrives, and by what the calendar says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest

from qfund.errors import DataQualityError
from qfund.ingest.audit import RULES, audit, offer_of
from qfund.market.actions import CorporateAction
from qfund.market.sessions import opens_and_closes, sessions
from qfund.store import coverage, quarantine
from qfund.store.accepting import Stored, accept, vouch
from qfund.vendors.contract import Offer
from tests.support.stored import Shelf, daily_table, minute

DAYS = [day.date() for day in sessions("XNYS", date(2024, 2, 1), date(2024, 3, 28))]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def found(shelf, **how):
    offer = how.pop("offer", offer_of(shelf.series))
    return [
        (one.rule, one.symbol, one.session) for one in audit(shelf.store, shelf.series, offer, now=NOW, **how)
    ]


def bar(day, price, **changes):
    row = {"open": price, "high": price + 0.5, "low": price - 0.5, "close": price, "volume": 1000.0 + day.day}
    row |= changes
    return ("A", day, *row.values())


@pytest.fixture
def shelf(store):
    return Shelf(store)


def test_sound_bars_pass(shelf):
    shelf.write(bar(day, 100.0) for day in DAYS)
    assert found(shelf) == []


def test_what_the_database_lets_through_is_found(shelf):
    rows = {day: bar(day, 100.0) for day in DAYS}
    rows[DAYS[3]] = bar(DAYS[3], -1.0, low=-1.5, high=-0.5)
    rows[DAYS[5]] = bar(DAYS[5], 100.0, volume=1e18)
    rows[DAYS[7]] = bar(DAYS[7], 1000.0)
    closed = date(2024, 3, 29)  # Good Friday
    rows[closed] = bar(closed, 100.0)
    shelf.write(rows.values())
    assert sorted(found(shelf)) == sorted(
        [
            ("not_positive", "A", DAYS[3]),
            ("impossible_volume", "A", DAYS[5]),
            ("spike", "A", DAYS[7]),
            ("not_a_session", "A", closed),
        ]
    )
    assert found(shelf, since=DAYS[6], until=DAYS[8]) == [("spike", "A", DAYS[7])]
    assert found(shelf, symbols=["B"]) == []


def test_stale_bars_are_found(shelf):
    shelf.write(bar(day, 100.0, volume=7777.0) for day in DAYS[:6])
    assert found(shelf) == [("stale", "A", day) for day in DAYS[1:6]]


def test_quiet_bars_are_judged_by_what_the_vendor_says(shelf):
    shelf.write([bar(DAYS[0], 100.0), bar(DAYS[1], 100.0, volume=0.0)])
    assert found(shelf) == []
    offer = Offer("1d", "", first=DAYS[0], last=None, sessions_per_request=9)
    assert found(shelf, offer=offer_of(shelf.series, [offer])) == [("zero_volume", "A", DAYS[1])]


def test_a_jump_by_a_splits_ratio_is_told_until_the_split_is_known(shelf):
    shelf.write(bar(day, 100.0 if day < DAYS[20] else 50.0) for day in DAYS)
    (one,) = audit(shelf.store, shelf.series, offer_of(shelf.series), now=NOW)
    assert (one.rule, one.session, one.words) == ("jump", DAYS[20], "prices are 1/2 of those before")
    shelf.act(CorporateAction("A", "split", DAYS[20], new_rate=Decimal(2), old_rate=Decimal(1)))
    assert found(shelf) == []


def test_a_split_that_does_not_show_is_told(shelf):
    shelf.write(bar(day, 100.0) for day in DAYS)
    shelf.act(CorporateAction("A", "split", DAYS[20], new_rate=Decimal(2), old_rate=Decimal(1)))
    assert found(shelf) == [("adjusted", "A", DAYS[20])]


def test_sessions_that_were_answered_empty_are_told(shelf):
    shelf.write(bar(day, 100.0) for day in DAYS if day not in DAYS[4:6])
    with shelf.store.transaction() as conn:
        coverage.add_coverage(conn, shelf.series, {shelf.ids["A"]: [(DAYS[0], DAYS[-1])]})
    (one,) = audit(shelf.store, shelf.series, offer_of(shelf.series), now=NOW)
    assert (one.rule, one.session, one.count) == ("no_bars", DAYS[4], 2)
    assert set(RULES) >= {"no_bars", "jump"}


def test_what_a_person_accepted_is_not_told_again(shelf):
    shelf.write(bar(day, 100.0) for day in DAYS if day != DAYS[7])
    run = coverage.start_run(shelf.store, "acme", "bars 1d", {})
    table = daily_table([bar(DAYS[7], 1000.0)]).append_column("reason", pa.array(["spike"]))
    with shelf.store.transaction() as conn:
        quarantine.write(conn, shelf.series, run, shelf.ids, table)
    accept(shelf.store, [one.quarantine_id for one in quarantine.entries(shelf.store)])
    assert len(shelf.read("A").close) == len(DAYS)
    assert found(shelf) == []


def test_minutes_outside_their_session_and_parts_of_the_year_are_looked_at(store):
    shelf = Shelf(store, timeframe="1m")
    opens, _ = opens_and_closes("XNYS", DAYS[0], DAYS[0])
    first = opens[0].to_pydatetime()
    later = datetime(2024, 9, 3, 13, 30, tzinfo=UTC)
    rows = [minute("A", first + timedelta(minutes=at), 100.0 + at % 2, 10.0 + at) for at in range(-2, 20)]
    rows += [minute("A", later + timedelta(minutes=at), 100.0, 10.0 + at) for at in range(5)]
    rows[10] = minute("A", first + timedelta(minutes=8), 1000.0)
    shelf.write(rows)
    told = [(one.rule, one.at) for one in audit(store, shelf.series, offer_of(shelf.series), now=NOW)]
    assert told == [
        ("outside_hours", first - timedelta(minutes=2)),
        ("outside_hours", first - timedelta(minutes=1)),
        ("spike", first + timedelta(minutes=8)),
    ]
    doubted = Stored(shelf.series, "A", shelf.ids["A"], DAYS[0], first + timedelta(minutes=8), "spike")
    vouch(store, [doubted])
    told = [(one.rule, one.at) for one in audit(store, shelf.series, offer_of(shelf.series), now=NOW)]
    assert [rule for rule, _ in told] == ["outside_hours"] * 2
    with pytest.raises(DataQualityError):
        vouch(store, [replace(doubted, reason="order")])


def test_an_empty_store_is_sound(shelf):
    assert found(shelf) == []

"""What a plan will cost: worked by hand, and never below what it then needs."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from qfund.ingest.estimate import DISK_BYTES, estimate, stored_bar_bytes
from qfund.ingest.plan import Facts, SymbolFacts, plan
from qfund.market.sessions import sessions
from qfund.vendors.alpaca import Alpaca
from qfund.vendors.oanda import Oanda
from qfund.vendors.sample import Sample

LIMITS = Alpaca.capabilities
MARCH = date(2024, 3, 1), date(2024, 3, 28)  # 20 sessions
HALF = date(2024, 7, 3), date(2024, 7, 3)  # a session of 210 minutes


def planned(offer, count=3, span=MARCH, limits=LIMITS):
    days = tuple(day.date() for day in sessions("XNYS", *span))
    symbols = tuple(SymbolFacts(f"S{number}", None, None, ()) for number in range(count))
    most = {"1d": 1, "1m": 960}[offer.timeframe]
    return plan(
        Facts(
            "alpaca", offer.timeframe, offer.feed, span, span, days, symbols,
            limits.symbols_per_request, offer.sessions_per_request, bars_per_session=most,
        )
    )  # fmt: skip


def cost(offer, limits=LIMITS, bar_bytes=None, **how):
    return estimate(planned(offer, limits=limits, **how), offer, limits, bar_bytes=bar_bytes)


DAILY = LIMITS.offer("1d", market="us_equity")
MINUTES = LIMITS.offer("1m", market="us_equity", hours="regular")
EVENING = LIMITS.offer("1m", market="us_equity", hours="extended")


def test_days_of_a_few_shares_are_one_page_the_actions_the_calendar_and_three_look_ups():
    found = cost(DAILY)
    assert (found.rows, found.requests) == (60, 6)
    assert found.seconds == pytest.approx(5 * 60 / 200)  # the first leaves at once
    assert found.wire_bytes == 60 * DAILY.bar_bytes
    assert found.disk_bytes == round(60 * DISK_BYTES["1d"])
    assert not found.measured


def test_minutes_outside_the_session_come_over_the_wire_and_are_not_rows():
    found = cost(MINUTES, count=1, span=HALF)
    assert found.rows == 210
    assert found.wire_bytes == 960 * MINUTES.bar_bytes
    assert cost(EVENING, count=1, span=HALF).rows == 960


def test_many_pages_are_many_requests():
    found = cost(MINUTES)  # 20 sessions of 3 shares: 57,600 bars on the wire
    assert found.requests == 6 + 2 + 3
    assert found.rows == 20 * 3 * 390


def test_shares_that_are_known_are_looked_up_before_something_new_and_not_else():
    made = planned(DAILY)
    known = replace(made.seen, symbols=tuple(replace(one, instrument=7) for one in made.seen.symbols))
    assert estimate(plan(known), DAILY, LIMITS, bar_bytes=None).requests == 6
    covered = replace(known, symbols=tuple(replace(one, covered=(MARCH,)) for one in known.symbols))
    assert estimate(plan(covered), DAILY, LIMITS, bar_bytes=None).requests == 0
    again = replace(covered, recent=date(2024, 3, 25))
    assert estimate(plan(again), DAILY, LIMITS, bar_bytes=None).requests == 2  # bars and actions


def test_more_shares_than_are_looked_up_alone_are_one_look_up():
    assert [DAILY.lookups(count) for count in (0, 1, 10, 11, 500)] == [0, 1, 10, 1, 1]
    coins = LIMITS.offer("1d", market="crypto")
    assert coins.lookups(3) == 0


def test_windows_of_time_hold_weekends_too():
    limits = Oanda.capabilities
    minutes = limits.offer("1m")
    days = tuple(day.date() for day in sessions("FX", *MARCH))
    facts = Facts(
        "oanda", "1m", "oanda", MARCH, MARCH, days, (SymbolFacts("EUR_USD", None, None, ()),), 1, 60, 1440
    )  # fmt: skip
    found = estimate(plan(facts), minutes, limits, bar_bytes=None)
    assert (
        found.requests == 9 + 1
    )  # 28 days of 1,440 minutes in windows of 5,000, and the list of instruments


def test_what_is_measured_counts_more_than_what_is_assumed():
    found = cost(DAILY, bar_bytes=100.0)
    assert (found.disk_bytes, found.measured) == (6000, True)


def test_credits_are_the_vendors_own():
    assert cost(DAILY, limits=replace(LIMITS, credits_per_request=5.0)).credits == 30.0


def test_a_vendor_without_a_network_costs_no_request():
    limits = Sample.capabilities
    offer = limits.offer("1d")
    found = cost(offer, limits=limits)
    assert (found.requests, found.wire_bytes, found.rows) == (0, 0, 60)


def test_few_stored_bars_are_not_believed(store):
    assert stored_bar_bytes(store, "1d") is None
    assert stored_bar_bytes(store, "1m") is None

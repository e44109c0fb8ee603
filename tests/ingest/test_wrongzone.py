"""A vendor whose clock is off by hours is found out, and a quiet or busy morning is not taken for one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from qfund.ingest.check import check
from qfund.market.sessions import opens_and_closes
from qfund.vendors.contract import MINUTE_SCHEMA, BarRequest, Offer

REGULAR = Offer("1m", "f", first=date(2000, 1, 1), last=None, sessions_per_request=99)
MORE = replace(REGULAR, answers_more=True)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
WINTER, SUMMER = date(2024, 3, 8), date(2024, 3, 11)


def session(day, *, hours=0, symbol="A", every=1, first=0, last=390):
    """The minutes of a session, with the clock off by so many hours."""
    (opened,), _ = opens_and_closes("XNYS", day, day)
    start = opened.to_pydatetime() + timedelta(hours=hours)
    return [
        (symbol, start + timedelta(minutes=at), None, 10.0, 11.0, 9.0, 10.0, 500.0 + at)
        for at in range(first, last, every)
    ]


def run(rows, *, offer=REGULAR, since=WINTER, until=SUMMER, now=NOW):
    table = pa.table([list(column) for column in zip(*rows, strict=True)], schema=MINUTE_SCHEMA)
    return check(table, BarRequest(("A", "B"), "1m", since, until, offer), now=now)


@pytest.mark.parametrize("hours", [-5, -4, 4, 5])
@pytest.mark.parametrize("offer", [REGULAR, MORE], ids=["regular", "answers more"])
def test_a_session_off_by_the_zones_offset_is_rejected_whole(hours, offer):
    for day in (WINTER, SUMMER):
        checked = run(session(day, hours=hours) + session(day, symbol="B"), offer=offer)
        assert set(checked.rejected["reason"].to_pylist()) == {"wrong_zone"}
        assert len(checked.rejected) == 390
        assert checked.good["symbol"].unique().to_pylist() == ["B"]


def test_the_half_that_falls_into_the_session_by_chance_is_not_kept():
    checked = run(session(SUMMER, hours=4))  # 13:30 … 20:00 in New York: 150 of 390 minutes look right
    assert (len(checked.good), len(checked.rejected)) == (0, 390)


def test_a_quiet_share_off_by_hours_is_found_too():
    checked = run(session(WINTER, hours=5, every=60))
    assert set(checked.rejected["reason"].to_pylist()) == {"wrong_zone"}


def test_one_stray_minute_is_outside_the_hours_and_no_wrong_zone():
    stray = session(WINTER, hours=5)[-1:]
    assert run(stray + session(WINTER)).rejected["reason"].to_pylist() == ["outside_hours"]


def test_a_long_day_with_morning_and_evening_is_no_wrong_zone():
    rows = session(WINTER, first=-330, last=630)
    checked = run(rows, offer=MORE)
    assert (len(checked.good), len(checked.rejected), checked.left_out) == (390, 0, {"outside_hours": 570})
    extended = run(rows, offer=replace(REGULAR, hours="extended"))
    assert (len(extended.good), len(extended.rejected)) == (960, 0)


def test_a_share_that_trades_in_the_morning_only_is_no_wrong_zone():
    checked = run(session(WINTER, first=-120, last=0, every=10), offer=MORE)
    assert (len(checked.rejected), checked.left_out) == (0, {"outside_hours": 12})


def test_a_session_that_is_going_on_is_no_wrong_zone():
    half_past_nine = datetime(2024, 3, 11, 13, 35, tzinfo=UTC)
    checked = run(session(SUMMER, first=-330, last=5), offer=MORE, now=half_past_nine)
    assert (len(checked.good), len(checked.rejected)) == (5, 0)


def test_half_days_are_no_wrong_zone():
    day = date(2023, 11, 24)
    checked = run(session(day, last=210), since=day, until=day)
    assert len(checked.good) == 210


def test_currencies_trade_round_the_clock_so_that_no_zone_can_be_seen():
    fx = replace(REGULAR, calendar="FX", hours="always", market="fx")
    checked = run(session(WINTER, hours=5, last=120), offer=fx)
    assert "wrong_zone" not in checked.rejected["reason"].to_pylist()

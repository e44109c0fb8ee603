"""What is sent to OANDA, and what its candles are taken for: by hand, from its published description."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfund.errors import ConfigError, UpstreamError
from qfund.market import sessions
from qfund.vendors import oanda_pages
from qfund.vendors.contract import BarRequest
from qfund.vendors.oanda import MOST_CANDLES, Oanda, parameters, windows
from tests.vendors.canned import network, served, setup

NOW = datetime(2024, 11, 8, 18, 0, tzinfo=UTC)
TOKEN = "canary-token-0123456789"
CANDLES = "/v3/instruments/EUR_USD/candles"


@pytest.fixture
def host():
    with served(NOW) as canned:
        yield canned


@pytest.fixture
def wires():
    with network(NOW) as made:
        yield made


@pytest.fixture
def vendor(host, wires):
    values = {"api_url": host.url, "account_id": "101-001-1234567-001"}
    return Oanda(setup(values, wires, {"token": TOKEN}, "oanda"))


def request(timeframe, since, until=None, **named) -> BarRequest:
    return BarRequest(
        ("EUR_USD",),
        timeframe,
        date.fromisoformat(since),
        date.fromisoformat(until or since),
        Oanda.capabilities.offer(timeframe, **named),
    )


def candle(time, price="1.08", kind="mid", **changed):
    prices = {"o": price, "h": price, "l": price, "c": price}
    return {"complete": True, "volume": 7, "time": time, kind: prices} | changed


def answer(*candles):
    return {"instrument": "EUR_USD", "granularity": "M1", "candles": list(candles)}


def only(pages) -> list[dict]:
    pages = list(pages)
    assert [one.next_cursor is None for one in pages] == [False] * (len(pages) - 1) + [True]
    return pa.concat_tables([one.bars for one in pages]).to_pylist()


def at(text) -> datetime:
    return datetime.fromisoformat(text)


# ---------------------------------------------------------------- what is sent


def test_days_are_asked_from_seventeen_to_seventeen_new_york(host, vendor):
    """Friday 2024-03-08 and Monday 2024-03-11, between which summer time begins."""
    host.answers[CANDLES] = answer()
    only(vendor.bars(request("1d", "2024-03-08", "2024-03-11")))
    (asked,) = host.asked
    assert asked.query == {
        "price": "M",
        "granularity": "D",
        "from": "2024-03-07T22:00:00Z",
        "to": "2024-03-11T09:00:00Z",
        "includeFirst": "true",
        "smooth": "false",
        "dailyAlignment": "17",
        "alignmentTimezone": "America/New_York",
    }
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert asked.headers["accept-datetime-format"] == "RFC3339"


def test_minutes_of_a_monday_are_asked_from_sunday_evening(host, vendor):
    host.answers[CANDLES] = answer()
    only(vendor.bars(request("1m", "2024-11-04")))
    query = host.asked[0].query
    # The last minute starts at 21:59; the window's end lies half a minute before 22:00.
    assert (query["from"], query["to"]) == ("2024-11-03T22:00:00Z", "2024-11-04T21:59:30Z")
    assert query["granularity"] == "M1"
    assert "dailyAlignment" not in query


def test_bid_and_ask_are_asked_when_wanted(host, vendor):
    host.answers[CANDLES] = lambda query: answer(
        candle("2024-11-04T12:00:00Z", "1.0871", {"B": "bid", "A": "ask"}[query["price"]])
    )
    for kind in ("bid", "ask"):
        (row,) = only(vendor.bars(request("1m", "2024-11-04", price_kind=kind)))
        assert row["close"] == 1.0871


def test_a_window_never_ends_in_the_future(host, vendor):
    host.answers[CANDLES] = answer()
    only(vendor.bars(request("1m", "2024-11-08")))
    assert host.asked[0].query["to"] < "2024-11-08T18:00:00Z"
    assert only(vendor.bars(request("1m", "2024-11-12"))) == []
    assert len(host.asked) == 1


@given(st.dates(date(2005, 1, 3), date(2026, 6, 1)), st.integers(0, 400), st.sampled_from(["1m", "1d"]))
def test_windows_follow_each_other_without_hole_or_overlap_and_hold_what_one_answer_may(
    since, days, timeframe
):
    until = since + timedelta(days=days)
    one = Oanda.capabilities.offer(timeframe)
    asked = BarRequest(("EUR_USD",), timeframe, since, until, one)
    found = windows(asked, datetime(2030, 1, 1, tzinfo=UTC))
    step = timedelta(minutes=1) if timeframe == "1m" else timedelta(hours=23)
    assert found[0].start.isoformat()[11:16] in {"21:00", "22:00"}
    assert found[-1].end - found[0].start >= (days + 1) * timedelta(days=1) - timedelta(hours=1)
    for before, after in pairwise(found):
        assert before.end == after.start
    for window in found:
        query = parameters(asked, window)
        first, last = at(query["from"]), at(query["to"])
        assert first == window.start
        assert window.end - step < last < window.end
        if timeframe == "1m":
            assert (last - first) // step + 1 <= MOST_CANDLES


def test_twenty_years_of_days_take_two_windows_that_begin_with_a_day():
    asked = request("1d", "2005-01-03", "2024-12-31")
    first, second = windows(asked, datetime(2030, 1, 1, tzinfo=UTC))
    assert first.end == second.start
    assert second.start.isoformat()[11:] in {"21:00:00+00:00", "22:00:00+00:00"}


# ---------------------------------------------------------------- what is read


def test_a_candle_that_is_not_complete_is_never_given_out(host, vendor):
    host.answers[CANDLES] = answer(
        candle("2024-11-08T17:57:00.000000000Z"), candle("2024-11-08T17:58:00.000000000Z", complete=False)
    )
    (row,) = only(vendor.bars(request("1m", "2024-11-08")))
    assert row["ts"] == datetime(2024, 11, 8, 17, 57, tzinfo=UTC)
    assert (row["symbol"], row["session"], row["open"], row["volume"]) == (
        "EUR_USD",
        date(2024, 11, 8),
        1.08,
        7.0,
    )


@pytest.mark.parametrize(
    ("start", "session"),
    [
        ("2024-03-07T22:00:00.000000000Z", date(2024, 3, 8)),  # Thursday 17:00, winter
        ("2024-03-10T21:00:00.000000000Z", date(2024, 3, 11)),  # Sunday 17:00, summer since the morning
        ("2024-10-31T21:00:00.000000000Z", date(2024, 11, 1)),  # Thursday 17:00, summer
        ("2024-11-03T22:00:00.000000000Z", date(2024, 11, 4)),  # Sunday 17:00, winter since the morning
        ("2024-02-28T22:00:00.000000000Z", date(2024, 2, 29)),
        ("2024-11-04T00:00:00.000000000Z", None),  # midnight UTC begins no session
    ],
)
def test_a_day_has_the_date_on_which_it_ends(host, vendor, start, session):
    host.answers[CANDLES] = answer(candle(start))
    (row,) = only(vendor.bars(request("1d", "2024-02-28", "2024-11-08")))
    assert row["session"] == session
    if session is not None:
        assert sessions.opens_and_closes("FX", session, session)[0][0] == at(start)


def test_minutes_around_the_turn_of_the_session_belong_to_their_own(host, vendor):
    host.answers[CANDLES] = answer(
        candle("2024-11-03T22:00:00Z"), candle("2024-11-04T21:59:00Z"), candle("2024-11-04T22:00:00Z")
    )
    rows = only(vendor.bars(request("1m", "2024-11-04", "2024-11-05")))
    assert [row["session"] for row in rows] == [date(2024, 11, 4), date(2024, 11, 4), date(2024, 11, 5)]


def test_candles_beyond_a_window_are_left_to_the_window_they_belong_to(host, vendor):
    """Whether ``to`` is inclusive is not described: a server that takes it so makes no duplicates."""
    begin = datetime(2024, 10, 27, 21, tzinfo=UTC)
    minutes = [begin + timedelta(minutes=count) for count in range(9 * 1440)]

    def candles(query):
        first, last = at(query["from"]), at(query["to"]) + timedelta(minutes=1)
        inside = [minute for minute in minutes if first - timedelta(minutes=1) <= minute <= last]
        return answer(*(candle(minute.isoformat().replace("+00:00", "Z")) for minute in inside))

    host.answers[CANDLES] = candles
    rows = only(vendor.bars(request("1m", "2024-10-28", "2024-11-01")))
    expected = [minute for minute in minutes if minute < datetime(2024, 11, 1, 21, tzinfo=UTC)]
    assert len(host.asked) == 2
    assert [row["ts"] for row in rows] == expected


def test_values_that_are_none_reach_the_core_as_rows_to_reject(host, vendor):
    host.answers[CANDLES] = answer(
        candle("2024-11-04T12:00:00Z", "cheap"),
        candle("noon", "1.08"),
        {"complete": True, "time": "2024-11-04T12:01:00Z", "volume": 1},
        candle("2024-11-04T12:02:00Z", None, complete="yes"),
    )
    rows = only(vendor.bars(request("1m", "2024-11-04")))
    assert [row["ts"] is None for row in rows] == [False, True, False]
    assert [row["open"] == 1.08 for row in rows] == [False, True, False]


def test_what_is_no_list_of_candles_is_an_error():
    for body in (b"{}", b"[]", b'{"candles": {}}', b'{"candles": [', b'{"candles": [1]}'):
        with pytest.raises(UpstreamError):
            oanda_pages.read(body)


# ---------------------------------------------------------------- instruments


def test_instruments_are_priced_in_the_second_currency_and_unknown_ones_are_absent(host, vendor):
    host.answers["/v3/accounts/101-001-1234567-001/instruments"] = {
        "instruments": [
            {"name": "USD_JPY", "type": "CURRENCY", "displayName": "USD/JPY", "pipLocation": -2},
            {"name": "EUR_USD", "type": "CURRENCY", "displayName": "EUR/USD", "pipLocation": -4},
        ],
        "lastTransactionID": "7",
    }
    assert [(one.symbol, one.name, one.currency, one.kind) for one in vendor.listings()] == [
        ("EUR_USD", "EUR/USD", "USD", "fx"),
        ("USD_JPY", "USD/JPY", "JPY", "fx"),
    ]
    assert [one.symbol for one in vendor.listings(["USD_JPY", "XXX_YYY"])] == ["USD_JPY"]
    assert host.asked[-1].query == {}
    assert vendor.actions(["EUR_USD"], date(2024, 1, 1), date(2024, 12, 31)) == []


def test_without_token_or_account_the_setting_is_named(host, wires):
    with pytest.raises(ConfigError, match=r"vendors\.oanda\.token is not set.*OANDA_TOKEN"):
        list(Oanda(setup({"api_url": host.url}, wires, {}, "oanda")).bars(request("1d", "2024-03-08")))
    with pytest.raises(ConfigError, match=r"vendors\.oanda\.account_id"):
        Oanda(setup({"api_url": host.url}, wires, {"token": TOKEN}, "oanda")).listings()
    assert host.asked == []

"""What is sent to Alpaca, and what its answers are taken for: by hand, from its published descriptions."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfund.errors import BadRequestError, ConfigError, UpstreamError
from qfund.ingest.drift import KnowsSessions
from qfund.vendors import alpaca_pages
from qfund.vendors.alpaca import Alpaca, window
from qfund.vendors.contract import DAILY_SCHEMA, MINUTE_SCHEMA, BarRequest
from tests.vendors.canned import network, served, setup

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW = datetime(2024, 11, 8, 18, 0, tzinfo=UTC)
KEY = {"key_id": "PKTEST0123456789", "secret_key": "canary-secret-0123456789"}


@pytest.fixture
def host():
    with served(NOW) as canned:
        yield canned


@pytest.fixture
def wires():
    with network(NOW) as made:
        yield made


def alpaca(host, wires, **key) -> Alpaca:
    return Alpaca(setup({"data_url": host.url, "trading_url": host.url}, wires, {**KEY, **key}, "alpaca"))


@pytest.fixture
def vendor(host, wires) -> Alpaca:
    return alpaca(host, wires)


def offer(timeframe, **named):
    return Alpaca.capabilities.offer(timeframe, **named)


def request(symbols, timeframe, since, until=None, **named) -> BarRequest:
    return BarRequest(
        tuple(symbols),
        timeframe,
        date.fromisoformat(since),
        date.fromisoformat(until or since),
        offer(timeframe, **({"market": "us_equity"} | named)),
    )


def bar(t, price=10.0, volume=100, **changed):
    return {
        "t": t,
        "o": price,
        "h": price,
        "l": price,
        "c": price,
        "v": volume,
        "n": 3,
        "vw": price,
    } | changed


def page(bars, token=None):
    return {"bars": bars, "next_page_token": token}


def only(pages) -> list[dict]:
    pages = list(pages)
    assert [one.next_cursor is None for one in pages] == [False] * (len(pages) - 1) + [True]
    return pa.concat_tables([one.bars for one in pages]).to_pylist()


def _instants(first: int, end: int):
    """Whole seconds and fractions of the years from ``first`` to before ``end``, UTC."""
    start, stop = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1e6) for year in (first, end))
    return st.integers(start, stop - 1).map(lambda micros: EPOCH + timedelta(microseconds=micros))


# ---------------------------------------------------------------- what is sent


def test_daily_history_is_asked_raw_as_of_its_own_last_session_and_without_a_feed(host, vendor):
    host.answers["/v2/stocks/bars"] = page({})
    only(vendor.bars(request(["AAPL", "BRK.B"], "1d", "2024-03-08", "2024-03-11")))
    (asked,) = host.asked
    assert asked.query == {
        "symbols": "AAPL,BRK.B",
        "timeframe": "1Day",
        "start": "2024-03-08T05:00:00Z",
        "end": "2024-03-12T03:59:59Z",
        "limit": "10000",
        "sort": "asc",
        "adjustment": "raw",
        "asof": "2024-03-11",
    }
    assert asked.headers["apca-api-key-id"] == KEY["key_id"]
    assert asked.headers["apca-api-secret-key"] == KEY["secret_key"]


@pytest.mark.parametrize(
    ("hours", "day", "start", "end"),
    [
        ("regular", "2024-03-08", "2024-03-08T14:30:00Z", "2024-03-08T20:59:00Z"),
        ("regular", "2024-03-11", "2024-03-11T13:30:00Z", "2024-03-11T19:59:00Z"),
        ("regular", "2024-11-01", "2024-11-01T13:30:00Z", "2024-11-01T19:59:00Z"),
        ("regular", "2024-11-04", "2024-11-04T14:30:00Z", "2024-11-04T20:59:00Z"),
        ("extended", "2024-07-03", "2024-07-03T08:00:00Z", "2024-07-03T23:59:00Z"),
        ("extended", "2023-11-24", "2023-11-24T09:00:00Z", "2023-11-25T00:59:00Z"),
    ],
)
def test_minutes_are_asked_by_the_clocks_of_new_york(*, host, vendor, hours, day, start, end):
    host.answers["/v2/stocks/bars"] = page({})
    only(vendor.bars(request(["AAPL"], "1m", day, hours=hours)))
    query = host.asked[0].query
    assert (query["start"], query["end"], query["timeframe"]) == (start, end, "1Min")


def test_the_window_of_sip_ends_sixteen_minutes_ago_and_that_of_iex_now(host, vendor):
    host.answers["/v2/stocks/bars"] = page({})
    only(vendor.bars(request(["AAPL"], "1m", "2024-11-07", "2024-11-08")))
    only(vendor.bars(request(["AAPL"], "1m", "2024-11-07", "2024-11-08", feed="iex")))
    sip, iex = host.asked
    assert sip.query["end"] == "2024-11-08T17:44:00Z"
    assert "feed" not in sip.query
    assert iex.query["end"] == "2024-11-08T18:00:00Z"
    assert iex.query["feed"] == "iex"


def test_a_bar_is_final_only_when_its_window_could_hold_it():
    """A minute that SIP's delay left out of the window must not count as one without trades."""
    for one in Alpaca.capabilities.offers:
        delay = timedelta(minutes=16) if one.feed == "sip" else timedelta(0)
        assert one.settle >= delay + timedelta(seconds=60)


def test_a_window_within_the_delay_is_not_asked(host, vendor):
    assert only(vendor.bars(request(["AAPL"], "1m", "2024-11-09", "2024-11-11"))) == []
    assert host.asked == []


@given(
    st.dates(date(2016, 1, 4), date(2026, 12, 31)),
    st.integers(0, 30),
    _instants(2016, 2027),
    st.sampled_from(Alpaca.capabilities.offers),
)
def test_no_window_reaches_into_the_delay_or_ends_before_it_starts(since, days, now, one):
    until = since + timedelta(days=days)
    found = window(BarRequest(("X",), one.timeframe, since, until, one), now)
    if found is not None:
        assert (
            found.start <= found.end <= now - (timedelta(minutes=16) if one.feed == "sip" else timedelta(0))
        )
        assert since <= found.start.date() <= until + timedelta(days=1)


def test_crypto_needs_no_key_and_sends_none(host, wires):
    vendor = alpaca(host, wires, key_id="", secret_key="")
    host.answers["/v1beta3/crypto/us/bars"] = page({"BTC/USD": [bar("2024-02-29T23:59:00Z", 61000.5, 0.01)]})
    (row,) = only(vendor.bars(request(["BTC/USD"], "1m", "2024-02-29", market="crypto")))
    assert row["ts"] == datetime(2024, 2, 29, 23, 59, tzinfo=UTC)
    assert (row["symbol"], row["session"], row["volume"]) == ("BTC/USD", date(2024, 2, 29), 0.01)
    (asked,) = host.asked
    assert asked.query == {
        "symbols": "BTC/USD",
        "timeframe": "1Min",
        "start": "2024-02-29T00:00:00Z",
        "end": "2024-02-29T23:59:59Z",
        "limit": "10000",
        "sort": "asc",
    }
    assert not [name for name in asked.headers if name.startswith(("apca", "authorization"))]
    (listing,) = vendor.listings(["BTC/USD"])
    assert (listing.kind, listing.currency, listing.mic, listing.vendor_ref) == ("crypto", "USD", None, None)
    assert len(host.asked) == 1
    assert vendor.calendar(date(2024, 1, 1), date(2024, 1, 5)) is None


def test_shares_without_a_key_name_the_setting_where_it_was_looked_for_and_the_fix(host, wires):
    vendor = alpaca(host, wires, key_id="")
    with pytest.raises(ConfigError) as refused:
        list(vendor.bars(request(["AAPL"], "1d", "2024-03-08")))
    assert refused.value.exit_code == 3
    assert "vendors.alpaca.key_id" in refused.value.message
    assert "KEY_ID" in refused.value.message
    assert refused.value.fix
    assert host.asked == []
    with pytest.raises(ConfigError, match=r"vendors\.alpaca\.key_id is not set.*APCA_API_KEY_ID"):
        Alpaca(setup({}, wires, {}, "alpaca")).listings(["AAPL"])


def test_a_refused_batch_is_a_bad_request_and_the_secret_is_not_repeated(host, vendor):
    words = f"invalid symbol: NOPE for {KEY['secret_key']}"
    host.answers["/v2/stocks/bars"] = (400, {"message": words})
    with pytest.raises(BadRequestError) as refused:
        list(vendor.bars(request(["NOPE"], "1d", "2024-03-08")))
    assert KEY["secret_key"] not in str(refused.value) + repr(refused.value.details)
    assert "invalid symbol" in refused.value.message


def test_addresses_stay_below_8_kb():
    symbols = ",".join(["ABCDE.WS/USD"] * Alpaca.capabilities.symbols_per_request)
    assert len(symbols) * 1.5 < 8000  # some letters are sent as three


# ---------------------------------------------------------------- what is read


def test_daily_bars_have_the_date_that_begins_at_midnight_in_new_york(host, vendor):
    host.answers["/v2/stocks/bars"] = page(
        {
            "AAPL": [
                bar("2024-03-08T05:00:00Z", 170.73),
                bar("2024-03-11T04:00:00Z", 172.75),
                bar("2024-03-12T00:00:00Z", 173.23),
            ]
        }
    )
    rows = only(vendor.bars(request(["AAPL"], "1d", "2024-03-08", "2024-03-12")))
    assert [row["session"] for row in rows] == [date(2024, 3, 8), date(2024, 3, 11), None]
    assert [row["close"] for row in rows] == [170.73, 172.75, 173.23]


@pytest.mark.parametrize(
    ("start", "session"),
    [
        ("2024-02-29T00:00:00Z", date(2024, 2, 29)),
        ("2024-02-29T06:00:00Z", date(2024, 2, 29)),
        ("2024-11-01T05:00:00Z", date(2024, 11, 1)),
        ("2024-11-01T06:00:00Z", None),
    ],
)
def test_days_of_pairs_begin_at_midnight_in_chicago_or_in_utc(host, vendor, start, session):
    """2024-11-01T05:00:00Z is what Alpaca answered on that day (ccxt pull request 24140)."""
    host.answers["/v1beta3/crypto/us/bars"] = page({"BTC/USD": [bar(start)]})
    (row,) = only(vendor.bars(request(["BTC/USD"], "1d", "2024-02-29", "2024-11-01", market="crypto")))
    assert row["session"] == session


def test_pages_follow_their_tokens_and_keep_every_other_parameter(host, vendor):
    first, second = bar("2024-03-08T14:30:00Z", 1.0), bar("2024-03-08T14:31:00Z", 2.0)
    host.answers["/v2/stocks/bars"] = lambda query: (
        page({"AAPL": [second]})
        if query.get("page_token") == "dG9rZW4="
        else page({"AAPL": [first]}, "dG9rZW4=")
    )
    pages = list(vendor.bars(request(["AAPL"], "1m", "2024-03-08")))
    assert [one.next_cursor for one in pages] == ["dG9rZW4=", None]
    assert [row["open"] for row in only(pages)] == [1.0, 2.0]
    assert host.asked[1].query == host.asked[0].query | {"page_token": "dG9rZW4="}


def test_null_bars_absent_symbols_and_empty_pages_are_no_bars(host, vendor):
    for bars in (None, {}, {"AAPL": []}, {"AAPL": None}):
        host.answers["/v2/stocks/bars"] = page(bars)
        (one,) = vendor.bars(request(["AAPL", "MSFT"], "1m", "2024-03-08"))
        assert one.bars.schema == MINUTE_SCHEMA
        assert len(one.bars) == 0


def test_values_that_are_none_reach_the_core_as_rows_to_reject(host, vendor):
    good = bar("2024-03-08T14:30:00.123456789Z", 5.0)
    host.answers["/v2/stocks/bars"] = page(
        {
            "AAPL": [
                good,
                bar("2024-03-08T14:31:00Z", o="178.26", h=None, l=True),
                bar("yesterday"),
                bar(None),
                bar("2024-03-08T14:32:00"),
                "no bar",
            ]
        }
    )
    rows = only(vendor.bars(request(["AAPL"], "1m", "2024-03-08")))
    assert [row["ts"] is None for row in rows] == [False, False, True, True, True, True]
    assert rows[0]["ts"] == datetime(2024, 3, 8, 14, 30, 0, 123456, tzinfo=UTC)
    assert [math.isnan(rows[1][name]) for name in ("open", "high", "low", "close")] == [
        True,
        True,
        True,
        False,
    ]
    assert math.isnan(rows[5]["volume"])


def test_a_body_that_does_not_say_whether_more_follows_is_no_page():
    for body in ({"bars": {}}, {"message": "too many requests"}, [], {"bars": [1], "next_page_token": None}):
        with pytest.raises(UpstreamError) as error:
            alpaca_pages.read(json.dumps(body).encode())
        assert error.value.code == "BAD_ANSWER"
    with pytest.raises(UpstreamError):
        alpaca_pages.read(b'{"bars": {"AAPL": [{"t": "2024-03-0')


_ANY = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text("a1.-", max_size=5),
    st.integers(-5, 5),
)


@given(
    st.dictionaries(
        st.text("ABC", min_size=1, max_size=4), st.lists(st.tuples(_instants(1990, 2100), _ANY), max_size=5)
    )
)
def test_every_bar_of_a_page_is_a_row_and_numbers_are_taken_as_they_are(told):
    bars = {
        symbol: [bar(at.isoformat().replace("+00:00", "Z"), 1.0, c=value) for at, value in rows]
        for symbol, rows in told.items()
    }
    read = alpaca_pages.read(json.dumps(page(bars)).encode())
    for timeframe, columns in (("1d", DAILY_SCHEMA), ("1m", MINUTE_SCHEMA)):
        table = alpaca_pages.table(read, timeframe, lambda ts: alpaca_pages.local_dates(ts, "UTC"))
        assert table.schema == columns
        assert table["symbol"].to_pylist() == [symbol for symbol, rows in bars.items() for _ in rows]
    assert read.ts.to_pylist() == [at for rows in told.values() for at, _ in rows]
    for close, value in zip(
        read.values[3], [value for rows in told.values() for _, value in rows], strict=True
    ):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        assert close == value if number else math.isnan(close)


# ---------------------------------------------------------------- assets and calendar


def asset(symbol, exchange="NASDAQ", **changed):
    return {
        "id": f"id-of-{symbol}",
        "class": "us_equity",
        "cusip": None,
        "exchange": exchange,
        "symbol": symbol,
        "name": f"{symbol} Inc.",
        "status": "active",
        "tradable": True,
        "marginable": True,
        "shortable": False,
        "borrow_status": "easy_to_borrow",
        "fractionable": True,
        "margin_requirement_long": "30",
        "margin_requirement_short": "100",
        "attributes": [],
    } | changed


def test_few_symbols_are_looked_up_one_by_one_and_unknown_ones_are_absent(host, vendor):
    host.answers["/v2/assets/AAPL"] = asset("AAPL")
    host.answers["/v2/assets/BRK.B"] = asset("BRK.B", "NYSE")
    found = vendor.listings(["AAPL", "NOPE", "BRK.B", "ETH/USD"])
    assert [(one.symbol, one.mic, one.vendor_ref, one.kind) for one in found] == [
        ("AAPL", "XNAS", "id-of-AAPL", "equity"),
        ("BRK.B", "XNYS", "id-of-BRK.B", "equity"),
        ("ETH/USD", None, None, "crypto"),
    ]


def test_the_whole_list_knows_each_symbol_once_the_active_one_first(host, vendor):
    stocks = [
        asset("DELL", "NYSE", id="old", status="inactive"),
        asset("DELL", "NYSE", id="new"),
        asset("SPY", "ARCA"),
        asset("IMO", "AMEX"),
        asset("CBOE", "BATS"),
        asset("NSRGY", "OTC", status="inactive", name=""),
    ]
    pairs = [asset("BTC/USD", "CRYPTO", **{"class": "crypto"})]
    host.answers["/v2/assets"] = lambda query: {"us_equity": stocks, "crypto": pairs}[query["asset_class"]]
    found = {one.symbol: one for one in vendor.listings()}
    assert {symbol: one.mic for symbol, one in found.items()} == {
        "BTC/USD": None,
        "CBOE": "BATS",
        "DELL": "XNYS",
        "IMO": "XASE",
        "NSRGY": None,
        "SPY": "ARCX",
    }
    assert found["DELL"].vendor_ref == "new"
    assert found["NSRGY"].name == "NSRGY"


def test_a_listing_says_what_may_be_done_with_the_share(host, vendor):
    host.answers["/v2/assets/AAPL"] = asset("AAPL")
    (listing,) = vendor.listings(["AAPL"])
    status = listing.status
    assert (status.status, status.tradable, status.shortable) == ("active", True, False)
    assert (status.margin_long, status.borrow_status) == (30, "easy_to_borrow")


def test_the_brokers_sessions_have_utc_hours_and_half_days(host, vendor):
    host.answers["/v2/calendar"] = [
        {
            "date": "2024-07-02",
            "open": "09:30",
            "close": "16:00",
            "session_open": "0400",
            "session_close": "2000",
        },
        {
            "date": "2024-07-03",
            "open": "09:30",
            "close": "13:00",
            "session_open": "0400",
            "session_close": "1700",
        },
        {
            "date": "2024-07-05",
            "open": "09:30",
            "close": "16:00",
            "session_open": "0400",
            "session_close": "2000",
        },
    ]
    assert isinstance(vendor, KnowsSessions)
    found = vendor.calendar(date(2024, 7, 3), date(2024, 7, 4))
    assert [(one.session, one.opens, one.closes) for one in found] == [
        (
            date(2024, 7, 3),
            datetime(2024, 7, 3, 13, 30, tzinfo=UTC),
            datetime(2024, 7, 3, 17, 0, tzinfo=UTC),
        )
    ]
    assert host.asked[0].query == {"start": "2024-07-03T00:00:00Z", "end": "2024-07-05T00:00:00Z"}

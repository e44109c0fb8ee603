"""The fake Alpaca is honest: its own client reads it, its own description allows it, and it refuses what Alpaca does."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import get_args

import httpx
import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.enums import Adjustment, CorporateActionsType, DataFeed
from alpaca.data.historical import CryptoHistoricalDataClient, StockHistoricalDataClient
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.requests import CorporateActionsRequest, CryptoBarsRequest, StockBarsRequest
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetStatus
from alpaca.trading.requests import GetAssetsRequest, GetCalendarRequest

from qfund.market.actions import ActionKind, CorporateAction
from qfund.testing import Clock, Instrument, Moment, Name, Truth, When, faults
from qfund.testing.paging import Told
from qfund.testing.series import stamp
from qfund.vendors.contract import Rate
from tests.support import alpaca_bars, openapi
from tests.support.alpaca import FakeAlpaca
from tests.support.alpaca_reference import identity

NOW = datetime(2024, 4, 1, 12, tzinfo=UTC)  # before the open
SINCE, UNTIL = date(2024, 1, 2), date(2024, 3, 28)
DAY = date(2024, 3, 7)


@pytest.fixture(scope="module")
def truth() -> Truth:
    made = Truth()
    made.add(Instrument("AAPL", title="Apple Inc. Common Stock"))
    made.add(Instrument("MSFT", venue="NASDAQ"))
    made.add(Instrument("meta", (Name("FB", until=date(2024, 2, 14)), Name("META", date(2024, 2, 15)))))
    made.add(Instrument("old", (Name("ABC"),), listed_on=date(2023, 1, 3), delisted_on=date(2024, 1, 31)))
    made.add(Instrument("new", (Name("ABC"),), listed_on=date(2024, 3, 1)))
    made.add(Instrument("BTC/USD", kind="crypto", calendar="24/7", title="Bitcoin / US Dollar"))
    for key in ("AAPL", "MSFT", "meta", "old", "new"):
        made.walk(key, "1d", SINCE, UNTIL)
    made.walk("AAPL", "1m", DAY, date(2024, 3, 11), extended=True)
    made.walk("BTC/USD", "1d", SINCE, UNTIL)
    return made


@pytest.fixture
def fake(truth):
    with FakeAlpaca(truth, clock=Clock(NOW)) as running:
        yield running


@pytest.fixture
def get(fake):
    """A GET with the right keys; the answer's status and document."""
    headers = {"APCA-API-KEY-ID": fake.key, "APCA-API-SECRET-KEY": fake.secret}
    with httpx.Client(base_url=fake.url, headers=headers) as client:

        def ask(path, headers=None, **params):
            answer = client.get(path, params=params, headers=headers)
            return answer.status_code, answer.json()

        yield ask


def daily(get, symbols="AAPL", **params):
    said = {"symbols": symbols, "timeframe": "1Day", "start": "2024-01-01", "end": "2024-03-31", **params}
    return get("/v2/stocks/bars", **said)


# --- the official client


def test_the_official_client_reads_daily_bars_over_many_pages(fake, truth):
    client = StockHistoricalDataClient(fake.key, fake.secret, url_override=fake.url)
    fake.script.add(faults.ShortPage(25), times=None)
    asked = StockBarsRequest(
        symbol_or_symbols=["MSFT", "AAPL"], timeframe=TimeFrame.Day, start=datetime(2024, 1, 1, tzinfo=UTC), end=datetime(2024, 3, 31, tzinfo=UTC),
        adjustment=Adjustment.RAW,
    )  # fmt: skip
    found = client.get_stock_bars(asked).data
    assert len(fake.log) == 5
    for symbol in ("AAPL", "MSFT"):
        wanted = truth.table("1d", SINCE, UNTIL, keys=[symbol]).to_pylist()
        assert [(bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in found[symbol]] == [
            (row["open"], row["high"], row["low"], row["close"], row["volume"]) for row in wanted
        ]
    assert found["AAPL"][0].timestamp == datetime(2024, 1, 2, 5, tzinfo=UTC)
    assert found["AAPL"][-1].timestamp == datetime(
        2024, 3, 28, 4, tzinfo=UTC
    )  # after the change to summer time


def test_the_official_client_reads_minutes_outside_the_session_too(fake):
    client = StockHistoricalDataClient(fake.key, fake.secret, url_override=fake.url)
    asked = StockBarsRequest(
        symbol_or_symbols="AAPL",
        timeframe=TimeFrame.Minute,
        start=datetime(2024, 3, 7, tzinfo=UTC),
        end=datetime(2024, 3, 9, 1, tzinfo=UTC),
    )
    found = client.get_stock_bars(asked).data["AAPL"]
    assert len(found) == 960 * 2
    assert found[0].timestamp == datetime(2024, 3, 7, 9, tzinfo=UTC)


def test_the_official_client_reads_crypto_bars_without_a_key(fake):
    client = CryptoHistoricalDataClient(url_override=fake.url)
    asked = CryptoBarsRequest(
        symbol_or_symbols="BTC/USD",
        timeframe=TimeFrame.Day,
        start=datetime(2024, 1, 2, tzinfo=UTC),
        end=datetime(2024, 1, 31, tzinfo=UTC),
    )
    found = client.get_crypto_bars(asked).data["BTC/USD"]
    assert [bar.timestamp.day for bar in found] == list(range(2, 32))
    assert found[0].timestamp == datetime(2024, 1, 2, tzinfo=UTC)


def every_action() -> Truth:
    made = Truth()
    made.walk("AAPL", "1d", SINCE, SINCE)
    for number, kind in enumerate(get_args(ActionKind)):
        made.act(
            CorporateAction(
                "AAPL", kind, DAY + timedelta(days=number), new_rate=Decimal(2), old_rate=Decimal(1),
                cash_amount=Decimal("0.25"), other_symbol="XYZ",
            )
        )  # fmt: skip
    reverse = CorporateAction("AAPL", "split", DAY, new_rate=Decimal(1), old_rate=Decimal(10))
    made.act(reverse, record_date=DAY.isoformat())
    return made


def test_the_official_client_reads_corporate_actions_of_all_kinds():
    with FakeAlpaca(every_action(), clock=Clock(NOW)) as fake:
        client = CorporateActionsClient(fake.key, fake.secret, url_override=fake.url)
        asked = CorporateActionsRequest(symbols=["AAPL"], start=DAY, end=DAY + timedelta(days=30), types=[
            kind for kind in CorporateActionsType if kind is not CorporateActionsType.STOCK_MERGER
        ])  # fmt: skip
        found = client.get_corporate_actions(asked).data
    assert found["forward_splits"][0].new_rate == 2
    assert found["reverse_splits"][0].old_rate == 10
    assert found["cash_dividends"][0].rate == 0.25
    assert "stock_mergers" not in found
    assert len(found) >= 10


def test_the_official_client_reads_assets_calendar_and_clock(fake):
    client = TradingClient(fake.key, fake.secret, url_override=fake.url)
    active = client.get_all_assets(GetAssetsRequest(status=AssetStatus.ACTIVE))
    assert [asset.symbol for asset in active] == ["AAPL", "ABC", "META", "MSFT"]
    gone = client.get_all_assets(GetAssetsRequest(status=AssetStatus.INACTIVE))
    assert [(asset.symbol, str(asset.id)) for asset in gone] == [("ABC", identity("old"))]
    assert str(client.get_asset("ABC").id) == identity("new")
    assert client.get_asset(identity("old")).status == AssetStatus.INACTIVE
    assert client.get_asset("BTC%2FUSD").symbol == "BTC/USD"
    days = client.get_calendar(GetCalendarRequest(start=date(2024, 7, 2), end=date(2024, 7, 5)))
    assert [(day.date.day, day.close.hour) for day in days] == [(2, 16), (3, 13), (5, 16)]
    clock = client.get_clock()
    assert not clock.is_open
    assert clock.next_open == datetime(2024, 4, 1, 13, 30, tzinfo=UTC)


def test_the_official_client_is_told_what_is_wrong(fake):
    client = StockHistoricalDataClient(fake.key, fake.secret, url_override=fake.url)
    recent = StockBarsRequest(
        symbol_or_symbols="AAPL",
        timeframe=TimeFrame.Day,
        start=NOW - timedelta(days=3),
        end=NOW,
        feed=DataFeed.SIP,
    )
    with pytest.raises(APIError, match="subscription does not permit querying recent SIP data"):
        client.get_stock_bars(recent)


# --- credentials


@pytest.mark.parametrize(("path", "keys", "status"), [
    ("/v2/stocks/bars", {}, 401),
    ("/v2/stocks/bars", {"APCA-API-KEY-ID": "x", "APCA-API-SECRET-KEY": "y"}, 403),
    ("/v2/assets", {}, 401),
    ("/v2/assets", {"APCA-API-KEY-ID": "x", "APCA-API-SECRET-KEY": "y"}, 401),
])  # fmt: skip
def test_wrong_credentials_are_refused_as_alpaca_does(fake, path, keys, status):
    params = {"symbols": "AAPL", "timeframe": "1Day"} if "bars" in path else {}
    assert httpx.get(fake.url + path, params=params, headers=keys).status_code == status
    assert not fake.log.entries[0].authorized
    assert not {name for name in fake.log.entries[0].headers if name.startswith("apca")}


# --- feeds and times


def test_a_recent_end_without_a_feed_is_iex_and_an_old_one_sip(fake, get):
    recent = (NOW - timedelta(minutes=5)).isoformat()
    old = (NOW - timedelta(minutes=16)).isoformat()
    few = daily(get, end=recent)[1]["bars"]["AAPL"][0]
    many = daily(get, end=old)[1]["bars"]["AAPL"][0]
    assert few["v"] < many["v"] / 20
    assert few["c"] == many["c"]


def test_the_paid_plan_may_ask_for_the_last_minutes(truth):
    with FakeAlpaca(truth, clock=Clock(NOW), plan="plus") as fake:
        answer = httpx.get(
            f"{fake.url}/v2/stocks/bars",
            params={
                "symbols": "AAPL",
                "timeframe": "1Day",
                "start": "2024-03-28",
                "end": NOW.isoformat(),
                "feed": "sip",
            },
            headers={"APCA-API-KEY-ID": fake.key, "APCA-API-SECRET-KEY": fake.secret},
        )
        assert answer.status_code == 200
        assert answer.json()["bars"]["AAPL"][0]["v"] > 28_000


def test_start_and_end_are_both_included(get):
    _, document = get(
        "/v2/stocks/bars",
        symbols="AAPL",
        timeframe="1Min",
        start="2024-03-07T15:00:00Z",
        end="2024-03-07T15:02:00Z",
    )
    assert [bar["t"] for bar in document["bars"]["AAPL"]] == [
        f"2024-03-07T15:0{minute}:00Z" for minute in range(3)
    ]


def test_a_bar_forms_while_its_session_goes_on(truth):
    inside = datetime(2024, 3, 11, 15, 0, 30, tzinfo=UTC)
    with FakeAlpaca(truth, clock=Clock(inside), plan="plus") as fake:
        headers = {"APCA-API-KEY-ID": fake.key, "APCA-API-SECRET-KEY": fake.secret}
        with httpx.Client(base_url=fake.url, headers=headers) as client:

            def last(timeframe):
                params = {
                    "symbols": "AAPL",
                    "timeframe": timeframe,
                    "start": "2024-03-11",
                    "end": "2024-03-12",
                }
                return client.get("/v2/stocks/bars", params=params).json()["bars"]["AAPL"][-1]

            forming = last("1Min"), last("1Day")
            assert forming[0]["t"] == "2024-03-11T15:00:00Z"
            assert forming[1]["t"] == "2024-03-11T04:00:00Z"
            fake.clock.set(datetime(2024, 3, 11, 15, 0, 59, tzinfo=UTC))
            assert last("1Min") == forming[0]
            fake.clock.set(datetime(2024, 3, 11, 20, tzinfo=UTC))
            assert last("1Day")["v"] > forming[1]["v"]
    final = truth.table("1d", date(2024, 3, 11), date(2024, 3, 11), keys=["AAPL"])["volume"][0].as_py()
    assert forming[1]["v"] == final // 2


# --- pages


def test_pages_are_by_symbol_then_time_and_the_limit_counts_all(get):
    _, document = daily(get, "MSFT,AAPL", limit=70)
    assert [len(rows) for rows in document["bars"].values()] == [61, 9]
    assert list(document["bars"]) == ["AAPL", "MSFT"]
    assert b"MSFT" in base64.b64decode(document["next_page_token"])
    _, rest = daily(get, "MSFT,AAPL", limit=70, page_token=document["next_page_token"])
    assert list(rest["bars"]) == ["MSFT"]
    assert rest["next_page_token"] is None


def test_a_symbol_without_bars_is_absent(get):
    assert daily(get, "AAPL,NOSUCH")[1]["bars"].keys() == {"AAPL"}
    assert daily(get, "NOSUCH")[1] == {"bars": {}, "next_page_token": None}


def test_one_symbol_has_a_path_of_its_own(get):
    status, document = get("/v2/stocks/AAPL/bars", timeframe="1Day", start="2024-03-27", end="2024-03-31")
    assert status == 200
    assert document["symbol"] == "AAPL"
    assert [bar["t"] for bar in document["bars"]] == ["2024-03-27T04:00:00Z", "2024-03-28T04:00:00Z"]


# --- names


def first_and_last(document, symbol):
    rows = document["bars"].get(symbol, [])
    return (rows[0]["t"][:10], rows[-1]["t"][:10]) if rows else None


def test_a_renamed_share_is_found_by_the_name_it_had_on_the_day_asked(get):
    assert first_and_last(daily(get, "FB")[1], "FB") is None  # today it means nobody
    whole = ("2024-01-02", "2024-03-28")
    assert first_and_last(daily(get, "META")[1], "META") == whole
    assert first_and_last(daily(get, "FB", asof="2024-02-01")[1], "FB") == whole
    assert first_and_last(daily(get, "FB", asof="-")[1], "FB") == ("2024-01-02", "2024-02-14")
    assert first_and_last(daily(get, "META", asof="-")[1], "META") == ("2024-02-15", "2024-03-28")


def test_a_ticker_that_was_used_again_means_who_had_it(get, truth):
    old, new = daily(get, "ABC", asof="2024-01-31")[1], daily(get, "ABC")[1]
    assert first_and_last(old, "ABC") == ("2024-01-02", "2024-01-31")
    assert first_and_last(new, "ABC") == ("2024-03-01", "2024-03-28")
    assert (
        new["bars"]["ABC"][0]["c"]
        == truth.table("1d", date(2024, 3, 1), UNTIL, keys=["new"])["close"][0].as_py()
    )


# --- corporate actions


def test_actions_are_filtered_by_process_date_paged_and_grouped():
    truth = Truth()
    for number in range(5):
        action = CorporateAction("AAPL", "dividend", DAY + timedelta(days=number), cash_amount=Decimal("0.1"))
        truth.act(action, process_date=DAY + timedelta(days=10 + number))
    late = CorporateAction("AAPL", "split", DAY, new_rate=Decimal(2), old_rate=Decimal(1))
    truth.act(late, when=When(now=NOW + timedelta(days=1)))
    with FakeAlpaca(truth, clock=Clock(NOW)) as fake:
        headers = {"APCA-API-KEY-ID": fake.key, "APCA-API-SECRET-KEY": fake.secret}
        with httpx.Client(base_url=fake.url, headers=headers) as client:

            def ask(**params):
                return client.get("/v1/corporate-actions", params=params).json()

            by_ex_date = {"start": DAY.isoformat(), "end": (DAY + timedelta(days=4)).isoformat()}
            assert ask(**by_ex_date)["corporate_actions"] == {}
            span = {
                "start": DAY.isoformat(),
                "end": (DAY + timedelta(days=12)).isoformat(),
                "symbols": "AAPL",
            }
            first = ask(**span, limit="2")
            assert len(first["corporate_actions"]["cash_dividends"]) == 2
            second = ask(**span, limit="2", page_token=first["next_page_token"])
            assert len(second["corporate_actions"]["cash_dividends"]) == 1
            assert second["next_page_token"] is None
            assert ask(**span, types="forward_split")["corporate_actions"] == {}
            assert ask(**{**span, "symbols": "MSFT"})["corporate_actions"] == {}
            fake.clock.advance(86_400)
            assert list(ask(**span, types="forward_split")["corporate_actions"]) == ["forward_splits"]


# --- the calendar's overrides


def test_a_day_that_is_closed_against_the_calendar_is_not_in_alpacas():
    truth = Truth()
    truth.closed.add(date(2025, 1, 8))
    truth.early[date(2025, 1, 7)] = time(13)
    with FakeAlpaca(truth, clock=Clock(datetime(2025, 1, 7, 17, tzinfo=UTC))) as fake:
        client = TradingClient(fake.key, fake.secret, url_override=fake.url)
        days = client.get_calendar(GetCalendarRequest(start=date(2025, 1, 6), end=date(2025, 1, 10)))
        assert [(day.date.day, day.close.hour) for day in days] == [(6, 16), (7, 13), (10, 16)]
        assert client.get_clock().is_open


# --- refusals


@pytest.mark.parametrize(("params", "message"), [
    ({"adjusted": "false"}, "unexpected query parameter(s): adjusted"),
    ({"symbols": "AAPL,b@d"}, "invalid symbol: b@d"),
    ({"timeframe": "1Fortnight"}, "invalid timeframe: 1Fortnight"),
    ({"limit": "10001"}, "invalid limit: 10001"),
    ({"limit": "0"}, "invalid limit: 0"),
    ({"feed": "moon"}, "invalid feed: moon"),
    ({"asof": "yesterday"}, "invalid asof: yesterday"),
    ({"start": "soon"}, "invalid time: soon"),
    ({"start": "2024-02-01", "end": "2024-01-01"}, "end should not be before start"),
    ({"page_token": "%%%"}, "invalid page_token"),
    ({"symbols": ""}, "symbols is required"),
])  # fmt: skip
def test_what_alpaca_refuses_is_refused(fake, get, params, message):
    assert daily(get, **{"symbols": "AAPL", **params}) == (400, {"message": message})
    fake.complaints.clear()


def test_it_has_a_limit_for_each_of_its_two_hosts(truth):
    with FakeAlpaca(truth, clock=Clock(NOW), rate=Rate(1)) as fake:
        headers = {"APCA-API-KEY-ID": fake.key, "APCA-API-SECRET-KEY": fake.secret}
        with httpx.Client(base_url=fake.url, headers=headers) as client:
            params = {"symbols": "AAPL", "timeframe": "1Day"}
            found = [
                client.get("/v2/stocks/bars", params=params).status_code,
                client.get("/v2/assets").status_code,
                client.get("/v2/stocks/bars", params=params).status_code,
            ]
    assert found == [200, 200, 429]


# --- the check of the fake itself


def test_a_request_that_the_description_does_not_know_fails_the_fake(truth):
    with pytest.raises(AssertionError, match="unknown parameter adjusted"), FakeAlpaca(truth) as fake:
        httpx.get(f"{fake.url}/v1beta3/crypto/us/bars?symbols=BTC/USD&timeframe=1Day&adjusted=false")


@pytest.mark.parametrize(("change", "complaint"), [
    (lambda body: body.replace(b'"vw"', b'"w"'), "'vw' is a required property"),
    (lambda body: body.replace(b'"t":"2024', b'"t":"24'), "is not a 'date-time'"),
    (lambda body: body.replace(b'"o":', b'"o":"1","x":'), "is not of type 'number'"),
    (lambda body: body.replace(b'"next_page_token":null', b'"next":null'), "'next_page_token' is a required property"),
])  # fmt: skip
def test_an_answer_that_the_description_does_not_allow_fails_the_fake(truth, change, complaint):
    class Dishonest(FakeAlpaca):
        def answer(self, request):
            told = super().answer(request)
            return type(told)(change(told.body), told.status, rows=told.rows)

    params = {"symbols": "BTC/USD", "timeframe": "1Day", "start": "2024-01-02", "end": "2024-01-05"}
    with pytest.raises(AssertionError, match=complaint), Dishonest(truth, clock=Clock(NOW)) as fake:
        assert httpx.get(f"{fake.url}/v1beta3/crypto/us/bars", params=params).status_code == 200


def test_nullable_becomes_json_schemas_null():
    plain = openapi._plain({"type": "string", "nullable": True})
    assert plain == {"anyOf": [{"type": "string"}, {"type": "null"}]}


def test_a_scripted_untruth_is_not_held_against_the_fake(fake, get):
    fake.script.add(faults.BadValue("close", "n/a"))
    assert json.dumps(daily(get)[1]).count("n/a") == 1
    assert not fake.complaints


def test_many_bars_are_written_as_one_is(truth):
    for timeframe in ("1m", "1d"):
        series = truth.series("AAPL", timeframe, Moment(NOW))
        kind = {"daily": timeframe == "1d", "crypto": False}
        rows = zip(series.times.tolist(), series.values.tolist(), strict=True)
        singly = [alpaca_bars.bar(Told("", *row), **kind) for row in rows]
        assert alpaca_bars.written(series, **kind) == singly


def test_an_unscripted_bar_is_its_truth(get, truth):
    told = daily(get)[1]["bars"]["AAPL"][-1]
    row = truth.table("1d", UNTIL, UNTIL, keys=["AAPL"]).to_pylist()[0]
    assert (told["o"], told["h"], told["l"], told["c"], told["v"]) == tuple(
        row[name] for name in ("open", "high", "low", "close", "volume")
    )
    assert stamp(row["session"]) == stamp(UNTIL)

"""The fake OANDA is honest: its own client reads it, and it refuses what OANDA refuses."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import httpx
import pytest
import v20

from qfund.testing import Clock, Instrument, Truth, faults
from tests.support.oanda import FakeOanda

NOW = datetime(2024, 3, 12, 3, 0, 30, tzinfo=UTC)
SINCE, UNTIL = date(2024, 3, 7), date(2024, 3, 12)


@pytest.fixture(scope="module")
def truth() -> Truth:
    made = Truth()
    made.add(Instrument("EUR_USD", kind="fx", calendar="FX"))
    made.add(Instrument("USD_JPY", kind="fx", calendar="FX"))
    made.walk("EUR_USD", "1m", SINCE, UNTIL, silent=0.05)
    made.walk("EUR_USD", "1d", date(2024, 2, 1), date(2024, 3, 28))
    made.walk("USD_JPY", "1d", date(2024, 2, 1), UNTIL, price=150.0, tick=0.001)
    return made


@pytest.fixture
def fake(truth):
    with FakeOanda(truth, clock=Clock(NOW)) as running:
        yield running


def client(fake, **options) -> v20.Context:
    host, _, port = fake.url.removeprefix("http://").partition(":")
    return v20.Context(host, int(port), ssl=False, token=options.pop("token", fake.key), **options)


@pytest.fixture
def context(fake):
    made = client(fake)
    yield made
    made._session.close()


def candles(context, name="EUR_USD", **said):
    answer = context.instrument.candles(name, **said)
    assert answer.status == 200, answer.body
    return answer.body["candles"]


# --- candles


def test_the_official_client_reads_mid_bid_and_ask(context, truth):
    found = candles(
        context, price="MBA", granularity="M1", fromTime="2024-03-11T12:00:00Z", toTime="2024-03-11T13:00:00Z"
    )
    wanted = [
        row
        for row in truth.table("1m", SINCE, UNTIL, keys=["EUR_USD"]).to_pylist()
        if datetime(2024, 3, 11, 12, tzinfo=UTC) <= row["ts"] < datetime(2024, 3, 11, 13, tzinfo=UTC)
    ]
    assert 40 < len(wanted) < 60  # silent minutes have no candle
    assert [(one.mid.o, one.mid.h, one.mid.l, one.mid.c, one.volume) for one in found] == [
        (row["open"], row["high"], row["low"], row["close"], row["volume"]) for row in wanted
    ]
    assert all(one.bid.c < one.mid.c < one.ask.c for one in found)
    assert all(one.complete for one in found)
    assert found[0].time.startswith("2024-03-11T12:0")


def test_prices_are_texts_of_the_instruments_digits(fake):
    answer = httpx.get(
        f"{fake.url}/v3/instruments/USD_JPY/candles?granularity=D&count=1",
        headers={"Authorization": f"Bearer {fake.key}"},
    ).json()
    (found,) = answer["candles"]
    assert set(found) == {"complete", "volume", "time", "mid"}
    assert all(
        isinstance(value, str) and len(value.partition(".")[2]) == 3 for value in found["mid"].values()
    )


def test_a_day_goes_from_17_to_17_in_new_york(context):
    found = candles(context, granularity="D", fromTime="2024-03-06T22:00:00Z", toTime="2024-03-12T00:00:00Z")
    assert [one.time[:16] for one in found] == [
        "2024-03-06T22:00", "2024-03-07T22:00", "2024-03-10T21:00", "2024-03-11T21:00",
    ]  # fmt: skip
    assert [one.complete for one in found] == [True, True, True, False]


def test_the_weekend_is_silent(context):
    found = candles(context, granularity="M1", fromTime="2024-03-08T21:30:00Z", toTime="2024-03-10T21:30:00Z")
    assert found[0].time[:13] == "2024-03-08T21"
    assert not [one.time for one in found if "2024-03-08T22:00" <= one.time < "2024-03-10T21:00"]
    assert found[-1].time[:13] == "2024-03-10T21"


def test_the_forming_candle_is_there_and_says_so(fake, context, truth):
    last = candles(context, granularity="M1", count=2)[-1]
    minute = datetime(2024, 3, 12, 3, 0, tzinfo=UTC)
    begun = truth.table("1m", UNTIL, UNTIL, keys=["EUR_USD"]).to_pylist()
    if minute in [row["ts"] for row in begun]:
        assert (last.time[:16], last.complete) == ("2024-03-12T03:00", False)
    fake.clock.advance(60)
    told = {one.time[:16]: one.complete for one in candles(context, granularity="M1", count=10)}
    assert told.get("2024-03-12T03:00", True)


def test_include_first_is_the_candle_that_covers_the_start(context):
    span = {"granularity": "D", "toTime": "2024-03-09T00:00:00Z"}
    with_it = candles(context, **span, fromTime="2024-03-07T12:00:00Z")
    without = candles(context, **span, fromTime="2024-03-07T12:00:00Z", includeFirst=False)
    assert [one.time[:10] for one in with_it] == ["2024-03-06", "2024-03-07"]
    assert [one.time[:10] for one in without] == ["2024-03-07"]
    after = candles(context, **span, fromTime=with_it[0].time, includeFirst=False)
    assert [one.time for one in after] == [without[0].time]


def test_from_and_count_go_on_and_to_and_count_go_back(context):
    assert len(candles(context, granularity="M1", fromTime="2024-03-11T00:00:00Z", count=7)) == 7
    found = candles(context, granularity="M1", toTime="2024-03-11T00:00:00Z", count=7)
    assert len(found) == 7
    assert found[-1].time < "2024-03-11T00:00"
    assert len(candles(context, granularity="M1")) == 500


def test_times_are_unix_seconds_when_that_is_asked(fake):
    made = client(fake, datetime_format="UNIX")
    (found,) = candles(made, granularity="D", count=1)
    made._session.close()
    assert float(found.time) == datetime(2024, 3, 11, 21, tzinfo=UTC).timestamp()


def test_an_account_has_the_same_candles(fake):
    path = f"/v3/accounts/{fake.account_id}/instruments/EUR_USD/candles?granularity=D&count=3"
    answer = httpx.get(fake.url + path, headers={"Authorization": f"Bearer {fake.key}"})
    assert len(answer.json()["candles"]) == 3
    assert answer.headers["requestid"]


# --- instruments and credentials


def test_the_official_client_reads_instruments(fake, context):
    answer = context.account.instruments(fake.account_id)
    assert [(one.name, one.type, one.displayPrecision, one.pipLocation) for one in answer.body["instruments"]] == [
        ("EUR_USD", "CURRENCY", 5, -4), ("USD_JPY", "CURRENCY", 3, -2),
    ]  # fmt: skip
    (one,) = context.account.instruments(fake.account_id, instruments="USD_JPY").body["instruments"]
    assert one.name == "USD_JPY"
    accounts = context.account.list().body["accounts"]
    assert [account.id for account in accounts] == [fake.account_id]


def test_a_wrong_token_is_refused(fake):
    made = client(fake, token="wrong")
    answer = made.instrument.candles("EUR_USD", granularity="D", count=1)
    made._session.close()
    assert answer.status == 401
    assert answer.body["errorMessage"] == "Insufficient authorization to perform request."
    assert fake.log.entries[0].authorized is False
    assert "authorization" not in fake.log.entries[0].headers


@pytest.mark.parametrize(("said", "message"), [
    ({"count": 5001}, "Maximum value for 'count' exceeded"),
    ({"fromTime": "2024-03-07T00:00:00Z", "toTime": "2024-03-10T12:00:00Z"}, "Maximum value for 'count' exceeded"),
    ({"fromTime": "2024-03-11T00:00:00Z", "toTime": "2024-03-11T01:00:00Z", "count": 5}, "'count' cannot be specified"),
    ({"count": 0}, "Invalid value specified for 'count'"),
    ({"granularity": "M7"}, "Invalid value specified for 'granularity'"),
    ({"price": "X"}, "Invalid value specified for 'price'"),
    ({"fromTime": "soon"}, "Invalid value specified for 'from'"),
    ({"toTime": "2024-03-13T00:00:00Z"}, "Time is in the future"),
    ({"fromTime": "2024-03-11T01:00:00Z", "toTime": "2024-03-11T00:00:00Z"}, "Invalid value specified for 'to'"),
])  # fmt: skip
def test_what_oanda_refuses_is_refused(context, said, message):
    answer = context.instrument.candles("EUR_USD", **{"granularity": "M1", **said})
    assert answer.status == 400
    assert message in answer.body["errorMessage"]


def test_an_unknown_instrument_is_refused(context):
    answer = context.instrument.candles("EUR_XXX", granularity="D")
    assert (answer.status, answer.body["errorMessage"]) == (400, "Invalid value specified for 'instrument'")


# --- the kit behind it


def test_faults_play_here_too(fake, context):
    fake.script.add(faults.Forming(), symbol="EUR_USD")
    found = candles(context, granularity="D", fromTime="2024-03-01T00:00:00Z", toTime="2024-03-08T00:00:00Z")
    assert [one.complete for one in found] == [True] * (len(found) - 1) + [False]


def test_the_log_knows_the_sessions_that_were_asked(fake, context):
    candles(context, granularity="M1", fromTime="2024-03-10T21:00:00Z", toTime="2024-03-11T21:00:00Z")
    pairs = fake.log.asked("/candles", calendar="FX")
    assert pairs == {("EUR_USD", date(2024, 3, 11)): 1}


def test_a_correction_is_told_here_too():
    truth = Truth()
    truth.add(Instrument("EUR_USD", kind="fx", calendar="FX"))
    truth.walk("EUR_USD", "1d", date(2024, 2, 1), date(2024, 2, 9))
    truth.correct("EUR_USD", "1d", date(2024, 2, 9), close=1.5, high=1.6)
    with FakeOanda(truth, clock=Clock(NOW - timedelta(days=20))) as fake:
        context = client(fake)
        assert candles(context, granularity="D", count=1)[0].mid.c == 1.5
        context._session.close()

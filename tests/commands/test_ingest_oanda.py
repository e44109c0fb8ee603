"""`qfund ingest --vendor oanda`: candles of days and minutes, from the Sunday open on, complete ones alone."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from itertools import pairwise

import numpy as np
import pytest

from qfund.market.bars import FIELDS
from qfund.market.sessions import minutes_in_session, sessions
from qfund.store import sources
from qfund.store.bars import read_bars
from qfund.testing import Clock, Instrument, faults
from tests.support.ingesting import Cli, TriggeredOanda, covered_pairs, oanda_variables, wanted_pairs

NOW = datetime(2024, 3, 12, 3, 0, 30, tzinfo=UTC)  # 23:00 New York: the session of the 12th has six hours
SINCE, LAST, GOING_ON = date(2024, 3, 4), date(2024, 3, 11), date(2024, 3, 12)
LINE = "ingest --vendor oanda --symbols EUR_USD --since 2024-03-04 --until 2024-03-11 --reread 0"


@pytest.fixture(scope="module")
def world():
    from qfund.testing import Truth

    made = Truth()
    for name, price, tick in (("EUR_USD", 1.1, 0.00001), ("USD_JPY", 150.0, 0.001)):
        made.add(Instrument(name, kind="fx", calendar="FX"))
        made.walk(name, "1d", date(2024, 1, 2), GOING_ON, price=price, tick=tick)
    made.walk("EUR_USD", "1m", SINCE, GOING_ON, silent=0.05)
    return made


@pytest.fixture
def fake(world):
    with TriggeredOanda(world, clock=Clock(NOW)) as made:
        yield made


@pytest.fixture
def cli(fake, store_url, tmp_path):
    return Cli(tmp_path, oanda_variables(fake, store_url))


@pytest.fixture
def qfund(cli, monkeypatch, capsys):
    return lambda line: cli.here(line, monkeypatch, capsys)


def document(ran):
    return json.loads(ran.out)


def assert_whole(store, fake, timeframe, *, since=SINCE, until=LAST, symbol="EUR_USD"):
    """The stored bars are the true ones, bar for bar."""
    series = next(one for one in sources.sources(store, timeframe) if one.vendor == "oanda")
    found = read_bars(store, [symbol], series=series, since=since, until=until)
    wanted = fake.truth.table(timeframe, since, until, keys=[symbol]).to_pandas(date_as_object=False)
    assert len(found.close) == len(wanted) > 0
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(found, name)[symbol].to_numpy(), wanted[name].to_numpy())
    return found


def test_days_run_from_17_to_17_in_new_york(qfund, store, fake):
    ran = qfund(LINE)
    assert ran.code == 0, ran.err
    found = assert_whole(store, fake, "1d")
    assert [str(day.date()) for day in found.close.index] == [
        "2024-03-04", "2024-03-05", "2024-03-06", "2024-03-07", "2024-03-08", "2024-03-11",
    ]  # fmt: skip
    (asked,) = fake.log.of("/candles")
    assert (asked.params["dailyAlignment"], asked.params["alignmentTimezone"]) == ("17", "America/New_York")
    assert asked.params["includeFirst"] == "true"


def test_minutes_of_a_session_begin_on_sunday_evening_whatever_the_clocks_do(qfund, store, fake):
    """New York's clocks go forward on Sunday, 2024-03-10; the session of Monday opens that day at 17:00, 21:00 UTC."""
    ran = qfund(f"{LINE} --timeframe 1m --json")
    assert ran.code == 0, ran.err
    found = assert_whole(store, fake, "1m")
    times = found.close.index
    monday = times[times > datetime(2024, 3, 9, tzinfo=UTC)].min()
    assert datetime(2024, 3, 10, 21, 1, tzinfo=UTC) <= monday <= datetime(2024, 3, 10, 21, 15, tzinfo=UTC)
    assert monday.tz_convert("America/New_York").hour == 17
    most = int(minutes_in_session("FX", SINCE, LAST).sum())
    assert 0.9 * most < document(ran)["data"]["total"]["rows_new"] < most
    assert covered_pairs(store, "1m", "FX") == wanted_pairs(("EUR_USD",), SINCE, LAST, "FX")


def test_no_window_holds_more_than_5000_candles_and_none_is_asked_twice(qfund, fake):
    assert qfund(f"{LINE} --timeframe 1m").code == 0
    spans = sorted(
        (datetime.fromisoformat(one.params["from"]), datetime.fromisoformat(one.params["to"]))
        for one in fake.log.of("/candles")
    )
    assert len(spans) == 3  # a week with its weekend is 10,020 minutes
    assert all((end - start).total_seconds() <= 5000 * 60 for start, end in spans)
    assert all(one[1] < two[0] for one, two in pairwise(spans))
    assert {one.params["granularity"] for one in fake.log.of("/candles")} == {"M1"}
    assert [one.status for one in fake.log.of("/candles")] == [200] * 3


def test_a_candle_that_is_not_complete_is_never_stored(qfund, store, fake):
    """The session of the 12th goes on: its day is not asked for, its last minute is not taken."""
    line = LINE.replace("2024-03-11", "2024-03-12")
    assert qfund(line).code == 0
    assert_whole(store, fake, "1d", until=LAST)
    with store.sql.connect() as connection:
        assert connection.exec_driver_sql("SELECT max(session) FROM sec.bar_1d").scalar_one() == LAST
    assert qfund(f"{line} --timeframe 1m").code == 0
    with store.sql.connect() as connection:
        last = connection.exec_driver_sql("SELECT max(ts) FROM sec.bar_1m_hot").scalar_one()
    assert last is None or last < NOW
    assert max(day for _, day in covered_pairs(store, "1m", "FX")) == LAST
    fake.clock.set(datetime(2024, 3, 12, 21, 30, tzinfo=UTC))  # 17:30 New York: over, and final
    assert qfund(line).code == 0
    assert_whole(store, fake, "1d", until=GOING_ON)
    assert qfund(f"{line} --timeframe 1m").code == 0
    assert_whole(store, fake, "1m", until=GOING_ON)


def test_what_the_vendor_says_is_forming_is_left(qfund, store, fake):
    fake.script.add(faults.Forming(), path="/candles")
    ran = qfund(LINE)
    assert ran.code in (0, 5), ran.err
    with store.sql.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM sec.bar_1d").scalar_one() == 5
    fake.script.clear()
    assert qfund(f"{LINE} --full-refresh").code == 0
    assert_whole(store, fake, "1d")


@pytest.mark.parametrize("kind", ["bid", "ask"])
def test_quotes_are_another_series(qfund, store, fake, kind):
    assert qfund(LINE).code == 0
    assert qfund(f"{LINE} --price {kind}").code == 0
    kinds = {one.price_kind for one in sources.sources(store, "1d") if one.vendor == "oanda"}
    assert kinds == {"mid", kind}
    assert [one.params["price"] for one in fake.log.of("/candles")] == ["M", kind[0].upper()]


def test_years_of_days_are_few_requests(qfund, store, fake):
    ran = qfund(
        "ingest --vendor oanda --symbols EUR_USD,USD_JPY --since 2024-01-02 --until 2024-03-11 --reread 0"
    )
    assert ran.code == 0, ran.err
    assert len(fake.log.of("/candles")) == 2
    assert_whole(store, fake, "1d", since=date(2024, 1, 2), symbol="USD_JPY")
    assert len(sessions("FX", date(2024, 1, 2), LAST)) == 50


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("OANDA_TOKEN", ("vendors.oanda.token", "qfund.toml", "OANDA_TOKEN")),
        ("QFUND__VENDORS__OANDA__ACCOUNT_ID", ("vendors.oanda.account_id", "qfund.toml")),
    ],
)
def test_what_is_not_set_is_named(cli, qfund, fake, name, words):
    del cli.variables[name]
    ran = qfund(LINE)
    assert ran.code == 3
    assert all(word in ran.err.replace("\n", " ") for word in words), ran.err
    assert len(fake.log) == 0


def test_a_wrong_token_is_told_in_the_vendors_words_and_not_shown(cli, qfund, fake):
    cli.variables["OANDA_TOKEN"] = "canary-of-a-wrong-token-55"
    ran = qfund(LINE)
    assert ran.code == 3
    assert "Insufficient authorization" in ran.err
    assert "canary" not in ran.out + ran.err


def test_the_token_is_nowhere_also_when_the_vendor_echoes_it(cli, store, fake):
    fake.script.add(faults.Status(400, f"Bearer {fake.key} is strange"), path="/candles", times=None)
    ran = cli(f"{LINE} --verbose")
    assert ran.code == 13, ran.err
    assert "is strange" in ran.err
    assert fake.key not in ran.out + ran.err
    files = [path.read_bytes() for path in cli.folder.rglob("*") if path.is_file()]
    assert not [one for one in files if fake.key.encode() in one]


def test_an_unknown_pair_among_good_ones(qfund, store, fake):
    ran = qfund(LINE.replace("EUR_USD", "EUR_USD,XXX_YYY"))
    assert ran.code == 4
    assert "XXX_YYY is unknown to oanda" in ran.err
    assert_whole(store, fake, "1d")

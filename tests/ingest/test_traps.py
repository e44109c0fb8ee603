"""The fifteen traps of market data, each by its name: what goes wrong at a vendor, and what the database holds then.

Each test runs the real Alpaca vendor against the fake on loopback, and compares the database with the truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pandas as pd
import pytest

from qfund.errors import ConfigError, DataQualityError, PartialError, UpstreamError
from qfund.ingest import ledger
from qfund.market.actions import CorporateAction
from qfund.store import coverage, securities, sources
from qfund.store.actions import read_actions
from qfund.store.bars import read_bars
from qfund.testing import Clock, Instrument, Name, When, faults
from tests.ingest.rig import (
    EVENING,
    SINCE,
    SYMBOLS,
    UNTIL,
    Way,
    assert_whole,
    errors,
    ingest,
    offers,
    revisions,
    stored,
)
from tests.support.alpaca import FakeAlpaca
from tests.support.ingesting import BriskAlpaca


@pytest.fixture
def fake() -> Iterator[FakeAlpaca]:
    with FakeAlpaca(clock=Clock(EVENING)) as made:
        for symbol in SYMBOLS:
            made.truth.walk(symbol, "1d", date(2024, 1, 2), UNTIL)
        yield made


@pytest.fixture
def way(fake: FakeAlpaca) -> Way:
    return Way(fake, offers("1d", reread=0))


def days_asked(fake: FakeAlpaca, symbol: str) -> set[date]:
    return {day for name, day in fake.log.asked("/bars") if name == symbol}


def missing(store) -> int:
    """The sessions that are gaps in the one series."""
    (series,) = sources.sources(store, "1d")
    return sum(one.missing for one in ledger.standings(store, series).values())


# --- 1 ---------------------------------------------------------------------------------------------------------------


def test_trap_1_a_hole_in_the_middle_is_asked_for_again_and_nothing_else(store, fake, way):
    march = {"since": date(2024, 3, 4), "until": date(2024, 3, 8)}
    ingest(store, way, since=date(2024, 1, 2), until=date(2024, 1, 31))
    ingest(store, way, since=UNTIL, until=UNTIL)
    fake.log.clear()
    ingest(store, way, **march)
    assert days_asked(fake, "IBM") == {date(2024, 3, day) for day in range(4, 9)}
    fake.log.clear()
    report, _ = ingest(store, way, **march)
    assert (len(fake.log), report.run_id) == (0, None)
    assert_whole(store, fake, **march)


def test_trap_1_what_was_asked_and_is_empty_is_not_asked_for_ever(store, fake, way):
    fake.truth.withdraw("IBM", "1d", date(2024, 3, 6))
    report, _ = ingest(store, way)
    assert report.by_symbol["IBM"].holes == 1
    fake.log.clear()
    ingest(store, way)
    assert len(fake.log) == 0


# --- 2 ---------------------------------------------------------------------------------------------------------------


def test_trap_2_a_late_correction_is_taken_over_and_the_old_value_kept(store, fake):
    five = Way(fake, offers("1d", reread=5))
    ingest(store, five)
    old = stored(store).set_index(["symbol", "time"]).loc[("IBM", "2024-03-08")]
    fake.truth.correct("IBM", "1d", date(2024, 3, 8), close=old.close - 0.01)
    fake.log.clear()
    report, _ = ingest(store, five)
    assert (report.total.new, report.total.changed, report.total.same) == (0, 1, 14)
    assert revisions(store) == [(date(2024, 3, 8), old.close, old.volume)]
    assert days_asked(fake, "IBM") == {date(2024, 3, day) for day in (5, 6, 7, 8, 11)}  # the last five
    assert_whole(store, fake)
    report, _ = ingest(store, five)
    assert (report.total.changed, report.total.same, len(revisions(store))) == (0, 15, 1)


# --- 3 ---------------------------------------------------------------------------------------------------------------


def test_trap_3_a_split_after_the_fact_changes_no_raw_price_and_no_read_of_before(store, fake, way):
    ingest(store, way)
    before = datetime.now(UTC)
    raw = stored(store)
    split = CorporateAction("IBM", "split", date(2024, 3, 7), new_rate=Decimal(2), old_rate=Decimal(1))
    fake.truth.act(split, process_date=date(2024, 3, 7))
    ingest(store, Way(fake, offers("1d", reread=1)), jobs=1)
    assert stored(store).equals(raw)
    (series,) = sources.sources(store, "1d")

    def closes(**how):
        bars = read_bars(store, ["IBM"], series=series, since=SINCE, until=UNTIL, **how)
        return bars.close["IBM"].tolist()

    plain, adjusted = closes(), closes(adjust="split")
    assert adjusted == [*(price / 2 for price in plain[:3]), *plain[3:]]
    assert closes(adjust="split", as_of=before) == plain


# --- 4 ---------------------------------------------------------------------------------------------------------------


def test_trap_4_a_bar_that_is_still_forming_is_not_stored_until_it_is_final(store, fake, way):
    noon = datetime(2024, 3, 11, 16, tzinfo=UTC)
    fake.clock.set(noon)
    ingest(store, way)
    assert stored(store)["time"].max() == pd.Timestamp("2024-03-08")
    fake.clock.set(datetime(2024, 3, 11, 20, 15, tzinfo=UTC))  # closed, and not settled
    ingest(store, way)
    assert stored(store)["time"].max() == pd.Timestamp("2024-03-08")
    fake.clock.set(datetime(2024, 3, 11, 20, 45, tzinfo=UTC))
    ingest(store, way)
    assert_whole(store, fake)


# --- 5 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "until", "minutes"),
    [
        (date(2024, 3, 8), date(2024, 3, 11), [390, 390]),  # clocks go forward on the 10th
        (date(2023, 11, 3), date(2023, 11, 6), [390, 390]),  # and back on the 5th
        (date(2023, 11, 22), date(2023, 11, 24), [390, 210]),  # Thanksgiving, and the half day after it
        (date(2024, 2, 28), date(2024, 3, 1), [390, 390, 390]),  # leap day
    ],
)
def test_trap_5_sessions_are_the_exchanges_own_across_changes_of_the_clocks(
    store, fake, since, until, minutes
):
    for symbol in SYMBOLS:
        fake.truth.walk(symbol, "1m", since, until, extended=True)
    report, _ = ingest(store, Way(fake), timeframe="1m", since=since, until=until)
    assert errors(report) == ()
    found = stored(store, ("IBM",), "1m", since=since, until=until)
    local = found["time"].dt.tz_convert("America/New_York")
    assert local.dt.strftime("%H:%M").min() == "09:30"
    assert found.groupby(local.dt.date).size().tolist() == minutes
    assert report.left_out["outside_hours"] > 0


def test_trap_5_times_of_another_zone_are_refused_and_named(store, fake, way):
    fake.script.add(faults.Shifted(hours=-5.0), path="/bars", times=None)
    report, _ = ingest(store, way)
    assert set(report.reasons) == {"wrong_zone"}
    (error,) = errors(report)
    assert (type(error), error.exit_code) == (DataQualityError, 5)
    fake.script.clear()
    ingest(store, way)
    assert_whole(store, fake)


# --- 6 ---------------------------------------------------------------------------------------------------------------


def test_trap_6_a_renamed_share_is_one_instrument_and_its_history_is_whole(store, fake, way):
    renamed = date(2024, 2, 1)
    names = (Name("FB", until=renamed - timedelta(days=1)), Name("META", since=renamed))
    fake.truth.add(Instrument("meta", names=names))
    fake.truth.walk("meta", "1d", date(2024, 1, 2), UNTIL)
    report, _ = ingest(store, way, symbols=("META",), since=date(2024, 1, 2))
    assert errors(report) == ()
    assert len(securities.listings(store)) == 1
    (status,) = coverage.status(store)
    assert (status.symbol, status.first, status.last) == ("META", date(2024, 1, 2), UNTIL)
    assert missing(store) == 0


def test_trap_6_every_question_says_as_of_which_day_its_symbols_are_meant(store, fake, way):
    ingest(store, way)
    assert fake.log.without(path="/v2/stocks/bars", asof="2024-03-11", adjustment="raw") == []
    assert fake.log.forbidden("feed", path="/v2/stocks/bars") == []


# --- 7 ---------------------------------------------------------------------------------------------------------------

PAGES = [
    faults.ShortPage(2),
    faults.EmptyPage(),
    faults.Overlap(1),
    faults.Overlap(3),
]


@pytest.mark.parametrize("fault", PAGES, ids=str)
def test_trap_7_odd_pages_change_nothing(store, fake, way, fault):
    fake.script.add(faults.ShortPage(4), path="/bars")
    fake.script.add(fault, path="/bars", number=2, times=2)
    report, _ = ingest(store, way)
    assert errors(report) == ()
    assert_whole(store, fake)


def test_trap_7_an_answer_that_goes_in_circles_is_ended(store, fake, way):
    fake.script.add(faults.ShortPage(4), path="/bars", times=None)
    fake.script.add(faults.RepeatToken(), path="/bars", times=None, with_token=True)
    report, _ = ingest(store, way)
    assert report.kept == []
    assert {failed.error.code for failed in report.failed} == {"NO_PROGRESS"}
    assert len(fake.log) < 60
    fake.script.clear()
    ingest(store, way)
    assert_whole(store, fake)


def test_trap_7_two_different_bars_for_one_day_are_both_refused(store, fake, way):
    fake.script.add(faults.TwoBars(), path="/bars")
    report, _ = ingest(store, way)
    assert sum(report.reasons.values()) == 2
    assert set(report.reasons) <= {"conflict", "order"}
    assert len(stored(store)) == 17
    assert errors(report)[0].exit_code == 5
    ingest(store, way)
    assert_whole(store, fake)


def test_trap_7_an_expired_token_costs_one_fresh_start(store, fake, way):
    fake.script.add(faults.ShortPage(4), path="/bars", times=2)
    fake.script.add(faults.ExpiredToken(), path="/bars", with_token=True)
    report, _ = ingest(store, way)
    assert errors(report) == ()
    assert_whole(store, fake)


# --- 8 ---------------------------------------------------------------------------------------------------------------

PASSING = [
    faults.Status(500),
    faults.Status(502, body="<html>Bad Gateway</html>"),
    faults.Status(504),
    faults.Drop("before headers"),
    faults.Drop("after headers"),
    faults.Drop("in the body"),
    faults.CutGzip(),
    faults.CutJson(),
    faults.Text(),
    faults.Text("Exceeded the daily hits limit", "text/plain"),
    faults.ContentType("text/html"),
    faults.BadValue("close", float("nan")),  # which is no JSON
]


@pytest.mark.parametrize("fault", PASSING, ids=str)
def test_trap_8_what_passes_is_asked_again(store, fake, way, fault):
    fake.script.add(fault, path="/bars", times=2)
    report, _ = ingest(store, way)
    assert errors(report) == ()
    assert report.sent().retried == 2
    assert_whole(store, fake)


@pytest.mark.parametrize(
    "fault",
    [
        faults.Status(429, retry_after=1),
        faults.Status(429, retry_after=1, as_date=True),
        faults.Status(429, reset_in=1),
        faults.Status(429, reset_in=-1e8),  # long ago, as some servers say
        faults.Status(503, retry_after=1),
    ],
    ids=str,
)
def test_trap_8_a_vendor_that_says_wait_is_waited_for(store, way, fault):
    with FakeAlpaca(clock=Clock(EVENING, frozen=False)) as fake:
        for symbol in SYMBOLS:
            fake.truth.walk(symbol, "1d", SINCE, UNTIL)
        fake.script.add(fault, path="/bars")
        report, _ = ingest(store, replace(way, fake=fake))
        assert errors(report) == ()
        assert fake.log.early() == []
        assert_whole(store, fake)


def test_trap_8_one_symbol_that_is_refused_costs_that_symbol_only(store, fake, way):
    fake.script.add(faults.Status(400, "invalid symbol: IBM"), path="/bars", symbol="IBM", times=None)
    report, _ = ingest(store, way)
    (error,) = errors(report)
    assert (type(error), error.exit_code) == (PartialError, 4)
    assert error.details["symbols"] == ["IBM"]
    assert "invalid symbol: IBM" in error.message
    assert_whole(store, fake, ("AAPL", "MSFT"))


def test_trap_8_a_vendor_that_fails_for_ever_keeps_what_came_before(store, fake, way):
    fake.script.add(faults.Status(500), path="/bars", times=None)
    report, _ = ingest(store, way, attempts=2)
    (error,) = errors(report)
    assert (type(error), error.exit_code) == (UpstreamError, 13)
    fake.script.clear()
    ingest(store, way)
    assert_whole(store, fake)


@pytest.mark.parametrize("status", [401, 403])
def test_trap_8_a_refused_key_ends_the_run_with_the_vendors_words(store, fake, way, status):
    fake.script.add(faults.Status(status, "forbidden."), path="/bars", times=None)
    report, _ = ingest(store, way)
    (error,) = errors(report)
    assert (type(error), error.exit_code) == (ConfigError, 3)
    assert len(fake.log.of("/bars")) == 1
    assert fake.secret not in str(error.message) + str(error.details)


# --- 9, see also test_kill_network -----------------------------------------------------------------------------------


def test_trap_9_a_run_that_was_stopped_goes_on_where_it_was(store, fake):
    chunks = Way(fake, {**offers("1d", reread=0, sessions_per_request=2), "concurrency": 1})
    fake.script.add(faults.Status(500), path="/bars", number=2, times=None)
    report, _ = ingest(store, chunks, attempts=1)
    assert len(report.kept) == 1
    fake.script.clear()
    fake.log.clear()
    ingest(store, chunks)
    assert days_asked(fake, "IBM") == {date(2024, 3, day) for day in (6, 7, 8, 11)}
    assert_whole(store, fake)


# --- 10 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", [1, 4, 16])
def test_trap_10_no_more_requests_than_allowed_however_many_at_a_time(store, jobs):
    with BriskAlpaca(clock=Clock(EVENING, frozen=False)) as fake:
        for symbol in SYMBOLS:
            fake.truth.walk(symbol, "1d", date(2024, 1, 2), UNTIL)
        shape = {**offers("1d", reread=0, sessions_per_request=1), "concurrency": jobs}
        report, _ = ingest(store, Way(fake, shape), jobs=jobs, since=date(2024, 1, 2))
        assert errors(report) == ()
        assert fake.log.over(fake.second.requests, fake.second.seconds) == []
        assert fake.log.most_in_flight() <= jobs
        assert_whole(store, fake, since=date(2024, 1, 2))


# --- 11 --------------------------------------------------------------------------------------------------------------


def test_trap_11_the_run_keeps_its_account(store, fake, way):
    report, _ = ingest(store, way)
    (run,) = coverage.recent_runs(store)
    assert run.status == "ok"
    assert run.counters["rows_new"] == 18
    assert run.counters["requests"] == len(fake.log) == report.sent().requests


# --- 12 --------------------------------------------------------------------------------------------------------------


def test_trap_12_a_read_as_of_a_moment_is_the_same_after_new_data(store, fake, way):
    ingest(store, way)
    (series,) = sources.sources(store, "1d")
    then = datetime.now(UTC)

    def fingerprint():
        span = {"since": SINCE, "until": UNTIL}
        return read_bars(store, SYMBOLS, series=series, adjust="all", as_of=then, **span).fingerprint()

    was = fingerprint()
    fake.truth.correct("IBM", "1d", date(2024, 3, 8), volume=1.0)
    dividend = CorporateAction("MSFT", "dividend", date(2024, 3, 6), cash_amount=Decimal("0.75"))
    fake.truth.act(dividend)
    report, _ = ingest(store, Way(fake, offers("1d", reread=5)))
    assert report.total.changed == 1
    assert fingerprint() == was


# --- 13 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (faults.BadValue("close", None), "not_a_number"),
        (faults.BadValue("open", -1.0), "not_positive"),
        (faults.BadValue("volume", -1.0), "negative_volume"),
        (faults.BadValue("volume", 1e18), "impossible_volume"),
        (faults.BadValue("high", "abc"), "not_a_number"),
        (faults.HighBelowLow(), "order"),
        (faults.Future(), "outside_span"),
    ],
    ids=str,
)
def test_trap_13_bad_values_are_kept_apart_counted_and_asked_again(store, fake, way, fault, reason):
    fake.script.add(fault, path="/bars")
    report, _ = ingest(store, way)
    assert report.reasons == {reason: 1}
    assert errors(report)[0].exit_code == 5
    with store.sql.connect() as connection:
        kept = connection.exec_driver_sql("SELECT reason FROM sec.quarantine").scalars().all()
    assert kept == [reason]
    report, _ = ingest(store, way)
    assert errors(report) == ()
    assert_whole(store, fake)


def test_trap_13_null_where_bars_should_be_is_an_empty_answer(store, fake, way):
    fake.script.add(faults.NullBars(), path="/bars")
    report, _ = ingest(store, way)
    assert report.total.holes == 18


# --- 14 --------------------------------------------------------------------------------------------------------------


def test_trap_14_two_feeds_are_two_series(store, fake):
    ingest(store, Way(fake))
    ingest(store, Way(fake), feed="iex")
    rows = {(row.symbol, row.feed): row.bars for row in coverage.status(store)}
    assert rows == {(symbol, feed): 6 for symbol in SYMBOLS for feed in ("sip", "iex")}
    sip, iex = (one for one in sources.sources(store, "1d"))
    volumes = [
        read_bars(store, ["IBM"], series=one, since=SINCE, until=UNTIL).volume["IBM"].sum()
        for one in (sip, iex)
    ]
    assert volumes[0] > 10 * volumes[1]


# --- 15 --------------------------------------------------------------------------------------------------------------


def test_trap_15_a_day_that_the_exchange_closed_unforeseen_is_no_error(store, fake, way):
    fake.truth.closed.add(date(2024, 3, 7))
    for symbol in SYMBOLS:
        fake.truth.withdraw(symbol, "1d", date(2024, 3, 7), When())
    report, _ = ingest(store, way)
    assert errors(report) == ()
    assert report.total.holes == 3
    fake.log.clear()
    ingest(store, way)
    assert len(fake.log) == 0


def test_trap_6_a_rename_learned_by_the_run_itself_leaves_no_hole(store, fake, way):
    """The list still has the old name; the change of name is told by the same run that needs it."""
    renamed = date(2024, 2, 1)
    share = fake.truth.add(Instrument("zz", names=(Name("ZZA"),)))
    fake.truth.walk("zz", "1d", date(2024, 1, 2), UNTIL)
    fake.clock.set(datetime(2024, 1, 31, 3, tzinfo=UTC))
    ingest(store, way, symbols=("ZZA",), since=date(2024, 1, 2), until=date(2024, 1, 30))
    names = (Name("ZZA", until=renamed - timedelta(days=1)), Name("ZZB", since=renamed))
    fake.truth.instruments[-1] = replace(share, names=names)
    change = CorporateAction("ZZB", "name_change", renamed, other_symbol="ZZB", former_symbol="ZZA")
    fake.truth.act(change)
    fake.clock.set(EVENING)
    report, _ = ingest(store, way, symbols=("ZZA",), since=date(2024, 1, 2), until=UNTIL)
    assert errors(report) == ()
    (status,) = coverage.status(store)
    assert (missing(store), status.last) == (0, UNTIL)


def test_a_run_takes_back_no_action_of_a_symbol_that_it_did_not_ask_for(store, fake, way):
    """IBM is complete, so that only AAPL is asked for."""
    fake.truth.act(CorporateAction("IBM", "dividend", date(2024, 3, 6), cash_amount=Decimal(1)))
    ingest(store, way, symbols=("IBM",))
    ingest(store, way, symbols=("AAPL", "IBM"))
    assert len(read_actions(store, ["IBM"], since=SINCE, until=UNTIL)) == 1


# --- spin-offs -------------------------------------------------------------------------------------------------------


@pytest.fixture
def parted(fake):
    """One GEV for four GE on 2024-03-06."""
    for symbol, since in (("GE", date(2024, 1, 2)), ("GEV", date(2024, 3, 6))):
        fake.truth.add(Instrument(symbol, listed_on=since))
        fake.truth.walk(symbol, "1d", since, UNTIL)
    fake.truth.act(
        CorporateAction(
            "GE", "spinoff", date(2024, 3, 6), new_rate=Decimal(1), old_rate=Decimal(4), other_symbol="GEV"
        )
    )
    return fake


def carried(store):
    """By what the closes of GE before the spin-off are multiplied, and by what they should be."""
    (series,) = sources.sources(store, "1d")
    raw, adjusted = (
        read_bars(store, ["GE", "GEV"], series=series, since=SINCE, until=UNTIL, adjust=how)
        for how in ("raw", "all")
    )
    factors = (adjusted.close["GE"] / raw.close["GE"]).round(12).tolist()
    fitting = 1 - raw.close["GEV"].iloc[2] / 4 / raw.close["GE"].iloc[1]
    return factors, [round(fitting, 12)] * 2 + [1.0] * 4


def test_one_run_of_parent_and_child_adjusts_the_parent(store, parted, way):
    ingest(store, way, symbols=("GE", "GEV"))
    found, wanted = carried(store)
    assert found == wanted


def test_the_run_that_brings_the_child_adjusts_the_parent_stored_before(store, parted, way):
    ingest(store, way, symbols=("GE",))
    ingest(store, way, symbols=("GEV",))
    found, wanted = carried(store)
    assert found == wanted


def test_chunks_of_a_session_each_adjust_the_parent_all_the_same(store, parted):
    ingest(store, Way(parted, offers("1d", reread=0, sessions_per_request=1)), symbols=("GEV", "GE"))
    found, wanted = carried(store)
    assert found == wanted

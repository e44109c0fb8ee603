"""An ingest ends equal to the truth, whatever happens on the way, and never asks twice for what it has."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest

from qfund.errors import (
    ConfigError,
    DataQualityError,
    LockedError,
    PartialError,
    RefusedError,
    UnreachableError,
    UpstreamError,
)
from qfund.ingest import ledger
from qfund.ingest.apply import Ingest
from qfund.ingest.look import Wish
from qfund.ingest.report import Began, Failed, Kept
from qfund.market.actions import CorporateAction
from qfund.market.bars import FIELDS
from qfund.store import coverage, securities, sources
from qfund.store.bars import read_bars
from qfund.vendors.contract import BarRequest, Offer
from qfund.vendors.sample import Sample
from tests.ingest.doubles import (
    FIRST,
    LAST,
    SYMBOLS,
    Altered,
    CutShort,
    Failing,
    Truthful,
    replaced,
)

DAY = date(2012, 4, 5)


def ingest(store, vendor, **wish):
    """Plan and apply; the report."""
    work = Ingest(store, vendor, Wish(**wish), patience=0.0)
    events = list(work.apply(work.plan()))
    return work.report, events


def stored(store, symbols=SYMBOLS) -> pd.DataFrame:
    """The stored bars as rows, as the vendor gives them."""
    (series,) = sources.sources(store, "1d")
    bars = read_bars(store, symbols, series=series, since=FIRST, until=LAST)
    frames = [getattr(bars, name).melt(ignore_index=False, value_name=name) for name in FIELDS]
    rows = pd.concat([frames[0].symbol, *(f[n] for f, n in zip(frames, FIELDS, strict=True))], axis=1)
    rows = rows.dropna().reset_index()
    rows["session"] = rows["session"].dt.date
    rows = rows[["session", "symbol", *FIELDS]]
    return rows.sort_values(["symbol", "session"], ignore_index=True)


def quarantined(store) -> list[dict]:
    """The bars that were not fit, as they came, with the reason."""
    with store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT symbol, session::text, bar, reason FROM sec.quarantine ORDER BY quarantine_id"
        ).all()
    return [{"symbol": row[0], "session": row[1], **row[2], "reason": row[3]} for row in rows]


def truth(symbols=SYMBOLS) -> pd.DataFrame:
    (page,) = Sample().bars(BarRequest(tuple(symbols), "1d", FIRST, LAST, Sample.capabilities.offer("1d")))
    rows = page.bars.to_pandas().sort_values(["symbol", "session"], ignore_index=True)
    return rows[["session", "symbol", "open", "high", "low", "close", "volume"]]


def assert_equals_truth(store, symbols=SYMBOLS):
    found = stored(store, symbols)
    pd.testing.assert_frame_equal(found, truth(symbols), check_exact=True, check_dtype=False)


# --- the plain way ---------------------------------------------------------------------------------------------------


def test_an_ingest_ends_equal_to_the_truth_and_tells_each_step(store):
    report, events = ingest(store, Truthful())
    assert_equals_truth(store)
    assert isinstance(events[0], Began)
    assert [type(event) for event in events if isinstance(event, Kept | Failed)] == [Kept] * 4
    assert {symbol: tally.new for symbol, tally in report.by_symbol.items()} == {
        "AAPL": 125, "FB": 30, "IBM": 125,
    }  # fmt: skip
    assert (report.status, report.errors("again"), report.summary()) == (
        "ok", (), "kept 4 of 4 spans, 280 bars",
    )  # fmt: skip


def test_a_second_ingest_asks_the_vendor_nothing(store):
    ingest(store, Truthful())
    vendor = Truthful()
    report, events = ingest(store, vendor)
    assert (events, vendor.requests, report.run_id) == ([], [], None)


def test_a_wider_span_asks_for_the_difference_only(store):
    ingest(store, Truthful(), symbols=("IBM",), since=date(2012, 3, 1), until=date(2012, 3, 30))
    vendor = Truthful()
    ingest(store, vendor, symbols=("IBM",), since=date(2012, 2, 1), until=date(2012, 4, 30))
    asked = [(request.since, request.until) for request in vendor.requests]
    assert asked == [
        (date(2012, 2, 1), date(2012, 2, 29)),
        (date(2012, 4, 2), date(2012, 4, 30)),
    ]


def test_a_symbol_added_later_is_fetched_alone(store):
    ingest(store, Truthful(), symbols=("IBM",))
    vendor = Truthful()
    ingest(store, vendor)
    assert {symbol for request in vendor.requests for symbol in request.symbols} == {"AAPL", "FB"}
    assert_equals_truth(store)


def test_planning_writes_nothing(store):
    Ingest(store, Truthful(), Wish()).plan()
    assert securities.listings(store) == {}
    assert coverage.recent_runs(store, 5) == []


def test_the_run_keeps_its_account(store):
    report, _ = ingest(store, Truthful())
    (run,) = coverage.recent_runs(store, 5)
    assert (run.ingest_run_id, run.vendor, run.status) == (report.run_id, "truthful", "ok")
    assert run.counters["rows_new"] == 280
    assert run.counters["spans_kept"] == run.counters["spans"] == 4


# --- vendors that fail -----------------------------------------------------------------------------------------------


def test_a_symbol_that_fails_costs_that_symbol_only(store):
    vendor = Failing("AAPL")
    report, events = ingest(store, vendor)
    assert_equals_truth(store, ["FB", "IBM"])
    failed = [event for event in events if isinstance(event, Failed)]
    assert {event.step.symbols for event in failed} == {("AAPL",)}
    (error,) = report.errors("qfund ingest --vendor truthful")
    assert isinstance(error, PartialError)
    assert error.fix == "qfund ingest --vendor truthful"
    assert "AAPL failed: The vendor answers 503." in error.message
    assert (report.status, coverage.recent_runs(store, 1)[0].status) == ("partial", "partial")


def test_what_failed_is_asked_again_and_nothing_else(store):
    vendor = Failing("AAPL")
    ingest(store, vendor)
    vendor.error, vendor.requests = None, []
    report, _ = ingest(store, vendor)
    assert {request.symbols for request in vendor.requests} == {("AAPL",)}
    assert report.status == "ok"
    assert_equals_truth(store)


def test_a_vendor_that_never_answers_is_left_alone_after_three_requests(store):
    vendor = Failing("IBM")
    report, _ = ingest(store, vendor, symbols=("IBM",))
    assert len(vendor.requests) == 3
    vendor = Failing("IBM")
    vendor.capabilities = replace(
        Truthful.capabilities, offers=(replace(Truthful.capabilities.offers[0], sessions_per_request=5),)
    )
    report, _ = ingest(store, vendor, symbols=("IBM",))
    assert len(vendor.requests) in (3, 4)  # one more may be on its way when the third has failed
    assert report.untried == 25 - len(vendor.requests)
    (error,) = report.errors("again")
    assert isinstance(error, UpstreamError)
    assert f"{report.untried} further spans were not tried" in error.message


def test_refused_credentials_end_the_run_at_once(store):
    vendor = Failing("AAPL", ConfigError("The key is refused.", fix="set vendors.truthful.key"))
    report, _ = ingest(store, vendor)
    (error,) = report.errors("again")
    assert isinstance(error, ConfigError)
    assert error.message.startswith("The key is refused. Kept 0 of")
    assert error.fix == "set vendors.truthful.key"
    assert len(vendor.requests) == 1
    assert coverage.recent_runs(store, 1)[0].status == "failed"


GONE = UnreachableError("data.example cannot be reached (tried 6 times).")


def test_a_vendor_that_cannot_be_reached_is_asked_one_question_and_given_up(store):
    vendor = Failing("AAPL", GONE)
    report, _ = ingest(store, vendor)
    assert len(vendor.requests) == 1
    (error,) = report.errors("qfund ingest --vendor truthful")
    assert (error.exit_code, error.code, error.fix) == (
        13,
        "VENDOR_UNREACHABLE",
        "qfund ingest --vendor truthful",
    )
    assert error.message == f"{GONE.message} Kept 0 of 4 spans, 0 bars."
    ingest(store, Truthful())
    assert_equals_truth(store)


class Silent(Truthful):
    """Cannot be reached with one kind of question."""

    def __init__(self, question: str, error: UpstreamError = GONE) -> None:
        super().__init__()
        self.question = question
        self.error = error
        self.questions: list[str] = []

    def _asked(self, question: str) -> None:
        self.questions.append(question)
        if question == self.question:
            raise self.error

    def actions(self, symbols, since, until):
        self._asked("actions")
        return super().actions(symbols, since, until)

    def calendar(self, since, until):
        self._asked("calendar")

    def answer(self, request):
        self._asked("bars")
        yield from super().answer(request)


@pytest.mark.parametrize(("question", "asked"), [("actions", 1), ("calendar", 3), ("bars", 4)])
def test_whatever_it_cannot_be_asked_ends_the_run_at_once(store, question, asked):
    """Two questions for actions (of two symbols each), the calendar, bars."""
    vendor = Silent(question)
    report, _ = ingest(store, vendor)
    assert len(vendor.questions) == asked
    assert [error.exit_code for error in report.errors("again")] == [13]
    assert coverage.recent_runs(store, 1)[0].status == "failed"


def test_bars_are_not_asked_for_without_their_actions(store):
    """The vendor answers questions for corporate actions with errors, after all attempts, and would give the bars."""
    vendor = Silent("actions", UpstreamError("data.example answers 503 (tried 6 times)."))
    report, events = ingest(store, vendor)
    assert len(vendor.questions) == 5  # both batches, and the three symbols alone
    assert "bars" not in vendor.questions
    assert {event.step.symbols for event in events if isinstance(event, Failed)} == {
        ("AAPL",),
        ("FB",),
        ("IBM",),
    }
    assert [error.exit_code for error in report.errors("again")] == [13]
    ingest(store, Truthful())
    assert_equals_truth(store)


def test_a_fault_of_the_vendors_code_ends_the_run_and_keeps_what_was_committed(store):
    vendor = Failing("FB", ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        ingest(store, vendor)
    assert coverage.recent_runs(store, 1)[0].status == "partial"
    ingest(store, Truthful())
    assert_equals_truth(store)


def test_an_answer_that_is_cut_short_is_not_taken_for_a_whole_one(store):
    report, events = ingest(store, CutShort(), symbols=("IBM",))
    assert {event.error.code for event in events if isinstance(event, Failed)} == {"CUT_SHORT"}
    assert report.kept == []
    ingest(store, Truthful())
    assert_equals_truth(store)


class Generous(Truthful):
    """Tells of a dividend of its own making."""

    def __init__(self, action: CorporateAction) -> None:
        super().__init__()
        self.action = action

    def actions(self, symbols, since, until):
        return [self.action] if since <= self.action.ex_date <= until else []


def test_actions_of_a_symbol_that_was_not_asked_for_fail_the_step(store):
    split = CorporateAction("MSFT", "split", DAY, new_rate=Decimal(2), old_rate=Decimal(1))
    report, _ = ingest(store, Generous(split), symbols=("IBM",))
    assert {failed.error.code for failed in report.failed} == {"BAD_ANSWER"}
    assert "MSFT" in report.failed[0].error.message
    assert report.kept == []


def test_a_dividend_above_the_price_costs_its_symbol_only(store):
    absurd = CorporateAction("IBM", "dividend", DAY, cash_amount=Decimal(5000))

    class Absurd(Generous):
        def actions(self, symbols, since, until):
            return super().actions(symbols, since, until) if "IBM" in symbols else []

    report, _ = ingest(store, Absurd(absurd))
    assert {failed.step.symbols for failed in report.failed} == {("IBM",)}
    assert_equals_truth(store, ["AAPL", "FB"])
    (error,) = report.errors("again")
    assert "a dividend of 5000 does not fit" in error.message


# --- answers that are not fit ----------------------------------------------------------------------------------------


def broken_on(day, **values):
    return Altered(lambda table, _request: replaced(table, "IBM", day, **values))


def test_a_bad_bar_is_rejected_counted_and_asked_again(store):
    report, _ = ingest(store, broken_on(DAY, low=0.0))
    assert (report.by_symbol["IBM"].new, report.by_symbol["IBM"].rejected) == (124, 1)
    (error,) = report.errors("again")
    assert isinstance(error, DataQualityError)
    assert "1 bar was not fit" in error.message
    assert error.details["reasons"] == {"not_positive": 1}
    vendor = Truthful()
    ingest(store, vendor)
    assert vendor.requests == [BarRequest(("IBM",), "1d", DAY, DAY, vendor.capabilities.offers[0])]
    assert_equals_truth(store)


def test_rejected_bars_are_kept_with_the_run(store):
    ingest(store, broken_on(DAY, close=float("nan")))
    (row,) = quarantined(store)
    assert (row["symbol"], row["session"], row["close"], row["reason"]) == (
        "IBM", "2012-04-05", "NaN", "not_a_number",
    )  # fmt: skip


def test_rows_of_a_symbol_that_was_not_asked_for_are_rejected(store):
    def stranger(table: pa.Table, request: BarRequest) -> pa.Table:
        extra = table.slice(0, 1).to_pylist()[0] | {"symbol": "GOOG"}
        return pa.concat_tables([table, pa.Table.from_pylist([extra], schema=table.schema)])

    report, _ = ingest(store, Altered(stranger), symbols=("IBM",))
    assert report.by_symbol["GOOG"].rejected == 3
    assert report.reasons == {"symbol": 3}
    vendor = Truthful()
    ingest(store, vendor, symbols=("IBM",))
    assert vendor.requests == []


def test_repeats_are_counted_and_different_bars_of_one_day_rejected(store):
    twice = Altered(lambda table, _request: pa.concat_tables([table, table]))
    report, _ = ingest(store, twice)
    assert sum(step.repeated for step in report.kept) == 280
    assert_equals_truth(store)


def test_two_answers_for_one_day_are_both_refused(store):
    def contradicting(table: pa.Table, request: BarRequest) -> pa.Table:
        other = replaced(table, "IBM", DAY, volume=1.0)
        return pa.concat_tables([table, other])

    report, _ = ingest(store, Altered(contradicting), symbols=("IBM",))
    assert report.reasons == {"conflict": 2}
    assert DAY not in set(stored(store, ["IBM"]).session)


def test_a_session_without_a_bar_is_a_hole_and_is_not_asked_for_ever(store):
    def halted(table: pa.Table, request: BarRequest) -> pa.Table:
        days = pa.array([date(2012, 4, 5), date(2012, 4, 9)], pa.date32())
        return table.filter(pa.compute.invert(pa.compute.is_in(table["session"], value_set=days)))

    report, _ = ingest(store, Altered(halted), symbols=("IBM",))
    assert report.by_symbol["IBM"].holes == 2
    assert report.errors("again") == ()
    vendor = Truthful()
    ingest(store, vendor, symbols=("IBM",))
    assert vendor.requests == []
    (row,) = coverage.status(store)
    assert (row.symbol, row.bars) == ("IBM", 123)
    (series,) = sources.sources(store, "1d")
    assert [one.missing for one in ledger.standings(store, series).values()] == [2]


def take_coverage_back(store):
    with store.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE ops.coverage SET sessions = '{}'")


def test_another_answer_for_a_stored_bar_is_counted_as_changed_and_the_old_one_kept(store):
    ingest(store, Truthful(), symbols=("IBM",))
    take_coverage_back(store)
    report, _ = ingest(store, broken_on(DAY, volume=1.0), symbols=("IBM",))
    tally = report.by_symbol["IBM"]
    assert (tally.new, tally.changed, tally.same) == (0, 1, 124)
    with store.sql.connect() as connection:
        old = connection.exec_driver_sql("SELECT session, volume FROM sec.bar_revision").all()
    rows = truth(["IBM"])
    assert old == [(DAY, rows[rows.session == DAY].volume.item())]


def test_bars_of_a_session_that_is_not_over_are_not_expected(store):
    vendor = Truthful()
    vendor.capabilities = replace(
        Truthful.capabilities,
        offers=(Offer("1d", feed="wiki", first=FIRST, last=None, sessions_per_request=42),),
    )
    noon = datetime(2012, 4, 5, 16, 0, tzinfo=UTC)
    work = Ingest(store, vendor, Wish(symbols=("IBM",)), clock=lambda: noon)
    made = work.plan()
    assert made.seen.offered == (FIRST, date(2012, 4, 4))
    list(work.apply(made))
    evening = datetime(2012, 4, 5, 20, 0, tzinfo=UTC)
    later = Ingest(store, vendor, Wish(symbols=("IBM",)), clock=lambda: evening).plan()
    assert [(step.since, step.until) for step in later.steps] == [(DAY, DAY)]


# --- stopping, and two at once ---------------------------------------------------------------------------------------


def test_a_run_that_is_stopped_keeps_whole_steps_and_says_how_many(store):
    work = Ingest(store, Truthful(), Wish())
    with closing(work.apply(work.plan())) as events:
        for event in events:
            if isinstance(event, Kept):
                break
    assert work.report.summary() == "kept 1 of 4 spans, 84 bars"
    assert coverage.recent_runs(store, 1)[0].status == "partial"
    vendor = Truthful()
    ingest(store, vendor)
    assert len(vendor.requests) == 3
    assert_equals_truth(store)


class Interrupted(Truthful):
    """Ctrl-C arrives while the second request is answered, once the first is committed."""

    def __init__(self) -> None:
        super().__init__()
        self.first_is_kept = threading.Event()

    def answer(self, request):
        yield from super().answer(request)
        if len(self.requests) == 2:
            self.first_is_kept.wait(10)
            raise KeyboardInterrupt


def test_ctrl_c_within_a_request_keeps_the_steps_before(store):
    vendor = Interrupted()
    work = Ingest(store, vendor, Wish())

    def follow():
        for event in work.apply(work.plan()):
            if isinstance(event, Kept):
                vendor.first_is_kept.set()

    with pytest.raises(KeyboardInterrupt):
        follow()
    assert work.report.summary() == "kept 1 of 4 spans, 84 bars"
    ingest(store, Truthful())
    assert_equals_truth(store)


def test_a_plan_that_another_run_overtook_is_planned_again(store):
    vendor = Truthful()
    slow = Ingest(store, vendor, Wish())
    made = slow.plan()
    ingest(store, Truthful(), symbols=("IBM",))
    began, *_ = slow.apply(made)
    assert began.overtaken
    assert began.further == -125
    assert {symbol for request in vendor.requests for symbol in request.symbols} == {"AAPL", "FB"}
    assert_equals_truth(store)


def test_a_plan_that_another_run_finished_asks_nothing(store):
    vendor = Truthful()
    slow = Ingest(store, vendor, Wish())
    made = slow.plan()
    ingest(store, Truthful())
    (began,) = slow.apply(made)
    assert (began.overtaken, began.further, began.plan.steps) == (True, -280, ())
    assert vendor.requests == []


def test_a_plan_whose_facts_have_changed_otherwise_is_refused(store):
    vendor = Truthful()
    work = Ingest(store, vendor, Wish())
    made = work.plan()
    vendor.capabilities = replace(
        Truthful.capabilities, offers=(replace(Truthful.capabilities.offers[0], last=date(2012, 5, 31)),)
    )
    with pytest.raises(RefusedError) as caught:
        list(work.apply(made))
    assert caught.value.code == "STALE_PLAN"
    assert vendor.requests == []


def test_a_plan_from_before_data_were_taken_back_is_refused(store):
    ingest(store, Truthful(), symbols=("IBM",), until=date(2012, 3, 30))
    work = Ingest(store, Truthful(), Wish())
    made = work.plan()
    take_coverage_back(store)
    with pytest.raises(RefusedError, match="less is covered of IBM"):
        list(work.apply(made))


def first_plan(store):
    return Ingest(store, Truthful(), Wish()).plan()


def test_two_at_once_wait_for_each_other_or_say_so(store):
    told: list[str] = []
    with closing(Ingest(store, Truthful(), Wish(), patience=0.0).apply(first_plan(store))) as first:
        next(first)  # it has begun, and has claimed all symbols
        work = Ingest(store, Truthful(), Wish(), patience=0.2, on_wait=told.append)
        with pytest.raises(LockedError) as caught:
            list(work.apply(work.plan()))
    assert caught.value.exit_code == 75
    assert told == ["Another ingest is fetching some of these symbols; waiting for it to end."]
    ingest(store, Truthful())
    assert_equals_truth(store)


class Delisting(Truthful):
    """IBM is delisted when it is asked the second time."""

    def listings(self, symbols=None):
        found = super().listings(symbols)
        if not self.requests:
            return found
        return [replace(one, delisted_on=date(2012, 5, 31)) if one.symbol == "IBM" else one for one in found]


def test_a_delisting_is_learned_with_the_next_fetch(store):
    vendor = Delisting()
    ingest(store, vendor, symbols=("IBM",), until=date(2012, 3, 30))
    ingest(store, vendor, symbols=("IBM",), until=date(2012, 4, 30))
    plan = Ingest(store, vendor, Wish(symbols=("IBM",))).plan()
    assert plan.steps[-1].until == date(2012, 5, 31)
    assert plan.notes == ("IBM was delisted on 2012-05-31; nothing is expected after.",)

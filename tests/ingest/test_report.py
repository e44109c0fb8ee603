"""The account of an ingest counts what is committed, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qfund.errors import DataQualityError, PartialError, UpstreamError
from qfund.ingest.plan import FetchSpan, SymbolFacts, plan
from qfund.ingest.report import Kept, Report, Tally
from tests.ingest.test_plan import DAYS, facts, fresh

STEP = FetchSpan(("A",), DAYS[0], DAYS[9], 10)


def kept(tally: Tally, **changes) -> Kept:
    whole = Kept(
        step=STEP, tallies={"A": tally}, reasons={}, repeated=0, actions=0, covers={"A": [(DAYS[0], DAYS[9])]}
    )
    return replace(whole, **changes)


@pytest.fixture
def report() -> Report:
    made = plan(facts(fresh("A"), sessions_per_request=10))
    whole = Report(made)
    whole.add(made)
    return whole


def test_a_fresh_report_has_kept_nothing(report):
    assert report.summary() == "kept 0 of 25 spans, 0 bars"
    assert (report.status, report.errors("again")) == ("failed", ())


def test_a_committing_step_is_in_the_stored_account_and_not_yet_in_the_told_one(report):
    report.committing = kept(Tally(new=10))
    assert report.counters["rows_new"] == 10
    assert report.total.new == 0
    report.confirm(report.committing)
    assert (report.counters["rows_new"], report.total.new, report.committing) == (10, 10, None)


@pytest.mark.parametrize(
    ("covered", "counted"),
    [
        (((DAYS[0], DAYS[9]),), 1),  # the commit arrived
        (((DAYS[0], DAYS[20]),), 1),
        ((), 0),  # it did not
        (((DAYS[0], DAYS[8]),), 0),
    ],
)
def test_an_interrupted_commit_counts_if_the_coverage_says_it_happened(report, covered, counted):
    report.committing = kept(Tally(new=10))
    report.settle(facts(SymbolFacts("A", None, None, covered)))
    assert (len(report.kept), report.committing) == (counted, None)


def test_tallies_add_up_by_symbol_and_over_all(report):
    report.confirm(kept(Tally(new=7, rejected=2, holes=1), reasons={"order": 2}))
    report.confirm(kept(Tally(same=9, changed=1)))
    assert report.by_symbol == {"A": Tally(new=7, changed=1, same=9, rejected=2, holes=1)}
    assert report.total.stored == 17
    assert report.reasons == {"order": 2}


def test_what_failed_and_what_was_rejected_are_both_told(report):
    report.confirm(kept(Tally(new=9, rejected=1), reasons={"order": 1}))
    report.fail(STEP, UpstreamError("503."))
    report.finished = True
    partial, quality = report.errors("qfund ingest --vendor v")
    assert isinstance(partial, PartialError)
    assert partial.message == "Kept 1 of 25 spans, 9 bars. A failed: 503."
    assert isinstance(quality, DataQualityError)
    assert quality.message.startswith("1 bar was not fit to be stored: 1 high below or low above")
    assert (partial.fix, quality.fix) == ("qfund ingest --vendor v", "qfund data check")
    assert report.status == "partial"


@pytest.mark.parametrize(("code", "untried"), [("VENDOR_UNAVAILABLE", 4), ("VENDOR_THROTTLES", 0)])
def test_a_vendor_that_is_down_is_told_from_a_symbol_that_failed_and_what_came_before_is_kept(
    report, code, untried
):
    report.confirm(kept(Tally(new=9)))
    report.fail(STEP, UpstreamError("It does not answer.", code=code))
    report.untried = untried
    (error,) = report.errors("again")
    assert (error.exit_code, error.code, error.fix) == (13, code, "again")
    assert error.message.startswith("Kept 1 of 25 spans, 9 bars. A failed: It does not answer.")
    assert report.status == "partial"


def test_a_run_that_kept_nothing_is_unavailable_rather_than_partial(report):
    report.fail(STEP, UpstreamError("503.", code="VENDOR_DOWN"))
    (error,) = report.errors("again")
    assert (type(error), error.code) == (UpstreamError, "VENDOR_DOWN")


def test_a_kept_chunk_ends_a_row_of_failures(report):
    report.in_a_row = 2
    report.confirm(kept(Tally(new=1)))
    assert report.in_a_row == 0

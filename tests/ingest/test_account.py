"""Every row of a file is accounted for, whatever the file holds and whatever is asked of it."""

from __future__ import annotations

import csv
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from qfund.errors import QfundError
from qfund.ingest.account import account
from qfund.ingest.apply import Ingest
from qfund.ingest.look import Wish
from qfund.ingest.plan import FetchSpan, dates_of
from qfund.vendors.contract import CountsRows, Setup
from qfund.vendors.files import Files
from tests.ingest.test_properties import EMPTIED

HEAD = "symbol,time,open,high,low,close,volume"
START = date(2024, 3, 21)  # a Thursday; Good Friday is the 29th
NOW = datetime(2024, 4, 4, 18, tzinfo=UTC)  # in the middle of a session
FEW = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

days = st.integers(0, 20).map(lambda n: START + timedelta(days=n))
minutes = st.builds(
    lambda day, minute: f"{day}T{minute // 60:02}:{minute % 60:02}:00Z",
    days,
    st.sampled_from([0, 270, 810, 1199, 1200, 1380]),
)
damage = st.sampled_from(
    [
        lambda line: line[: len(line) // 2],
        lambda line: line + ",9",
        lambda line: '"' + line,
        lambda line: line + '"',
        lambda line: line.replace("2024", "2x24"),
        lambda line: line.partition(",")[2].join([",", ""]),  # no symbol
        lambda line: line.replace(",1.0,", ",-1.0,"),
        lambda line: line.replace(",1.0,", ",x,"),
        lambda line: line.replace("2024", "2023"),
        lambda line: line.replace("2024", "2031"),
        lambda line: line,
    ]
)


def row(symbol: str, time: object, close: float, volume: int) -> str:
    return f"{symbol},{time},1.0,2.0,0.5,{close},{volume}"


def lines(times):
    whole = st.builds(row, st.sampled_from("AB"), times, st.sampled_from([1.0, 1.5]), st.integers(1, 9))
    return st.lists(
        st.one_of(whole, whole, st.builds(lambda one, harm: harm(one), whole, damage)),
        min_size=1,
        max_size=25,
    )


wishes = st.fixed_dictionaries(
    {},
    optional={
        "symbols": st.sampled_from([("A",), ("B",), ("A", "B")]),
        "since": days,
        "until": days,
        "refresh": st.booleans(),
    },
)


@pytest.fixture
def emptied(store):
    def empty():
        with store.sql.begin() as connection:
            connection.exec_driver_sql(f"TRUNCATE {', '.join(EMPTIED)} CASCADE")
        return store

    return empty


def run(store, path, timeframe, calendar, wish):
    """One ingest of a file; its account, and what is written beside the file."""
    vendor = Files(Setup({"path": str(path), "calendar": calendar}))
    assert isinstance(vendor, CountsRows)
    if vendor.capabilities.offer(timeframe) is None:
        return None
    work = Ingest(store, vendor, Wish(timeframe=timeframe, **wish), clock=lambda: NOW)
    plan = work.plan()
    report = None
    if plan.steps:
        with closing(work.apply(plan)) as events:
            for _ in events:
                pass
        report = work.report
    found = account(vendor.census(), plan.seen, report)
    rejects = []
    if report is not None and report.rejects is not None:
        with vendor.write_rejects(report.rejects).open() as file:
            rejects = list(csv.DictReader(file))
    assert report is None or not report.failed
    return found, rejects


@FEW
@given(
    st.one_of(st.tuples(st.just("1d"), lines(days)), st.tuples(st.just("1m"), lines(minutes))),
    st.sampled_from(["XNYS", "CMES", "24/7"]),
    st.lists(wishes, min_size=1, max_size=3),
)
def test_rows_read_are_rows_stored_rejected_or_outside_of_what_was_asked(
    emptied, tmp_path, told, calendar, asked
):
    timeframe, text = told
    path = tmp_path / "bars.csv"
    path.write_text("\n".join([HEAD, *text]) + "\n")
    store = emptied()
    for wish in asked:
        try:
            done = run(store, path, timeframe, calendar, wish)
        except QfundError as error:  # the whole file or the wish is refused, in words
            event(error.code)
            continue
        if done is None:
            event("dates only")
            continue
        found, rejects = done
        event("accounted")
        assert found.rows == len(text)
        assert found.lost == 0
        told_for = (
            found.stored + found.rejected + found.repeated + found.left_out + sum(found.unread.values())
        )
        assert told_for == found.rows
        assert "to_do" not in found.unread or found.stored == 0
        assert len(rejects) == found.rejected
        assert len({one["line"] for one in rejects}) == found.rejected  # each in its own line
        assert all(one["reason"] for one in rejects)


def test_the_steps_of_a_plan_share_out_every_date_that_was_asked_for(store, tmp_path):
    path = tmp_path / "bars.csv"
    path.write_text("\n".join([HEAD, row("A", "2024-03-23", 1, 5), row("A", "2024-04-06", 1, 5)]) + "\n")
    vendor = Files(Setup({"path": str(path)}))
    facts = Ingest(store, vendor, Wish(), clock=lambda: NOW).plan().seen
    assert (facts.sessions[0], facts.sessions[-1]) == (date(2024, 3, 25), date(2024, 4, 5))
    cuts = [FetchSpan(("A",), day, day, 1) for day in facts.sessions]
    spans = [dates_of(facts, step) for step in cuts]
    assert spans[0][0] == date(2024, 3, 23)
    assert spans[-1][1] == date(2024, 4, 6)
    for (_, until), (since, _) in pairwise(spans):
        assert since == until + timedelta(days=1)

"""An answer is judged by what is stored around it, by what was read before, and by what a person said."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from qfund.ingest.check import check
from qfund.ingest.judging import judged
from qfund.ingest.plan import FetchSpan
from qfund.market.actions import CorporateAction
from qfund.market.sessions import sessions
from qfund.store import coverage, quarantine
from qfund.store.accepting import accept
from qfund.vendors.contract import DAILY_SCHEMA, BarRequest, Offer
from tests.support.stored import Shelf

DAYS = [day.date() for day in sessions("XNYS", date(2024, 3, 1), date(2024, 3, 28))]
OFFER = Offer("1d", "", first=date(2000, 1, 1), last=None, sessions_per_request=99)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def bar(day, price, symbol="A"):
    return (symbol, day, price, price + 0.5, price - 0.5, price, 1000.0 + day.day)


@pytest.fixture
def shelf(store):
    found = Shelf(store)
    found.list("A", "B")
    return found


def judge(shelf, rows, *, actions=(), again=True):
    days = [row[1] for row in rows] or DAYS
    columns = list(zip(*rows, strict=True)) or [[] for _ in DAILY_SCHEMA.names]
    table = pa.table([list(column) for column in columns], schema=DAILY_SCHEMA)
    step = FetchSpan(("A", "B"), min(days), max(days), len(days))
    checked = check(table, BarRequest(step.symbols, "1d", step.since, step.until, OFFER), now=NOW)
    with shelf.store.transaction() as conn:
        return judged(conn, shelf.series, step, OFFER, checked, ids=shelf.ids, actions=actions, again=again)


def reasons(result):
    return result.checked.rejected["reason"].to_pylist()


def test_a_spike_on_the_first_day_is_seen_by_what_is_stored_before(shelf):
    shelf.write(bar(day, 100.0) for day in DAYS[:3])
    result = judge(shelf, [bar(DAYS[3], 1000.0), bar(DAYS[4], 100.0)])
    assert reasons(result) == ["spike"]
    assert result.checked.good["session"].to_pylist() == [DAYS[4]]


def test_sound_bars_pass_with_and_without_anything_stored(shelf):
    rows = [bar(day, 100.0) for day in DAYS]
    assert len(judge(shelf, rows).checked.good) == len(DAYS)
    shelf.write(rows)
    assert len(judge(shelf, rows).checked.good) == len(DAYS)
    assert len(judge(shelf, rows, again=False).checked.good) == len(DAYS)


def test_a_vendor_that_halves_what_it_told_before_is_named_and_refused(shelf):
    shelf.write(bar(day, 100.0 + day.day) for day in DAYS[:5])
    rows = [
        tuple(v / 2 if isinstance(v, float) else v for v in bar(day, 100.0 + day.day)) for day in DAYS[:5]
    ]
    result = judge(shelf, [*rows, bar(DAYS[2], 7.0, "B")])
    assert reasons(result) == ["adjusted"] * 5
    (said,) = result.said
    assert said.startswith("acme answered with adjusted prices of A")
    assert "1/2" in said
    assert result.checked.good["symbol"].to_pylist() == ["B"]


def test_a_split_between_the_stored_and_the_new_that_does_not_show(shelf):
    shelf.write(bar(day, 100.0) for day in DAYS[:5])
    split = CorporateAction("A", "split", DAYS[5], new_rate=Decimal(2), old_rate=Decimal(1))
    rows = [bar(day, 100.0) for day in DAYS[5:8]]
    assert reasons(judge(shelf, rows, actions=[split])) == ["adjusted"] * 3
    assert reasons(judge(shelf, [bar(day, 50.0) for day in DAYS[5:8]], actions=[split])) == []


def test_what_a_person_accepted_passes_every_later_read(shelf):
    shelf.write(bar(day, 100.0) for day in DAYS if day != DAYS[3])
    rows = [bar(day, 1000.0 if day == DAYS[3] else 100.0) for day in DAYS[1:6]]
    result = judge(shelf, rows)
    assert reasons(result) == ["spike"]
    run = coverage.start_run(shelf.store, "acme", "bars 1d", {})
    with shelf.store.transaction() as conn:
        quarantine.write(conn, shelf.series, run, shelf.ids, result.checked.rejected)
    accept(shelf.store, [one.quarantine_id for one in quarantine.entries(shelf.store)])
    assert reasons(judge(shelf, rows)) == []
    assert len(judge(shelf, rows).checked.good) == 5


def test_a_person_may_accept_what_is_wrong_by_itself(shelf):
    quiet = ("A", DAYS[0], 100.0, 100.5, 99.5, 100.0, 0.0)
    result = judge(shelf, [quiet])
    assert reasons(result) == ["zero_volume"]
    run = coverage.start_run(shelf.store, "acme", "bars 1d", {})
    with shelf.store.transaction() as conn:
        quarantine.write(conn, shelf.series, run, shelf.ids, result.checked.rejected)
    accept(shelf.store, [one.quarantine_id for one in quarantine.entries(shelf.store)])
    assert reasons(judge(shelf, [quiet])) == []


def test_an_empty_answer_is_judged_too(shelf):
    assert judge(shelf, []).checked.rows == 0

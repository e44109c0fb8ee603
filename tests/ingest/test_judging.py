"""An answer is judged by what is stored around it, by what was read before, and by what a person said."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from qfund.ingest.check import check
from qfund.ingest.judging import judged
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


def judge(shelf, rows, **how):
    days = [row[1] for row in rows]
    table = pa.table([list(column) for column in zip(*rows, strict=True)], schema=DAILY_SCHEMA)
    request = BarRequest(("A", "B"), "1d", min(days), max(days), OFFER)
    with shelf.store.transaction() as conn:
        return judged(conn, shelf.series, request, check(table, request, now=NOW), shelf.ids, **how)


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
    assert len(judge(shelf, rows, read_before=False).checked.good) == len(DAYS)


def test_a_vendor_that_halves_what_it_told_before_is_named_and_refused(shelf):
    shelf.write(bar(day, 100.0 + day.day) for day in DAYS[:5])
    rows = [
        tuple(v / 2 if isinstance(v, float) else v for v in bar(day, 100.0 + day.day)) for day in DAYS[:5]
    ]
    result = judge(shelf, [*rows, bar(DAYS[2], 7.0, "B")])
    assert reasons(result) == ["adjusted"] * 5
    (one,) = result.adjusted
    assert one.said("acme").startswith("acme answered with adjusted prices of A")
    assert "1/2" in one.said("acme")
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


def test_an_empty_answer_is_judged_too(shelf):
    request = BarRequest(("A",), "1d", DAYS[0], DAYS[1], OFFER)
    checked = check(DAILY_SCHEMA.empty_table(), request, now=NOW)
    with shelf.store.transaction() as conn:
        assert judged(conn, shelf.series, request, checked, shelf.ids).checked is checked

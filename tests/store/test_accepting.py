"""A person takes bars out of the quarantine and accepts them as they came, all of them or none."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from qfund.errors import DataQualityError, NotFoundError
from qfund.store import coverage, quarantine
from qfund.store.accepting import accept, dismiss
from tests.store.test_quarantine import MON, NAN, WED, begin, put, shelf
from tests.support.stored import Shelf, flat, minute

__all__ = ["shelf"]


def test_a_person_accepts_a_bar_as_it_came(shelf):
    put(shelf, [("A", MON, 50.0, 51.25, 49.5, 50.5, 123.0)], "spike")
    (one,) = quarantine.entries(shelf.store)
    done = accept(shelf.store, [one.quarantine_id])
    assert (done.bars.new, done.sessions, done.others) == (1, 1, 0)
    bars = shelf.read("A")
    assert [getattr(bars, name)["A"].tolist() for name in ("open", "high", "low", "close", "volume")] == [
        [50.0], [51.25], [49.5], [50.5], [123.0],
    ]  # fmt: skip
    assert coverage.covered(shelf.store, shelf.series, [shelf.ids["A"]]) == {shelf.ids["A"]: [(MON, MON)]}
    assert quarantine.entries(shelf.store) == []
    with shelf.store.transaction() as conn:
        table = quarantine.accepted(conn, shelf.series, shelf.ids, MON, WED)
    assert table.to_pylist()[0]["high"] == 51.25
    run = coverage.recent_runs(shelf.store)[0]
    assert (run.dataset, run.status, run.counters) == ("accept 1d", "ok", {"bars": 1})


def test_a_session_counts_as_answered_when_nothing_of_it_is_left(store):
    shelf = Shelf(store, timeframe="1m")
    shelf.list("A")
    times = [datetime(2024, 3, 4, 14, at, tzinfo=UTC) for at in (30, 31)]
    put(shelf, [minute("A", time, 10.0) for time in times], "spike", "stale")
    one, other = quarantine.entries(store)
    assert one.ts == times[0]
    assert accept(store, [one.quarantine_id]).sessions == 0
    assert accept(store, [other.quarantine_id]).sessions == 1
    assert len(shelf.read("A")) == 2


def test_a_session_of_which_not_all_was_kept_stays_open(shelf):
    run = begin(shelf)
    days = [date.fromordinal(date(1990, 1, 1).toordinal() + n) for n in range(quarantine.MOST_ROWS - 1)]
    put(shelf, [flat("B", day, 1.0) for day in days], *["spike"] * len(days), run=run)
    put(shelf, [flat("A", MON, 1.0), flat("A", MON, 2.0)], "conflict", "conflict", run=run)
    (one,) = quarantine.entries(shelf.store, symbols=["A"])
    assert accept(shelf.store, [one.quarantine_id]).sessions == 0


def test_of_bars_that_conflict_one_can_be_accepted(shelf):
    put(shelf, [flat("A", MON, 50.0), flat("A", MON, 51.0)], "conflict", "conflict")
    one, other = sorted(quarantine.entries(shelf.store), key=lambda entry: entry.bar["close"])
    with pytest.raises(DataQualityError, match="one time"):
        accept(shelf.store, [one.quarantine_id, other.quarantine_id])
    done = accept(shelf.store, [other.quarantine_id])
    assert (done.sessions, done.others) == (1, 1)
    assert shelf.read("A").close["A"].tolist() == [51.0]
    assert quarantine.entries(shelf.store) == []


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("A", MON, 1.0, 1.0, 1.0, NAN, 1.0), "not_a_number"),
        (("A", MON, 1.0, 0.5, 1.0, 1.0, 1.0), "order"),
        (flat("A", MON, -1.0), "not_positive"),
        (flat("A", None, 1.0), "wrong_zone"),
        (flat("Z", MON, 1.0), "symbol"),
        (flat("A", MON, 1.0), "future"),
    ],
)
def test_what_is_no_bar_is_never_accepted(shelf, row, reason):
    put(shelf, [row, flat("B", MON, 1.0)], reason, "spike")
    bad, good = sorted(quarantine.entries(shelf.store), key=lambda one: one.reason == "spike")
    with pytest.raises(DataQualityError) as caught:
        accept(shelf.store, [bad.quarantine_id, good.quarantine_id])
    assert caught.value.code == "NOT_ACCEPTABLE"
    assert len(quarantine.entries(shelf.store)) == 2  # all or nothing


def test_an_unknown_number_is_told(shelf):
    with pytest.raises(NotFoundError, match="99"):
        accept(shelf.store, [99])


def test_a_torn_row_without_a_symbol_is_no_bar_of_none_and_can_be_dismissed(shelf):
    put(shelf, [flat(None, None, 1.0), flat("A", MON, 1.0)], "torn", "spike")
    (torn,) = [one for one in quarantine.entries(shelf.store) if one.reason == "torn"]
    with pytest.raises(DataQualityError, match=f"^Row {torn.quarantine_id} "):
        accept(shelf.store, [torn.quarantine_id])
    with pytest.raises(NotFoundError):
        dismiss(shelf.store, [torn.quarantine_id, 99])  # all or nothing
    assert len(quarantine.entries(shelf.store)) == 2
    assert dismiss(shelf.store, [torn.quarantine_id]) == 1
    assert [one.reason for one in quarantine.entries(shelf.store)] == ["spike"]

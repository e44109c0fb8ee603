"""The account of an instrument says what was asked, what is there and what is in quarantine."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa

from qfund.store import coverage, quarantine
from qfund.store.accounts import accounts, holders
from tests.support.stored import Shelf, daily_table, flat, minute

MON, TUE, WED = date(2024, 3, 4), date(2024, 3, 5), date(2024, 3, 6)


def days(numbers):
    return [np.int32(one).astype("datetime64[D]").item() for one in numbers]


def test_what_was_asked_and_what_is_there(store):
    shelf = Shelf(store)
    shelf.write([flat("A", MON, 1.0), flat("C", MON, 1.0), flat("C", WED, 1.0)])
    shelf.list("B")
    with store.transaction() as conn:
        spans = {shelf.ids["A"]: [(MON, MON), (WED, WED)], shelf.ids["B"]: [(MON, WED)]}
        coverage.add_coverage(conn, shelf.series, spans)
    known = {one.symbol: one for one in holders(store, shelf.series)}
    assert known["A"].covered == ((MON, MON), (WED, WED))
    assert known["C"].covered == ()
    found = {one.holder.symbol: one for one in accounts(store, shelf.series, list(known.values()), MON, WED)}
    assert {symbol: days(one.sessions) for symbol, one in found.items()} == {
        "A": [MON],
        "B": [],
        "C": [MON, WED],
    }
    assert [one.symbol for one in holders(store, shelf.series, ["C"])] == ["C"]
    assert list(accounts(store, shelf.series, [], MON, WED)) == []


def test_sessions_in_quarantine_are_named_also_of_an_instrument_without_bars(store):
    shelf = Shelf(store)
    shelf.list("A")
    table = daily_table([flat("A", TUE, 1.0)] * 2).append_column("reason", pa.array(["spike", "stale"]))
    run = coverage.start_run(store, "acme", "bars 1d", {})
    with store.transaction() as conn:
        quarantine.write(conn, shelf.series, run, shelf.ids, table)
    (one,) = holders(store, shelf.series)
    assert (one.symbol, one.covered, days(one.doubtful)) == ("A", (), [TUE])


def test_minutes_are_counted_by_session(store):
    shelf = Shelf(store, timeframe="1m")
    times = [datetime(2024, 3, 4, 15, at, tzinfo=UTC) for at in range(3)]
    shelf.write(
        [*(minute("A", time, 1.0) for time in times), minute("A", datetime(2024, 3, 5, 15, tzinfo=UTC), 1.0)]
    )
    (one,) = accounts(store, shelf.series, holders(store, shelf.series), MON, WED)
    assert (days(one.sessions), one.bars.tolist()) == ([MON, TUE], [3, 1])

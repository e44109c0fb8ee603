"""Minutes of the session that is going on are kept as they come, and the session is asked for whole once it is over."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from qfund.testing import Clock
from tests.ingest.rig import SINCE, SYMBOLS, UNTIL, Way, assert_whole, errors, ingest, stored
from tests.support.alpaca import FakeAlpaca

MONDAY = date(2024, 3, 11)
FRIDAY = date(2024, 3, 8)


@pytest.fixture
def fake():
    with FakeAlpaca(clock=Clock(datetime(2024, 3, 11, 16, 0, tzinfo=UTC))) as made:
        for symbol in SYMBOLS:
            made.truth.walk(symbol, "1m", SINCE, UNTIL, extended=True)
        yield made


def minutes_of_monday(store) -> int:
    return len(stored(store, ("IBM",), "1m", since=MONDAY))


def one(store, query: str):
    with store.sql.connect() as connection:
        return connection.exec_driver_sql(query).scalar()


def test_bars_of_today_grow_with_the_session_and_become_final_after_it(store, fake):
    """The session opened at 13:30 UTC; the plan's delay is 16 minutes and a bar settles for one more."""
    seen = []
    for hour, minute in ((16, 0), (17, 0), (20, 5)):
        fake.clock.set(datetime(2024, 3, 11, hour, minute, tzinfo=UTC))
        report, _ = ingest(store, Way(fake), timeframe="1m", since=FRIDAY)
        assert errors(report) == ()
        seen.append(minutes_of_monday(store))
    assert seen == [133, 193, 378]
    assert one(store, "SELECT count(*) FROM ops.coverage WHERE sessions @> date '2024-03-11'") == 0
    fake.clock.set(datetime(2024, 3, 11, 20, 30, tzinfo=UTC))
    ingest(store, Way(fake), timeframe="1m", since=FRIDAY)
    assert minutes_of_monday(store) == 390
    assert one(store, "SELECT count(*) FROM sec.bar_1m_hot") == 0
    assert one(store, "SELECT count(*) FROM ops.coverage WHERE sessions @> date '2024-03-11'") == 3


def test_a_bar_of_today_that_is_corrected_keeps_its_old_value(store, fake):
    ingest(store, Way(fake), timeframe="1m", since=FRIDAY)
    bar = datetime(2024, 3, 11, 14, 0, tzinfo=UTC)
    fake.truth.correct("IBM", "1m", bar, volume=7.0)
    report, _ = ingest(store, Way(fake), timeframe="1m", since=FRIDAY)
    assert report.total.changed == 1
    fake.clock.set(datetime(2024, 3, 12, 3, 0, tzinfo=UTC))
    ingest(store, Way(fake), timeframe="1m", since=FRIDAY)
    rows = stored(store, ("IBM",), "1m", since=MONDAY).set_index("time")
    assert rows.loc[bar].volume == 7.0


def test_daily_bars_of_today_wait_until_the_session_is_over(store, fake):
    for symbol in SYMBOLS:
        fake.truth.walk(symbol, "1d", SINCE, UNTIL)
    ingest(store, Way(fake))
    assert stored(store)["time"].max().date() == FRIDAY
    fake.clock.set(datetime(2024, 3, 11, 20, 30, tzinfo=UTC))
    ingest(store, Way(fake))
    assert_whole(store, fake)

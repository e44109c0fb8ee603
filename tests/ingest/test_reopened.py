"""A session whose later answer is not fit is asked for again, also when it had been answered before."""

from __future__ import annotations

from datetime import date

from qfund.store import coverage, sources
from qfund.testing import Clock, faults
from tests.ingest.rig import EVENING, SINCE, SYMBOLS, UNTIL, Way, assert_whole, errors, ingest, offers
from tests.support.alpaca import FakeAlpaca

FRIDAY = date(2024, 3, 8)


def test_a_bad_bar_in_a_second_reading_opens_its_session_again(store):
    with FakeAlpaca(clock=Clock(EVENING)) as fake:
        for symbol in SYMBOLS:
            fake.truth.walk(symbol, "1d", SINCE, UNTIL)
        ingest(store, Way(fake))
        fake.script.add(faults.BadValue("close", -1.0, row=0), path="/bars")
        report, _ = ingest(store, Way(fake, offers("1d", reread=2)))
        assert report.reasons == {"not_positive": 1}
        assert errors(report)[0].exit_code == 5
        assert_whole(store, fake)  # what was stored before is still there
        (series,) = sources.sources(store, "1d")
        spans = coverage.covered(store, series, [1, 2, 3]).values()
        assert sorted(sum((last - first).days for first, last in one) for one in spans) == [5, 7, 7]
        fake.log.clear()
        report, _ = ingest(store, Way(fake, offers("1d", reread=0)))
        assert errors(report) == ()
        assert {day for _, day in fake.log.asked("/bars")} == {FRIDAY}
        with store.sql.connect() as connection:
            left = connection.exec_driver_sql("SELECT count(*) FROM sec.quarantine WHERE released_at IS NULL")
            assert left.scalar() == 0

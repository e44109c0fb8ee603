"""Where the broker's calendar and the library's disagree, the operator is told; the broker's word holds for the day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from qfund.ingest.drift import disagreements
from qfund.testing import Clock
from tests.ingest.rig import EVENING, SINCE, SYMBOLS, UNTIL, Way, errors, ingest
from tests.support.alpaca import FakeAlpaca


@dataclass(frozen=True)
class Told:
    session: date
    opens: datetime
    closes: datetime


class Broker:
    """Tells what it was given."""

    def __init__(self, *told: Told) -> None:
        self.told = told

    def calendar(self, since: date, until: date):
        return self.told


def utc(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


THURSDAY, FRIDAY = date(2024, 3, 7), date(2024, 3, 8)


def whole(day: date) -> Told:
    return Told(day, utc(day, 14, 30), utc(day, 21))


def asked(*told: Told) -> tuple[str, ...]:
    return disagreements(Broker(*told), "acme", "XNYS", THURSDAY, FRIDAY)


def test_who_agrees_is_not_mentioned():
    assert asked(whole(THURSDAY), whole(FRIDAY)) == ()


def test_a_closure_that_nobody_foresaw_is_named():
    assert asked(whole(FRIDAY)) == (
        "acme had the exchange closed on 2024-03-07, a session of the calendar XNYS.",
    )


def test_another_close_and_a_session_too_many_are_named():
    early = Told(FRIDAY, utc(FRIDAY, 14, 30), utc(FRIDAY, 18))
    saturday = whole(date(2024, 3, 9))
    assert asked(whole(THURSDAY), early, saturday) == (
        "acme traded from 14:30 to 18:00 UTC on 2024-03-08, the calendar XNYS has other hours.",
        "acme had a session on 2024-03-09, which XNYS does not know; its bars are left.",
    )


def test_a_vendor_that_is_no_broker_is_not_asked():
    assert disagreements(object(), "files", "XNYS", THURSDAY, FRIDAY) == ()


def test_an_ingest_tells_of_alpacas_own_closure_and_counts_no_gap(store):
    with FakeAlpaca(clock=Clock(EVENING)) as fake:
        for symbol in SYMBOLS:
            fake.truth.walk(symbol, "1d", SINCE, UNTIL)
            fake.truth.withdraw(symbol, "1d", THURSDAY)
        fake.truth.closed.add(THURSDAY)
        fake.truth.early[FRIDAY] = time(13)
        report, _ = ingest(store, Way(fake))
    assert errors(report) == ()
    assert [note.partition(" on ")[2][:10] for note in report.notes] == ["2024-03-07", "2024-03-08"]

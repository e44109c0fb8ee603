"""Where a broker's calendar and the library's disagree: closures that nobody foresaw, days that end early.

Promises: the broker's word is believed for the day itself: a day that it had closed is answered empty, which
covers it, and is no gap. Here a disagreement becomes a sentence, so that an operator knows of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Protocol, runtime_checkable

from qfund.market import sessions

MOST_SENTENCES = 5


class BrokersSession(Protocol):
    """A session as a broker says it: its date, and when it opens and closes (UTC)."""

    @property
    def session(self) -> date: ...  # noqa: D102 - see the class
    @property
    def opens(self) -> datetime: ...  # noqa: D102
    @property
    def closes(self) -> datetime: ...  # noqa: D102


@runtime_checkable
class KnowsSessions(Protocol):
    """A vendor that is a broker too, and tells its own calendar."""

    def calendar(self, since: date, until: date) -> Sequence[BrokersSession] | None:
        """Its sessions in ``[since, until]``; None when it cannot be asked, such as without a key."""
        ...


def disagreements(vendor: object, name: str, calendar: str, since: date, until: date) -> tuple[str, ...]:
    """A sentence for each day on which the broker and the calendar disagree, the first few.

    Args:
        vendor: perhaps one that `KnowsSessions`.
        name: the vendor's name.
        calendar: of the series.
        since: first day.
        until: last day.

    Raises:
        QfundError: the broker does not answer.
    """
    if not isinstance(vendor, KnowsSessions):
        return ()
    told = vendor.calendar(since, until)
    if told is None:
        return ()
    found = list(_sentences(name, calendar, since, until, told))
    more = len(found) - MOST_SENTENCES
    return (
        *found[:MOST_SENTENCES],
        *((f"And {more} more days on which they disagree.",) if more > 0 else ()),
    )


def _sentences(
    name: str, calendar: str, since: date, until: date, told: Sequence[BrokersSession]
) -> Iterator[str]:
    days = [day.date() for day in sessions.sessions(calendar, since, until)]
    opens, closes = sessions.opens_and_closes(calendar, since, until)
    known = dict(zip(days, zip(opens, closes, strict=True), strict=True))
    brokers = {one.session: one for one in told}
    for day in sorted(known.keys() | brokers.keys()):
        if day not in brokers:
            yield f"{name} had the exchange closed on {day}, a session of the calendar {calendar}."
        elif day not in known:
            yield f"{name} had a session on {day}, which {calendar} does not know; its bars are left."
        else:
            opened, closed = known[day]
            if (opened, closed) != (brokers[day].opens, brokers[day].closes):
                hours = f"{brokers[day].opens:%H:%M} to {brokers[day].closes:%H:%M} UTC"
                yield f"{name} traded from {hours} on {day}, the calendar {calendar} has other hours."

"""The instruments of a truth: their dated names, and what the vendor tells of them.

Promises: a name belongs to at most one instrument on a day; the key is the identity and is told to nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from qfund.market.instruments import InstrumentKind

_FIRST = date.min
_LAST = date.max


@dataclass(frozen=True)
class Name:
    """A symbol, and the days on which it means the instrument (both included; None leaves that side open)."""

    symbol: str
    since: date | None = None
    until: date | None = None

    def held(self, day: date) -> bool:
        """Whether the symbol means the instrument on that day."""
        return (self.since or _FIRST) <= day <= (self.until or _LAST)


@dataclass(frozen=True)
class Instrument:
    """One instrument of the truth.

    Attributes:
        key: its identity in the truth.
        names: its symbols in time; none given means the key itself, always.
        title: its name, for people.
        kind: what it is.
        calendar: the sessions it trades in, see ``qfund.market.sessions``.
        venue: the vendor's word for its exchange.
        currency: ISO 4217 code of its prices.
        listed_on: first session; None when unknown.
        delisted_on: last session; None while listed.
    """

    key: str
    names: tuple[Name, ...] = ()
    title: str = ""
    kind: InstrumentKind = "equity"
    calendar: str = "XNYS"
    venue: str = "NASDAQ"
    currency: str = "USD"
    listed_on: date | None = None
    delisted_on: date | None = None

    @property
    def dated_names(self) -> tuple[Name, ...]:
        """Its symbols in time, at least one."""
        return self.names or (Name(self.key),)

    @property
    def last_name(self) -> str:
        """The symbol it has, or had at its end."""
        return max(self.dated_names, key=lambda name: name.since or _FIRST).symbol

    def name_on(self, day: date) -> str | None:
        """Its symbol on a day; None when it had none."""
        return next((name.symbol for name in self.dated_names if name.held(day)), None)


def holder(instruments: list[Instrument], symbol: str, day: date) -> Instrument | None:
    """Who has the symbol on a day; of several the one who took it last (a ticker that was used again)."""
    found = [
        (name.since or instrument.listed_on or _FIRST, instrument)
        for instrument in instruments
        for name in instrument.dated_names
        if name.symbol == symbol and name.held(day) and (name.since or instrument.listed_on or _FIRST) <= day
    ]
    if not found:  # asked before its listing: still the only one who ever had the name
        found = [
            (_FIRST, instrument)
            for instrument in instruments
            for name in instrument.dated_names
            if name.symbol == symbol and name.held(day)
        ]
    return max(found, key=lambda pair: pair[0])[1] if found else None

"""What is true in the fake's world: instruments, bars, corporate actions, days off, and what is corrected.

Promises: the same truth at the same moment says the same thing; a correction is seen from its request number
or time on and never before. It knows no vendor's words, and nothing of how a program under test stores bars.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from qfund.market import sessions as calendars
from qfund.market.actions import CorporateAction
from qfund.market.bars import FIELDS, Timeframe
from qfund.testing.instruments import Instrument, Name, holder
from qfund.testing.series import EPOCH, MINUTE, Row, Series, moment, stamp, walk
from qfund.vendors.contract import schema

NEW_YORK = ZoneInfo("America/New_York")
_MARKETS: dict[str, dict[str, float]] = {
    "us": {"price": 100.0, "spread": 0.012, "tick": 0.01, "volume": 900_000.0},
    "fx": {"price": 1.1, "spread": 0.004, "tick": 0.00001, "volume": 60_000.0},
    "24/7": {"price": 30_000.0, "spread": 0.02, "tick": 0.01, "volume": 4_000.0},
}


@dataclass(frozen=True)
class Moment:
    """When somebody looks: by the fake's clock, and by the number of the request (1 is the first)."""

    now: datetime
    request: int = 0


@dataclass(frozen=True)
class When:
    """From when on something is seen: a request's number, a time of the fake's clock, or both; or always."""

    request: int | None = None
    now: datetime | None = None

    def seen(self, at: Moment) -> bool:
        """Whether it is seen at that moment."""
        return (self.request is None or at.request >= self.request) and (
            self.now is None or at.now >= self.now
        )


@dataclass(frozen=True)
class Session:
    """A day of trading: its date, open and close (UTC)."""

    day: date
    opens: datetime
    closes: datetime


@dataclass(frozen=True)
class Filed:
    """A corporate action as a vendor files it.

    Attributes:
        action: what happened.
        process_date: when the vendor books it; what requests filter by, at some vendors.
        when: from when on the vendor tells it.
        identity: the vendor's own, a UUID.
        facts: further fields, in the vendor's words.
    """

    action: CorporateAction
    process_date: date
    when: When = When()
    identity: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class _Correction:
    """A bar that changes: new fields, or None when the vendor takes it back."""

    time: int
    fields: Mapping[str, float] | None
    when: When


class Truth:
    """The fake's world; made once, then only corrected.

    Attributes:
        instruments: who exists, in the order of their coming.
        filed: their corporate actions.
        closed: days on which the calendar says open and the exchange is closed.
        early: days that end early, with their close in the exchange's own time (New York).
    """

    def __init__(self) -> None:
        self.instruments: list[Instrument] = []
        self.filed: list[Filed] = []
        self.closed: set[date] = set()
        self.early: dict[date, time] = {}
        self._by_key: dict[str, Instrument] = {}
        self._by_symbol: dict[str, list[Instrument]] = {}
        self._series: dict[tuple[str, Timeframe], Series] = {}
        self._corrections: dict[tuple[str, Timeframe], list[_Correction]] = {}
        self._seen: dict[tuple[str, Timeframe, tuple[int, ...]], Series] = {}

    # --- making it

    def add(self, instrument: Instrument) -> Instrument:
        """An instrument more.

        Raises:
            ValueError: one of that key is there.
        """
        if instrument.key in self._by_key:
            raise ValueError(f"There is an instrument '{instrument.key}' already.")
        self.instruments.append(instrument)
        self._by_key[instrument.key] = instrument
        for symbol in dict.fromkeys(name.symbol for name in instrument.dated_names):
            self._by_symbol.setdefault(symbol, []).append(instrument)
        return instrument

    def bars(self, key: str, timeframe: Timeframe, rows: Iterable[Row] | Series) -> None:
        """Bars given by hand, joined to those that are there; see `series.Row`."""
        self._known(key)
        given = rows if isinstance(rows, Series) else Series.of(rows)
        where = (key, timeframe)
        self._series[where] = self._series.get(where, Series.empty()).joined(given)
        self._forget(where)

    def walk(
        self,
        key: str,
        timeframe: Timeframe,
        since: date,
        until: date,
        *,
        seed: int = 1,
        extended: bool = False,
        silent: float = 0.0,
        **made: float,
    ) -> Instrument:
        """Made-up bars for each session of the span in which the instrument is listed.

        Args:
            key: whose; an unknown one is added as a US share of that symbol.
            timeframe: of the bars.
            since: first session.
            until: last session.
            seed: another seed, other prices.
            extended: minute bars from 04:00 to 20:00 New York instead of the session's own.
            silent: share of the minutes that have no bar.
            **made: ``price``, ``spread``, ``tick``, ``volume``, see `series.walk`.
        """
        who = self._known(key)
        days = [
            day
            for day in self.sessions(who.calendar, since, until)
            if (who.listed_on or date.min) <= day.day <= (who.delisted_on or date.max)
        ]
        if timeframe == "1d":
            times = np.array([stamp(day.day) for day in days], np.int64)
        else:
            spans = [_extended(day) if extended else (day.opens, day.closes) for day in days]
            starts = [np.arange(stamp(start), stamp(end), MINUTE, dtype=np.int64) for start, end in spans]
            times = np.concatenate(starts) if starts else np.empty(0, np.int64)
            if silent:
                times = times[np.random.default_rng(seed).random(len(times)) >= silent]
        shape = dict(_MARKETS.get(who.calendar, _MARKETS["fx" if who.calendar == "FX" else "us"]))
        if timeframe == "1m":
            shape["spread"] /= 20
            shape["volume"] /= 390
        self.bars(key, timeframe, walk(times, key, seed=seed, **{**shape, **made}))
        return who

    def correct(
        self, key: str, timeframe: Timeframe, time: date | datetime, when: When | None = None, **fields: float
    ) -> None:
        """From a moment on, a bar has other values; one that was not there needs all five."""
        self._correct(key, timeframe, _Correction(stamp(time), fields, when or When()))

    def withdraw(
        self, key: str, timeframe: Timeframe, time: date | datetime, when: When | None = None
    ) -> None:
        """From a moment on, a bar is not there."""
        self._correct(key, timeframe, _Correction(stamp(time), None, when or When()))

    def act(
        self,
        action: CorporateAction,
        *,
        process_date: date | None = None,
        when: When | None = None,
        **facts: object,
    ) -> Filed:
        """A corporate action; ``process_date`` is the ex-date when it is not said."""
        name = f"{action.symbol} {action.kind} {action.ex_date} {len(self.filed)}"
        identity = str(uuid.uuid5(uuid.NAMESPACE_URL, name))
        filed = Filed(action, process_date or action.ex_date, when or When(), identity, facts)
        self.filed.append(filed)
        return filed

    # --- asking it

    def instrument(self, key: str) -> Instrument:
        """The instrument of a key. Raises KeyError."""
        return self._by_key[key]

    def named(self, symbol: str) -> list[Instrument]:
        """Who has or had a symbol."""
        return self._by_symbol.get(symbol, [])

    def holder(self, symbol: str, day: date) -> Instrument | None:
        """Who has a symbol on a day, see `instruments.holder`."""
        return holder(self.named(symbol), symbol, day)

    def sessions(self, calendar: str, since: date, until: date) -> list[Session]:
        """The days of trading in ``[since, until]``, overrides applied; ``24/7`` is every UTC day."""
        days = calendars.sessions(calendar, since, until)
        opens, closes = calendars.opens_and_closes(calendar, since, until)
        rows = zip(days, opens, closes, strict=True)
        found = [
            Session(day.date(), start.to_pydatetime(), end.to_pydatetime())
            for day, start, end in rows
            if day.date() not in self.closed
        ]
        return [self._shortened(session) if calendar != "24/7" else session for session in found]

    def series(self, key: str, timeframe: Timeframe, at: Moment) -> Series:
        """The bars as they are told at a moment. The same object as long as no correction comes between."""
        where = (key, timeframe)
        corrections = self._corrections.get(where, [])
        active = tuple(place for place, one in enumerate(corrections) if one.when.seen(at))
        found = self._seen.get((*where, active))
        if found is None:
            found = self._series.get(where, Series.empty())
            for place in active:
                one = corrections[place]
                found = found.without(one.time) if one.fields is None else found.changed(one.time, one.fields)
            self._seen[(*where, active)] = found
        return found

    def actions(self, at: Moment) -> list[Filed]:
        """The corporate actions that are told at a moment."""
        return [filed for filed in self.filed if filed.when.seen(at)]

    def table(
        self,
        timeframe: Timeframe,
        since: date,
        until: date,
        *,
        keys: Sequence[str] | None = None,
        at: Moment | None = None,
        extended: bool = False,
    ) -> pa.Table:
        """What a store must hold of these sessions, in the columns of ``qfund.vendors.contract.schema``.

        Args:
            timeframe: of the bars.
            since: first session.
            until: last session.
            keys: of whom; None for all. They stand in the column ``symbol``.
            at: as told at that moment; None for the very end of time.
            extended: with the minutes outside the sessions, as sessions of their New York date.
        """
        at = at or Moment(datetime.max.replace(tzinfo=UTC), 2**62)
        parts = []
        for key in keys if keys is not None else [known.key for known in self.instruments]:
            days = self.sessions(self.instrument(key).calendar, since, until)
            series = self.series(key, timeframe, at)
            place, session = _placed(series.times, days, timeframe, extended=extended)
            if not len(place):
                continue
            columns = {"symbol": pa.array([key] * len(place)), "session": pa.array(session, pa.date32())}
            if timeframe == "1m":
                columns["ts"] = pa.array(series.times[place] * 1_000_000, pa.timestamp("us", tz="UTC"))
            for column, name in enumerate(FIELDS):
                columns[name] = pa.array(series.values[place, column])
            wanted = schema(timeframe)
            parts.append(pa.table([columns[name] for name in wanted.names], schema=wanted))
        return pa.concat_tables(parts) if parts else schema(timeframe).empty_table()

    # --- inside

    def _known(self, key: str) -> Instrument:
        return self._by_key[key] if key in self._by_key else self.add(Instrument(key))

    def _correct(self, key: str, timeframe: Timeframe, correction: _Correction) -> None:
        self._corrections.setdefault((key, timeframe), []).append(correction)

    def _forget(self, where: tuple[str, Timeframe]) -> None:
        for seen in [seen for seen in self._seen if seen[:2] == where]:
            del self._seen[seen]

    def _shortened(self, session: Session) -> Session:
        early = self.early.get(session.day)
        if early is None:
            return session
        closes = datetime.combine(session.day, early, NEW_YORK).astimezone(UTC)
        return Session(session.day, session.opens, closes)


def _extended(session: Session) -> tuple[datetime, datetime]:
    """04:00 to 20:00 New York; to four hours after the close on a half day."""
    opens = datetime.combine(session.day, time(4), NEW_YORK).astimezone(UTC)
    return opens, session.closes + timedelta(hours=4)


def _placed(
    times: np.ndarray, days: Sequence[Session], timeframe: Timeframe, *, extended: bool
) -> tuple[np.ndarray, list[date]]:
    """Which bars lie in these sessions, and in which."""
    place: list[np.ndarray] = []
    session: list[date] = []
    for day in days:
        if timeframe == "1d":
            start, stop = stamp(day.day), stamp(day.day) + 1
        else:
            opens, closes = _extended(day) if extended else (day.opens, day.closes)
            start, stop = stamp(opens), stamp(closes)
        first, last = np.searchsorted(times, [start, stop])
        place.append(np.arange(first, last))
        session.extend([day.day] * int(last - first))
    return (np.concatenate(place) if place else np.empty(0, np.int64)), session


__all__ = [
    "EPOCH", "Filed", "Instrument", "Moment", "Name", "Row", "Series", "Session", "Truth", "When", "moment",
    "stamp",
]  # fmt: skip

"""The log of what reached the fake, and the oracles that read it.

Promises: every request is in it, also those that were refused or dropped; no secret is. An oracle returns one
sentence for each violation, so that an empty list is the proof: ``assert not log.over(200)``.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from qfund.market.sessions import sessions


@dataclass
class Entry:
    """One request, and how it was answered.

    Attributes:
        number: from 1, in order of arrival.
        arrived: seconds of the machine's monotonic clock.
        wall: the fake's own clock, ISO 8601.
        method: HTTP method.
        path: without parameters.
        params: the parameters, decoded.
        headers: those without secrets.
        authorized: whether the credentials were right; None where none are needed.
        account: whose bucket it came from.
        symbols: what it named.
        span: first and last date it asked for, where it asked for a span.
        status: what was answered; 0 while it is not, or when the connection was dropped.
        later_page: whether it asked for a page after the first.
        rows: bars or other things in the answer.
        size: bytes of the body on the wire.
        faults: names of the scripted faults.
        blocked_until: monotonic second before which the answer forbids the next request; None: it does not.
        finished: monotonic second at which the answer was out; None while it is not.
        in_flight: requests in flight when it had arrived, itself included.
    """

    number: int
    arrived: float
    wall: str
    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    authorized: bool | None = None
    account: str = ""
    symbols: tuple[str, ...] = ()
    span: tuple[date, date] | None = None
    status: int = 0
    later_page: bool = False
    rows: int = 0
    size: int = 0
    faults: tuple[str, ...] = ()
    blocked_until: float | None = None
    finished: float | None = None
    in_flight: int = 1


@dataclass
class Log:
    """What reached the fake, oldest first."""

    entries: list[Entry] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __len__(self) -> int:
        """How many requests arrived."""
        return len(self.entries)

    def add(self, entry: Entry) -> None:
        """The fake writes here."""
        with self._lock:
            self.entries.append(entry)

    def clear(self) -> None:
        """Forget what was, for instance before a second run; numbers go on."""
        with self._lock:
            self.entries.clear()

    def of(self, path: str = "", *, symbol: str | None = None, account: str | None = None) -> list[Entry]:
        """The requests whose path has a part, that name a symbol, that came from an account."""
        with self._lock:
            return [
                entry
                for entry in self.entries
                if path in entry.path
                and (symbol is None or symbol in entry.symbols)
                and (account is None or account == entry.account)
            ]

    # --- oracles

    def over(
        self, requests: int, seconds: float = 60.0, *, account: str | None = None, slack: float = 0.0
    ) -> list[str]:
        """Sliding windows of ``seconds`` in which more than ``requests`` arrived from one account.

        Args:
            requests: the limit.
            seconds: length of the window.
            account: only this one; None checks each by itself.
            slack: the window is so many seconds shorter (the way from the sender to the log varies).
        """
        found = []
        for name in sorted({entry.account for entry in self.entries}):
            if account is not None and name != account:
                continue
            times = [entry.arrived for entry in self.of(account=name)]
            for place in range(len(times) - requests):
                took = times[place + requests] - times[place]
                if took < seconds - slack:
                    found.append(
                        f"{name}: requests {place + 1} to {place + 1 + requests} within {took:.3f} s, "
                        f"the limit is {requests} in {seconds:g} s"
                    )
        return found

    def early(self, *, slack: float = 0.0) -> list[str]:
        """Requests that arrived before an answer's Retry-After (or reset) to the same account had passed.

        An answer whose connection was dropped told nobody anything.
        """
        found = []
        blocks: dict[str, list[Entry]] = {}
        for entry in self.of():
            for block in blocks.get(entry.account, []):
                if block.finished is None or block.blocked_until is None or entry.arrived < block.finished:
                    continue  # it was under way before the answer was out
                if entry.arrived < block.blocked_until - slack:
                    left = block.blocked_until - entry.arrived
                    found.append(
                        f"request {entry.number} came {left:.3f} s before request {block.number} allowed"
                    )
            if entry.blocked_until is not None and entry.status:
                blocks.setdefault(entry.account, []).append(entry)
        return found

    def most_in_flight(self) -> int:
        """The most requests that were in flight at a time."""
        return max((entry.in_flight for entry in self.of()), default=0)

    def crowded(self, most: int) -> list[str]:
        """Requests that arrived while ``most`` were in flight already."""
        return [
            f"request {entry.number} made {entry.in_flight} in flight, the most is {most}"
            for entry in self.of()
            if entry.in_flight > most
        ]

    def forbidden(self, *names: str, path: str = "") -> list[str]:
        """Requests with one of these parameters."""
        return [
            f"request {entry.number} to {entry.path} says {name}={entry.params[name]}"
            for entry in self.of(path)
            for name in names
            if name in entry.params
        ]

    def without(self, *, path: str = "", **wanted: str) -> list[str]:
        """Requests in which a parameter is missing or says something else than wanted."""
        return [
            f"request {entry.number} to {entry.path} says {name}={entry.params.get(name)}, not {value}"
            for entry in self.of(path)
            for name, value in wanted.items()
            if entry.params.get(name) != value
        ]

    def writes(self) -> list[str]:
        """Requests that are not GET."""
        return [
            f"request {one.number} is {one.method} {one.path}" for one in self.of() if one.method != "GET"
        ]

    def asked(
        self, path: str = "", *, calendar: str = "XNYS", answered: bool = True
    ) -> Counter[tuple[str, date]]:
        """How often each pair of symbol and session was asked; the pages of one answer count once.

        Args:
            path: only requests whose path has this part.
            calendar: whose sessions.
            answered: only requests that were answered with 200.
        """
        pairs: Counter[tuple[str, date]] = Counter()
        for entry in self.of(path):
            if (answered and entry.status != 200) or entry.span is None or entry.later_page:
                continue
            days = [day.date() for day in sessions(calendar, *entry.span)]
            pairs.update((symbol, day) for symbol in entry.symbols for day in days)
        return pairs

    def again(
        self,
        path: str = "",
        *,
        calendar: str = "XNYS",
        most: int = 1,
        allowed: Collection[tuple[str, date]] = (),
    ) -> list[str]:
        """Pairs of symbol and session that were asked, and answered, more than ``most`` times."""
        return [
            f"{symbol} {day} was asked {count} times"
            for (symbol, day), count in sorted(self.asked(path, calendar=calendar).items())
            if count > most and (symbol, day) not in allowed
        ]

    # --- from a fake in another process

    def document(self) -> list[dict[str, Any]]:
        """The log as JSON-ready values, see `read`."""
        with self._lock:
            return [
                {**asdict(entry), "span": entry.span and [day.isoformat() for day in entry.span]}
                for entry in self.entries
            ]

    @classmethod
    def read(cls, document: Iterable[Mapping[str, Any]]) -> Log:
        """The log of another process; monotonic times are those of the same machine."""
        entries = []
        for given in document:
            values = dict(given)
            values["span"] = values["span"] and tuple(date.fromisoformat(day) for day in values["span"])
            values["symbols"], values["faults"] = tuple(values["symbols"]), tuple(values["faults"])
            entries.append(Entry(**values))
        return cls(entries)

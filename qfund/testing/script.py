"""The script of faults: which goes wrong at which request.

Promises: a line plays exactly at the requests it names, as often as it says, whoever asks; the numbers count
the requests that fit the line, from 1. Nothing random.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass, field

from qfund.testing.faults import Fault


@dataclass
class Line:
    """One line of a script: a fault, and when it plays.

    Attributes:
        fault: what goes wrong.
        path: a part of the path that a request must have; empty fits all.
        symbol: a symbol that a request must name; None fits all.
        number: the first of the fitting requests at which it plays, from 1.
        times: at how many fitting requests it plays, from then on; None for ever.
        with_token: only requests with a page token (True), or without one (False).
        fitted: how many requests have fitted so far.
        played: how many times it has played so far.
    """

    fault: Fault
    path: str = ""
    symbol: str | None = None
    number: int = 1
    times: int | None = 1
    with_token: bool | None = None
    fitted: int = field(default=0, init=False)
    played: int = field(default=0, init=False)

    def fits(self, path: str, symbols: Collection[str], *, token: bool) -> bool:
        """Whether a request is one of those that are counted."""
        return (
            self.path in path
            and (self.symbol is None or self.symbol in symbols)
            and (self.with_token is None or self.with_token == token)
        )

    def due(self) -> bool:
        """Count one more fitting request; whether it is one to play at."""
        self.fitted += 1
        due = self.fitted >= self.number and (self.times is None or self.fitted < self.number + self.times)
        self.played += due
        return due


class Script:
    """Lines, played together; lines may be added while the fake runs."""

    def __init__(self, *lines: Line) -> None:
        self._lock = threading.Lock()
        self.lines = list(lines)

    def add(
        self,
        fault: Fault,
        *,
        path: str = "",
        symbol: str | None = None,
        number: int = 1,
        times: int | None = 1,
        with_token: bool | None = None,
    ) -> Line:
        """One line more, see `Line`; its numbers count from now on."""
        line = Line(fault, path, symbol, number, times, with_token)
        with self._lock:
            self.lines.append(line)
        return line

    def clear(self) -> None:
        """No faults from now on."""
        with self._lock:
            self.lines.clear()

    def due(self, path: str, symbols: Collection[str], *, token: bool) -> tuple[Fault, ...]:
        """The faults of a request, in the order of the lines. Counts the request."""
        with self._lock:
            return tuple(
                line.fault for line in self.lines if line.fits(path, symbols, token=token) and line.due()
            )

    def unplayed(self) -> list[Line]:
        """The lines that never played: a test that expects its faults to happen wants none."""
        with self._lock:
            return [line for line in self.lines if not line.played]

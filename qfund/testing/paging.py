"""Pages of bars: cut by symbol first and then by time, and spoiled where a script says so.

Promises: tokens are opaque and point behind the last bar told, so that they survive corrections; without a
fault the pages of an answer are exactly the bars asked for, each once.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from qfund.market.bars import FIELDS
from qfund.testing import faults
from qfund.testing.series import Series

_DAY = 86_400
_salt = itertools.count(1)


class TokenError(ValueError):
    """A page token that this fake has not made."""


@dataclass(frozen=True, eq=False)
class Asked:
    """The bars of one symbol that an answer holds: rows ``first:last`` of a series.

    ``forming`` is the time of the bar that has begun and is not over, if that is among them.
    """

    symbol: str
    series: Series
    first: int
    last: int
    forming: int | None = None


@dataclass
class Told:
    """One bar as it is told, after the faults.

    Attributes:
        symbol: under which it is told.
        time: as `series.Series` holds it; a daily one may be a fraction of a day off.
        values: open, high, low, close, volume; anything, after a fault.
        complete: whether the vendor says that it is final.
    """

    symbol: str
    time: float
    values: list[Any]
    complete: bool = True


@dataclass
class Cut:
    """One page.

    Attributes:
        parts: its bars, by symbol; exact unless ``told`` is there.
        token: where the next page begins; None on the last.
        told: the bars after faults, instead of ``parts``; None when no fault touches them.
        null: whether null stands in the place of the bars.
        honest: whether the vendor's description allows all of it.
    """

    parts: list[Asked]
    token: str | None
    told: list[Told] | None = None
    null: bool = False
    honest: bool = True

    @property
    def rows(self) -> int:
        """How many bars it tells."""
        if self.told is not None:
            return len(self.told)
        return sum(part.last - part.first for part in self.parts)

    def bars(self) -> list[Told]:
        """Its bars one by one, whether a fault touches them or not."""
        return _told(self.parts) if self.told is None else self.told


@dataclass(frozen=True)
class Paging:
    """How a vendor pages.

    Attributes:
        limit: most bars of the page.
        token: the page token sent with the request; None for a first page.
        now: seconds since 1970 of the fake's clock.
        played: the scripted faults of the request.
        daily: whether the bars are daily.
    """

    limit: int
    token: str | None
    now: float
    daily: bool
    played: Sequence[faults.Fault] = field(default=())

    def cut(self, asked: Sequence[Asked]) -> Cut:
        """The page, from the bars of the whole answer, by symbol.

        Raises:
            TokenError: the token is not one of this fake's.
        """
        limit, back = self.limit, 0
        for fault in self.played:
            if isinstance(fault, faults.ShortPage):
                limit = min(limit, fault.rows)
            elif isinstance(fault, faults.Overlap) and self.token is not None:
                back = fault.rows
            elif isinstance(fault, faults.EmptyPage):
                return Cut([], _salted(self.token), told=[])
        parts, token = _page(asked, self._start(asked, back), limit + back)
        if self.token is not None and any(isinstance(fault, faults.RepeatToken) for fault in self.played):
            token = self.token
        return self._spoiled(Cut(parts, token))

    def _start(self, asked: Sequence[Asked], back: int) -> int:
        """How many bars of the answer lie before the page."""
        if self.token is None:
            return 0
        symbol, time = _read(self.token)
        if not symbol:
            return 0
        before = 0
        for part in asked:
            if part.symbol == symbol:
                behind = int(np.searchsorted(part.series.times, time, "right"))
                return max(before + min(max(behind, part.first), part.last) - part.first - back, 0)
            before += part.last - part.first
        raise TokenError("the token is of another request")

    def _spoiled(self, page: Cut) -> Cut:
        spoiling = [fault for fault in self.played if isinstance(fault, _SPOILING)]
        if not spoiling and all(part.forming is None for part in page.parts):
            return page
        told = _told(page.parts)
        for fault in spoiling:
            told = self._after(fault, told)
        null = any(isinstance(fault, faults.NullBars) for fault in spoiling)
        return replace(page, told=[] if null else told, null=null, honest=not spoiling)

    def _after(self, fault: faults.Fault, told: list[Told]) -> list[Told]:
        if not told:
            return told
        match fault:
            case faults.Missing(symbol):
                return [bar for bar in told if bar.symbol != symbol]
            case faults.TwoBars(factor):
                values = list(told[-1].values)
                values[3] = round(values[3] * factor, 6)
                return [*told, replace(told[-1], values=values)]
            case faults.Future(days):
                ahead = self.now + days * _DAY
                return [*told, replace(told[-1], time=ahead // _DAY if self.daily else ahead // 60 * 60)]
        changed = [replace(bar, values=list(bar.values)) for bar in told]
        _change(fault, changed, daily=self.daily)
        return changed


_SPOILING = (
    faults.TwoBars, faults.Missing, faults.NullBars, faults.BadValue, faults.HighBelowLow, faults.Forming,
    faults.Adjusted, faults.Shifted, faults.Future, faults.Stale,
)  # fmt: skip


def _change(fault: faults.Fault, told: list[Told], *, daily: bool) -> None:
    """Change the values of bars in place."""
    match fault:
        case faults.BadValue(name, value, row):
            told[min(row, len(told) - 1)].values[FIELDS.index(name)] = value
        case faults.HighBelowLow(row):
            values = told[min(row, len(told) - 1)].values
            values[1], values[2] = values[2], values[1]
        case faults.Forming():
            half_built(told[-1])
        case faults.Adjusted(factor):
            for bar in told:
                prices = [round(value * factor, 6) for value in bar.values[:4]]
                bar.values = [*prices, round(bar.values[4] / factor)]
        case faults.Shifted(hours):
            for bar in told:
                bar.time += hours / 24 if daily else hours * 3600
        case faults.Stale():
            for bar in told:
                bar.values = list(told[0].values)


def half_built(bar: Told) -> None:
    """Make a bar one that is still forming: it has reached the middle of its way, with half the volume."""
    opened, _, _, close, volume = bar.values
    reached = round((opened + close) / 2, 6)
    bar.values = [opened, max(opened, reached), min(opened, reached), reached, max(volume // 2, 1.0)]
    bar.complete = False


def _page(asked: Sequence[Asked], start: int, limit: int) -> tuple[list[Asked], str | None]:
    """The bars ``start:start + limit`` of an answer, and the token of what is left."""
    parts: list[Asked] = []
    skip, room = start, limit
    for part in asked:
        count = part.last - part.first
        if skip >= count:
            skip -= count
            continue
        if room == 0:
            return parts, _token(parts[-1])
        first = part.first + skip
        last = min(part.last, first + room)
        parts.append(replace(part, first=first, last=last))
        room -= last - first
        skip = 0
        if last < part.last:
            return parts, _token(parts[-1])
    return parts, None


def _told(parts: Sequence[Asked]) -> list[Told]:
    told = [
        Told(part.symbol, int(part.series.times[row]), part.series.values[row].tolist())
        for part in parts
        for row in range(part.first, part.last)
    ]
    forming = {part.symbol: part.forming for part in parts}
    for bar in told:
        if bar.time == forming[bar.symbol]:
            half_built(bar)
    return told


def _token(part: Asked) -> str:
    return base64.b64encode(f"{part.symbol}|{int(part.series.times[part.last - 1])}".encode()).decode()


def _salted(token: str | None) -> str:
    """Another token that leads to the same place."""
    symbol, time = ("", 0) if token is None else _read(token)
    return base64.b64encode(f"{symbol}|{time}|{next(_salt)}".encode()).decode()


def _read(token: str) -> tuple[str, int]:
    try:
        symbol, time, *_ = base64.b64decode(token, validate=True).decode().split("|")
        return symbol, int(time)
    except ValueError as fault:
        raise TokenError("the token is not readable") from fault

"""Minute bars made up from real daily bars, the same on every machine and for every span asked.

Promises: the first minute opens at the day's open, some minute touches the high and some the low, the last
minute closes at the close, volumes are whole numbers that sum to the day's volume, and up to three minutes
of a session are missing (never the first, the last or an extreme). Only the raw stream of PCG64 and exactly
rounded arithmetic are used, so that the result does not depend on the version of numpy or the processor. It
says nothing about how prices really moved within the day.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date

import numpy as np

_MAX_MISSING = 3
_DRAWS_PER_MINUTE = 7  # four for the path, two for the wicks, one for the volume
_DRAWS_PER_SESSION = 3 + _MAX_MISSING


@dataclass(frozen=True, eq=False)
class Days:
    """Daily bars to fill with minutes: arrays of equal length, one entry for each session.

    Attributes:
        session: dates.
        open: float64 prices; likewise ``high``, ``low``, ``close``.
        volume: int64 units.
    """

    session: list[date]
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray

    def take(self, rows: np.ndarray) -> Days:
        """The entries at these positions."""
        return Days(
            [self.session[row] for row in rows],
            *(getattr(self, name)[rows] for name in ("open", "high", "low", "close", "volume")),
        )


@dataclass(frozen=True, eq=False)
class Minutes:
    """Minute bars, flat, ordered by day and minute.

    Attributes:
        day: int64, position of the bar's session in :class:`Days`.
        minute: int64, start of the bar in minutes after the session's open.
        open: float64 prices; likewise ``high``, ``low``, ``close``.
        volume: float64 whole numbers.
    """

    day: np.ndarray
    minute: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray


def minutes(symbol: str, days: Days, length: int) -> Minutes:
    """Minute bars of sessions that all have ``length`` minutes (at least 8).

    Args:
        symbol: seeds the draws together with each session, so that a day's minutes never depend on the span.
        days: the daily bars.
        length: trading minutes of each of these sessions (390, or 210 on most half days).
    """
    draws = _draws(symbol, days.session, _DRAWS_PER_SESSION + _DRAWS_PER_MINUTE * length)
    spread, rest = draws[:, :_DRAWS_PER_SESSION], draws[:, _DRAWS_PER_SESSION:]
    steps = rest.reshape(len(days.session), _DRAWS_PER_MINUTE, length)
    first, second = _turning_points(spread[:, 0], spread[:, 1], length)
    high_first = spread[:, 2] < 0.5
    path = _path(days, steps[:, :4], first, second, high_first)
    opens, closes = path[:, :-1], path[:, 1:]
    highs, lows = _wicks(days, opens, closes, steps[:, 4], steps[:, 5])
    kept = _kept(spread[:, 3:], first, second, length)
    volumes = _volumes(days.volume, steps[:, 6], kept)
    day, minute = np.nonzero(kept)
    return Minutes(day, minute, opens[kept], highs[kept], lows[kept], closes[kept], volumes[kept])


def _draws(symbol: str, sessions: list[date], count: int) -> np.ndarray:
    """Uniforms in [0, 1): shape (sessions, count), seeded by symbol and session."""
    raw = np.empty((len(sessions), count), dtype=np.uint64)
    for row, session in enumerate(sessions):
        digest = hashlib.sha256(f"{symbol}|{session.isoformat()}".encode()).digest()
        raw[row] = np.random.PCG64(int.from_bytes(digest[:16], "big")).random_raw(count)
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _turning_points(u: np.ndarray, v: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Two moments of each day, at least two minutes apart and off the ends, where an extreme is touched."""
    first = 1 + np.floor(u * (length - 5)).astype(np.int64)  # 1 … length - 5
    room = length - 3 - first  # the second lies in first + 2 … length - 2
    second = first + 2 + np.floor(v * room).astype(np.int64)
    return first, second


def _path(
    days: Days, noise: np.ndarray, first: np.ndarray, second: np.ndarray, high_first: np.ndarray
) -> np.ndarray:
    """Prices at the ``length + 1`` minute marks: open, the two extremes and close are hit exactly.

    A walk bridged to zero at these four marks, over straight lines between them, in whole cents.
    """
    count, _, length = noise.shape
    centred = noise[:, 0] + noise[:, 1] + noise[:, 2] + noise[:, 3] - 2.0
    walk = np.zeros((count, length + 1))
    np.cumsum(centred, axis=1, out=walk[:, 1:])
    marks = np.stack([np.zeros_like(first), first, second, np.full_like(first, length)], axis=1)
    early = np.where(high_first, days.high, days.low)
    late = np.where(high_first, days.low, days.high)
    prices = np.stack([days.open, early, late, days.close], axis=1)
    time = np.arange(length + 1)[None, :]
    segment = (time >= first[:, None]).astype(np.int64) + (time >= second[:, None])
    row = np.arange(count)[:, None]
    begin, end = marks[row, segment], marks[row, segment + 1]
    share = (time - begin) / (end - begin)
    line = prices[row, segment] + share * (prices[row, segment + 1] - prices[row, segment])
    bridge = walk - (walk[row, begin] + share * (walk[row, end] - walk[row, begin]))
    scale = 0.8 * (days.high - days.low) / np.sqrt(length)
    path: np.ndarray = _cents(line + bridge * scale[:, None])
    path = np.minimum(np.maximum(path, days.low[:, None]), days.high[:, None])
    np.put_along_axis(path, marks, prices, axis=1)
    return path


def _wicks(
    days: Days, opens: np.ndarray, closes: np.ndarray, up: np.ndarray, down: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Highs and lows of the minutes: a little beyond open and close, never beyond the day's."""
    reach = (0.02 * (days.high - days.low))[:, None]
    body_top, body_bottom = np.maximum(opens, closes), np.minimum(opens, closes)
    highs = np.minimum(_cents(body_top + up * reach), days.high[:, None])
    lows = np.maximum(_cents(body_bottom - down * reach), days.low[:, None])
    return np.maximum(highs, body_top), np.minimum(lows, body_bottom)


def _kept(u: np.ndarray, first: np.ndarray, second: np.ndarray, length: int) -> np.ndarray:
    """Which minutes have a bar: bool, shape (days, length); a draw that hits a needed minute removes none."""
    count = len(first)
    kept = np.ones((count, length), dtype=bool)
    row = np.arange(count)
    for column in range(u.shape[1]):
        kept[row, np.floor(u[:, column] * length).astype(np.int64)] = False
    for needed in (np.zeros_like(first), first - 1, first, second - 1, second):
        kept[row, needed] = True
    kept[:, -1] = True
    return kept


def _volumes(volume: np.ndarray, u: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Whole volumes, heavy at both ends of the day, that sum to the day's; at least 1 where it suffices."""
    length = kept.shape[1]
    place = (np.arange(length) + 0.5) * (2.0 / length) - 1.0
    profile = 0.5 + 1.5 * place * place
    weights = np.where(kept, profile * (0.5 + u), 0.0)
    reached = np.cumsum(weights, axis=1)
    least = np.where(volume[:, None] >= length, kept, 0).astype(np.int64)
    spare = volume - least.sum(axis=1)
    upto = np.floor(spare[:, None] * (reached / reached[:, -1:])).astype(np.int64)
    shares: np.ndarray = np.diff(upto, axis=1, prepend=0) + least
    return shares.astype(np.float64)


def _cents(price: np.ndarray) -> np.ndarray:
    return np.asarray(np.rint(price * 100.0) / 100.0)

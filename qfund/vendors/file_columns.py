"""Which column of a file holds what.

Promises: names are recognised whatever their case and brackets; of two candidates none is guessed: the error
lists what was found and the ``map`` that decides it. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qfund.errors import UsageError

PRICES = ("open", "high", "low", "close")
_CLOCK, _DAY = "time", "date"

SYNONYMS: dict[str, tuple[str, ...]] = {
    "symbol": ("symbol", "ticker", "sym", "instrument", "code", "s"),
    "ts": (
        "ts",
        "timestamp",
        "datetime",
        "date_time",
        "time",
        "date",
        "session",
        "day",
        "open_time",
        "opentime",
        "t",
        "index",
        "__index_level_0__",
        "",
        "unnamed:_0",
    ),
    "open": ("open", "o", "open_price", "opening_price"),
    "high": ("high", "h", "high_price"),
    "low": ("low", "l", "low_price"),
    "close": ("close", "c", "close_price", "closing_price", "last"),
    "volume": ("volume", "vol", "v", "tickvol", "tick_volume"),
}
"""What qfund needs → how files call it, in small letters, with ``_`` for spaces."""

_UNNAMED = ("index", "__index_level_0__", "", "unnamed:_0")  # the time only where nothing else is


@dataclass(frozen=True)
class Roles:
    """The columns of a file by what they hold, as the file calls them.

    Attributes:
        time: one column, or a column of dates and one of times.
        values: open, high, low, close, volume → column; no volume where the file has none.
        symbol: None when all rows are of one symbol.
    """

    time: tuple[str, ...]
    values: dict[str, str]
    symbol: str | None

    @property
    def columns(self) -> list[str]:
        """All columns that are read."""
        return [*([self.symbol] if self.symbol is not None else []), *self.time, *self.values.values()]


def parsed_map(text: str) -> dict[str, str]:
    """``close=adj_close,ts=time`` as a mapping of what is needed to the file's column.

    Raises:
        UsageError: it is written otherwise, or names what qfund does not need.
    """
    found = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        ours, equals, theirs = (piece.strip() for piece in part.partition("="))
        name = {"date": "ts", "time": "ts", "session": "ts", "ticker": "symbol"}.get(ours, ours)
        if not equals or not theirs or name not in SYNONYMS or name in found:
            raise UsageError(
                f"map '{part}' is not of the form NAME=COLUMN with each NAME once, and one of"
                f" {', '.join(SYNONYMS)}.",
                fix="--with map=ts=COLUMN,close=COLUMN",
                code="BAD_MAP",
            )
        found[name] = theirs
    return found


def roles(header: Sequence[str], mapping: Mapping[str, str], *, one_symbol: bool, volume: bool) -> Roles:
    """Find the columns.

    Args:
        header: the file's columns.
        mapping: what the user said, see `parsed_map`; ``ts`` may be ``DATE+TIME``.
        one_symbol: whether the symbol was given, so that no column is needed for it.
        volume: whether a column of volumes is needed.

    Raises:
        UsageError: a column is missing, doubled or ambiguous; its message lists what was found.
    """
    if len(set(header)) < len(header):
        doubled = sorted({name for name in header if header.count(name) > 1})
        raise _unclear(header, f"two columns are called {_listed(doubled)}", [])
    time = _time(header, mapping)
    values, absent = {}, []
    for name in (*PRICES, "volume"):
        column = _column(name, header, mapping)
        if column is not None:
            values[name] = column
        elif name != "volume" or volume:
            absent.append(name)
    symbol = _column("symbol", header, mapping)
    absent += [] if time else ["ts"]
    if absent:
        raise _unclear(header, f"no column was recognised for {', '.join(absent)}", absent)
    if symbol is None and not one_symbol:
        raise _unclear(
            header,
            "there is no column of symbols",
            ["symbol"],
            fix="--with symbol=AAPL, when all rows are of one",
        )
    if symbol is not None and one_symbol:
        raise UsageError(
            f"The file has a column of symbols ('{symbol}'), so that all rows are not of one symbol.",
            fix="leave symbol=… out, and choose with --symbols",
            code="SYMBOL_TWICE",
        )
    return Roles(time, values, symbol)


def _time(header: Sequence[str], mapping: Mapping[str, str]) -> tuple[str, ...]:
    """The column of times, or those of dates and times; empty when there is none."""
    if "ts" in mapping:
        told = mapping["ts"]
        parts = (told,) if told in header else tuple(part.strip() for part in told.split("+"))
        return tuple(_exact(part, header) for part in parts)
    found = _candidates("ts", header)
    named = {plain(name): name for name in found}
    if set(named) == {_CLOCK, _DAY}:
        return (named[_DAY], named[_CLOCK])
    real = [name for name in found if plain(name) not in _UNNAMED]
    return _only("ts", real or found, header)


def _column(name: str, header: Sequence[str], mapping: Mapping[str, str]) -> str | None:
    if name in mapping:
        return _exact(mapping[name], header)
    return next(iter(_only(name, _candidates(name, header), header)), None)


def _candidates(name: str, header: Sequence[str]) -> list[str]:
    return [column for column in header if plain(column) in SYNONYMS[name]]


def _only(name: str, found: list[str], header: Sequence[str]) -> tuple[str, ...]:
    """The one candidate, or the one that is called exactly so; empty when there is none."""
    exact = [column for column in found if column == name]
    if len(found) > 1 and not exact:
        raise _unclear(header, f"{_listed(found)} may all be {name}", [name])
    return tuple(exact or found)


def _exact(column: str, header: Sequence[str]) -> str:
    if column not in header:
        raise _unclear(header, f"map names '{column}', which it does not have", [])
    return column


def plain(name: str) -> str:
    """A column's name in small letters, without the brackets of ``<CLOSE>``, with ``_`` for spaces."""
    return re.sub(r"[\s\-]+", "_", name.strip().strip("<>").strip().casefold())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _unclear(header: Sequence[str], why: str, wanted: Sequence[str], fix: str | None = None) -> UsageError:
    shown = _listed(header[:30]) + (", …" if len(header) > 30 else "")
    return UsageError(
        f"The file's columns are not clear: {why}. Found: {shown}.",
        fix=fix or "--with map=" + ",".join(f"{name}=COLUMN" for name in wanted or ["close"]),
        code="UNCLEAR_COLUMNS",
        details={"found": list(header), "wanted": list(wanted)},
    )

"""Where a universe's members come from: a typed list, a file, a vendor's listings, or qfund's own lists.

Promises: what an origin does not say of the past is left open and dated as not known, never guessed. A
file that cannot be read is told with its line. Stores nothing but a list of qfund's own when it is first
named.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from qfund.errors import NotFoundError, RefusedError, UsageError

if TYPE_CHECKING:
    from qfund.commands.session import Session
    from qfund.market.instruments import Listing
    from qfund.store import Store
    from qfund.store.universes import Member, Universe

_SAID = re.compile(r"#\s*(?P<key>as of|title):\s*(?P<value>.*\S)")
COLUMNS = ("symbol", "since", "until")


@dataclass(frozen=True)
class Roll:
    """The members that an origin names.

    Attributes:
        members: spells of membership.
        origin: how a refresh finds it again.
        dated_from: from when on the members are dated, see ``qfund.store.universes``.
        title: for people.
    """

    members: tuple[Member, ...]
    origin: str
    dated_from: date
    title: str = ""

    def on(self, day: date) -> tuple[str, ...]:
        """The members of a day."""
        return tuple(dict.fromkeys(one.symbol for one in self.members if one.on(day)))


def typed(text: str, *, cwd: Path, today: date) -> Roll:
    """``A,B`` or ``@FILE``, as `qfund.commands.options.symbols` reads it: members of today.

    Raises:
        UsageError: none is named, or the file cannot be read.
    """
    from qfund.commands.options import symbols
    from qfund.store.universes import Member

    origin = "symbols"
    if text.startswith("@"):
        origin = f"list:{(cwd / Path(text[1:]).expanduser()).resolve()}"
        text = f"@{origin.removeprefix('list:')}"
    return Roll(tuple(Member(symbol) for symbol in symbols(text) or ()), origin, today)


def from_file(path: Path, *, origin: str, today: date) -> Roll:
    """A CSV file of dated members: columns ``symbol``, ``since``, ``until`` (ISO dates, inclusive).

    An empty ``since`` says that the first day is not known, an empty ``until`` that it is still a member.
    Lines that begin with ``#`` are remarks; ``# as of: DATE`` says from when on members without a first day
    are known, ``# title: …`` what the list is.

    Raises:
        UsageError: it cannot be read; the line is named.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"{path} cannot be read: {reason}.", code="UNIVERSE_FILE") from error
    said = {found["key"]: found["value"] for line in lines if (found := _SAID.fullmatch(line.strip()))}
    members = tuple(_rows(path, lines))
    as_of = _day(path, 0, "as of", said["as of"]) if "as of" in said else None
    firsts = [one.since for one in members if one.since is not None]
    undated = len(firsts) < len(members)
    dated_from = as_of or (today if undated or not firsts else min(firsts))
    return Roll(members, origin, dated_from, said.get("title", ""))


def _rows(path: Path, lines: list[str]) -> Iterator[Member]:
    from qfund.store.universes import Member

    wanted = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and line[0] != "#"]
    rows = csv.reader(line for _, line in wanted)
    header = [name.strip().casefold() for name in next(rows, [])]
    if "symbol" not in header or not set(header) <= set(COLUMNS):
        raise UsageError(
            f"{path} has the columns {', '.join(header) or '(none)'}; it needs symbol, and may have since "
            "and until.",
            code="UNIVERSE_FILE",
        )
    for (number, _), row in zip(wanted[1:], rows, strict=True):
        if len(row) > len(header):
            raise UsageError(f"{path} line {number} has more cells than columns.", code="UNIVERSE_FILE")
        cells = {name: cell.strip() for name, cell in zip(header, row, strict=False)}
        if not cells.get("symbol"):
            raise UsageError(f"{path} line {number} names no symbol.", code="UNIVERSE_FILE")
        since, until = (
            _day(path, number, name, cells[name]) if cells.get(name) else None for name in COLUMNS[1:]
        )
        yield Member(cells["symbol"].upper(), since, until)


def _day(path: Path, number: int, name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        where = f"line {number}: {name}" if number else f"{name}:"
        raise UsageError(
            f"{path} {where} '{text}' is no date; write 2024-01-31.", code="UNIVERSE_FILE"
        ) from error


def from_vendor(session: Session, name: str, *, today: date) -> Roll:
    """All instruments that a vendor lists; delisted ones for as long as the vendor says they were listed.

    Raises:
        NotFoundError, ConfigError, UpstreamError: the vendor is not there, needs a key, or does not answer.
    """
    from qfund.commands import vendors

    vendors.known(name)
    with session.open_store() as store, vendors.connected(session, store, name) as vendor:
        listings = vendor.listings()
    members = tuple(dict.fromkeys(one for listing in listings for one in _spell(listing)))
    return Roll(members, f"vendor:{name}", today, f"All instruments of {name}")


def _spell(listing: Listing) -> Iterator[Member]:
    """When a listing was one; a delisted one without a last day cannot be placed."""
    from qfund.store.universes import Member

    if listing.delisted_on is not None or not listing.gone:
        yield Member(listing.symbol, listing.listed_on, listing.delisted_on)


# ---------------------------------------------------------------- lists that qfund brings


def bundled() -> dict[str, Path]:
    """Name → file of the lists that come with qfund."""
    from qfund.strategy import templates

    return {file.stem: file for file in sorted((templates.folder().parent / "universes").glob("*.csv"))}


def built_in(name: str, *, today: date) -> Roll:
    """A list that comes with qfund.

    Raises:
        NotFoundError: there is none of that name.
    """
    known = bundled()
    if name not in known:
        raise NotFoundError(
            f"No universe named '{name}' comes with qfund ({', '.join(known)} does).",
            fix=f"qfund universe create {name} --symbols A,B",
            code="UNKNOWN_UNIVERSE",
            details={"universe": name, "known": sorted(known)},
        )
    return from_file(known[name], origin=f"builtin:{name}", today=today)


def read_again(session: Session, origin: str, *, today: date) -> Roll:
    """What an origin says today.

    Raises:
        RefusedError: it was a typed list, which cannot be read again.
        UsageError, NotFoundError, ConfigError, UpstreamError: it cannot be read.
    """
    kind, _, where = origin.partition(":")
    match kind:
        case "list":
            return typed(f"@{where}", cwd=session.cwd, today=today)
        case "file":
            return from_file(Path(where), origin=origin, today=today)
        case "vendor":
            return from_vendor(session, where, today=today)
        case "builtin":
            return built_in(where, today=today)
        case _:
            raise RefusedError(
                "This universe was a typed list: there is nothing to read it from again.",
                fix="add --symbols with the members of today",
                code="NO_ORIGIN",
            )


def ready(store: Store, name: str) -> Universe:
    """The universe of a name; one that comes with qfund is taken in when it is first named.

    Raises:
        NotFoundError: no such universe.
    """
    from qfund.store import universes

    if name in bundled() and name not in {one.name for one in universes.universes(store)}:
        roll = built_in(name, today=datetime.now(UTC).date())
        return universes.create(
            store, name, roll.members, origin=roll.origin, title=roll.title, dated_from=roll.dated_from
        )
    return universes.universe(store, name)

"""Universes: named lists of symbols with dated membership.

Promises: the past of a universe is never rewritten; a refresh only lets members join today or end today. A
member is a symbol as it was called then, so a delisted share stays in the universe of its time. What is not
known of the past is said: before ``dated_from`` the members without a first day are a later list, applied to
the past.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from qfund.errors import DataQualityError, NotFoundError, RefusedError, UsageError, did_you_mean
from qfund.store.faults import translated

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from qfund.store.database import Store

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True, order=True)
class Member:
    """A symbol's membership, both days inclusive.

    Attributes:
        symbol: as it was called then.
        since: first day; None when it is not known.
        until: last day; None while it is a member.
    """

    symbol: str
    since: date | None = None
    until: date | None = None

    def on(self, day: date) -> bool:
        """Whether it is a member on a day."""
        return (self.since is None or self.since <= day) and (self.until is None or day <= self.until)


@dataclass(frozen=True)
class Universe:
    """A stored universe.

    Attributes:
        name: lower-case letters, digits, ``-`` and ``_``.
        title: for people.
        origin: where a refresh reads it again: ``symbols``, ``file:PATH``, ``vendor:NAME``, ``builtin:NAME``.
        dated_from: from this day on membership is dated; see the module.
        created_at: UTC.
        refreshed_at: UTC.
        members: how many there are now.
        past: how many spells of membership have ended.
    """

    name: str
    title: str
    origin: str
    dated_from: date
    created_at: datetime
    refreshed_at: datetime
    members: int
    past: int


@dataclass(frozen=True)
class Change:
    """What a refresh did: symbols that joined and symbols that left, sorted."""

    joined: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


# ---------------------------------------------------------------- writing


def checked_name(name: str) -> str:
    """The name, if a universe can have it.

    Raises:
        UsageError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' is no name for a universe: use lower-case letters, digits, - and _.",
            code="UNIVERSE_NAME",
        )
    return name


def create(
    store: Store,
    name: str,
    members: Iterable[Member],
    *,
    origin: str,
    title: str = "",
    dated_from: date,
) -> Universe:
    """Store a new universe.

    Args:
        store: where to.
        name: see `Universe`.
        members: spells of membership; of one symbol they must not overlap.
        origin: see `Universe`.
        title: for people.
        dated_from: see `Universe`.

    Raises:
        UsageError: no such name can be, or there is no member.
        RefusedError: a universe of that name is there.
        DataQualityError: a spell ends before it begins, or two of one symbol overlap.
    """
    found = _checked(members)
    with translated(), store.sql.begin() as connection:
        number = connection.exec_driver_sql(
            "INSERT INTO sec.universe (name, title, origin, dated_from) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (name) DO NOTHING RETURNING universe_id",
            (checked_name(name), title, origin, dated_from),
        ).scalar_one_or_none()
        if number is None:
            raise RefusedError(
                f"There is a universe '{name}' already.",
                fix=f"qfund universe refresh {name}",
                code="UNIVERSE_EXISTS",
            )
        connection.exec_driver_sql(
            "INSERT INTO sec.universe_member (universe_id, symbol, valid)"
            " VALUES (%s, %s, daterange(%s, %s, '[]'))",
            [(number, one.symbol, one.since, one.until) for one in found],
        )
    return universe(store, name)


def _checked(members: Iterable[Member]) -> list[Member]:
    """The spells, sorted by symbol and day."""
    found = sorted(set(members), key=lambda one: (one.symbol, one.since or date.min))
    if not found:
        raise UsageError("A universe needs a member.", code="NO_MEMBERS")
    for one in found:
        if one.since and one.until and one.until < one.since:
            raise DataQualityError(
                f"{one.symbol} leaves on {one.until} before it joins on {one.since}.", code="MEMBERSHIP"
            )
    for one, other in pairwise(found):
        overlap = one.until is None or (other.since or date.min) <= one.until
        if one.symbol == other.symbol and overlap:
            raise DataQualityError(
                f"{one.symbol} is a member twice on {other.since or one.until or 'every day'}.",
                code="MEMBERSHIP",
            )
    return found


def refresh(store: Store, name: str, symbols: Collection[str], *, today: date) -> Change:
    """Let the symbols that are new join today, and those that are gone end yesterday.

    Args:
        store: where.
        name: of the universe.
        symbols: who is a member today, by its origin.
        today: the day of that; what lies before it is not touched.

    Raises:
        NotFoundError: no such universe.
        UsageError: no symbol is given: an origin that is empty is a fault, not the end of all members.
    """
    if not symbols:
        raise UsageError("A universe needs a member.", code="NO_MEMBERS")
    with translated(), store.sql.begin() as connection:
        number = _number(connection, name)
        rows = connection.exec_driver_sql(
            "SELECT symbol FROM sec.universe_member WHERE universe_id = %s AND valid @> %s::date",
            (number, today),
        )
        present = {row[0] for row in rows}
        change = Change(tuple(sorted(set(symbols) - present)), tuple(sorted(present - set(symbols))))
        _leave(connection, number, change.left, today)
        if change.joined:
            connection.exec_driver_sql(
                "DELETE FROM sec.universe_member"
                " WHERE universe_id = %s AND symbol = ANY (%s) AND lower(valid) > %s",
                (number, list(change.joined), today),
            )
            connection.exec_driver_sql(
                "INSERT INTO sec.universe_member (universe_id, symbol, valid)"
                " VALUES (%s, %s, daterange(%s, NULL))",
                [(number, symbol, today) for symbol in change.joined],
            )
        connection.exec_driver_sql(
            "UPDATE sec.universe SET refreshed_at = now() WHERE universe_id = %s", (number,)
        )
    return change


def _leave(connection: Connection, number: int, symbols: Sequence[str], today: date) -> None:
    """End memberships; one that began today was never a membership of a whole day."""
    values = (number, list(symbols), today, today)
    connection.exec_driver_sql(
        "DELETE FROM sec.universe_member"
        " WHERE universe_id = %s AND symbol = ANY (%s) AND valid @> %s::date AND lower(valid) = %s",
        values,
    )
    connection.exec_driver_sql(
        "UPDATE sec.universe_member SET valid = valid * daterange(NULL, %s)"
        " WHERE universe_id = %s AND symbol = ANY (%s) AND valid @> %s::date",
        (today, *values[:3]),
    )


def delete(store: Store, name: str) -> None:
    """Forget a universe and its memberships; bars and instruments stay.

    Raises:
        NotFoundError: no such universe.
    """
    with translated(), store.sql.begin() as connection:
        number = _number(connection, name)
        connection.exec_driver_sql("DELETE FROM sec.universe WHERE universe_id = %s", (number,))


# ---------------------------------------------------------------- reading

_UNIVERSES = """
SELECT u.name, u.title, u.origin, u.dated_from, u.created_at, u.refreshed_at,
       count(m.symbol) FILTER (WHERE m.valid @> current_date),
       count(m.symbol) FILTER (WHERE upper(m.valid) <= current_date)
  FROM sec.universe u LEFT JOIN sec.universe_member m USING (universe_id)
 WHERE %(name)s::text IS NULL OR u.name = %(name)s
 GROUP BY u.universe_id ORDER BY u.name
"""


def universes(store: Store) -> list[Universe]:
    """All of them, by name."""
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(_UNIVERSES, {"name": None}).all()
    return [Universe(*row) for row in rows]


def universe(store: Store, name: str) -> Universe:
    """One of them.

    Raises:
        NotFoundError: no such universe; the nearest names are told.
    """
    with translated(), store.sql.connect() as connection:
        _number(connection, name)
        row: Any = connection.exec_driver_sql(_UNIVERSES, {"name": name}).one()
    return Universe(*row)


def members(
    store: Store, name: str, *, on: date | None = None, since: date | None = None, until: date | None = None
) -> tuple[Member, ...]:
    """Spells of membership, by symbol and day, whole and not cut to the range.

    Args:
        store: where to look.
        name: of the universe.
        on: only members of that day.
        since: only spells that reach this day.
        until: only spells that begin by this day.

    Raises:
        NotFoundError: no such universe.
    """
    first, last = (on, on) if on is not None else (since, until)
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT symbol, lower(valid), upper(valid) FROM sec.universe_member"
            " WHERE universe_id = %s AND valid && daterange(%s, %s, '[]')"
            " ORDER BY symbol, lower(valid) NULLS FIRST",
            (_number(connection, name), first, last),
        ).all()
    return tuple(Member(row[0], row[1], row[2] and row[2] - timedelta(days=1)) for row in rows)


def _number(connection: Connection, name: str) -> int:
    rows = connection.exec_driver_sql("SELECT name, universe_id FROM sec.universe").all()
    known = {row[0]: int(row[1]) for row in rows}
    if name not in known:
        raise NotFoundError(
            f"There is no universe named '{name}'.{did_you_mean(name, known)}",
            fix="qfund universe list",
            code="UNKNOWN_UNIVERSE",
            details={"universe": name, "known": sorted(known)},
        )
    return known[name]

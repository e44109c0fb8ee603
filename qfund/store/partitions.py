"""Partitions of minute bars: a year of packed ones, a week of those whose session is not over.

Promises: made by whoever brings the first session of a year or week, without stopping readers or writers;
taken away only when they are empty and their last session lies behind, so that no bar is ever lost with one.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from qfund.errors import LockedError

if TYPE_CHECKING:
    from qfund.store.database import Store

_LOCK = 0x7166_7061_7274  # one maker at a time
_PATIENCE = "2s"


def ensure_years(cursor: Any, first: date, last: date) -> None:
    """Make the partitions of packed sessions in ``[first, last]`` that are not there."""
    wanted = {
        f"bar_1m_day_{year}": (f"{year}-01-01", f"{year + 1}-01-01")
        for year in range(first.year, last.year + 1)
    }
    _ensure(cursor, "bar_1m_day", wanted)


def ensure_weeks(cursor: Any, first: date, last: date) -> None:
    """Make the partitions of unfinished sessions in ``[first, last]`` that are not there.

    From here to the end of the transaction none of them is taken away.
    """
    cursor.execute("LOCK TABLE ONLY sec.bar_1m_hot IN ROW EXCLUSIVE MODE")
    monday = first - timedelta(days=first.weekday())
    wanted = {}
    while monday <= last:
        year, week, _ = monday.isocalendar()
        wanted[f"bar_1m_hot_{year}w{week:02d}"] = (str(monday), str(monday + timedelta(days=7)))
        monday += timedelta(days=7)
    _ensure(cursor, "bar_1m_hot", wanted)


def _ensure(cursor: Any, parent: str, wanted: dict[str, tuple[str, str]]) -> None:
    """Make partitions; attaching one that stands ready waits for nobody who reads or writes the others."""
    missing = _missing(cursor, wanted)
    if not missing:
        return
    cursor.execute(f"SELECT pg_advisory_xact_lock({_LOCK}) IS NULL")
    cursor.fetchall()
    for name in _missing(cursor, missing):
        start, end = wanted[name]
        cursor.execute(f"CREATE TABLE sec.{name} (LIKE sec.{parent} INCLUDING ALL)")
        cursor.execute(
            f"ALTER TABLE sec.{parent} ATTACH PARTITION sec.{name} FOR VALUES FROM ('{start}') TO ('{end}')"
        )


def _missing(cursor: Any, names: Any) -> list[str]:
    listed = ", ".join(f"'{name}'" for name in names)
    cursor.execute(
        f"SELECT n FROM unnest(ARRAY[{listed}]) n WHERE to_regclass('sec.' || n) IS NULL ORDER BY n"  # noqa: S608
    )
    return [str(row[0]) for row in cursor.fetchall()]


def drop_empty_weeks(store: Store, before: date) -> list[str]:
    """Take away weeks of unfinished sessions that end before a day and hold no bar.

    Args:
        store: where.
        before: the first day that may still get bars.

    Returns:
        The partitions that were dropped. One that is in use is left for the next time.
    """
    with store.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i"
            " JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'sec.bar_1m_hot'::regclass ORDER BY 1"
        )
        found = [(str(name), _end(str(bound))) for name, bound in cursor.fetchall()]
    return [name for name, end in found if end <= before and _dropped(store, name)]


def _end(bound: str) -> date:
    """``FOR VALUES FROM ('2024-01-01') TO ('2024-01-08')`` → 2024-01-08."""
    return date.fromisoformat(bound.rpartition("'")[0].rpartition("'")[2])


def _dropped(store: Store, name: str) -> bool:
    try:
        with store.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{_PATIENCE}'")
            cursor.execute("LOCK TABLE ONLY sec.bar_1m_hot IN ACCESS EXCLUSIVE MODE")
            cursor.execute(f"SELECT to_regclass('sec.{name}') IS NOT NULL")
            if not cursor.fetchone()[0]:
                return False  # another run was quicker
            cursor.execute(f"LOCK TABLE sec.{name} IN ACCESS EXCLUSIVE MODE")
            cursor.execute(f"SELECT NOT EXISTS (SELECT FROM sec.{name})")  # noqa: S608 - our own name
            if not cursor.fetchone()[0]:
                return False
            cursor.execute(f"DROP TABLE sec.{name}")
            return True
    except LockedError:
        return False

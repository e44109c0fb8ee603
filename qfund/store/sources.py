"""Series: whose bars, from which feed, of which hours, adjusted or not. Bars of two series never share a key.

Promises: a source keeps its number for ever. Nothing here deletes anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from qfund.errors import UsageError
from qfund.market.bars import Timeframe
from qfund.store.faults import translated

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from qfund.store.database import Store

Basis = Literal["raw", "split", "all"]
PriceKind = Literal["trade", "mid", "bid", "ask"]
Hours = Literal["regular", "extended", "always"]


@dataclass(frozen=True)
class Series:
    """What a set of bars is; bars of two series never mix.

    Attributes:
        source_id: the source's number in the store.
        vendor: whose bars.
        feed: where the vendor has them from (``sip``, ``iex``, ``synthetic``, or empty).
        basis: ``raw``, or what the vendor has already adjusted for.
        hours: the hours of the day that are covered.
        timeframe: length of a bar.
        price_kind: trades, or quotes.
        calendar: name of its sessions' calendar, see ``qfund.market.sessions``.
    """

    source_id: int
    vendor: str
    feed: str
    basis: Basis
    hours: Hours
    timeframe: Timeframe
    price_kind: PriceKind = "trade"
    calendar: str = "XNYS"


class Described(Protocol):
    """Anything that says what a series is, such as a vendor's offer."""

    @property
    def feed(self) -> str: ...  # noqa: D102 - see Series
    @property
    def basis(self) -> Basis: ...  # noqa: D102
    @property
    def price_kind(self) -> PriceKind: ...  # noqa: D102
    @property
    def hours(self) -> Hours: ...  # noqa: D102
    @property
    def timeframe(self) -> Timeframe: ...  # noqa: D102


def vendor_id(connection: Connection, vendor: str) -> int:
    """The vendor's number; a new vendor gets one."""
    connection.exec_driver_sql(
        "INSERT INTO sec.vendor (name) VALUES (%s) ON CONFLICT (name) DO NOTHING", (vendor,)
    )
    found = connection.exec_driver_sql("SELECT vendor_id FROM sec.vendor WHERE name = %s", (vendor,))
    return int(found.scalar_one())


def series(
    store: Store,
    *,
    vendor: str,
    timeframe: Timeframe,
    feed: str = "",
    basis: Basis = "raw",
    price_kind: PriceKind = "trade",
    hours: Hours = "regular",
    calendar: str = "XNYS",
) -> Series:
    """The series of that description; made when it is new. The calendar of a known one stays as it is."""
    key = (feed, basis, price_kind, hours)
    with translated(), store.sql.begin() as connection:
        number = vendor_id(connection, vendor)
        connection.exec_driver_sql(
            "INSERT INTO sec.source (vendor_id, feed, basis, price_kind, hours, calendar)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (number, *key, calendar),
        )
        found = _find(connection, vendor, key, timeframe)
    if found is None:
        raise RuntimeError(f"the source {vendor} {key} was stored and is not there")
    return found


def find_series(store: Store, vendor: str, described: Described) -> Series | None:
    """The series of that description, None when nothing was ever stored of it; writes nothing."""
    key = (described.feed, described.basis, described.price_kind, described.hours)
    with translated(), store.sql.connect() as connection:
        return _find(connection, vendor, key, described.timeframe)


_SOURCE = """
SELECT s.source_id, v.name, s.feed, s.basis, s.hours, s.price_kind, s.calendar
  FROM sec.source s JOIN sec.vendor v USING (vendor_id)
"""


def _find(
    connection: Connection, vendor: str, key: tuple[str, str, str, str], timeframe: Timeframe
) -> Series | None:
    row = connection.exec_driver_sql(
        _SOURCE
        + " WHERE v.name = %s AND s.feed = %s AND s.basis = %s AND s.price_kind = %s AND s.hours = %s",
        (vendor, *key),
    ).one_or_none()
    return None if row is None else _series(row, timeframe)


def _series(row: Any, timeframe: Timeframe) -> Series:
    return Series(row[0], row[1], row[2], row[3], row[4], timeframe, row[5], row[6])


def by_number(store: Store, source_id: int, timeframe: Timeframe) -> Series:
    """The series of a source's number. Raises LookupError when there is none."""
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(_SOURCE + " ORDER BY s.source_id").all()
    row = next((one for one in rows if one[0] == source_id), None)
    if row is None:
        raise LookupError(f"there is no source {source_id}")
    return _series(row, timeframe)


def sources(store: Store, timeframe: Timeframe) -> list[Series]:
    """The series of a timeframe that were ever written to, in the order they were first stored."""
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            _SOURCE + " WHERE EXISTS (SELECT 1 FROM ops.coverage c"  # noqa: S608 - our own text
            "                WHERE c.source_id = s.source_id AND c.timeframe = %s)"
            " ORDER BY s.source_id",
            (timeframe,),
        ).all()
    return [_series(row, timeframe) for row in rows]


def asked(store: Store, timeframe: Timeframe) -> list[Series]:
    """The series of a timeframe that ever got an answer, also where every bar of it was rejected."""
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            _SOURCE + " WHERE EXISTS (SELECT 1 FROM ops.coverage c"  # noqa: S608 - our own text
            "                WHERE c.source_id = s.source_id AND c.timeframe = %(timeframe)s)"
            "    OR EXISTS (SELECT 1 FROM sec.quarantine q"
            "                WHERE q.source_id = s.source_id AND q.timeframe = %(timeframe)s)"
            " ORDER BY s.source_id",
            {"timeframe": timeframe},
        ).all()
    return [_series(row, timeframe) for row in rows]


def only(
    found: Sequence[Series],
    *,
    feed: str | None = None,
    price_kind: PriceKind | None = None,
    hours: Hours | None = None,
) -> Series:
    """The one series that fits, since series never mix.

    Args:
        found: of one vendor and timeframe; at least one.
        feed: only this feed; None for any.
        price_kind: only trades, mid, bid or ask.
        hours: only these hours.

    Raises:
        UsageError: several fit, or none; the message names those that there are.
    """
    wanted = {"feed": feed, "price_kind": price_kind, "hours": hours}
    fitting = [
        one
        for one in found
        if all(value is None or getattr(one, key) == value for key, value in wanted.items())
    ]
    if len(fitting) == 1:
        return fitting[0]
    told = "; ".join(f"--feed {one.feed} --price {one.price_kind} --hours {one.hours}" for one in found)
    what = "Several series of" if fitting else "No such series among the"
    raise UsageError(
        f"{what} {found[0].timeframe} bars of {found[0].vendor}: {told}. Say which.",
        fix=f"add --feed {found[0].feed} --price {found[0].price_kind} --hours {found[0].hours}",
        code="WHICH_SERIES",
    )

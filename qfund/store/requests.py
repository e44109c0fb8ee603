"""The ledger of requests: how many each account of a vendor was sent in each month, and what came of them.

Promises: counts only grow, whoever adds to them at the same time. Months are those of UTC by the database's
clock. An account is named by a digest; no key is ever stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from qfund.store.faults import translated

if TYPE_CHECKING:
    from qfund.store.database import Store

_MONTH = "date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC')::date"


@dataclass(frozen=True)
class Sent:
    """Requests that were sent.

    Attributes:
        requests: all, retries included.
        throttled: answered with 429.
        retried: sent again for want of a useful answer.
        size: bytes of the answers' bodies on the wire.
        credits: what the vendor charges for the requests, in its own credits.
    """

    requests: int = 0
    throttled: int = 0
    retried: int = 0
    size: int = 0
    credits: float = 0.0

    def __add__(self, other: Sent) -> Sent:
        return Sent(
            self.requests + other.requests,
            self.throttled + other.throttled,
            self.retried + other.retried,
            self.size + other.size,
            self.credits + other.credits,
        )

    def __sub__(self, other: Sent) -> Sent:
        return Sent(
            self.requests - other.requests,
            self.throttled - other.throttled,
            self.retried - other.retried,
            self.size - other.size,
            self.credits - other.credits,
        )


@dataclass(frozen=True)
class Month:
    """One line of the ledger.

    Attributes:
        vendor: its name.
        account: which of its accounts and hosts.
        month: first day.
        sent: the requests.
    """

    vendor: str
    account: str
    month: date
    sent: Sent


def add(store: Store, vendor: str, sent: Mapping[str, Sent]) -> None:
    """Add to this month's lines, account → requests; one transaction, nothing is done for none.

    Raises:
        UpstreamError: the database is lost; nothing was added.
    """
    lines = [
        (vendor, account, one.requests, one.throttled, one.retried, one.size, one.credits)
        for account, one in sorted(sent.items())  # one order for all, so that two runs never wait in a circle
        if one != Sent()
    ]
    if not lines:
        return
    with translated(), store.sql.begin() as connection:
        for line in lines:
            connection.exec_driver_sql(
                "INSERT INTO ops.request_ledger AS l"  # noqa: S608 - no value is in the text
                " (vendor, account, month, requests, throttled, retried, bytes, credits)"
                f" VALUES (%s, %s, {_MONTH}, %s, %s, %s, %s, %s)"
                " ON CONFLICT (vendor, account, month) DO UPDATE"
                " SET requests = l.requests + excluded.requests, retried = l.retried + excluded.retried,"
                " throttled = l.throttled + excluded.throttled, bytes = l.bytes + excluded.bytes,"
                " credits = l.credits + excluded.credits",
                line,
            )


def months(store: Store, vendor: str | None = None, *, back: int = 0) -> list[Month]:
    """The lines of this month and of so many before it, newest first, then by vendor and account.

    Raises:
        UpstreamError: the database is lost.
    """
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT vendor, account, month, requests, throttled, retried, bytes, credits"  # noqa: S608 - no value
            " FROM ops.request_ledger"
            f" WHERE month >= {_MONTH} - %(back)s * interval '1 month'"
            " AND (%(vendor)s::text IS NULL OR vendor = %(vendor)s) ORDER BY month DESC, vendor, account",
            {"vendor": vendor, "back": back},
        ).all()
    return [
        Month(row[0], row[1], row[2], Sent(*map(int, row[3:7])) + Sent(credits=float(row[7]))) for row in rows
    ]


def this_month(store: Store) -> dict[str, Sent]:
    """Vendor → all that was sent to it this month, over its accounts."""
    found: dict[str, Sent] = {}
    for line in months(store):
        found[line.vendor] = found.get(line.vendor, Sent()) + line.sent
    return found

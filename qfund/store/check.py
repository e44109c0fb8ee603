"""Facts about an open store, for those who look after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qfund.store import schema
from qfund.store.faults import translated

if TYPE_CHECKING:
    from qfund.store.database import Store


@dataclass(frozen=True)
class StoreFacts:
    """What a healthy store says of itself.

    Attributes:
        url: its address without the password.
        embedded: whether qfund runs the server.
        server_version: of PostgreSQL, such as ``18.4``.
        revision: the schema's, None without a schema.
        newest_revision: that this program knows.
        bytes: size of the database on its disk.
        clock_skew_seconds: the server's clock minus this machine's.
    """

    url: str
    embedded: bool
    server_version: str
    revision: str | None
    newest_revision: str
    bytes: int
    clock_skew_seconds: float


def facts(store: Store) -> StoreFacts:
    """Ask the store about itself; that it answers is the first fact.

    Raises:
        UpstreamError: it does not answer any more.
    """
    from datetime import UTC, datetime

    with translated(), store.sql.connect() as connection:
        before = datetime.now(UTC)
        version, size, there = connection.exec_driver_sql(
            "SELECT current_setting('server_version'), pg_database_size(current_database()),"
            " clock_timestamp()"
        ).one()
        here = before + (datetime.now(UTC) - before) / 2
    return StoreFacts(
        url=store.url,
        embedded=store.embedded,
        server_version=str(version).partition(" ")[0],
        revision=schema.revision(store.sql),
        newest_revision=schema.HEAD,
        bytes=int(size),
        clock_skew_seconds=(there - here).total_seconds(),
    )

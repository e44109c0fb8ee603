"""How much of the disk each table takes. Reads the catalogue; never counts rows by reading them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qfund.store.faults import translated

if TYPE_CHECKING:
    from qfund.store.database import Store

# A partition counts for its parent, so that minute bars are one line however many years they span.
_SIZES = """
    SELECT n.nspname || '.' || top.relname,
           greatest(sum(greatest(c.reltuples, 0)), 0)::bigint,
           sum(pg_total_relation_size(c.oid))::bigint
      FROM pg_class c
      JOIN pg_class top ON top.oid = coalesce(pg_partition_root(c.oid), c.oid)
      JOIN pg_namespace n ON n.oid = top.relnamespace
     WHERE n.nspname IN ('sec', 'ops') AND c.relkind IN ('r', 'p')
     GROUP BY 1
     ORDER BY 3 DESC, 1
"""


@dataclass(frozen=True)
class TableSize:
    """One table, its partitions included.

    Attributes:
        table: with its schema, ``sec.bar_1d``.
        rows: the server's estimate; 0 until it has looked for the first time.
        bytes: of the table, its indexes and its arrays.
    """

    table: str
    rows: int
    bytes: int


def sizes(store: Store) -> list[TableSize]:
    """Every table of qfund's, the largest first.

    Raises:
        UpstreamError: the database does not answer any more.
    """
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(_SIZES).all()
    return [TableSize(str(table), int(count), int(size)) for table, count, size in rows]


_BAR_BYTES = {
    "1d": "SELECT (SELECT count(*) FROM sec.bar_1d), pg_total_relation_size('sec.bar_1d')",
    "1m": """
        SELECT (SELECT coalesce(sum(cardinality(minute)), 0) FROM sec.bar_1m_day),
               (SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c
                 WHERE c.relispartition AND pg_partition_root(c.oid) = 'sec.bar_1m_day'::regclass)""",
}


def bar_bytes(store: Store, timeframe: str, *, enough: int) -> float | None:
    """Bytes on disk of a stored bar, indexes included; None while fewer than ``enough`` are stored.

    Raises:
        UpstreamError: the database does not answer.
    """
    with translated(), store.sql.connect() as connection:
        bars, size = connection.exec_driver_sql(_BAR_BYTES[timeframe]).one()
    return float(size) / float(bars) if bars >= enough else None

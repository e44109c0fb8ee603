"""Which run is fetching which instrument of a series, over all processes that share the database.

Promises: an instrument of a series is claimed by one living run at most. Whether a run lives is PostgreSQL's
own word: it holds an advisory lock on a connection, which ends with its process, however that ends; the
claims of a dead run are simply taken over. Nothing here keeps a transaction open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from qfund.store.faults import translated

if TYPE_CHECKING:
    from qfund.store.database import Store
    from qfund.store.sources import Series

_LIVING = (
    0x7166_6C76  # "qflv": the first key of the lock that says that a run lives; the second is its number
)

_IS_ALIVE = """
EXISTS (SELECT 1 FROM pg_locks l
         WHERE l.locktype = 'advisory' AND l.granted AND l.classid = %(living)s
           AND l.objid = {run}::bigint::oid AND l.objsubid = 2
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""

_TAKE = f"""
INSERT INTO ops.ingest_claim AS c (source_id, timeframe, instrument_id, ingest_run_id)
SELECT %(source)s, %(timeframe)s, n, %(run)s FROM unnest(%(ids)s::integer[]) n ORDER BY n
    ON CONFLICT (source_id, timeframe, instrument_id)
    DO UPDATE SET ingest_run_id = excluded.ingest_run_id, claimed_at = now()
 WHERE c.ingest_run_id = excluded.ingest_run_id
    OR NOT {_IS_ALIVE.format(run="c.ingest_run_id")}
RETURNING instrument_id
"""  # noqa: S608 - our own text

_BURY = f"""
UPDATE ops.ingest_run r SET status = 'abandoned', error = 'it was killed', finished_at = clock_timestamp()
 WHERE r.status = 'running' AND NOT {_IS_ALIVE.format(run="r.ingest_run_id")}
"""  # noqa: S608 - our own text


_UNENDED = f"""
SELECT r.ingest_run_id, v.name, r.dataset, r.started_at,
       r.status = 'running' AND {_IS_ALIVE.format(run="r.ingest_run_id")} AS alive
  FROM ops.ingest_run r JOIN sec.vendor v USING (vendor_id)
 WHERE r.status = 'running' OR r.status = 'abandoned' AND NOT EXISTS (
       SELECT 1 FROM ops.ingest_run x WHERE x.vendor_id = r.vendor_id AND x.dataset = r.dataset
          AND x.ingest_run_id > r.ingest_run_id)
 ORDER BY r.ingest_run_id
"""  # noqa: S608 - our own text


@dataclass(frozen=True)
class Unended:
    """A run that goes on, or that was killed and not followed by another of its kind.

    Attributes:
        ingest_run_id: its number.
        vendor: who was asked.
        dataset: for what.
        started_at: UTC.
        alive: whether it goes on.
    """

    ingest_run_id: int
    vendor: str
    dataset: str
    started_at: datetime
    alive: bool


def unended(store: Store) -> list[Unended]:
    """The runs that go on, and those that were killed and not followed by another of their kind."""
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(_UNENDED, {"living": _LIVING}).all()
    return [Unended(*row) for row in rows]


@contextmanager
def living(store: Store, ingest_run_id: int) -> Iterator[None]:
    """Say that a run lives, during the block; its claims end with it.

    Raises:
        UpstreamError: the database does not answer.
    """
    with translated(), store.sql.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.detach()  # nobody else's: the lock ends with it
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({_LIVING}, {int(ingest_run_id)})")
        try:
            yield
        finally:
            release(store, ingest_run_id)


def take(store: Store, series: Series, ids: Sequence[int], ingest_run_id: int) -> set[int]:
    """Claim those of the instruments that no other living run has; committed at once.

    Args:
        store: the database that all share.
        series: of which series.
        ids: instruments.
        ingest_run_id: the run that claims; it must be `living`.

    Returns:
        The instruments that are claimed now.
    """
    if not ids:
        return set()
    with translated(), store.sql.begin() as connection:
        rows = connection.exec_driver_sql(
            _TAKE,
            {
                "source": series.source_id,
                "timeframe": series.timeframe,
                "ids": sorted(ids),
                "run": ingest_run_id,
                "living": _LIVING,
            },
        )
        return {int(row[0]) for row in rows}


def release(store: Store, ingest_run_id: int) -> None:
    """End all claims of a run."""
    with translated(), store.sql.begin() as connection:
        connection.exec_driver_sql("DELETE FROM ops.ingest_claim WHERE ingest_run_id = %s", (ingest_run_id,))


def bury(store: Store) -> None:
    """Mark runs that died as abandoned; what they committed is kept."""
    with translated(), store.sql.begin() as connection:
        connection.exec_driver_sql(_BURY, {"living": _LIVING})

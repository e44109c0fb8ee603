"""One ingest of a series at a time, over all processes and machines that share the database.

Promises: the lock is PostgreSQL's own, held by a connection: it ends with the process, however that ends, and
needs no clean-up. It never keeps a transaction open.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from qfund.errors import LockedError
from qfund.store import Store

_SPACE = 0x7166  # "qf": keeps the keys apart from other users of advisory locks
_POLL_SECONDS = 0.1


@contextmanager
def alone(store: Store, name: str, *, patience: float, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a name during the block.

    Args:
        store: the database that all share.
        name: what is locked, such as ``sample wiki 1d``.
        patience: seconds to wait for another run to end.
        on_wait: told once, in a sentence, when there is something to wait for.

    Raises:
        LockedError: another run holds it and did not end in time.
    """
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big", signed=True)
    with closing(store.dbapi()) as connection, closing(connection.cursor()) as cursor:
        deadline = time.monotonic() + patience
        waited = False
        while True:
            cursor.execute(f"SELECT pg_try_advisory_lock({_SPACE}, {key})")
            (held,) = cursor.fetchone()
            connection.commit()
            if held:
                break
            if time.monotonic() >= deadline:
                raise LockedError(
                    f"Another ingest of {name} is running; it keeps what it fetches.",
                    fix="run the same command again when the other has ended",
                )
            if not waited:
                on_wait(f"Another ingest of {name} is running; waiting for it to end.")
                waited = True
            time.sleep(_POLL_SECONDS)
        yield

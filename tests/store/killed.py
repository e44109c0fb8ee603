"""A packing or an export that kills its own process at one of its steps: ``python -m tests.store.killed …``."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from qfund.store import open_store, packing, sources
from qfund.store.export import Export, Selected

LATER = datetime(2030, 1, 1, tzinfo=UTC)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DeadlyStore:
    """A store whose n-th transaction is the process's last: killed at its end, before or after the commit."""

    def __init__(self, store, point: str, number: int) -> None:
        self.store, self.point, self.number, self.opened = store, point, number, 0

    def __getattr__(self, name):
        return getattr(self.store, name)

    @contextmanager
    def transaction(self):
        self.opened += 1
        with self.store.transaction() as connection:
            yield connection
            if self.point == "before commit" and self.opened == self.number:
                die()
        if self.point == "after commit" and self.opened == self.number:
            die()


def main(what: str, url: str, folder: str, point: str, number: int) -> None:
    with open_store(url, Path(folder)) as store:
        if what == "pack":
            list(packing.pack(DeadlyStore(store, point, number), LATER))
            return
        (series,) = sources.sources(store, "1m")
        for done, _ in enumerate(Export(store, Path(folder) / "out", Selected(series)).run(), 1):
            if done == number:
                die()


if __name__ == "__main__":
    main(*sys.argv[1:5], int(sys.argv[5]))

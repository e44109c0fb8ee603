"""A program that ingests and kills itself with SIGKILL at one chosen point: see test_kill.

Usage: python -m tests.ingest.killed URL HOME POINT NUMBER
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

from qfund.ingest.apply import Ingest
from qfund.ingest.look import Wish
from qfund.ingest.report import Kept
from qfund.store import open_store
from tests.ingest.doubles import Truthful

POINTS = ("request", "answer", "actions", "in transaction", "before commit", "after commit")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Deadly(Truthful):
    """Kills the process at the n-th request, page or question for actions."""

    def __init__(self, point: str, number: int) -> None:
        super().__init__()
        self.point, self.number, self.asked = point, number, 0

    def answer(self, request):
        if self.point == "request" and len(self.requests) == self.number:
            die()
        yield from super().answer(request)
        if self.point == "answer" and len(self.requests) == self.number:
            die()

    def actions(self, symbols, since, until):
        self.asked += 1
        if self.point == "actions" and self.asked == self.number:
            die()
        return super().actions(symbols, since, until)


class DeadlyStore:
    """A store whose n-th transaction is the process's last."""

    def __init__(self, store, point: str, number: int) -> None:
        self.store, self.point, self.number, self.opened = store, point, number, 0

    def __getattr__(self, name):
        return getattr(self.store, name)

    @contextmanager
    def transaction(self):
        self.opened += 1
        with self.store.transaction() as connection:
            if self.point == "in transaction" and self.opened == self.number:
                connection.cursor().execute("SELECT 1")
                die()
            yield connection
            if self.point == "before commit" and self.opened == self.number:
                die()


def main(url: str, home: str, point: str, number: int) -> None:
    with open_store(url, Path(home)) as store:
        work = Ingest(DeadlyStore(store, point, number), Deadly(point, number), Wish())
        done = 0
        for event in work.apply(work.plan()):
            done += isinstance(event, Kept)
            if point == "after commit" and done == number:
                die()


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))

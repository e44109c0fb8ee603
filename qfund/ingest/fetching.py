"""Chunks being fetched: a few worker threads ask and check, the caller commits.

Promises: no more than ``jobs`` chunks are being asked for at a time, and no more than one beyond that waits
to be committed, so that memory is bounded however long the plan is. When the caller stops, no further request
leaves; threads that are in the middle of one do not keep the process alive.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from qfund.errors import (
    BudgetError,
    ConfigError,
    InterruptedRunError,
    LockedError,
    QfundError,
    TimeoutExpiredError,
    UnreachableError,
)
from qfund.ingest.plan import FetchSpan
from qfund.ingest.steps import Answer


@dataclass(frozen=True)
class Asking:
    """A chunk's first request is about to leave."""

    step: FetchSpan


@dataclass(frozen=True)
class Paged:
    """Another page of a chunk has come.

    Attributes:
        step: the chunk.
        pages: how many of its pages have come.
        bars: how many bars they hold together.
    """

    step: FetchSpan
    pages: int
    bars: int


@dataclass(frozen=True, eq=False)
class Fetched:
    """A chunk is whole, or failed.

    Attributes:
        step: the chunk.
        outcome: its checked answer, or what was wrong.
    """

    step: FetchSpan
    outcome: Answer | BaseException


News = Asking | Paged | Fetched

Ask = Callable[[FetchSpan, Callable[[int, int], None]], Answer]
"""Asks for a chunk; told after each page how many pages and bars have come."""

ENDS_THE_RUN = (
    ConfigError,
    BudgetError,
    TimeoutExpiredError,
    InterruptedRunError,
    LockedError,
    UnreachableError,
)
"""After one of these no further request may leave: the credentials, a limit, the time, the user, and a host
that cannot be reached, which would cost every question all of its attempts."""


class Fetching:
    """A pool of threads that fetch chunks in the order given; iterate over it for the news.

    Args:
        ask: fetches and checks one chunk; called from several threads when ``jobs`` is above 1.
        jobs: how many chunks at a time.
    """

    def __init__(self, ask: Ask, jobs: int) -> None:
        self._ask = ask
        self._pending: deque[FetchSpan] = deque()
        self._todo: SimpleQueue[FetchSpan | None] = SimpleQueue()
        self._news: SimpleQueue[News] = SimpleQueue()
        self._stopped = threading.Event()
        self._most = jobs + 1
        self._out = 0
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(jobs)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let nothing further leave; wait for the threads unless the caller is being stopped."""
        self._stopped.set()
        for _ in self._threads:
            self._todo.put(None)
        if kind is None:
            for thread in self._threads:
                thread.join()

    def add(self, steps: Iterable[FetchSpan]) -> None:
        """Fetch these too, after those that were added before."""
        self._pending.extend(steps)

    def drop(self) -> list[FetchSpan]:
        """Ask for nothing more; what is on its way still arrives. Returns what was never asked for."""
        left = list(self._pending)
        self._pending.clear()
        return left

    def __iter__(self) -> Iterator[News]:
        """The news as they come; ends when every chunk has been fetched or has failed."""
        while True:
            while self._pending and self._out < self._most:
                self._todo.put(self._pending.popleft())
                self._out += 1
            if not self._out:
                return
            news = self._news.get()
            yield news
            if isinstance(news, Fetched):
                self._out -= 1  # only now: while the caller commits, one more chunk may wait

    def _work(self) -> None:
        while (step := self._todo.get()) is not None:
            if self._stopped.is_set():
                self._news.put(Fetched(step, InterruptedRunError("The run has ended.")))
                continue
            self._news.put(Asking(step))
            try:
                outcome: Answer | BaseException = self._ask(step, self._telling(step))
            except BaseException as error:  # noqa: BLE001 - the caller raises it
                outcome = error
            if isinstance(outcome, BaseException) and _ends(outcome):
                self._stopped.set()
            self._news.put(Fetched(step, outcome))

    def _telling(self, step: FetchSpan) -> Callable[[int, int], None]:
        def tell(pages: int, bars: int) -> None:
            if self._stopped.is_set():
                raise InterruptedRunError("The run was stopped.")
            self._news.put(Paged(step, pages, bars))

        return tell


def _ends(error: BaseException) -> bool:
    """Whether no further request may leave after this."""
    return isinstance(error, ENDS_THE_RUN) or not isinstance(error, QfundError)

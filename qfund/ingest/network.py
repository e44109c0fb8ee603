"""The network of one run: the wire of vendors with the store's pace and ledger, and the run's own limits.

Promises: whatever ends the run, what it sent is in the ledger, and nothing sleeps on after it was stopped.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from qfund.errors import InterruptedRunError, QfundError
from qfund.ingest.meter import Deadline, Traffic
from qfund.store import Store, requests
from qfund.store.pacing import Paces, SharedPace
from qfund.store.requests import Sent
from qfund.vendors.contract import Rate
from qfund.vendors.wire import Network, Patience


class Line:
    """A run's way to its vendor; a context that closes it and writes the ledger at its end.

    Attributes:
        network: for `qfund.vendors.contract.Setup`.

    Args:
        store: where pace and ledger are.
        vendor: the vendor's name.
        traffic: counts and limits.
        deadline: when the run must end.
        attempts: most times that one request is sent for want of an answer.
        patience: limits of waiting for an answer.
    """

    def __init__(
        self,
        store: Store,
        vendor: str,
        *,
        traffic: Traffic,
        deadline: Deadline,
        attempts: int,
        patience: Patience,
    ) -> None:
        self._store = store
        self._vendor = vendor
        self._traffic = traffic
        self._stopped = threading.Event()
        self._paces = Paces(store, sleep=self._sleep, left=deadline.left)
        self.network = Network(
            pace=self._pace,
            meter=traffic.meter,
            sleep=self._sleep,
            left=deadline.left,
            attempts=attempts,
            patience=patience,
        )

    @property
    def sent(self) -> Sent:
        """Requests, throttled, retried and bytes of this run so far; from any thread."""
        return self._traffic.total

    def record(self) -> None:
        """Write what was sent since the last time to the ledger; call it after each chunk.

        Raises:
            UpstreamError: the database is lost; the counts stay for the next time.
        """
        self._traffic.record(functools.partial(requests.add, self._store, self._vendor))

    def stop(self) -> None:
        """Let nothing more leave: whoever waits or comes to send gets InterruptedRunError."""
        self._stopped.set()

    def close(self) -> None:
        """Close all connections and write the ledger; see `record` for what it raises."""
        self.stop()
        self.network.close()
        self._paces.close()
        self.record()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What ended the run matters more than a ledger that could not be written because of it.
        with contextlib.suppress(QfundError) if error else contextlib.nullcontext():
            self.close()

    def _pace(self, account: str, rate: Rate) -> _Pace:
        return _Pace(self._paces.pace(account, rate.requests, rate.seconds), self._stopped)

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise _interrupted()


@dataclass(frozen=True)
class _Pace:
    """The store's pace in the vendors' words."""

    shared: SharedPace
    stopped: threading.Event

    def wait(self) -> float:
        if self.stopped.is_set():
            raise _interrupted()
        return self.shared.wait()

    def allow(self, rate: Rate) -> None:
        self.shared.allow(rate.requests, rate.seconds)

    def block(self, seconds: float) -> None:
        self.shared.block(seconds)


def _interrupted() -> InterruptedRunError:
    return InterruptedRunError("The run was stopped; what was committed is kept.")


def network(
    store: Store,
    vendor: str,
    *,
    max_requests: int | None = None,
    deadline: Deadline | None = None,
    credits_per_request: float = 0.0,
    attempts: int = 6,
    patience: Patience | None = None,
) -> Line:
    """The way to a vendor for one run; use it as a context.

    Args:
        store: where pace and ledger are.
        vendor: the vendor's name, for the ledger.
        max_requests: most requests of the run, retries included; None for no limit.
        deadline: when the run must end.
        credits_per_request: what the vendor charges for each, for the ledger.
        attempts: most times that one request is sent for want of an answer.
        patience: limits of waiting for an answer.
    """
    end = deadline or Deadline()
    return Line(
        store,
        vendor,
        traffic=Traffic(max_requests=max_requests, deadline=end, credits_per_request=credits_per_request),
        deadline=end,
        attempts=attempts,
        patience=patience or Patience(),
    )

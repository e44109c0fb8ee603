"""What one run sends, counted at every moment, and the two limits that end it: requests and time.

Promises: counts are exact with any number of threads; a request that would be one too many never leaves; what
was counted is written to the ledger once. It never touches the network.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qfund.errors import BudgetError, TimeoutExpiredError
from qfund.store.requests import Sent


@dataclass(frozen=True)
class Deadline:
    """When a run must end.

    Attributes:
        at: on the clock, infinite for never.
        clock: seconds that only grow.
    """

    at: float = math.inf
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, seconds: float | None, clock: Callable[[], float] = time.monotonic) -> Deadline:
        """So many seconds from now; None means never."""
        return cls(math.inf if seconds is None else clock() + seconds, clock)

    def left(self) -> float:
        """Seconds until then, negative after it."""
        return self.at - self.clock()


class Traffic:
    """The requests of a run, over all accounts of its vendor.

    Args:
        max_requests: most requests of the run, None for no limit.
        deadline: when it must end.
        credits_per_request: what the vendor charges for each.
    """

    def __init__(
        self,
        *,
        max_requests: int | None = None,
        deadline: Deadline | None = None,
        credits_per_request: float = 0.0,
    ) -> None:
        self._each = Sent(requests=1, credits=credits_per_request)
        self._most = math.inf if max_requests is None else max_requests
        self._deadline = deadline or Deadline()
        self._lock = threading.Lock()
        self._recording = threading.Lock()
        self._sent: dict[str, Sent] = {}
        self._recorded: dict[str, Sent] = {}

    @property
    def total(self) -> Sent:
        """All that was sent so far."""
        with self._lock:
            return sum(self._sent.values(), Sent())

    def meter(self, account: str) -> AccountMeter:
        """What counts the requests of one account; see ``qfund.vendors.limits.Meter``."""
        return AccountMeter(self, account)

    def record(self, add: Callable[[Mapping[str, Sent]], None]) -> None:
        """Write what was counted since the last time; what cannot be written stays for the next time.

        Args:
            add: account → requests to add to the ledger, all or nothing.
        """
        with self._recording:
            with self._lock:
                now = dict(self._sent)
            add({account: sent - self._recorded.get(account, Sent()) for account, sent in now.items()})
            self._recorded = now

    def begin(self, account: str) -> None:
        """Count a request that is about to leave.

        Raises:
            BudgetError: it would be one too many.
            TimeoutExpiredError: the run's time is over.
        """
        if self._deadline.left() <= 0:
            raise TimeoutExpiredError(
                "The time of this run is over; what was committed is kept.", fix="run the same command again"
            )
        with self._lock:
            sent = sum(one.requests for one in self._sent.values())
            if sent >= self._most:
                raise BudgetError(
                    f"The {self._most} requests of --max-requests are used up; what was committed is kept.",
                    fix="run the same command again, or raise --max-requests",
                    details={"requests": sent},
                )
            self._sent[account] = self._sent.get(account, Sent()) + self._each

    def end(self, account: str, more: Sent) -> None:
        """Count what came of a request."""
        with self._lock:
            self._sent[account] = self._sent.get(account, Sent()) + more


class AccountMeter:
    """The meter of one account; made by `Traffic.meter`."""

    def __init__(self, traffic: Traffic, account: str) -> None:
        self._traffic = traffic
        self._account = account

    def sending(self) -> None:
        """Count a request that is about to leave; see `Traffic.begin` for what it raises."""
        self._traffic.begin(self._account)

    def received(self, *, size: int, throttled: bool, retried: bool) -> None:
        """Count what came of it: bytes on the wire, a 429, whether it was a repetition."""
        self._traffic.end(self._account, Sent(throttled=int(throttled), retried=int(retried), size=size))

"""What bounds the requests of a run: a pace for each account, and a meter of what is sent.

Protocols only: the core brings their implementations, since a pace is shared through the store, which vendors
do not know.
"""

from __future__ import annotations

from typing import Protocol

from qfund.vendors.contract import Rate


class Pace(Protocol):
    """When a request may leave. One for each vendor account; all its processes share it."""

    def wait(self) -> float:
        """Block until a request may leave; returns the seconds waited.

        Raises:
            TimeoutExpiredError: it could not leave before the deadline of the run.
        """
        ...

    def allow(self, rate: Rate) -> None:
        """The vendor said what the rate is."""
        ...

    def block(self, seconds: float) -> None:
        """The vendor said that nothing may leave for so long."""
        ...


class Meter(Protocol):
    """Counts what is sent, and says when that must end."""

    def sending(self) -> None:
        """Called before each request leaves, retries included.

        Raises:
            BudgetError: ``--max-requests`` is used up (exit 9).
            TimeoutExpiredError: the run's time is over (exit 124).
        """
        ...

    def received(self, *, size: int, throttled: bool, retried: bool) -> None:
        """Called after each answer, and after each failure to get one (size 0).

        Args:
            size: bytes of the body on the wire.
            throttled: the answer is 429.
            retried: the same had been sent before, without a useful answer.
        """
        ...

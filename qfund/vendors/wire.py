"""The one way from vendors to the network: GET with pacing, retry, and checks of the body before belief.

Promises: only GET is ever sent; no request leaves before the pace allows it; a secret is in headers alone and in
no message. What comes out is a body that is whole and is what it claims to be, or an error of ``qfund.errors``
whose class says whether waiting helps.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
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
        """Called after each answer, and after each failure to get one (size 0)."""
        ...


@dataclass(frozen=True)
class Answer:
    """A whole body, checked.

    Attributes:
        status: HTTP status, 200 … 299.
        headers: names in lower case.
        body: decoded content.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Network:
    """What all wires of one run share.

    Attributes:
        pace: account and rate → its pace.
        meter: account → its meter.
        clock: the present, timezone-aware UTC.
        sleep: waits so many seconds.
        jitter: uniform in [0, 1).
        attempts: most times that one request is sent when there is no answer or 5xx; throttling does not count.
    """

    pace: Callable[[str, Rate], Pace]
    meter: Callable[[str], Meter]
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random
    attempts: int = 6

    def wire(
        self,
        base_url: str,
        *,
        account: str,
        rate: Rate,
        headers: Mapping[str, str] | None = None,
        secrets: tuple[str, ...] = (),
    ) -> Wire:
        """A wire to one host.

        Args:
            base_url: scheme, host, port; without a path.
            account: whose bucket the requests come from, such as ``alpaca data 1f3a``; never a key itself.
            rate: what the vendor allows, until its headers say otherwise.
            headers: sent with each request (credentials).
            secrets: values to remove from whatever is said of a failure.
        """
        raise RuntimeError("the wire is not connected")


class Wire:
    """One host of a vendor."""

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Answer:
        """Send one GET, again when that helps, and return the whole body.

        Raises:
            ConfigError: 401, 403: the credentials or the plan; with the vendor's words, cleaned of secrets.
            NotFoundError: 404.
            BadRequestError: 400, 414, 416, 422: the request itself; the core splits the batch.
            UpstreamError: no answer, 5xx, a body that is not what it claims to be, after all attempts.
            BudgetError, TimeoutExpiredError: see `Meter` and `Pace`.
        """
        raise RuntimeError("the wire is not connected")

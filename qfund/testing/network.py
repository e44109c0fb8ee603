"""The network that a plug-in's tests give it: the real wire, without waiting and without second tries.

Promises: one request is one request, so that a test sees what the plug-in itself does; nothing sleeps.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from qfund.vendors.contract import Rate
from qfund.vendors.wire import Network


@dataclass(frozen=True)
class Given:
    """A secret that is what it is given; its repr does not tell."""

    value: str = field(repr=False)

    def reveal(self) -> str:
        """The value itself."""
        return self.value


class AtOnce:
    """A pace that never waits."""

    def wait(self) -> float:
        """No seconds."""
        return 0.0

    def allow(self, rate: Rate) -> None:
        """Nothing changes."""

    def block(self, seconds: float) -> None:
        """Nothing changes."""


@dataclass
class Counting:
    """A meter without a limit.

    Attributes:
        sent: requests that left.
        size: bytes received.
    """

    sent: int = 0
    size: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def sending(self) -> None:
        """One more."""
        with self._lock:
            self.sent += 1

    def received(self, *, size: int, throttled: bool, retried: bool) -> None:
        """So many bytes more."""
        del throttled, retried
        with self._lock:
            self.size += size


def single(*, attempts: int = 1) -> Network:
    """A network whose wires send each request once, at once."""
    meters: dict[str, Counting] = {}
    return Network(
        pace=lambda _account, _rate: AtOnce(),
        meter=lambda account: meters.setdefault(account, Counting()),
        sleep=lambda _seconds: None,
        jitter=lambda: 0.0,
        attempts=attempts,
    )

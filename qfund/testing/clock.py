"""The fake's own clock: the real one, set off, or frozen.

Promises: what the fake says of the present (the ``Date`` header, which bars exist, when a limit ends) comes
from here alone. It never changes the clock of the machine or of the program under test.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime


class Clock:
    """The present, as the fake tells it.

    Args:
        now: the present at the start, timezone-aware; None for the real one.
        frozen: whether it stands still between calls of `set` and `advance`; a clock that is given ``now``
            stands still unless told otherwise.
    """

    def __init__(self, now: datetime | None = None, *, frozen: bool | None = None) -> None:
        self._lock = threading.Lock()
        self._frozen = now is not None if frozen is None else frozen
        self._at = _aware(now or datetime.now(UTC))
        self._since = datetime.now(UTC)

    def now(self) -> datetime:
        """The present, timezone-aware UTC."""
        with self._lock:
            return self._present()

    def set(self, now: datetime) -> None:
        """Let it be ``now``; it runs on from there, or stands still there."""
        with self._lock:
            self._at, self._since = _aware(now), datetime.now(UTC)

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass."""
        with self._lock:
            self._at, self._since = self._present() + timedelta(seconds=seconds), datetime.now(UTC)

    def http_date(self, after: float = 0.0) -> str:
        """The present plus so many seconds as HTTP writes it (RFC 9110, whole seconds)."""
        return format_datetime(self.now() + timedelta(seconds=after), usegmt=True)

    def _present(self) -> datetime:
        return self._at if self._frozen else self._at + (datetime.now(UTC) - self._since)


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return moment.astimezone(UTC)

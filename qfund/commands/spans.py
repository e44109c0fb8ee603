"""`--since` and `--until` where ``last`` is known only once the store is open.

Promises: a slip in the words is told before a server is started for them. Reads nothing.
"""

from __future__ import annotations

from datetime import date

from qfund.commands.options import period


def is_last(text: str | None) -> bool:
    """Whether an option says ``last``."""
    return text is not None and text.strip().casefold() == "last"


def check_early(since: str | None, until: str | None, *, today: date) -> None:
    """Refuse what is wrong whatever ``last`` will turn out to be.

    Raises:
        UsageError: see `qfund.commands.options.period`.
    """
    period(None if is_last(since) else since, None if is_last(until) else until, today=today)

"""What can go wrong, as a tree; the class alone fixes the exit code.

    QfundError                 1   unexpected, a fault of qfund's own
    ├── UsageError             2   the command's words are wrong
    ├── ConfigError            3   configuration or credentials; nothing was changed
    ├── PartialError           4   some of it failed, the rest is kept
    ├── DataQualityError       5   the data are not fit for what was asked
    ├── RefusedError           6   qfund will not do it: it may do harm
    ├── BudgetError            9   the limit that the user set is reached; what was done is kept
    ├── NotFoundError          11  no such run, symbol, strategy, vendor
    ├── UpstreamError          13  something qfund needs does not answer (database, disk, vendor)
    │   ├── BadRequestError    13  a vendor refuses the words of a request; asking again is no use
    │   └── UnreachableError   13  a vendor's host cannot be reached at all; asking it for less is no use
    ├── LockedError            75  another run is busy with it; try again later
    ├── TimeoutExpiredError    124 the time the user gave is over
    └── InterruptedRunError    130 Ctrl-C; what was committed is kept

Promises: a message says what happened and why, ``fix`` is the one command or setting that mends it, neither
ever holds a secret. This module imports nothing of qfund and never prints.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import ClassVar


class QfundError(Exception):
    """Something a user is told in one sentence, with the command that mends it.

    Args:
        message: what happened and why, one or two sentences, no trailing newline.
        fix: the one command or setting that mends it, or None when there is none.
        details: further JSON-ready facts for ``--json`` (symbol, path, ...).
        code: overrides the class's machine-readable code, in CAPITALS_WITH_UNDERSCORES.
    """

    exit_code: ClassVar[int] = 1
    default_code: ClassVar[str] = "UNEXPECTED"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        fix: str | None = None,
        details: Mapping[str, object] | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.details = dict(details or {})
        self.code = code or self.default_code


class UsageError(QfundError):
    """The command's words are wrong: an option, a value, a combination."""

    exit_code = 2
    default_code = "USAGE"


class ConfigError(QfundError):
    """Configuration or credentials are missing or invalid; nothing was changed."""

    exit_code = 3
    default_code = "CONFIG"


class PartialError(QfundError):
    """Some of the work failed; the rest is kept and the retry command is the fix."""

    exit_code = 4
    default_code = "PARTIAL"
    retryable = True


class DataQualityError(QfundError):
    """The data have holes or faults, or do not reach far enough, for what was asked."""

    exit_code = 5
    default_code = "DATA_QUALITY"


class RefusedError(QfundError):
    """qfund refuses, because it may do harm or was not confirmed."""

    exit_code = 6
    default_code = "REFUSED"


class BudgetError(QfundError):
    """A limit that the user set, such as ``--max-requests``, is reached; what was done until then is kept."""

    exit_code = 9
    default_code = "BUDGET"


class NotFoundError(QfundError):
    """No such run, symbol, strategy, vendor or file."""

    exit_code = 11
    default_code = "NOT_FOUND"


class UpstreamError(QfundError):
    """Something qfund stands on does not answer: the database, the disk, a vendor."""

    exit_code = 13
    default_code = "UNAVAILABLE"
    retryable = True


class BadRequestError(UpstreamError):
    """A vendor refuses the words of a request, such as one of its symbols; the same words will not help."""

    default_code = "BAD_REQUEST"
    retryable = False


class UnreachableError(UpstreamError):
    """A vendor's host cannot be reached at all, after all attempts; whatever else it is asked fails too."""

    default_code = "VENDOR_UNREACHABLE"


class LockedError(QfundError):
    """Another run is busy with the same thing; waiting helps."""

    exit_code = 75
    default_code = "LOCKED"
    retryable = True


class TimeoutExpiredError(QfundError):
    """The time that the user gave is over."""

    exit_code = 124
    default_code = "TIMEOUT"
    retryable = True


class InterruptedRunError(QfundError):
    """The user stopped the command; the message says what was kept."""

    exit_code = 130
    default_code = "INTERRUPTED"
    retryable = True


def nearest(name: str, known: Iterable[str], *, most: int = 3) -> list[str]:
    """The known names closest to a mistyped one, best first, ignoring case.

    Args:
        name: what the user typed.
        known: the names that exist.
        most: how many to return at the most.

    Returns:
        Zero to ``most`` names, in the spelling of ``known``.
    """
    folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=most, cutoff=0.5)
    return [folded[match] for match in close]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` Did you mean X?``, or the names that exist, or an empty string when there are none."""
    names = list(known)
    close = nearest(name, names)
    if close:
        return f" Did you mean {' or '.join(close)}?"
    if names:
        shown = ", ".join(sorted(names)[:8])
        return f" Known: {shown}{', …' if len(names) > 8 else ''}."
    return ""

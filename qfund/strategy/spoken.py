"""What a strategy prints: beside the result, not into it.

Promises: while a user's code runs inside `aside`, everything it prints goes to stderr, so that stdout stays
the command's result alone. Nothing here reads or keeps what was printed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def aside() -> Iterator[None]:
    """While the body runs, ``print`` writes to stderr."""
    with redirect_stdout(sys.stderr):
        yield

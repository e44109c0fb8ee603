"""Instants as vendors write them: RFC 3339, with any number of fractional digits.

Promises: millions a second where all of a column are well-formed; what is none is null, and never an
exception. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

UTC_TIME = pa.timestamp("us", tz="UTC")


def times(texts: Sequence[object]) -> pa.Array:
    """RFC 3339 instants, with any number of fractional digits, as UTC microseconds; null for what is none."""
    try:
        # In nanoseconds, since a unit refuses more digits than it has; what is finer than microseconds is
        # cut.
        read_all = pa.array(texts, pa.string()).cast(pa.timestamp("ns", tz="UTC"))
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([_time(text) for text in texts], UTC_TIME)
    return read_all.cast(UTC_TIME, safe=False)


def _time(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None

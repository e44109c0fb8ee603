"""The JSON document that every command prints with ``--json``.

Promises: valid JSON by RFC 8259 (NaN and infinities are null), numbers raw, Decimals as strings so that no
digit is lost, dates ISO, instants UTC RFC 3339 with ``Z``. Unknown kinds of value are a fault of qfund's and
raise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any

from qfund.errors import QfundError


def document(
    command: str,
    *,
    exit_code: int,
    data: Mapping[str, object],
    warnings: Sequence[str],
    errors: Sequence[QfundError],
) -> str:
    """The envelope as text, without a newline at the end.

    Args:
        command: ``data.status``, or an empty string when no command was reached.
        exit_code: the process's exit code; ``ok`` is true when it is 0.
        data: the command's own facts.
        warnings: sentences.
        errors: each becomes ``code``, ``message``, ``fix``, ``retryable`` and its details.
    """
    schema = f"qfund.{command}/1" if command else "qfund/1"
    envelope = {
        "schema": schema,
        "ok": exit_code == 0,
        "exit_code": exit_code,
        "data": plain(data),
        "warnings": [plain(warning) for warning in warnings],
        "errors": [_error(error) for error in errors],
    }
    return json.dumps(envelope, indent=2, ensure_ascii=False, allow_nan=False)


def _error(error: QfundError) -> dict[str, Any]:
    agreed = {
        "code": error.code,
        "message": error.message,
        "fix": error.fix,
        "retryable": error.retryable,
    }
    details: dict[str, Any] = plain(error.details)
    return agreed | {name: value for name, value in details.items() if name not in agreed}


def plain(value: object) -> Any:  # noqa: PLR0911 - one return a kind of value
    """A value as JSON's own kinds: dict, list, str, int, float, bool, None.

    Raises:
        TypeError: a kind that has no agreed form.
    """
    match value:
        case Enum():
            return plain(value.value)
        case None | bool() | str():
            return value
        case int():
            return int(value)
        case float():
            return float(value) if math.isfinite(value) else None
        case Decimal() | PurePath():
            return str(value)
        case date() | timedelta():
            return _moment(value)
        case _:
            return _collection(value)


def _collection(value: object) -> Any:
    match value:
        case Mapping():
            return {_key(key): plain(item) for key, item in value.items()}
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
        case Sequence() if not isinstance(value, bytes | bytearray | memoryview):
            return [plain(item) for item in value]
        case AbstractSet():
            return sorted(plain(item) for item in value)
        case _:
            return _foreign(value)


def _key(key: object) -> str:
    """A key as JSON allows it; an enumeration's or a date's own form, not Python's spelling of it."""
    converted = plain(key)
    return converted if isinstance(converted, str) else str(converted)


def _moment(value: date | timedelta) -> str | float | None:
    """Dates ISO, instants UTC with ``Z`` (a naive one stays without), durations in seconds, NaT null."""
    if value != value:  # noqa: PLR0124 - NaT is the one instant that differs from itself
        return None
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value.isoformat()


def _foreign(value: object) -> Any:
    """Values of numpy and pandas, recognised by what they can do so that neither is imported here."""
    if hasattr(value, "tolist"):  # numpy scalars and arrays, pandas Series and Index
        return plain(value.tolist())
    if type(value).__name__ == "NAType":
        return None
    raise TypeError(f"no JSON form agreed for {type(value).__name__}: {value!r}")

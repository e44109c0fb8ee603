"""What a vendor's answer is worth: its words, its waits, its clock, and the checks of its body before belief.

Pure: bytes and headers in, facts or an error of ``qfund.errors`` out. Promises: a header that makes no sense
is as good as absent; no word of an answer is repeated before the secrets are taken out of it.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal
from urllib.parse import quote, quote_plus

from qfund.errors import BadRequestError, ConfigError, NotFoundError, QfundError, UpstreamError
from qfund.vendors.transport import Raw

Expect = Literal["json", "any"]

FAR = 3600.0
"""Seconds: a reset that is farther ahead is a vendor's mistake (another unit, another clock)."""

_DELTA_BELOW = 1e8  # smaller numbers in X-RateLimit-Reset are seconds from now, not since 1970
_MOST_WORDS = 300
_KEYS_OF_WORDS = (
    "message",
    "errorMessage",
    "error_message",
    "error",
    "msg",
    "detail",
    "Error Message",
    "Note",
)
_KEYS_OF_CODES = ("code", "errorCode", "error_code")
_SHORTEST_SECRET = 4


@dataclass(frozen=True)
class Answer:
    """A whole body, checked.

    Attributes:
        status: HTTP status, 200 … 299.
        headers: names in lower case.
        body: decoded content.
        dated: the vendor's clock when it answered, UTC: its ``Date`` (whole seconds, cut), or the local clock
            when the request left if there is none. A bar of this answer is final when its end and the
            settling time had passed by then, however late the answer is looked at.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    dated: datetime


@dataclass(frozen=True)
class Failed:
    """An answer, or none, that another try may mend.

    Attributes:
        why: the rest of a sentence that begins with the host's name.
        wait: seconds that the vendor asks for, None when it does not say.
        told: an error to raise instead of the general one when no try helps.
        connected: whether the vendor was reached.
    """

    why: str
    wait: float | None = None
    told: QfundError | None = None
    connected: bool = True


# ---------------------------------------------------------------- the vendor's clock and waits


def moment(text: str | None) -> datetime | None:
    """An HTTP date as UTC, None when it is none."""
    try:
        found = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    try:
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    try:
        found = float((text or "").strip())
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that ``Retry-After`` asks for, given as seconds or as a date on the vendor's clock ``now``."""
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is None:
        until = moment(text)
        seconds = None if until is None else (until - now).total_seconds()
    return None if seconds is None else max(0.0, seconds)


def reset(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds from the vendor's clock ``now`` to ``X-RateLimit-Reset`` (unix seconds).

    None when there is none, when it is past, and when it is farther ahead than `FAR`.
    """
    value = _number(headers.get("x-ratelimit-reset"))
    if value is None:
        return None
    ahead = value if value < _DELTA_BELOW else value - now.timestamp()
    return ahead if 0 < ahead <= FAR else None


def limit(headers: Mapping[str, str]) -> int | None:
    """``X-RateLimit-Limit``, None when it makes no sense."""
    value = _number(headers.get("x-ratelimit-limit"))
    return int(value) if value is not None and 1 <= value <= 1e6 else None


def exhausted(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds until requests are left again, None while some are or when nobody knows."""
    remaining = _number(headers.get("x-ratelimit-remaining"))
    return reset(headers, now) if remaining is not None and remaining <= 0 else None


# ---------------------------------------------------------------- words


def cleaned(words: str, secrets: tuple[str, ...]) -> str:
    """The words on one line, shortened, without any of the secrets in any way of writing them."""
    ways = {
        way
        for secret in secrets
        if len(secret) >= _SHORTEST_SECRET
        for way in (
            secret,
            quote(secret),
            quote(secret, safe=""),
            quote_plus(secret),
            json.dumps(secret)[1:-1],
        )
    }
    for way in sorted(ways, key=len, reverse=True):
        words = words.replace(way, "***")
    words = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return words if len(words) <= _MOST_WORDS else words[: _MOST_WORDS - 1] + "…"


def words_of(raw: Raw, secrets: tuple[str, ...]) -> tuple[str, str | None]:
    """What an answer says for people, and its machine-readable code: an error's JSON, else its text."""
    try:
        text = unpacked(raw).decode("utf-8", "replace").strip()
    except ValueError:
        return "", None
    try:
        told = json.loads(text)
    except ValueError:
        return _plain(text, secrets), None
    if not isinstance(told, dict):
        return cleaned(text, secrets), None
    nested = told.get("error")
    told = nested if isinstance(nested, dict) else told
    said = [
        str(told[key]) for key in _KEYS_OF_WORDS if isinstance(told.get(key), str | int | list) and told[key]
    ]
    code = next((str(told[key]) for key in _KEYS_OF_CODES if isinstance(told.get(key), str | int)), None)
    return cleaned(said[0] if said else text, secrets), None if code is None else cleaned(code, secrets)


def _plain(text: str, secrets: tuple[str, ...]) -> str:
    """Text as it is; of a page of HTML its title."""
    if not text.startswith("<"):
        return cleaned(text, secrets)
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    return cleaned(f"a page of HTML{f': {title[1]}' if title else ''}", secrets)


# ---------------------------------------------------------------- belief


def unpacked(raw: Raw) -> bytes:
    """The body without its packing.

    Raises:
        ValueError: broken, cut, or packed in a way that was not asked for; the words finish a sentence.
    """
    packing = raw.headers.get("content-encoding", "").strip().lower()
    if packing in {"", "identity"}:
        return raw.body
    if packing not in {"gzip", "x-gzip"}:
        raise ValueError("answered in a packing that was not asked for")
    parts: list[bytes] = []
    rest = raw.body
    while rest or not parts:
        member = zlib.decompressobj(wbits=31)
        try:
            parts.append(member.decompress(rest))
        except zlib.error:
            raise ValueError("answered with broken gzip") from None
        if not member.eof:
            raise ValueError("answered with gzip that is cut off")
        rest = member.unused_data
    return b"".join(parts)


def judged(raw: Raw, expect: Expect, *, dated: datetime, secrets: tuple[str, ...]) -> Answer | Failed:
    """An answer with a status of 200 … 299: believed, or why not."""
    try:
        body = unpacked(raw)
    except ValueError as error:
        return Failed(str(error))
    core = body.strip()
    if not core:
        return Failed(f"answered {raw.status} with an empty body")
    if expect == "json":
        kind = raw.headers.get("content-type", "").partition(";")[0].strip().lower()
        pair = core[:1] + core[-1:]
        if (kind and "json" not in kind) or core[:1] not in {b"{", b"["}:
            said, _ = words_of(raw, secrets)
            return Failed(f"answered {raw.status} with something other than JSON: {said}")
        if pair not in {b"{}", b"[]"}:
            return Failed("answered with JSON that is cut off")
    return Answer(raw.status, raw.headers, body, dated)


def refused(raw: Raw, host: str, *, now: datetime, secrets: tuple[str, ...]) -> Failed:
    """An answer with a status of 300 or more, 429 excepted; raises what no second try mends.

    Raises:
        ConfigError: 401, 402, 403, 407.
        NotFoundError: 404, 410.
        BadRequestError: 400, 413, 414, 416, 422, 431.
        UpstreamError: a redirect, any other 4xx.
    """
    said, code = words_of(raw, secrets)
    told = f"{said}{f' (code {code})' if code and code not in said else ''}".rstrip(".")
    details = {"host": host, "status": raw.status, "vendor_message": said, "vendor_code": code}

    def sentence(what: str) -> str:
        return f"{host} {what} (HTTP {raw.status}){f': {told}' if told else ''}."

    match raw.status:
        case 401 | 407:
            raise ConfigError(
                sentence("refuses the credentials"),
                fix="check the vendor's keys with: qfund config show --origin",
                code="VENDOR_CREDENTIALS",
                details=details,
            )
        case 402 | 403:
            raise ConfigError(
                sentence("does not allow this with these credentials or this plan"),
                fix="check the vendor's keys and feed with: qfund config show --origin",
                code="VENDOR_FORBIDDEN",
                details=details,
            )
        case 404 | 410:
            raise NotFoundError(sentence("knows nothing of this"), code="VENDOR_NOT_FOUND", details=details)
        case 400 | 413 | 414 | 416 | 422 | 431:
            raise BadRequestError(sentence("refuses the request"), details=details)
        case status if 300 <= status < 400:
            raise UpstreamError(
                f"{host} sends elsewhere (HTTP {status}), and credentials do not go there.",
                fix="set the vendor's address with: qfund config show --origin",
                code="VENDOR_MOVED",
                details=details,
            )
        case status if status in {408, 425} or status >= 500:
            return Failed(
                f"answered with an error (HTTP {status}){f': {told}' if told else ''}",
                retry_after(raw.headers, now),
            )
        case _:
            raise UpstreamError(sentence("answered"), code="VENDOR_STATUS", details=details)


class Hearing:
    """A vendor's clock, as its last answers let it be known.

    ``Date`` is cut to the second and on the way for a while, so that each answer says how late it is *at
    least*; the latest of those bounds is kept, over so few answers that a wrong one is soon forgotten. Time
    between answers is the local monotonic clock's, which no correction of the local time disturbs.
    """

    def __init__(self, answers: int = 64) -> None:
        self._most = answers
        self._bounds: tuple[float, ...] = ()

    def hear(self, dated: datetime, monotonic: float) -> None:
        """One answer: its date, and the monotonic clock (seconds) after it came."""
        self._bounds = (*self._bounds, dated.timestamp() - monotonic)[-self._most :]

    def now(self, monotonic: float) -> datetime | None:
        """At least so late it is at the vendor, UTC; None before the first answer."""
        bounds = self._bounds
        return datetime.fromtimestamp(0, UTC) + timedelta(seconds=max(bounds) + monotonic) if bounds else None

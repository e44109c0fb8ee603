"""The one way from vendors to the network: GET with pacing, retry, and checks of the body before belief.

Promises: only GET is ever sent; no request leaves before the pace allows it; a secret is in headers alone and
in no message. What comes out is a body that is whole and is what it claims to be, or an error of
``qfund.errors`` whose class says whether waiting helps. It never follows a redirect, stores, or decides what
is asked.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

from qfund.errors import (
    BadRequestError,
    ConfigError,
    TimeoutExpiredError,
    UnreachableError,
    UpstreamError,
)
from qfund.vendors import answers
from qfund.vendors.answers import Answer, Expect, Failed
from qfund.vendors.contract import Rate
from qfund.vendors.limits import Meter, Pace
from qfund.vendors.transport import Broken, Patience, Raw, Transport

__all__ = ["Answer", "Meter", "Network", "Pace", "Patience", "Wire"]

T = TypeVar("T")

FIRST_BACK_OFF = 1.0
MOST_BACK_OFF = 30.0
MOST_THROTTLES = 12
"""So many answers of 429 in a row to one request are a refusal."""

_NO_SECRETS = ("accept", "user-agent", "content-type")


@dataclass(frozen=True)
class Network:
    """What all wires of one run share; a context that closes them at its end.

    Attributes:
        pace: account and rate → its pace.
        meter: account → its meter.
        clock: the present, timezone-aware UTC; used where a vendor does not tell its own.
        sleep: waits so many seconds.
        jitter: uniform in [0, 1).
        attempts: most times that one request is sent when there is no answer or 5xx; 429 does not count.
        left: seconds until the run must end; infinite without a deadline.
        monotonic: seconds on a clock that nobody sets.
        patience: limits of waiting for a vendor.
    """

    pace: Callable[[str, Rate], Pace]
    meter: Callable[[str], Meter]
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random
    attempts: int = 6
    left: Callable[[], float] = lambda: math.inf
    monotonic: Callable[[], float] = time.monotonic
    patience: Patience = field(default_factory=Patience)
    _wires: list[Wire] = field(default_factory=list, init=False, repr=False, compare=False)

    def wire(
        self,
        base_url: str,
        *,
        account: str,
        rate: Rate,
        headers: Mapping[str, str] | None = None,
        secrets: tuple[str, ...] = (),
    ) -> Wire:
        """A wire to one host; it may be used by several threads at once.

        Args:
            base_url: scheme, host, port; without a path.
            account: whose bucket the requests come from, such as ``alpaca data 1f3a``; never a key itself.
            rate: what the vendor allows, until its headers say otherwise.
            headers: sent with each request (credentials).
            secrets: values to remove from whatever is said of a failure; those of the headers are anyway.

        Raises:
            ConfigError: no such address can be, or a header's value holds what no key holds.
        """
        host = _host(base_url)
        sent = dict(headers or {})
        for name, value in sent.items():
            if not (value.isascii() and value.isprintable()) or value != value.strip():
                raise ConfigError(
                    f"What is to be sent to {host} as {name} has spaces around it, line ends or letters that"
                    " no header may hold.",
                    fix="check the vendor's keys with: qfund config show --origin",
                    code="VENDOR_CREDENTIALS",
                )
        made = Wire(
            self,
            Transport(base_url, sent, self.patience),
            host=host,
            account=account,
            rate=rate,
            secrets=(*secrets, *_secret_parts(sent)),
        )
        self._wires.append(made)
        return made

    def now(self) -> datetime:
        """The vendor's clock, UTC: the earliest of its hosts' as their answers told it, else the local clock.

        It is late by up to a second and never ahead, so that nothing is final too early.
        """
        heard = [now for wire in self._wires if (now := wire.server_now()) is not None]
        return min(heard) if heard else self.clock()

    def close(self) -> None:
        """Close the connections that are kept alive."""
        for wire in self._wires:
            wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Wire:
    """One host of a vendor; made by `Network.wire`, shared by threads."""

    def __init__(
        self,
        network: Network,
        transport: Transport,
        *,
        host: str,
        account: str,
        rate: Rate,
        secrets: tuple[str, ...],
    ) -> None:
        self.host = host
        self.account = account
        self._network = network
        self._transport = transport
        self._rate = rate
        self._told: Rate | None = None
        self._secrets = secrets
        self._pace = network.pace(account, rate)
        self._meter = network.meter(account)
        self._lock = threading.Lock()
        self._hearing = answers.Hearing()
        self._blocked = -math.inf  # on the monotonic clock

    def __repr__(self) -> str:
        """Host and account."""
        return f"Wire({self.host!r}, account={self.account!r})"

    def get(self, path: str, params: Mapping[str, str] | None = None, *, expect: Expect = "json") -> Answer:
        """Send one GET, again when that helps, and return the whole body.

        Args:
            path: begins with a slash.
            params: the query; never a secret.
            expect: ``json``: the body begins and ends like JSON; ``any``: it is not empty.

        Raises:
            ConfigError: 401, 403: the credentials or the plan; with the vendor's words, cleaned of secrets.
            NotFoundError: 404.
            BadRequestError: 400, 414, 416, 422: the request itself; the core splits the batch.
            UnreachableError: no connection to the host, after all attempts.
            UpstreamError: no answer, 5xx, a body that is not what it claims to be, after all attempts; a
                redirect; throttling without end.
            BudgetError, TimeoutExpiredError: see `Meter` and `Pace`.
        """
        return self.read(path, params, lambda answer: answer, expect=expect)

    def read(
        self,
        path: str,
        params: Mapping[str, str] | None,
        decode: Callable[[Answer], T],
        *,
        expect: Expect = "json",
    ) -> T:
        """As `get`, but what is returned is decoded, and an answer that cannot be decoded is asked for again.

        Args:
            path: begins with a slash.
            params: the query; never a secret.
            decode: answer → what is wanted. ``ValueError``, ``msgspec.MsgspecError`` and `UpstreamError` (but
                not `BadRequestError`) from it mean that the body is damaged; anything else passes.
            expect: see `get`.

        Raises:
            As `get`; the decoder's own `UpstreamError` when the last attempt ended with one.
        """
        query = dict(params or {})
        self._no_secret_in(path, query)
        failures = throttles = 0
        while True:
            sent = self._send(path, query, retried=failures > 0)
            if isinstance(sent, Raw) and sent.status == 429:
                throttles += 1
                self._throttled(sent, throttles)
                continue
            judged = self._judged(sent, expect)
            found = judged if isinstance(judged, Failed) else _decoded(judged, decode)
            if not isinstance(found, Failed):
                return found
            failures += 1
            self._back_off(found, failures)

    def server_now(self) -> datetime | None:
        """The host's clock, UTC, as its answers told it: late by up to a second, never ahead; None before."""
        return self._hearing.now(self._network.monotonic())

    def close(self) -> None:
        """Close the connections that are kept alive."""
        self._transport.close()

    # ------------------------------------------------------------ one exchange

    def _send(self, path: str, query: Mapping[str, str], *, retried: bool) -> Raw | Broken:
        network = self._network
        self._transport.open()  # before the pace: who has a slot must send at once
        self._pace.wait()
        rest = self._blocked - network.monotonic()
        if rest > 0:  # a pace that does not know of blocks
            network.sleep(rest)
        self._meter.sending()
        raw = self._transport.get(path, query, within=max(network.left(), 0.001))
        self._meter.received(
            size=len(raw.body) if isinstance(raw, Raw) else 0,
            throttled=isinstance(raw, Raw) and raw.status == 429,
            retried=retried,
        )
        if isinstance(raw, Raw):
            self._learn(raw.headers)
        return raw

    def _learn(self, headers: Mapping[str, str]) -> None:
        """What the headers say of the clock and the rate."""
        dated = answers.moment(headers.get("date"))
        if dated is not None:
            with self._lock:
                self._hearing.hear(dated, self._network.monotonic())
        allowed = answers.limit(headers)
        if allowed is not None:
            told = Rate(allowed, self._rate.seconds)
            with self._lock:
                news, self._told = told != self._told, told
            if news:
                self._pace.allow(told)
        wait = answers.exhausted(headers, self._dated(headers))
        if wait is not None:
            self._block(wait)

    def _dated(self, headers: Mapping[str, str]) -> datetime:
        return answers.moment(headers.get("date")) or self._network.clock()

    def _judged(self, sent: Raw | Broken, expect: Expect) -> Answer | Failed:
        if isinstance(sent, Broken):
            return Failed(answers.cleaned(sent.why, self._secrets), connected=sent.connected)
        now = self._dated(sent.headers)
        if 200 <= sent.status < 300:
            return answers.judged(sent, expect, dated=now, secrets=self._secrets)
        return answers.refused(sent, self.host, now=now, secrets=self._secrets)

    # ------------------------------------------------------------ waiting

    def _block(self, seconds: float) -> None:
        with self._lock:
            self._blocked = max(self._blocked, self._network.monotonic() + seconds)
        self._pace.block(seconds)

    def _throttled(self, raw: Raw, times: int) -> None:
        """Let nothing leave for as long as the vendor says, or for longer each time when it does not say."""
        now = self._dated(raw.headers)
        told = [
            wait for wait in (answers.retry_after(raw.headers, now), answers.reset(raw.headers, now)) if wait
        ]
        seconds = max(told) if told else min(2.0 ** (times - 1), self._rate.seconds)
        said, _ = answers.words_of(raw, self._secrets)
        words = f" (HTTP 429){f': {said}' if said else ''}"
        if times > MOST_THROTTLES or seconds > answers.FAR:
            again = (
                f"asks to come again in {seconds:.0f} s" if seconds > answers.FAR else "throttles without end"
            )
            raise UpstreamError(f"{self.host} {again}{words}.", code="VENDOR_THROTTLES")
        self._in_time(seconds, f"asks to wait{words}")
        self._block(seconds + self._network.jitter())

    def _back_off(self, failed: Failed, failures: int) -> None:
        """Wait before the next attempt, with full jitter; raise when there is none.

        For as long as the vendor says, nothing else leaves either, also when this was the last attempt.
        """
        if failed.wait:
            self._block(min(failed.wait, answers.FAR))
        if failures >= self._network.attempts:
            tries = f" {failures} times" if failures > 1 else ""
            if failed.told:
                raise failed.told
            kind, code = (
                (UpstreamError, "VENDOR_UNAVAILABLE") if failed.connected else (UnreachableError, None)
            )
            raise kind(
                f"{self.host} {failed.why}{f' (tried{tries})' if tries else ''}.",
                fix="run the command again; what was stored is kept",
                code=code,
                details={"host": self.host, "attempts": failures},
            )
        most = min(MOST_BACK_OFF, FIRST_BACK_OFF * 2.0 ** (failures - 1))
        seconds = max(self._network.jitter() * most, min(failed.wait or 0.0, answers.FAR))
        self._in_time(seconds, failed.why)
        self._network.sleep(seconds)

    def _in_time(self, seconds: float, why: str) -> None:
        if seconds >= self._network.left():
            raise TimeoutExpiredError(
                f"{self.host} {why}; the time of this run is over before it can be asked again.",
                fix="run the command again, with more time",
            )

    def _no_secret_in(self, path: str, query: Mapping[str, str]) -> None:
        """An address ends up in logs of every proxy on the way."""
        texts = (path, *query.values())
        if any(secret in text for secret in self._secrets if len(secret) >= 8 for text in texts):
            raise ValueError("a secret belongs into a header, never into the address")


def _decoded(answer: Answer, decode: Callable[[Answer], T]) -> T | Failed:
    import msgspec

    try:
        return decode(answer)
    except BadRequestError:
        raise
    except UpstreamError as error:
        return Failed(error.message, told=error)
    except (ValueError, msgspec.MsgspecError):
        return Failed("answered with a body that cannot be decoded")


def _host(base_url: str) -> str:
    """Host and port of an address.

    Raises:
        ConfigError: it is none, or holds a user or password.
    """
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = None
    if not usable or "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(
            "A vendor's address must be like https://HOST or http://HOST:PORT, without user and password.",
            fix="check the vendor's address with: qfund config show --origin",
            code="VENDOR_ADDRESS",
        )
    return parts.netloc


def _secret_parts(headers: Mapping[str, str]) -> list[str]:
    """The values of headers and their words, such as what follows ``Bearer``."""
    values = [value for name, value in headers.items() if not name.lower().startswith(_NO_SECRETS)]
    return [part for value in values for part in {value, *value.split()} if len(part) >= 8]

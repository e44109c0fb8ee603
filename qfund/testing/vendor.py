"""The fake of a vendor's server: what all of them share, whatever words they speak.

A vendor's dialect is a class that inherits `FakeVendor` and answers requests from the truth. What lies here
happens to each request, in this order: it is logged, its faults are looked up, its credentials are checked,
its rate is limited, a scripted error is answered, and only then the dialect is asked.

Promises: it listens on loopback alone; what it logs holds no secret; the scripted faults happen on the wire.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from types import TracebackType
from typing import ClassVar, Self

from qfund.testing.clock import Clock
from qfund.testing.faults import ExpiredToken, Fault, Status
from qfund.testing.log import Entry, Log
from qfund.testing.script import Script
from qfund.testing.server import Loopback
from qfund.testing.truth import Moment, Truth
from qfund.vendors.contract import Rate


@dataclass(frozen=True)
class Request:
    """One request as a dialect sees it.

    Attributes:
        number: from 1, in order of arrival.
        method: HTTP method.
        path: decoded, without parameters.
        params: decoded; of a repeated name the last.
        headers: names in lower case.
        moment: when it arrived, by the fake's clock.
        faults: what the script has for it.
    """

    number: int
    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    moment: Moment
    faults: tuple[Fault, ...] = ()

    @property
    def today(self) -> date:
        """The fake's date, UTC."""
        return self.moment.now.date()


@dataclass(frozen=True)
class Answer:
    """One answer, before it is compressed or spoiled.

    Attributes:
        body: the whole body.
        status: HTTP status.
        content_type: of the body.
        headers: further ones.
        rows: how many bars or other things it tells, for the log.
        exact: whether it says what the vendor's description allows; False once a fault has touched it.
    """

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    rows: int = 0
    exact: bool = True


class Bucket:
    """A sliding window of requests; the fake's own enforcement of a rate."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._times: deque[float] = deque()

    def take(self, now: float) -> bool:
        """Whether one more request is within the rate; a refused one is not counted."""
        while self._times and now - self._times[0] >= self.rate.seconds:
            self._times.popleft()
        if len(self._times) >= self.rate.requests:
            return False
        self._times.append(now)
        return True

    def left(self) -> int:
        """How many requests are left in this window."""
        return self.rate.requests - len(self._times)

    def wait(self, now: float) -> float:
        """Seconds until the oldest request leaves the window."""
        return max(self.rate.seconds - (now - self._times[0]), 0.0) if self._times else 0.0


class FakeVendor:
    """A vendor's server on loopback; ``with`` starts and stops it.

    Args:
        truth: what is true; an empty one is made.
        clock: the fake's clock; the real one is made.
        rate: what it enforces for each account, with 429; None enforces nothing.
        compress: whether bodies are compressed for clients that accept it.
        retry_after: whether its own 429 say ``Retry-After``, as whole seconds rounded up.

    Attributes:
        truth: what is true.
        clock: its clock.
        script: its faults.
        log: what reached it.
        failures: what went wrong in the dialect itself; the first is raised at the end of the ``with``.
    """

    secret_headers: ClassVar[frozenset[str]] = frozenset({"authorization", "cookie"})

    def __init__(
        self,
        truth: Truth | None = None,
        *,
        clock: Clock | None = None,
        rate: Rate | None = None,
        compress: bool = True,
        retry_after: bool = False,
    ) -> None:
        self.truth = truth or Truth()
        self.clock = clock or Clock()
        self.script = Script()
        self.log = Log()
        self.failures: list[Exception] = []
        self.rate = rate
        self.compress = compress
        self.retry_after = retry_after
        self._buckets: dict[str, Bucket] = {}
        self._numbers = 0
        self._flying = 0
        self._lock = threading.Lock()
        self._server: Loopback | None = None

    # --- what a dialect says

    def answer(self, request: Request) -> Answer:
        """The answer to a request that may be answered, page faults included."""
        raise NotImplementedError

    def error(self, status: int, message: str) -> Answer:
        """An error in the vendor's own form."""
        raise NotImplementedError

    def refusal(self, request: Request) -> Answer | None:
        """The answer to wrong credentials; None when they are right, or none are needed."""
        del request
        return None

    def account(self, request: Request) -> str:
        """Whose bucket a request comes from; never a secret."""
        del request
        return "one"

    def symbols(self, request: Request) -> tuple[str, ...]:
        """The symbols that a request names."""
        named = request.params.get("symbols") or request.params.get("symbol") or ""
        return tuple(filter(None, named.split(",")))

    def span(self, request: Request) -> tuple[date, date] | None:
        """First and last date that a request asks bars for; None when it asks for none."""
        del request
        return None

    def token(self, request: Request) -> str | None:
        """The page token of a request; None on a first page."""
        return request.params.get("page_token")

    def secrets(self) -> tuple[str, ...]:
        """The right credentials, none of which may turn up anywhere but in a header."""
        return ()

    def judge(self) -> None:
        """Called at the end of a ``with`` that had no error of its own; raises what the fake did wrong."""
        if self.failures:
            raise self.failures[0]

    def seen(self, request: Request, answer: Answer) -> None:
        """Called with each request and its answer before it is sent, for checks of the fake itself."""

    # --- what happens to each request

    def received(self, request: Request) -> tuple[Request, Entry, Answer]:
        """Log a request and find its answer."""
        with self._lock:
            self._numbers += 1
            self._flying += 1
            arrived = time.monotonic()
            number, flying = self._numbers, self._flying
        request = replace(request, number=number, moment=Moment(self.clock.now(), number))
        symbols, token = self.symbols(request), self.token(request)
        played = self.script.due(request.path, symbols, token=token is not None)
        request = replace(request, faults=played)
        refusal = self.refusal(request)
        entry = Entry(
            number=number,
            arrived=arrived,
            wall=request.moment.now.isoformat(),
            method=request.method,
            path=request.path,
            params=dict(request.params),
            headers={k: v for k, v in request.headers.items() if k not in self.secret_headers},
            authorized=refusal is None,
            account=self.account(request),
            symbols=symbols,
            span=self.span(request),
            later_page=token is not None,
            faults=tuple(type(fault).__name__ for fault in played),
            in_flight=flying,
        )
        self.log.add(entry)
        try:
            answer = self._found(request, entry, refusal)
            self.seen(request, answer)
        except Exception as fault:  # noqa: BLE001 - a fake that fails must not look like a vendor that does
            self.failures.append(fault)
            answer = Answer(f"the fake itself failed: {fault!r}".encode(), 500, "text/plain", exact=False)
        entry.status, entry.rows = answer.status, answer.rows
        return request, entry, answer

    def done(self, entry: Entry, size: int, *, dropped: bool) -> None:
        """An answer is out, or its connection is dropped."""
        entry.size = size
        if dropped:
            entry.status = 0
        entry.finished = time.monotonic()
        with self._lock:
            self._flying -= 1

    def _found(self, request: Request, entry: Entry, refusal: Answer | None) -> Answer:
        scripted = next((fault for fault in request.faults if isinstance(fault, Status)), None)
        if scripted is not None:
            return self._scripted(scripted, entry)
        limits, limited = self._limited(entry)
        if limited is not None:
            return limited
        expired = any(isinstance(fault, ExpiredToken) for fault in request.faults)
        if refusal is None and expired and self.token(request) is not None:
            refusal = self.error(400, "invalid page token")
        found = refusal or self.answer(request)
        return replace(found, headers={**limits, **found.headers})

    def _limited(self, entry: Entry) -> tuple[dict[str, str], Answer | None]:
        """The headers of the rate, and the refusal when it is exceeded."""
        if self.rate is None:
            return {}, None
        with self._lock:
            bucket = self._buckets.setdefault(entry.account, Bucket(self.rate))
            allowed = bucket.take(entry.arrived)
            wait, left = bucket.wait(entry.arrived), bucket.left()
        headers = self.rate_headers(self.rate, left, wait)
        if allowed:
            return headers, None
        entry.blocked_until = entry.arrived + wait
        if self.retry_after:
            headers["retry-after"] = str(int(-(-wait // 1)))
        refused = self.error(429, "too many requests.")
        return headers, replace(refused, headers={**headers, **refused.headers})

    def rate_headers(self, rate: Rate, left: int, wait: float) -> dict[str, str]:
        """The headers that say where a rate stands; the reset is in unix seconds, rounded up."""
        reset = self.clock.now() + timedelta(seconds=wait)
        return {
            "x-ratelimit-limit": str(rate.requests),
            "x-ratelimit-remaining": str(left),
            "x-ratelimit-reset": str(int(-(-reset.timestamp() // 1))),
        }

    def _scripted(self, fault: Status, entry: Entry) -> Answer:
        headers: dict[str, str] = {}
        waits = [0.0]
        if fault.retry_after is not None:
            text = self.clock.http_date(fault.retry_after) if fault.as_date else f"{fault.retry_after:g}"
            headers["retry-after"] = text
            # an HTTP date has whole seconds, cut: that much earlier the client may come
            waits.append(fault.retry_after - (1.0 if fault.as_date else 0.0))
        if fault.reset_in is not None:
            headers["x-ratelimit-reset"] = str(int(self.clock.now().timestamp() + fault.reset_in))
            waits.append(fault.reset_in - 1.0)
        if max(waits) > 0:
            entry.blocked_until = time.monotonic() + max(waits)
        if fault.body is not None:
            return Answer(fault.body.encode(), fault.code, fault.content_type, headers, exact=False)
        said = self.error(fault.code, fault.message)
        return replace(said, headers={**said.headers, **headers}, exact=False)

    # --- the server

    @property
    def url(self) -> str:
        """Scheme, host and port. Raises RuntimeError while it does not run."""
        if self._server is None:
            raise RuntimeError("The fake is not running: use it in a 'with' statement.")
        return self._server.url

    def start(self, port: int = 0) -> Self:
        """Listen on loopback; 0 picks a free port."""
        self._server = Loopback(self, port)
        self._server.start()
        return self

    def stop(self) -> None:
        """Stop listening and drop what is in flight."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if error is None:
            self.judge()


Factory = Callable[..., FakeVendor]
"""What makes a fake in another process, from words."""

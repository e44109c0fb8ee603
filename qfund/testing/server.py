"""The wire: requests in, answers out, spoiled as the script says, on a loopback port.

Promises: a real server (uvicorn) with real connections; a dropped connection is dropped, a cut body is cut.
It never listens anywhere but on 127.0.0.1. Without uvicorn it says how to install it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, unquote

from qfund.errors import ConfigError
from qfund.testing import faults
from qfund.testing.truth import Moment

if TYPE_CHECKING:
    from qfund.testing.vendor import Answer, FakeVendor, Request

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

PATIENCE = 10.0
_SMALL = 1_000  # bytes: shorter bodies are not compressed


class Loopback:
    """A running server of one fake.

    Args:
        vendor: whose answers it sends.
        port: 0 picks a free one.

    Raises:
        ConfigError: uvicorn is not installed.
    """

    def __init__(self, vendor: FakeVendor, port: int = 0) -> None:
        self._vendor = vendor
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self._socket.listen(256)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = _server(self._app)
        self._thread = threading.Thread(target=self._run, name="fake vendor", daemon=True)

    def start(self) -> None:
        """Return once it answers."""
        self._thread.start()
        if not self._server.answers.wait(PATIENCE):
            raise RuntimeError("The fake did not start.")

    def stop(self) -> None:
        """Return once the port is closed, connections are dropped and the thread has ended."""
        self._server.end()
        self._thread.join(PATIENCE)
        self._socket.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith("/_fake/"):
            await _control(self._vendor, scope["path"], send)
            return
        await _swallow(receive)
        try:
            request, entry, answer = self._vendor.received(_request(scope))
            delivery = _Delivery(self._vendor, request, answer, send, scope)
        except Exception as fault:
            self._vendor.failures.append(fault)
            raise
        dropped = True
        try:
            dropped = await delivery.run()
        finally:
            self._vendor.done(entry, delivery.size, dropped=dropped)


class _Delivery:
    """One answer on its way."""

    def __init__(
        self, vendor: FakeVendor, request: Request, answer: Answer, send: Send, scope: Scope
    ) -> None:
        self._send = send
        self._scope = scope
        self._faults = request.faults
        self.size = 0
        body, kind = answer.body, answer.content_type
        for fault in self._faults:
            match fault:
                case faults.CutJson():
                    body = body[: len(body) // 2]
                case faults.Text(text, content_type):
                    body, kind = text.encode(), content_type
                case faults.ContentType(value):
                    kind = value
        self._headers = {
            "date": vendor.clock.http_date(),
            "content-type": kind,
            **answer.headers,
        }
        cut = any(isinstance(fault, faults.CutGzip) for fault in self._faults)
        accepted = "gzip" in request.headers.get("accept-encoding", "")
        if cut or (vendor.compress and accepted and len(body) > _SMALL):
            body = _gzip(body)
            self._headers["content-encoding"] = "gzip"
        self._body = body[: len(body) * 2 // 3] if cut else body
        self._headers["content-length"] = str(len(self._body))
        self._status = answer.status

    async def run(self) -> bool:
        """Send it; True when the connection was dropped instead."""
        slow = None
        for fault in self._faults:
            match fault:
                case faults.Delay(seconds):
                    await asyncio.sleep(seconds)
                case faults.SlowBody():
                    slow = fault
                case faults.Drop("before headers"):
                    self._transport().abort()
                    return True
                case faults.Drop(when):
                    await self._head()
                    if when == "in the body":
                        await self._piece(self._body[: len(self._body) // 2], more=True)
                    self._transport().close()
                    return True
        await self._head()
        if slow is not None:
            for start in range(0, len(self._body), slow.piece):
                if self._transport().is_closing():
                    return True
                await self._piece(self._body[start : start + slow.piece], more=True)
                await asyncio.sleep(slow.pause)
            await self._piece(b"", more=False)
        else:
            await self._piece(self._body, more=False)
        return False

    async def _head(self) -> None:
        headers = [(name.encode(), value.encode()) for name, value in self._headers.items()]
        await self._send({"type": "http.response.start", "status": self._status, "headers": headers})

    async def _piece(self, body: bytes, *, more: bool) -> None:
        self.size += len(body)
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    def _transport(self) -> asyncio.Transport:
        transport: asyncio.Transport = self._scope["state"]["connection"].transport
        return transport


class _Server(Protocol):
    """What is used of `qfund.testing.listening.Server`."""

    answers: threading.Event

    def run(self, sockets: list[socket.socket]) -> None: ...

    def end(self) -> None: ...


def _server(app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> _Server:
    try:
        from qfund.testing.listening import server
    except ImportError as missing:
        raise ConfigError(
            "The fake vendor needs uvicorn, which is not installed.",
            fix="pip install 'qfund[testing]'",
            code="MISSING_EXTRA",
        ) from missing
    return server(app)


def _request(scope: Scope) -> Request:
    from qfund.testing.vendor import Request

    query = scope["query_string"].decode("ascii")
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return Request(
        number=0,
        method=scope["method"],
        path=unquote(scope["raw_path"].decode("ascii")) if scope.get("raw_path") else scope["path"],
        params=dict(parse_qsl(query, keep_blank_values=True)),
        headers=headers,
        moment=Moment(datetime.now(UTC)),
    )


async def _swallow(receive: Receive) -> None:
    """Read the request's body, if any, to its end."""
    while (await receive()).get("more_body"):
        pass


async def _control(vendor: FakeVendor, path: str, send: Send) -> None:
    """What another process asks the fake itself; not a request to the vendor, and in no log."""
    known = {"/_fake/log": vendor.log.document}
    body = json.dumps(known[path]() if path in known else None).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200 if path in known else 404, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()

"""A server on loopback that answers by script, byte by byte: whole, half, late, or not at all."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Act = Callable[[socket.socket], bool]
"""What to do with a connection whose request has been read; whether it stays open."""


@dataclass(frozen=True)
class Asked:
    """A request as it arrived, ``at`` the monotonic clock."""

    at: float
    method: str
    target: str
    headers: dict[str, str]
    connection: int


@dataclass
class Loopback:
    """The n-th request gets the n-th act; the last act is repeated."""

    acts: list[Act]
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, connection: socket.socket, number: int) -> None:
        with connection, contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while head := _head(connection):
                act = self._next(head, number)
                if not act(connection):
                    return

    def _next(self, head: str, number: int) -> Act:
        at = time.monotonic()
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ")
        headers = dict(line.split(": ", 1) for line in lines if line)
        with self._lock:
            self.asked.append(
                Asked(at, method, target, {name.lower(): text for name, text in headers.items()}, number)
            )
            return self.acts[min(len(self.asked), len(self.acts)) - 1]


def _head(connection: socket.socket) -> str:
    read = b""
    while not read.endswith(b"\r\n\r\n"):
        more = connection.recv(65536)
        if not more:
            return ""
        read += more
    return read.decode("latin-1")


@contextmanager
def loopback(*acts: Act) -> Iterator[Loopback]:
    server = Loopback(list(acts))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        threads: list[threading.Thread] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    thread = threading.Thread(
                        target=server.serve, args=(connection, len(threads)), daemon=True
                    )
                    threads.append(thread)
                    thread.start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield server
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join(10)


def closed_port() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"


# ---------------------------------------------------------------- acts


def head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {text}" for name, text in headers.items())]
    return "\r\n".join((*lines, "", "")).encode("latin-1")


def says(
    status: int = 200, body: bytes | object = b"{}", *, length: int | None = None, **headers: str
) -> Act:
    """A whole answer, or with a wrong length one that is not; the connection stays unless it lies."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    names = {name.replace("_", "-"): text for name, text in headers.items()}
    names = {"content-type": "application/json", "content-length": str(length or len(content)), **names}
    if length is not None:
        names["connection"] = "close"
    return raw(head(status, names) + content, stays=length is None)


def packed(body: bytes, **headers: str) -> Act:
    return says(200, body, content_encoding="gzip", **headers)


def gz(content: object) -> bytes:
    return gzip.compress(json.dumps(content).encode())


def raw(content: bytes, *, stays: bool = False) -> Act:
    def act(connection: socket.socket) -> bool:
        connection.sendall(content)
        return stays

    return act


def hangs_up(connection: socket.socket) -> bool:
    """Close without a word."""
    return False


def resets(after: bytes = b"") -> Act:
    """RST, after so many bytes."""

    def act(connection: socket.socket) -> bool:
        if after:
            connection.sendall(after)
            time.sleep(0.05)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    return act


def drips(content: bytes, *, every: float = 0.05) -> Act:
    """One byte at a time, as long as somebody listens."""

    def act(connection: socket.socket) -> bool:
        for number in range(len(content)):
            connection.sendall(content[number : number + 1])
            time.sleep(every)
        return False

    return act


def silent(seconds: float) -> Act:
    def act(connection: socket.socket) -> bool:
        connection.settimeout(seconds)
        with contextlib.suppress(OSError):
            connection.recv(1)  # returns when the other side gives up
        return False

    return act

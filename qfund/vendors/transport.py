"""HTTP as the wire needs it: one GET, one whole body as it came, and an end to every wait.

Promises: no exchange takes longer than its limit, however slowly the other side drips its head or body;
redirects are returned, never followed; what goes wrong on the way is told in words that hold no header.
httpx is used in this module alone. It never paces, retries, decodes or believes anything.
"""

from __future__ import annotations

import functools
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

    import httpx

CONNECTIONS = 32
KEPT_SECONDS = 20.0
AT_ONCE = 1 << 18
"""Bytes to take from a socket that holds so many; a page of bars is a megabyte."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a vendor, in seconds.

    Attributes:
        connect: for a connection.
        silence: for the next bytes.
        total: for a whole exchange, from looking for a connection to the last byte.
    """

    connect: float = 10.0
    silence: float = 30.0
    total: float = 120.0


@dataclass(frozen=True)
class Raw:
    """A whole answer, as it came.

    Attributes:
        status: HTTP status.
        headers: names in lower case.
        body: as sent, still packed.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Broken:
    """There was no whole answer.

    Attributes:
        why: the rest of a sentence that begins with the host's name.
        connected: whether there was a connection at all; without one, asking for less is no use.
    """

    why: str
    connected: bool = True


class Transport:
    """Connections to one host, kept alive and shared by threads.

    Args:
        base_url: scheme, host, port.
        headers: sent with each request.
        patience: limits of waiting.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str], patience: Patience) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = dict(headers)
        self._patience = patience
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._hour = _Hour()

    def get(self, path: str, params: Mapping[str, str], *, within: float) -> Raw | Broken:
        """Send one GET and read the body to its end.

        Args:
            path: begins with a slash.
            params: the query.
            within: most seconds, if less than the patience.
        """
        import httpx

        total = min(within, self._patience.total)
        client = self.open()
        started = time.monotonic()
        self._hour.until = started + total
        try:
            with client.stream("GET", self._base_url + path, params=params) as response:
                body = b"".join(response.iter_raw())
                return Raw(response.status_code, _lower(response.headers), body)
        except httpx.TransportError as error:
            said = _said(error, self._patience, total, time.monotonic() - started)
            return Broken(said, connected=not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout))
        finally:
            self._hour.until = None

    def open(self) -> httpx.Client:
        """Load what a first request needs, which takes a moment; `get` does it if nobody did."""
        with self._lock:
            if self._client is None:
                self._client = self._connected()
            return self._client

    def close(self) -> None:
        """Close what is kept alive; a later `get` opens it again."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> httpx.Client:
        import logging
        from importlib.metadata import version

        import httpx

        logging.getLogger("httpcore").setLevel(logging.INFO)  # its debug lines repeat whole heads
        patience = self._patience
        ours = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": f"qfund/{version('qfund')}",
        }
        client = httpx.Client(
            headers={**ours, **self._headers},
            verify=_trusted(),
            timeout=httpx.Timeout(
                patience.silence, connect=patience.connect, pool=min(patience.total, patience.silence)
            ),
            limits=httpx.Limits(
                max_connections=CONNECTIONS,
                max_keepalive_connections=CONNECTIONS,
                keepalive_expiry=KEPT_SECONDS,
            ),
            follow_redirects=False,
        )
        # httpx limits each read, not their sum. Its transports (the direct one and those of proxies named by
        # the environment) let nobody choose the layer that reads, so it is put in here; a test with a
        # dripping head and one with a dripping body notice when that ends.
        for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001
            pool: Any = getattr(transport, "_pool", None)
            if pool is not None:
                pool._network_backend = _Sockets(pool._network_backend, self._hour)  # noqa: SLF001
        weakref.finalize(self, client.close)
        return client


@functools.cache
def _trusted() -> ssl.SSLContext:
    """The certificates that are trusted; reading them takes a moment, so all transports share them."""
    import httpx

    return httpx.create_ssl_context()


class _Hour(threading.local):
    """When the exchange of this thread must be over, on the monotonic clock."""

    until: float | None = None

    def left(self, timeout: float | None) -> float | None:
        """The time-out of a wait that begins now.

        Raises:
            httpcore.ReadTimeout: it is over.
        """
        if self.until is None:
            return timeout
        left = self.until - time.monotonic()
        if left <= 0:
            import httpcore

            raise httpcore.ReadTimeout
        return left if timeout is None else min(timeout, left)


class _Sockets:
    """Httpcore's network, every wait of which ends by the hour."""

    def __init__(self, inner: Any, hour: _Hour) -> None:
        self._inner = inner
        self._hour = hour

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **more: Any) -> _Stream:
        stream = self._inner.connect_tcp(host, port, timeout=self._hour.left(timeout), **more)
        return _Stream(stream, self._hour)

    def connect_unix_socket(self, path: str, timeout: float | None = None, **more: Any) -> _Stream:
        stream = self._inner.connect_unix_socket(path, timeout=self._hour.left(timeout), **more)
        return _Stream(stream, self._hour)

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _Stream:
    """One connection of `_Sockets`."""

    def __init__(self, inner: Any, hour: _Hour) -> None:
        self._inner = inner
        self._hour = hour

    def read(self, max_bytes: int, timeout: float | None = None) -> Any:
        return self._inner.read(max(max_bytes, AT_ONCE), self._hour.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._hour.left(timeout))

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> _Stream:
        return _Stream(
            self._inner.start_tls(ssl_context, server_hostname, self._hour.left(timeout)), self._hour
        )

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

    def close(self) -> None:
        self._inner.close()


def _lower(headers: httpx.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _said(error: httpx.TransportError, patience: Patience, total: float, took: float) -> str:
    """The rest of a sentence about the host."""
    import httpx

    if isinstance(error, httpx.TimeoutException) and took >= total:
        return f"did not answer in full within {total:.3g} s"
    if isinstance(error, httpx.ConnectTimeout):
        return f"gave no connection within {patience.connect:.3g} s"
    if isinstance(error, httpx.TimeoutException):
        return f"was silent for {patience.silence:.3g} s"
    if isinstance(error, httpx.LocalProtocolError):
        return "cannot be sent such a request"  # h11's own words repeat the header
    words = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, httpx.ConnectError | httpx.ProxyError):
        return f"cannot be reached: {words}"
    return f"broke the connection: {words}"

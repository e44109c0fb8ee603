"""A vendor's host on loopback that answers from a table, and a network with nothing to wait for."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from qfund.config.secrets import Secret
from qfund.vendors.contract import Setup
from qfund.vendors.wire import Network


@dataclass
class Asked:
    path: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass
class Canned:
    """What was asked, and what is answered: path → JSON-ready value, or query → value, or (status, value)."""

    now: datetime
    url: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def answer(self, asked: Asked) -> tuple[int, bytes]:
        found = self.answers.get(asked.path, (404, {"message": "not found"}))
        if isinstance(found, Callable):
            found = found(asked.query)
        status, value = found if isinstance(found, tuple) else (200, found)
        return status, value if isinstance(value, bytes) else json.dumps(value).encode()


@contextmanager
def served(now: datetime) -> Iterator[Canned]:
    canned = Canned(now)

    class Host(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            parts = urlsplit(self.path)
            asked = Asked(
                unquote(parts.path),
                dict(parse_qsl(parts.query, strict_parsing=bool(parts.query))),
                {name.lower(): value for name, value in self.headers.items()},
            )
            canned.asked.append(asked)
            status, body = canned.answer(asked)
            self.send_response_only(status)
            self.send_header("Date", format_datetime(canned.now, usegmt=True))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Host)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    canned.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield canned
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class NoWait:
    """A pace that lets everything leave."""

    def wait(self) -> float:
        return 0.0

    def allow(self, rate) -> None:
        pass

    def block(self, seconds: float) -> None:
        pass


class Counter:
    """A meter without a limit."""

    def __init__(self) -> None:
        self.sent = 0

    def sending(self) -> None:
        self.sent += 1

    def received(self, *, size: int, throttled: bool, retried: bool) -> None:
        pass


@contextmanager
def network(now: datetime) -> Iterator[Network]:
    with Network(
        lambda account, rate: NoWait(),
        lambda account: Counter(),
        clock=lambda: now,
        sleep=lambda seconds: None,
    ) as made:
        yield made


def setup(values: dict[str, str], network: Network | None, secrets: dict[str, str], vendor: str) -> Setup:
    """As the command line makes it: secrets are references to variables, set here to the values given."""
    environ = {name.upper(): value for name, value in secrets.items() if value}
    references = {
        name: Secret(f"env:{name.upper()}", f"vendors.{vendor}.{name}", Path(), environ) for name in secrets
    }
    return Setup(values, references, network)

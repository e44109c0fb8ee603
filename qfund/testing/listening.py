"""The server below a fake: uvicorn, whose connections can be dropped and which ends at once.

Promises: nothing but what uvicorn does on purpose: one protocol and one server class of it are extended. This
module alone imports uvicorn.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """A connection that its requests can drop: it is ``scope["state"]["connection"]``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app_state = {**self.app_state, "connection": self}


class Server(uvicorn.Server):
    """A server that ends at once, whatever is in flight.

    Attributes:
        answers: set once it does.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answers = threading.Event()
        self._ending = asyncio.Event()

    async def main_loop(self) -> None:
        """Serve until `end`."""
        self._loop = asyncio.get_running_loop()
        self.answers.set()
        await self._ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port and drop the connections."""
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()
        await asyncio.sleep(0)

    def end(self) -> None:
        """End it, from another thread."""
        self._loop.call_soon_threadsafe(self._ending.set)


def server(app: Any) -> Server:
    """A server of an ASGI application, to be run with a listening socket."""
    return Server(
        uvicorn.Config(
            app,
            http=Connection,
            interface="asgi3",
            proxy_headers=False,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            date_header=False,
            server_header=False,
            h11_max_incomplete_event_size=65_536,
        )
    )

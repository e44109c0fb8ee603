"""Fresh databases on one embedded server, each a copy of a migrated template."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
from psycopg2 import sql

from qfund.store import open_store
from qfund.store.server import serving

TEMPLATE = "qfund"  # the embedded server's own database: migrated once, then only copied
ROOM = 4 << 30
"""Bytes that must be free in memory for a server's files."""

_numbers = itertools.count()


class Server:
    """A running embedded server that hands out databases."""

    def __init__(self, url: str) -> None:
        self.url = url

    def address(self, database: str) -> str:
        return self.url.replace(f"/{TEMPLATE}?", f"/{database}?")

    def run(self, statement: str, *names: str) -> None:
        """One statement on the maintenance database; the names are quoted into it."""
        connection = psycopg2.connect(self.address("postgres"))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
        finally:
            connection.close()

    @contextmanager
    def database(self, *, migrated: bool = True) -> Iterator[str]:
        """The address of a fresh database, dropped at the end."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        template = TEMPLATE if migrated else "template0"
        self.run("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, template)
        try:
            yield self.address(name)
        finally:
            self.run("DROP DATABASE {} WITH (FORCE)", name)


@contextmanager
def running_server(home: Path) -> Iterator[Server]:
    """An embedded server whose template database has the newest schema."""
    with serving(home) as url:
        with open_store(url, home):
            pass  # migrates; connections are closed again, so that it can be copied
        server = Server(url)
        for setting in ("fsync", "full_page_writes"):  # it need not outlive a crash of the machine
            server.run(f"ALTER SYSTEM SET {setting} = off")
        server.run("SELECT pg_reload_conf()")
        yield server


@contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder in memory where there is plenty, else on the disk: a database is some six hundred files."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM
    with tempfile.TemporaryDirectory(prefix="qfund-tests-", dir=memory if roomy else None) as folder:
        yield Path(folder)

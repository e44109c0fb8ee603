"""Fresh databases on one embedded server, each a copy of a migrated template."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
from psycopg2 import sql

from qfund.store import open_store
from qfund.store.server import serving

TEMPLATE = "qfund"  # the embedded server's own database: migrated once, then only copied
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
        self.run("CREATE DATABASE {} TEMPLATE {}", name, TEMPLATE if migrated else "template0")
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
        yield Server(url)

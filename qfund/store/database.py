"""The store: a Postgres database, embedded or by URL, with qfund's schema in its newest form.

Promises: whoever gets a ``Store`` can use it at once; the schema was migrated. Database errors leave
``open_store`` and ``Store.transaction`` as qfund's own. A password is never shown.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from qfund.errors import ConfigError
from qfund.store import faults, schema, server

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

CONNECT_SECONDS = "10"
MOST_IDLE = 4  # connections for bulk reads and writes that wait for the next
SCHEMES = ("postgresql", "postgres")


class Store:
    """An open database.

    Attributes:
        url: its address without the password, for people.
        embedded: whether qfund runs the server itself.
        sql: the SQLAlchemy engine, for small reads and writes.
    """

    def __init__(self, url: URL, engine: Engine, *, embedded: bool) -> None:
        self.url = url.set(drivername="postgresql").render_as_string(hide_password=True)
        self.embedded = embedded
        self.sql = engine
        self._address = url.set(drivername="postgresql")
        self._idle: list[tuple[int, Any]] = []

    def __repr__(self) -> str:
        """The address without the password."""
        return f"Store({self.url!r})"

    def dbapi(self) -> Any:
        """A new ADBC connection for bulk reads and writes; autocommit is off, the caller closes it."""
        from adbc_driver_postgresql import dbapi

        _leave_ctrl_c_alone()
        with faults.translated(secret=self._secret):
            # SQLAlchemy writes a space as "+", which libpq takes literally
            address = self._address.render_as_string(hide_password=False)
            return dbapi.connect(address.replace("+", "%20"))

    def pooled(self) -> Any:
        """A psycopg2 connection of the pool; closing it undoes what was not committed and gives it back."""
        return self.sql.raw_connection()

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """An ADBC connection whose work is committed at the end of the block, or undone when it raises."""
        with self.borrowed() as connection, faults.translated(secret=self._secret):
            yield connection
            connection.commit()

    @contextmanager
    def borrowed(self) -> Iterator[Any]:
        """An ADBC connection for the block, one that was used before when there is one.

        To connect takes longer than to read a year of minute bars. What the block does not commit is undone.
        """
        connection = self._taken() or self.dbapi()
        try:
            yield connection
            connection.rollback()
        except BaseException:
            connection.close()  # what was not committed goes with it
            raise
        if len(self._idle) < MOST_IDLE:
            self._idle.append((os.getpid(), connection))
        else:
            connection.close()

    def _taken(self) -> Any:
        """An idle connection of this process that still answers; None when there is none."""
        while self._idle:
            owner, connection = self._idle.pop()
            if owner != os.getpid():
                continue
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
                connection.rollback()
            except Exception:  # noqa: BLE001 - whatever is wrong with it, a new one is made
                connection.close()
            else:
                return connection
        return None

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            owner, connection = self._idle.pop()
            if owner == os.getpid():
                connection.close()

    @property
    def _secret(self) -> str | None:
        return None if self._address.password is None else str(self._address.password)


@cache
def _leave_ctrl_c_alone() -> None:
    """Let Ctrl-C be Python's own while ADBC works.

    In the main thread ADBC puts its own handler of SIGINT around each call. It cancels the statement, which
    then looks like a statement that ran out of time; or the call ends before, and the Ctrl-C is lost. Without
    it a ``KeyboardInterrupt`` comes once the call returns, which is soon: one chunk, one batch.
    """
    from adbc_driver_manager import dbapi

    def plain(call: Callable[..., Any], args: Any, kwargs: Any, _cancel: Any) -> Any:
        return call(*args, **kwargs)

    dbapi._blocking_call = plain  # type: ignore[attr-defined, assignment]  # noqa: SLF001 - no setting for it


@contextmanager
def open_store(
    settings_url: str | None, home: Path, *, on_wait: Callable[[str], None] = lambda _: None
) -> Iterator[Store]:
    """Open the store, starting the embedded server and migrating the schema when needed.

    Args:
        settings_url: ``store.url``; None means the embedded server of the state folder.
        home: the state folder, used by the embedded server only.
        on_wait: told in a few words when opening takes longer than a moment.

    Raises:
        ConfigError: a wrong URL, an unknown host, a refused login, no such database, a schema newer than this
            program, a state folder that cannot be written.
        UpstreamError: the server does not answer or does not start, the disk is full.
    """
    with ExitStack() as stack:
        address = settings_url
        if address is None:
            address = stack.enter_context(server.serving(home, on_wait=on_wait))
        url = parse(address)
        secret = None if url.password is None else str(url.password)
        stack.enter_context(faults.translated(secret=secret))
        engine = _engine(url)
        stack.callback(engine.dispose)
        schema.migrate(engine)
        store = Store(url, engine, embedded=settings_url is None)
        stack.callback(store.close)
        yield store


def parse(address: str) -> URL:
    """A ``postgresql://`` address, with any driver's suffix removed.

    Raises:
        ConfigError: not such an address; the message does not repeat it, since it may hold a password.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    scheme, separator, rest = address.partition("://")
    if not separator or scheme.partition("+")[0].lower() not in SCHEMES:
        raise ConfigError(
            f"store.url must start with postgresql://, not with '{scheme[:20] if separator else '…'}'.",
            fix="set store.url to postgresql://USER@HOST:PORT/DATABASE, or unset it",
            code="STORE_URL",
        )
    try:
        url: URL = make_url(f"postgresql+psycopg2://{rest}")
    except (ArgumentError, ValueError):
        raise ConfigError(
            "store.url cannot be read: a character in it may have to be written as %XX.",
            fix=f"write special characters of the password in URL form, e.g. '@' as {quote('@')}",
            code="STORE_URL",
        ) from None
    if not url.database:
        raise ConfigError(
            "store.url names no database.",
            fix="add the database's name: postgresql://USER@HOST:PORT/DATABASE",
            code="STORE_URL",
        )
    return url.update_query_dict(
        {
            "connect_timeout": url.query.get("connect_timeout", CONNECT_SECONDS),
            "application_name": url.query.get("application_name", "qfund"),
        }
    )


def _engine(url: URL) -> Engine:
    """Few connections, closed with the store."""
    from sqlalchemy import create_engine

    return create_engine(url, pool_size=2, max_overflow=4)


def migrate(store: Store) -> tuple[str | None, str]:
    """Bring the schema to the newest revision: (before, after); see ``schema.migrate``."""
    return schema.migrate(store.sql)


def revision(store: Store) -> str | None:
    """The schema's revision, None when there is no schema."""
    return schema.revision(store.sql)

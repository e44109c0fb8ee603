"""The schema's revision: which one the database has, and the way to the one this program knows.

Promises: migrations run in one transaction under a lock, so that two commands at once apply them once, and
a killed one leaves the schema as it was. A schema newer than this program is never touched.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qfund.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

VERSION_SCHEMA = "ops"
VERSION_TABLE = "schema_revision"
HEAD = "0004"  # the newest migration's id; a test compares it with the files
OLDEST_SERVER = 14  # multiranges
_LOCK = 0x7166_756E_64  # "qfund"


def revision(engine: Engine) -> str | None:
    """The revision the database has; None when it holds no qfund schema yet."""
    with engine.connect() as connection:
        return _revision(connection)


def _revision(connection: Connection) -> str | None:
    table = f"{VERSION_SCHEMA}.{VERSION_TABLE}"
    exists = connection.exec_driver_sql(f"SELECT to_regclass('{table}') IS NOT NULL").scalar()
    if not exists:
        return None
    found = connection.exec_driver_sql(f"SELECT version_num FROM {table}").scalar()  # noqa: S608
    return None if found is None else str(found)


def migrate(engine: Engine) -> tuple[str | None, str]:
    """Bring the schema to the newest revision; nothing happens when it is there.

    Returns:
        The revision before, and the one after.

    Raises:
        ConfigError: the schema is newer than this program, or the server older than PostgreSQL 14.
    """
    with engine.connect() as connection:
        _check_server(connection)
        before = _revision(connection)
    if before == HEAD:
        return before, HEAD
    with engine.begin() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        before = _revision(connection)  # another command may have been quicker
        if before != HEAD:
            _upgrade(connection, before)
    return before, HEAD


def _check_server(connection: Connection) -> None:
    version = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
    if version // 10000 < OLDEST_SERVER:
        raise ConfigError(
            f"The database server is PostgreSQL {version // 10000}; qfund needs {OLDEST_SERVER} or newer.",
            fix="upgrade the server, or unset store.url for the embedded one",
            code="STORE_VERSION",
        )


def _upgrade(connection: Connection, before: str | None) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if before is not None and before not in known:
        raise ConfigError(
            f"The database's schema ({before}) is newer than this qfund knows ({HEAD}).",
            fix="pip install --upgrade qfund",
            code="SCHEMA_NEWER",
            details={"schema": before, "known": HEAD},
        )
    connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {VERSION_SCHEMA}")
    command.upgrade(config, "head")

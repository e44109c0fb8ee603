"""What a database's error means to the user: one table, used by everything that talks to Postgres.

Promises: no message holds a password; the program's own errors pass unchanged; an error that the table does
not know passes unchanged too, since it is qfund's own fault and its traceback is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from qfund.errors import (
    ConfigError,
    DataQualityError,
    LockedError,
    QfundError,
    TimeoutExpiredError,
    UpstreamError,
)

_CHECK_URL = "check store.url with: qfund config show --origin"

# The longest prefix of the SQLSTATE that is found decides:
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_BY_STATE: Mapping[str, tuple[type[QfundError], str, str, str | None]] = {
    "08": (UpstreamError, "STORE_LOST", "The connection to the database was lost", "run the command again"),
    "22": (DataQualityError, "STORE_VALUE", "The database refuses a value", None),
    "23": (DataQualityError, "STORE_CONSTRAINT", "The database refuses a row", None),
    "25006": (ConfigError, "STORE_READ_ONLY", "The database is read-only", _CHECK_URL),
    "28": (ConfigError, "STORE_LOGIN", "The database refuses the login", _CHECK_URL),
    "3D000": (ConfigError, "STORE_NO_DATABASE", "There is no such database", _CHECK_URL),
    "3F000": (ConfigError, "STORE_SCHEMA", "The database's schema is not qfund's", "qfund db migrate"),
    "40": (LockedError, "STORE_BUSY", "Another command changed the same rows", "run the command again"),
    "42P01": (ConfigError, "STORE_SCHEMA", "The database's schema is not qfund's", "qfund db migrate"),
    "42P06": (ConfigError, "STORE_SCHEMA", "The database already has such a schema", _CHECK_URL),
    "42501": (ConfigError, "STORE_RIGHTS", "The database user may not do this", _CHECK_URL),
    "53": (UpstreamError, "STORE_RESOURCES", "The database server is out of resources",
           "run the command again"),
    "53100": (UpstreamError, "DISK_FULL", "The disk is full; nothing that was committed is lost",
              "free some space and run the command again"),
    "55P03": (LockedError, "STORE_BUSY", "Another command holds the lock", "run the command again"),
    "57014": (TimeoutExpiredError, "STORE_TIMEOUT", "The database gave up a statement", None),
    "57P": (UpstreamError, "STORE_LOST", "The database server stopped", "run the command again"),
    "58": (UpstreamError, "STORE_IO", "The database server cannot use its disk",
           "look into the server's log"),
    "XX001": (UpstreamError, "STORE_DAMAGED", "A page of the database is damaged", "restore a backup"),
    "XX002": (UpstreamError, "STORE_DAMAGED", "An index of the database is damaged", "restore a backup"),
}  # fmt: skip

# libpq gives no SQLSTATE while connecting; its own words are never translated in the wheels used.
_BY_WORDS: tuple[tuple[str, str], ...] = (
    (r"No space left on device", "53100"),
    (r"could not translate host name|Name or service not known|nodename nor servname", "HOST"),
    (r"password authentication failed|no password supplied|no pg_hba\.conf entry", "28"),
    (r"(Peer|Ident|GSSAPI|certificate|SCRAM|PAM|LDAP) authentication failed", "28"),
    (r'role ".*" (does not exist|is not permitted to log in)', "28"),
    (r'database ".*" does not exist', "3D000"),
    (r"invalid response to SSL negotiation|expected authentication request", "OPTION"),
    (r"invalid (connection option|URI|port|sslmode|integer)|SSL was required|not support SSL", "OPTION"),
    (r"too many clients|remaining connection slots", "53"),
    (r"starting up|shutting down|in recovery mode", "57P"),
    (r"Connection refused|timeout expired|timed out|No route to host|unreachable", "NET"),
    (r"Connection reset|server closed the connection|SSL SYSCALL", "08"),
    (r"No such file or directory", "NET"),
    (r"terminating connection|connection already closed|connection is closed", "08"),
    (r"no connection to the server|could not (receive|send) data", "08"),
    (r"connection to server .* failed", "NET"),
)

_OTHER: Mapping[str, tuple[type[QfundError], str, str, str | None]] = {
    "HOST": (ConfigError, "STORE_HOST", "The database's host is unknown", _CHECK_URL),
    "OPTION": (ConfigError, "STORE_URL", "store.url does not work", _CHECK_URL),
    "NET": (UpstreamError, "STORE_UNREACHABLE", "The database does not answer",
            "run the command again; where store.url is set, that server must be running"),
}  # fmt: skip


@contextmanager
def translated(*, secret: str | None = None) -> Iterator[None]:
    """Turn the errors of psycopg2, ADBC and SQLAlchemy inside the block into qfund's own.

    Args:
        secret: a password to remove from whatever is said.
    """
    try:
        yield
    except QfundError:
        raise
    except Exception as error:
        told = _told(error, secret)
        if told is None:
            raise
        raise told from None  # the chain may hold the connection string


def _told(error: Exception, secret: str | None) -> QfundError | None:
    """Qfund's own error for a driver's, None for one that is no driver's or means a fault of qfund's."""
    found = _driver_error(error)
    if found is None:
        return None
    state, words = found
    known = _meaning(state, words)
    if known is None:
        return None
    kind, code, what, fix = known
    said = clean(words, secret)
    details = {"sqlstate": state} if state else {}
    return kind(f"{what}: {said}." if said else f"{what}.", fix=fix, code=code, details=details)


def _driver_error(error: Exception) -> tuple[str, str] | None:
    """SQLSTATE (may be empty) and words of a driver's error, looking through SQLAlchemy's wrapper."""
    original = getattr(error, "orig", None) or error
    module = type(original).__module__
    if module.startswith("psycopg2"):
        return getattr(original, "pgcode", None) or "", str(original)
    if module.startswith("adbc_driver_manager"):
        return (getattr(original, "sqlstate", None) or "").strip("\0"), str(original)
    if module.startswith("sqlalchemy"):
        return "", str(original)
    return None


def _meaning(state: str, words: str) -> tuple[type[QfundError], str, str, str | None] | None:
    for length in range(len(state), 1, -1):
        if state[:length] in _BY_STATE:
            return _BY_STATE[state[:length]]
    for pattern, key in _BY_WORDS:
        if re.search(pattern, words):
            return _OTHER.get(key) or _BY_STATE[key]
    return None


def clean(words: str, secret: str | None) -> str:
    """The first, telling line of a driver's message, on one line, without the password."""
    words = re.sub(r"^[A-Z_]+: ", "", words.strip()).replace("[libpq] ", "")
    server = re.search(r"(?:ERROR|FATAL|PANIC):\s+(.+)", words)
    line = server[1] if server else next((part for part in words.splitlines() if part.strip()), "")
    line = line.strip().rstrip(".")
    line = re.sub(r"(postgres(?:ql)?(?:\+\w+)?://[^:@/\s]*):[^\s]*@", r"\1:***@", line)
    if secret:
        line = line.replace(secret, "***")
    return line

"""A command like any other that uses the store, for tests that kill it: ``python -m tests.support.client HOME WHAT …``.

Each line that it prints is a step done. It waits for a line on stdin where the test wants to look or to kill.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from qfund.errors import QfundError
from qfund.store import open_store, server


def _join(home: Path) -> None:
    """Start or join the server, needing nothing but the standard library."""
    with server.serving(home, on_wait=lambda why: print("waits", why, flush=True)) as url:
        print("joined", url, flush=True)
        sys.stdin.readline()
    print("left", flush=True)


def _insert(home: Path, name: str) -> None:
    """Commit one vendor, leave another uncommitted, and wait; on a line, commit it too."""
    with open_store(None, home) as store, store.sql.connect() as connection:
        connection.exec_driver_sql("INSERT INTO sec.vendor (name) VALUES (%s)", (name,))
        connection.commit()
        connection.exec_driver_sql("INSERT INTO sec.vendor (name) VALUES (%s)", (f"{name}-open",))
        print("committed", name, flush=True)
        sys.stdin.readline()
        connection.commit()
        print("committed", f"{name}-open", flush=True)


def _names(home: Path) -> None:
    with open_store(None, home) as store, store.sql.connect() as connection:
        rows = connection.exec_driver_sql("SELECT name FROM sec.vendor ORDER BY 1").all()
        print("names", *(row[0] for row in rows), flush=True)


def _fill(home: Path, megabytes: str) -> None:
    """Write bars' worth of bytes in one transaction."""
    with open_store(None, home) as store, store.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE public.filler AS SELECT 1 AS n, repeat('x', 10) AS t WHERE false")
        cursor.execute(
            "INSERT INTO public.filler SELECT n, md5(n::text) || md5((n + 1)::text) || repeat(md5(n::text), 28)"
            f" FROM generate_series(1, {int(megabytes)} * 1024) n"
        )
    print("filled", flush=True)


def main(home: Path, what: str, *more: str) -> int:
    try:
        {"join": _join, "insert": _insert, "names": _names, "fill": _fill}[what](home, *more)
    except QfundError as error:
        print(
            "error", error.exit_code, error.code, error.message.replace("\n", " "), "|", error.fix, flush=True
        )
        return error.exit_code
    return 0


if __name__ == "__main__":
    os.umask(0o022)
    raise SystemExit(main(Path(sys.argv[1]), *sys.argv[2:]))

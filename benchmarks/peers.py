"""The same minute bars from the same server into the same Postgres, the way others do it.

dlt: its REST client follows the page tokens, one dictionary a bar, merged on (symbol, ts); its defaults
otherwise, nothing staged outside of its working folder. The loader of the system that qfund grew out of: a
symbol at a time goes on from ``max(ts)``, psycopg2's ``executemany`` into numeric columns, a commit a page.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions

from benchmarks import vendor
from benchmarks.store import execute
from qfund.store import Store


def with_dlt(database: str, url: str, symbols: tuple[str, ...], since: date, folder: Path) -> int:
    """One pipeline run, from the first request to its end; returns the rows in the table."""
    os.environ.update(RUNTIME__DLTHUB_TELEMETRY="false", RUNTIME__LOG_LEVEL="ERROR")
    import dlt
    from dlt.sources.helpers.rest_client import RESTClient
    from dlt.sources.helpers.rest_client.paginators import JSONResponseCursorPaginator

    client = RESTClient(
        base_url=url,
        headers=vendor.HEADERS,
        paginator=JSONResponseCursorPaginator(cursor_path="next_page_token", cursor_param="page_token"),
    )

    @dlt.resource(
        name="bars",
        write_disposition="merge",
        primary_key=("symbol", "ts"),
        columns={"ts": {"data_type": "timestamp"}, "volume": {"data_type": "double"}},
    )
    def bars() -> Iterator[list[dict[str, Any]]]:
        for asked in vendor.queries(symbols, since=since):
            for page in client.paginate("/v2/stocks/bars", params=asked):
                for symbol, rows in page.response.json()["bars"].items():
                    yield [
                        {
                            "symbol": symbol,
                            "ts": row["t"],
                            "open": row["o"],
                            "high": row["h"],
                            "low": row["l"],
                            "close": row["c"],
                            "volume": row["v"],
                        }
                        for row in rows
                    ]

    pipeline = dlt.pipeline(
        "bench",
        destination=dlt.destinations.postgres(credentials=_credentials(database)),
        dataset_name="peer_dlt",
        pipelines_dir=str(folder),
    )
    pipeline.run(bars())
    with pipeline.sql_client() as client_of_sql:
        return int(client_of_sql.execute_sql("SELECT count(*) FROM bars")[0][0])


def _credentials(database: str) -> dict[str, Any]:
    """Where the server listens: dlt wants a host's name, and libpq takes the socket's folder in its place."""
    parts = psycopg2.extensions.parse_dsn(database)
    return {
        "drivername": "postgresql",
        "host": "localhost",
        "query": {"host": parts["host"]},
        "port": int(parts.get("port", 5432)),
        "username": parts["user"],
        "password": parts.get("password", ""),
        "database": parts["dbname"],
    }


SEED = """
CREATE SCHEMA IF NOT EXISTS peer_seed;
CREATE TABLE peer_seed.bars (
  symbol text, ts timestamptz, open numeric(19,6), high numeric(19,6), low numeric(19,6), close numeric(19,6),
  volume numeric(19,6), PRIMARY KEY (symbol, ts))
"""


def row_by_row(database: str, url: str, symbols: tuple[str, ...], since: date) -> int:
    """Each symbol from its last bar on; returns the rows in the table, which is there and empty before."""
    connection = psycopg2.connect(database)
    cursor = connection.cursor()
    for symbol in symbols:
        cursor.execute("SELECT max(ts) FROM peer_seed.bars WHERE symbol = %s", (symbol,))
        cursor.fetchone()
        for body in vendor.pages(url, (symbol,), since=since):
            rows = [
                (symbol, row["t"], row["o"], row["h"], row["l"], row["c"], row["v"])
                for row in json.loads(body)["bars"][symbol]
            ]
            cursor.executemany(
                "INSERT INTO peer_seed.bars VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING", rows
            )
            connection.commit()
    cursor.execute("SELECT count(*) FROM peer_seed.bars")
    (count,) = cursor.fetchone()
    connection.close()
    return int(count)


def emptied(store: Store) -> None:
    """Both tables as before a first load."""
    execute(store, "DROP SCHEMA IF EXISTS peer_dlt CASCADE", "DROP SCHEMA IF EXISTS peer_dlt_staging CASCADE")
    execute(store, "DROP SCHEMA IF EXISTS peer_seed CASCADE", SEED)

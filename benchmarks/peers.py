"""The same minute bars from the same server into the same Postgres, the way others do it.

dlt: its REST client follows the page tokens, one dictionary a bar, merged on (symbol, ts); its defaults
otherwise, nothing staged outside of its working folder. The loader of the system that qfund grew out of, as
its ``fx_oanda_minute.py`` does it into the ``minute_data`` of its ``secmaster_db_schema_builder.py``
(saeed349/Microservices-Based-Algorithmic-Trading-System on GitHub): a symbol at a time goes on from its last
bar, its pages become a frame and the frame tuples, psycopg2's ``executemany`` puts them into numeric columns
below two foreign keys, one commit a symbol.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
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
CREATE SCHEMA peer_seed;
CREATE TABLE peer_seed.data_vendor (id serial PRIMARY KEY, name text UNIQUE NOT NULL);
CREATE TABLE peer_seed.symbol (id serial PRIMARY KEY, ticker text NOT NULL);
CREATE TABLE peer_seed.minute_data (
  id serial PRIMARY KEY,
  data_vendor_id integer NOT NULL REFERENCES peer_seed.data_vendor (id),
  stock_id integer NOT NULL REFERENCES peer_seed.symbol (id),
  created_date timestamp NOT NULL, last_updated_date timestamp NOT NULL, date_price timestamp,
  open_price numeric, high_price numeric, low_price numeric, close_price numeric, volume bigint)
"""

_SEED_INSERT = """
INSERT INTO peer_seed.minute_data (data_vendor_id, stock_id, created_date, last_updated_date, date_price,
  open_price, high_price, low_price, close_price, volume)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


def row_by_row(database: str, url: str, symbols: tuple[str, ...], since: date) -> int:
    """Each symbol from its last bar on; returns the rows in the table, which is there and empty before."""
    connection = psycopg2.connect(database)
    cursor = connection.cursor()
    cursor.execute("INSERT INTO peer_seed.data_vendor (name) VALUES ('Alpaca') RETURNING id")
    (source,) = cursor.fetchone()
    for symbol in symbols:
        cursor.execute("INSERT INTO peer_seed.symbol (ticker) VALUES (%s) RETURNING id", (symbol,))
        (stock,) = cursor.fetchone()
        cursor.execute("SELECT max(date_price) FROM peer_seed.minute_data WHERE stock_id = %s", (stock,))
        cursor.fetchone()
        cursor.executemany(_SEED_INSERT, _seed_rows(url, symbol, source, stock, since))
        connection.commit()
    cursor.execute("SELECT count(*) FROM peer_seed.minute_data")
    (count,) = cursor.fetchone()
    connection.close()
    return int(count)


def _seed_rows(url: str, symbol: str, source: int, stock: int, since: date) -> list[tuple[Any, ...]]:
    """All pages of a symbol as one frame, then as tuples in the table's order."""
    pages = vendor.pages(url, (symbol,), since=since)
    bars = pd.concat([pd.DataFrame(json.loads(body)["bars"][symbol]) for body in pages])
    now = datetime.now()  # noqa: DTZ005 - its table has no time zones
    frame = pd.DataFrame(
        {
            "vendor": source,
            "stock": stock,
            "created": now,
            "updated": now,
            "time": pd.to_datetime(bars["t"]).dt.tz_localize(None),
            **{name: bars[name] for name in "ohlcv"},
        }
    ).sort_values("time")
    return list(frame.itertuples(index=False, name=None))


def emptied(store: Store) -> None:
    """Both tables as before a first load."""
    execute(store, "DROP SCHEMA IF EXISTS peer_dlt CASCADE", "DROP SCHEMA IF EXISTS peer_dlt_staging CASCADE")
    execute(store, "DROP SCHEMA IF EXISTS peer_seed CASCADE", SEED)

"""Minute bars at size: bytes on disk, and speed against their peers, as ratios from one run.

    python -m benchmarks.minutes [SYMBOLS SESSIONS]       (500 10 unless given; about three minutes)

Size: bytes a bar with all indexes, for prices in cents, in hundredths of a cent and with five decimals, and
for prices that are no decimals at all.
Write: bars a second of ``write_bars`` (check, order, pack, COPY) in chunks of 100,000, against a bare ADBC
COPY of the same bars, one row each, into an empty table without a key; the same again, when all is stored;
500 and 5,000 symbols of one session, and what the writing process adds at its peak.
Read: one symbol's year into ``Bars``, against ``pandas.read_sql`` of the same bars from a table of one row
each, float8, with the key that it needs.
Everything runs on the embedded server in a temporary folder; each figure is the best of its repetitions,
and the ratio is between those.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.store import execute, status
from qfund.market.bars import FIELDS
from qfund.market.instruments import Listing
from qfund.market.sessions import opens_and_closes, sessions
from qfund.store import Store, bars, open_store, packing, securities
from qfund.store.server import serving
from qfund.store.sources import Series

MINUTES = 390
CHUNK = 256 * MINUTES  # about 100,000 bars, in whole sessions
DECIMALS = {"cents": 2, "hundredths of a cent": 4, "five decimals, about 1.1": 5, "no decimals": None}
BARE = (
    "ts timestamptz, open float8, high float8, low float8, close float8, volume float8,"
    " instrument_id int, session date, run int, source smallint"
)
MEMORY = """
import sys
from benchmarks.minutes import peak_of_write
print(peak_of_write(sys.argv[1], int(sys.argv[2])))
"""


def timed(what: str, rows: int, run: Callable[[], object], *, best_of: int = 1) -> float:
    """Seconds of the quickest repetition."""
    took = []
    for _ in range(best_of):
        begun = time.perf_counter()
        run()
        took.append(time.perf_counter() - begun)
    print(f"  {what:<58} {min(took):8.3f} s {rows / min(took):14,.0f} rows/s", flush=True)
    return min(took)


def names(symbols: int) -> list[str]:
    return [f"S{number:05d}" for number in range(symbols)]


def universe(symbols: int, length: int, *, decimals: int | None = 2, seed: int = 1) -> pa.Table:
    """Minute bars of the NYSE, symbol after symbol, as pages of a vendor have them."""
    days = sessions("XNYS", date(2024, 1, 2), date(2025, 12, 31))[:length]
    opens = opens_and_closes("XNYS", days[0].date(), days[-1].date())[0].as_unit("us").asi8
    starts = (opens[:, None] + np.arange(MINUTES) * 60_000_000).ravel()
    chance = np.random.default_rng(seed)
    level = 1.1 if decimals == 5 else chance.uniform(5, 500, (symbols, 1))
    steps = chance.normal(0, 0.0005, (symbols, len(starts))).cumsum(axis=1)
    close = (np.exp(steps) * level).ravel()
    opened = close * (1 + chance.normal(0, 1e-4, close.size))
    high = np.maximum(opened, close) * (1 + chance.exponential(2e-4, close.size))
    low = np.minimum(opened, close) * (1 - chance.exponential(2e-4, close.size))
    prices = [opened, high, low, close]
    if decimals is not None:
        prices = [np.round(one, decimals) for one in prices]
    labels = np.repeat(np.arange(symbols, dtype=np.int32), len(starts))
    return pa.table(
        {
            "symbol": pa.DictionaryArray.from_arrays(labels, names(symbols)).cast(pa.string()),
            "session": pa.array(
                np.tile(np.repeat(days.to_numpy().astype("datetime64[D]"), MINUTES), symbols), pa.date32()
            ),
            "ts": pa.array(np.tile(starts, symbols), pa.timestamp("us", "UTC")),
            **dict(zip(FIELDS, prices, strict=False)),
            "volume": np.floor(chance.lognormal(7, 1.2, close.size)),
        }
    )


def registered(store: Store, symbols: int) -> tuple[Series, dict[str, int]]:
    ids = securities.register(store, "bench", [Listing(name, name) for name in names(symbols)])
    return securities.series(store, vendor="bench", timeframe="1m"), ids


def write(store: Store, series: Series, table: pa.Table, ids: dict[str, int], **how: object) -> None:
    for start in range(0, table.num_rows, CHUNK):
        with store.transaction() as connection:
            bars.write_bars(connection, series, table.slice(start, CHUNK), ids, ingest_run_id=1, **how)


def one_row_each(store: Store, table: pa.Table, ids: dict[str, int]) -> None:
    """A bare COPY: nothing is checked, counted or kept."""
    numbers = pa.array([ids[name] for name in table["symbol"].to_pylist()], pa.int32())
    plain = table.drop_columns(["symbol"]).append_column("instrument_id", numbers)
    plain = plain.append_column("run", pa.repeat(pa.scalar(1, pa.int32()), len(plain)))
    plain = plain.append_column("source", pa.repeat(pa.scalar(1, pa.int16()), len(plain)))

    def copy() -> None:
        execute(store, "DROP TABLE IF EXISTS public.bare", f"CREATE TABLE public.bare ({BARE})")
        with store.transaction() as connection, connection.cursor() as cursor:
            cursor.adbc_ingest("bare", plain, mode="append")

    one_row_each.seconds = timed("bare ADBC COPY, one row a bar, no key", len(plain), copy, best_of=3)


def size(store: Store, tables: str) -> int:
    with store.sql.connect() as connection:
        return int(
            connection.exec_driver_sql(
                f"SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname ~ '{tables}'"
            ).scalar_one()
        )


def sizes(store: Store, symbols: int, length: int) -> None:
    print(f"\nSize of {symbols} symbols x {length} sessions, packed, with all indexes")
    series, ids = registered(store, symbols)
    for what, decimals in DECIMALS.items():
        table = universe(symbols, length, decimals=decimals)
        execute(store, "TRUNCATE sec.bar_1m_day")
        write(store, series, table, ids)
        found = size(store, "^bar_1m_day_[0-9]+$") / table.num_rows
        print(f"  {what:<40} {found:6.1f} bytes a bar (wanted 35 at the most for decimal prices)", flush=True)


def writes(store: Store, symbols: int, length: int) -> None:
    table = universe(symbols, length)
    rows = table.num_rows
    series, ids = registered(store, symbols)
    print(f"\nWrite {rows:,} minute bars, {symbols} symbols x {length} sessions")
    one_row_each(store, table, ids)
    execute(store, "DROP TABLE public.bare")

    def first() -> None:
        execute(store, "TRUNCATE sec.bar_1m_day")
        write(store, series, table, ids)

    fresh = timed("write_bars, all new", rows, first, best_of=3)
    same = timed("write_bars, all the same", rows, lambda: write(store, series, table, ids), best_of=2)
    days = set(table["session"].unique().to_pylist())

    def hot() -> None:
        execute(store, "TRUNCATE sec.bar_1m_day, sec.bar_1m_hot")
        write(store, series, table, ids, unfinished=days)

    warm = timed("write_bars, sessions that are not over", rows, hot)
    print(f"    {size(store, '^bar_1m_hot_') / rows:.1f} bytes a bar until they are packed")
    packed = timed("pack", rows, lambda: list(packing.pack(store, datetime(2030, 1, 1, tzinfo=UTC))))
    bare = one_row_each.seconds
    print(f"  ratio to the bare COPY (wanted 0.5 with the vendor's part): new {bare / fresh:.2f},", end=" ")
    print(f"same {bare / same:.2f}, unfinished {bare / warm:.2f}, pack {bare / packed:.2f}")


def growth(store: Store, url: str) -> None:
    print("\nOne session of 500 and of 5,000 symbols")
    took = {}
    for symbols in (500, 5000):
        table = universe(symbols, 1)
        series, ids = registered(store, symbols)

        def run(series: Series = series, ids: dict[str, int] = ids, table: pa.Table = table) -> None:
            execute(store, "TRUNCATE sec.bar_1m_day")
            write(store, series, table, ids)

        took[symbols] = timed(f"write_bars, {symbols} symbols", table.num_rows, run, best_of=3)
    print(f"  {took[5000] / took[500]:.1f} times as long for 10 times as many (wanted 12 at the most)")
    if Path("/proc/self/clear_refs").exists():
        execute(store, "TRUNCATE sec.bar_1m_day")
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, url, "5000"], capture_output=True, text=True, check=True
        )
        print(f"  the process's peak: {int(done.stdout.split()[-1]) >> 20} MiB (wanted 600 at the most)")


def peak_of_write(url: str, symbols: int) -> int:
    """The whole process at its peak while 5,000 symbols arrive in chunks, in bytes."""
    with open_store(url, Path()) as store:
        series, ids = registered(store, symbols)
        for start in range(0, symbols, 256):
            some = names(symbols)[start : start + 256]
            table = universe(len(some), 1, seed=start)
            renamed = pa.array(np.repeat(some, MINUTES), pa.string())
            write(store, series, table.set_column(0, "symbol", renamed), ids)
    return status("VmHWM")


def reads(store: Store) -> None:
    table = universe(20, 252)
    series, ids = registered(store, 20)
    execute(store, "TRUNCATE sec.bar_1m_day")
    write(store, series, table, ids)
    one_row_each(store, table, ids)
    execute(
        store,
        "ALTER TABLE public.bare ADD PRIMARY KEY (instrument_id, source, ts)",
        "VACUUM ANALYZE public.bare",
        "VACUUM ANALYZE sec.bar_1m_day",
    )
    name = names(20)[7]
    rows = 252 * MINUTES
    print(f"\nRead one symbol's year, {rows:,} minute bars")

    def quick() -> bars.Bars:
        return bars.read_bars(store, [name], series=series, since=date(2024, 1, 1), until=date(2025, 12, 31))

    def slow() -> pd.DataFrame:
        return pd.read_sql(
            f"SELECT ts, open, high, low, close, volume FROM public.bare WHERE instrument_id = {ids[name]}"
            " AND source = 1 AND ts BETWEEN '2024-01-01' AND '2026-01-01' ORDER BY ts",
            store.sql,
            index_col="ts",
        )

    np.testing.assert_array_equal(quick().close[name].to_numpy(), slow()["close"].to_numpy())
    packed = timed("read_bars", rows, quick, best_of=7)
    plain = timed("pandas.read_sql from one row a bar", rows, slow, best_of=5)
    print(f"  ratio {plain / packed:.1f} (wanted 10)")


def main(symbols: int = 500, length: int = 10) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder)) as url,
        open_store(url, Path(folder)) as store,
    ):
        reads(store)
        sizes(store, symbols, length)
        writes(store, symbols, length)
        growth(store, url)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))

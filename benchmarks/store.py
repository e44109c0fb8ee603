"""The store against its peers, as ratios from one run.

    python -m benchmarks.store [SYMBOLS SESSIONS]       (1000 2520 unless given; about five minutes)

Write: rows a second of ``write_bars`` (check, COPY, count, keep what changed) against a bare ADBC COPY of
the same rows into an empty table without a key, and against psycopg2's ``executemany`` of the same upsert.
Both write new rows into a table that holds half a universe already, each in one transaction of its own that
is committed durably, over the same socket, right after a checkpoint.
Read: ``read_bars`` of the whole universe against ``pandas.read_sql`` and five pivots of the same rows.
Memory: what the read adds to a fresh process at its peak, against the size of the frames it returns.
Everything runs on the embedded server in a temporary folder. Ours and the peer take turns, round after round,
so that both meet the same neighbours on the machine; a ratio is taken within each round, and the median and
the range over the rounds are what is said.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg2
import pyarrow as pa

from qfund.market.bars import FIELDS
from qfund.market.instruments import Listing
from qfund.market.sessions import sessions
from qfund.store import Store, bars, open_store, securities
from qfund.store.server import serving
from qfund.store.sources import Series

MOST_IDS = 2**31 - 1
ROUNDS = 5
FEW = 20_000  # rows for executemany
COPY = "bare ADBC COPY into an empty table without a key"
UPSERTS = "psycopg2 executemany of the same upsert"
NEW = "write_bars, all new"
SAME = "write_bars, all stored already"
CHANGED = "write_bars, one in a hundred changed"
READ = "read_bars"
PANDAS = "pandas.read_sql and five pivots"
SPAN = (date(1990, 1, 1), date(2100, 1, 1))
BARE = (
    "open float8, high float8, low float8, close float8, volume float8,"
    " instrument_id int, session date, run int, source smallint"
)
MEMORY = """
import json, sys
from pathlib import Path
from benchmarks.store import peak_of_read
print(json.dumps(peak_of_read(sys.argv[1], json.loads(sys.argv[2]))))
"""


def universe(symbols: int, length: int) -> pa.Table:
    """Daily bars in cents, symbol after symbol."""
    days = sessions("XNYS", date(2010, 1, 4), date(2025, 12, 31))[:length]
    chance = np.random.default_rng(1)
    close = np.round(np.exp(chance.normal(0, 0.01, (symbols, len(days))).cumsum(axis=1)) * 50, 2).ravel()
    opened = np.round(close * (1 + chance.normal(0, 0.003, close.size)), 2)
    names = np.repeat(np.arange(symbols, dtype=np.int32), len(days))
    return pa.table(
        {
            "symbol": pa.DictionaryArray.from_arrays(names, [f"S{n:04d}" for n in range(symbols)]).cast(
                pa.string()
            ),
            "session": pa.array(np.tile(days.to_numpy().astype("datetime64[D]"), symbols), pa.date32()),
            "open": opened,
            "high": np.maximum(opened, close) + 0.05,
            "low": np.minimum(opened, close) - 0.05,
            "close": close,
            "volume": chance.integers(1_000, 10_000_000, close.size).astype(float),
        }
    )


class Rounds:
    """Seconds of each thing measured, round after round."""

    def __init__(self) -> None:
        self.took: dict[str, list[float]] = {}
        self.rows: dict[str, int] = {}

    def time(self, what: str, rows: int, run: Callable[[], object]) -> None:
        begun = time.perf_counter()
        run()
        self.took.setdefault(what, []).append(time.perf_counter() - begun)
        self.rows[what] = rows

    def show(self) -> None:
        for what, took in self.took.items():
            median, least, most = statistics.median(took), min(took), max(took)
            rate = self.rows[what] / median
            print(
                f"  {what:<52} {median:7.2f} s ({least:.2f} to {most:.2f}) {rate:12,.0f} rows/s", flush=True
            )

    def ratio(self, ours: str, peer: str, wanted: float) -> None:
        """How many times as many rows a second ours does."""
        per_row = self.rows[ours] / self.rows[peer]
        found = [per_row * b / a for a, b in zip(self.took[ours], self.took[peer], strict=True)]
        said = f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"
        print(f"  {ours} / {peer}: {said}, wanted {wanted}", flush=True)


def execute(store: Store, *statements: str) -> None:
    with store.sql.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def bare_copy(store: Store, table: pa.Table, ids: dict[str, int]) -> Callable[[], None]:
    numbers = pa.array([ids[name] for name in table["symbol"].to_pylist()], pa.int32())
    plain = table.drop_columns(["symbol"]).append_column("instrument_id", numbers)
    plain = plain.append_column("run", pa.repeat(pa.scalar(1, pa.int32()), len(plain)))
    plain = plain.append_column("source", pa.repeat(pa.scalar(1, pa.int16()), len(plain)))

    def copy() -> None:
        execute(store, "DROP TABLE IF EXISTS public.bare", f"CREATE TABLE public.bare ({BARE})")
        with store.transaction() as connection, connection.cursor() as cursor:
            cursor.adbc_ingest("bare", plain, mode="append")

    return copy


UPSERT = """
INSERT INTO sec.bar_1d AS b
  (instrument_id, source_id, session, open, high, low, close, volume, stored_at, ingest_run_id)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, now(), 1)
ON CONFLICT (instrument_id, source_id, session) DO UPDATE
  SET open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
      volume = excluded.volume
  WHERE (b.open, b.high, b.low, b.close, b.volume) IS DISTINCT FROM
        (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume)
"""


def row_by_row(url: str, table: pa.Table, ids: dict[str, int], series: Series) -> Callable[[], None]:
    """psycopg2's executemany of an upsert that leaves equal rows alone."""
    rows = [
        (ids[row["symbol"]], series.source_id, row["session"], *(row[name] for name in FIELDS))
        for row in table.to_pylist()
    ]

    def run() -> None:
        connection = psycopg2.connect(url)
        with connection, connection.cursor() as cursor:
            cursor.executemany(UPSERT, rows)
        connection.close()

    return run


def write(store: Store, table: pa.Table, ids: dict[str, int], series: Series, expected: bars.Written) -> None:
    with store.transaction() as connection:
        done = bars.write_bars(connection, series, table, ids, ingest_run_id=1)
    if done != expected:
        raise AssertionError(f"{done}, expected {expected}")


def writes(store: Store, url: str, symbols: int, length: int) -> None:
    few = -(-FEW // length)
    names = [f"S{n:04d}" for n in range(symbols // 2 + few + symbols)]  # there already, row by row, measured
    ids = securities.register(store, "written", [Listing(name, name) for name in names])
    series = securities.series(store, vendor="written", timeframe="1d")
    table = universe(len(names), length)
    length = len(table) // len(names)  # the calendar may have fewer sessions than asked for
    there = table.slice(0, symbols // 2 * length)
    by_row = table.slice(len(there), few * length)
    new = table.slice(len(there) + len(by_row))
    volumes = np.where(np.arange(len(new)) % 100, new["volume"].to_numpy(), 1.0)
    mixed = new.set_column(new.column_names.index("volume"), "volume", pa.array(volumes))
    changed = int((volumes != new["volume"].to_numpy()).sum())
    copy, upsert = bare_copy(store, new, ids), row_by_row(url, by_row, ids, series)
    print(f"\nWrite {len(new):,} daily bars, {ROUNDS} rounds")
    rounds = Rounds()
    for _ in range(ROUNDS):
        execute(store, "TRUNCATE sec.bar_1d, sec.bar_revision", "CHECKPOINT")
        rounds.time(COPY, len(new), copy)
        execute(store, "DROP TABLE public.bare")
        write(store, there, ids, series, bars.Written(new=len(there)))
        for what, part, run in (
            (UPSERTS, by_row, upsert),
            (NEW, new, lambda: write(store, new, ids, series, bars.Written(new=len(new)))),
            (SAME, new, lambda: write(store, new, ids, series, bars.Written(same=len(new)))),
            (
                CHANGED,
                new,
                lambda: write(
                    store, mixed, ids, series, bars.Written(changed=changed, same=len(new) - changed)
                ),
            ),
        ):
            execute(store, "CHECKPOINT")
            rounds.time(what, len(part), run)
    rounds.show()
    for ours in (NEW, SAME, CHANGED):
        rounds.ratio(ours, COPY, 0.3)
    rounds.ratio(NEW, UPSERTS, 50)


def with_pandas(store: Store, series: Series) -> dict[str, pd.DataFrame]:
    """The same rows, the way most people read them."""
    long = pd.read_sql(
        "SELECT instrument_id, session, open, high, low, close, volume FROM sec.bar_1d"
        f" WHERE source_id = {series.source_id} AND instrument_id BETWEEN 1 AND {MOST_IDS}"
        f" AND session BETWEEN '{SPAN[0]}' AND '{SPAN[1]}'",
        store.sql,
    )
    return {
        name: long.pivot(index="session", columns="instrument_id", values=name)  # noqa: PD010 - no aggregation
        for name in FIELDS
    }


def read(store: Store, ids: dict[str, int], series: Series) -> bars.Bars:
    return bars.read_bars(store, list(ids), series=series, since=SPAN[0], until=SPAN[1])


def reads(store: Store, ids: dict[str, int], series: Series, size: int) -> None:
    execute(store, "VACUUM ANALYZE sec.bar_1d")
    print(f"\nRead {len(ids):,} symbols, {size:,} bars, {ROUNDS} rounds")
    np.testing.assert_array_equal(
        with_pandas(store, series)["close"].to_numpy(), read(store, ids, series).close.to_numpy()
    )
    rounds = Rounds()
    for _ in range(ROUNDS):
        rounds.time(READ, size, lambda: read(store, ids, series))
        rounds.time(PANDAS, size, lambda: with_pandas(store, series))
    rounds.show()
    rounds.ratio(READ, PANDAS, 15)


def status(field: str) -> int:
    """VmRSS or VmHWM of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def peak_of_read(url: str, names: list[str]) -> dict[str, int]:
    """What a read adds at its peak, after everything it needs was imported and one symbol was read."""
    with open_store(url, Path()) as store:
        series = securities.series(store, vendor="bench", timeframe="1d")
        read(store, dict.fromkeys(names[:1], 0), series)
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        before = status("VmRSS")
        block = read(store, dict.fromkeys(names, 0), series)
        added = status("VmHWM") - before
        frames = sum(getattr(block, name).to_numpy().nbytes for name in FIELDS)
    return {"added": added, "frames": frames}


def memory(url: str, ids: dict[str, int]) -> None:
    if not Path("/proc/self/clear_refs").exists():
        print("\nMemory: not measured, this system has no /proc/self/clear_refs")
        return
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, url, json.dumps(list(ids))], capture_output=True, text=True, check=True
    )
    seen = json.loads(done.stdout.splitlines()[-1])
    added, frames = seen["added"], seen["frames"]
    print(f"\nMemory: the read adds {added >> 20} MiB at its peak for frames of {frames >> 20} MiB")
    print(f"  ratio {added / frames:.2f} (wanted 3 at the most)")


def main(symbols: int = 1000, length: int = 2520) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder)) as url,
        open_store(url, Path(folder)) as store,
    ):
        writes(store, url, symbols, length)
        execute(store, "TRUNCATE sec.bar_1d, sec.bar_revision")
        table = universe(symbols, length)
        names = [f"S{n:04d}" for n in range(symbols)]
        ids = securities.register(store, "bench", [Listing(name, name) for name in names])
        series = securities.series(store, vendor="bench", timeframe="1d")
        write(store, table, ids, series, bars.Written(new=len(table)))
        reads(store, ids, series, len(table))
        memory(url, ids)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))

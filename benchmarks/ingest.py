"""From bytes on the wire to committed minute bars, as ratios from one run.

    uv pip install --group benchmarks .       # dlt
    python -m benchmarks.ingest [wire|size|idle|pace …]       (all unless some are named; ten minutes)

The vendor is Alpaca's real one with the real wire, pace, checks, judgement, commit and ledger, put together
as ``qfund ingest`` does it; its server is the fake of the tests, see ``benchmarks.vendor``. Everything runs
on the embedded server in a temporary folder.

wire: bars a second against a bare ADBC COPY of the same bars, one row each, into an empty table without a
key; against the same job done with dlt; and against the loader of the system that qfund grew out of, see
``benchmarks.peers``. The instruments are known, and nothing else is stored. Peers load fewer symbols. All
take turns; a ratio is taken within a round.
size: one session of 500 and of 5,000 symbols: seconds, the peak of the ingesting process, bytes in the
database.
idle: runs that have nothing to do but to read again what they have, at the pace of 200 requests a minute: how
long they take beyond the time in which a request waits for its slot or its answer; and the whole process.
pace: see ``benchmarks.pace``.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks import pace, peers, vendor
from benchmarks.minutes import BARE, size
from benchmarks.store import COPY, Rounds, execute, status
from qfund.store import Store, open_store
from qfund.store.server import serving
from qfund.testing.process import Separate
from qfund.vendors import alpaca_pages
from qfund.vendors.contract import Rate

ROUNDS = 4
SHAPES = (  # what, first session, sessions, symbols: ours, dlt's, row by row
    ("a month of 100 symbols", date(2024, 2, 8), 20, (100, 10, 1)),
    ("a session of 2,000 symbols", vendor.DAY, 1, (2000, 200, 20)),
)
ALL = 5000
OURS = "qfund, from the wire to the commit"
DLT = "dlt, merge on (symbol, ts)"
SEED = "executemany row by row, as the seed does it"
SLOW = Rate(200, 60.0)
EMPTY = "TRUNCATE sec.bar_1m_day, sec.bar_1m_hot, ops.coverage"
CHILD = """
import json, sys
from benchmarks.ingest import alone
print(json.dumps(alone(*sys.argv[1:3], int(sys.argv[3]), *sys.argv[4:])))
"""


class Place:
    """An embedded server, a store on it and a fake that has written its pages, until it is closed."""

    def __init__(self, stack: ExitStack, symbols: int, since: date = vendor.DAY) -> None:
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.database = stack.enter_context(serving(self.folder))
        self.store = stack.enter_context(open_store(self.database, self.folder))
        self.fake = stack.enter_context(vendor.fake(symbols, since=since))

        for _ in vendor.pages(self.fake.url, vendor.names(symbols), since=since):
            pass  # what it has written once it remembers

    def alone(self, symbols: int, *how: str) -> dict[str, float]:
        """An ingest in a process of its own."""
        words = [self.database, self.fake.url, str(symbols), *how]
        done = subprocess.run([sys.executable, "-c", CHILD, *words], stdout=subprocess.PIPE, check=True)
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found


def alone(database: str, url: str, symbols: int, *how: str) -> dict[str, float]:
    """One ingest of one session, and what it cost this process."""
    rate = SLOW if "slow" in how else None
    reread = {"reread": 0} if "covered" in how else {}
    with open_store(database, Path()) as store:
        names = vendor.names(symbols)
        before = time.process_time()
        done = vendor.ingest(store, url, names, rate=rate, **reread)
        return {
            "seconds": done.seconds,
            "wire": done.wire,
            "processor": time.process_time() - before,
            "requests": done.report.sent().requests if done.report else 0,
            "bars": done.bars,
            "peak": status("VmHWM") if sys.platform == "linux" else resource.getrusage(0).ru_maxrss,
        }


# ---------------------------------------------------------------- against others


def bare_copy(store: Store, bodies: Sequence[bytes]) -> tuple[int, Callable[[], None]]:
    """The bars of the same pages, one row each: nothing is checked, counted or kept."""
    parts = [alpaca_pages.read(body) for body in bodies]
    columns = {
        "ts": pa.concat_arrays([part.ts for part in parts]),
        **{
            name: pa.array(np.concatenate([part.values[place] for part in parts]))
            for place, name in enumerate(("open", "high", "low", "close", "volume"))
        },
    }
    names = pa.concat_arrays([part.symbol for part in parts]).dictionary_encode()
    count = len(names)
    table = pa.table(
        columns
        | {
            "instrument_id": names.indices.cast(pa.int32()),
            "session": pa.repeat(pa.scalar(vendor.DAY, pa.date32()), count),
            "run": pa.repeat(pa.scalar(1, pa.int32()), count),
            "source": pa.repeat(pa.scalar(1, pa.int16()), count),
        }
    )

    def copy() -> None:
        execute(store, f"CREATE TABLE public.bare ({BARE})")
        with store.transaction() as connection, connection.cursor() as cursor:
            cursor.adbc_ingest("bare", table, mode="append")

    return count, copy


def against_others() -> None:
    for what, since, sessions, symbols in SHAPES:
        with ExitStack() as stack:
            _against_others(Place(stack, symbols[0], since), what, since, sessions, symbols)


def _against_others(
    place: Place, what: str, since: date, sessions: int, symbols: tuple[int, int, int]
) -> None:
    store, url = place.store, place.fake.url
    ours, dlts, seeds = (vendor.names(number) for number in symbols)
    vendor.register(store, url, ours)
    bodies = list(vendor.pages(url, ours, since=since))
    count, copy = bare_copy(store, bodies)
    each = sum(map(len, bodies)) / count
    print(
        f"\nFrom the wire: {what}, {count:,} minute bars, {each:.0f} bytes each, {ROUNDS} rounds", flush=True
    )
    rounds = Rounds()
    minutes = sessions * vendor.MINUTES

    def round_of(folder: Path) -> None:
        peers.emptied(store)
        execute(store, EMPTY, "CHECKPOINT")
        for label, rows, run in (
            (COPY, count, copy),
            (OURS, count, lambda: expect(count, vendor.ingest(store, url, ours, since=since).bars)),
            (
                DLT,
                len(dlts) * minutes,
                lambda: expect(len(dlts) * minutes, peers.with_dlt(place.database, url, dlts, since, folder)),
            ),
            (
                SEED,
                len(seeds) * minutes,
                lambda: expect(len(seeds) * minutes, peers.row_by_row(place.database, url, seeds, since)),
            ),
        ):
            execute(store, "CHECKPOINT")
            rounds.time(label, rows, run)
        execute(store, "DROP TABLE public.bare")

    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            round_of(Path(folder))
    rounds.show()
    rounds.ratio(OURS, COPY, 0.5)
    rounds.ratio(OURS, DLT, 10)
    rounds.ratio(OURS, SEED, 50)


def expect(wanted: int, found: int) -> None:
    if wanted != found:
        raise AssertionError(f"{found:,} bars, expected {wanted:,}")


# ---------------------------------------------------------------- size and growth


def sizes() -> None:
    with ExitStack() as stack:
        place = Place(stack, ALL)
        print("\nOne session of minute bars, each ingest in a process of its own")
        took: dict[int, list[float]] = {}
        for symbols in (500, ALL, 500, ALL, 500, ALL):
            first = symbols not in took
            execute(place.store, EMPTY, "CHECKPOINT")
            before = whole(place.store)
            done = place.alone(symbols)
            took.setdefault(symbols, []).append(done["seconds"])
            known = "its instruments are new" if first else "its instruments are known"
            grown = (whole(place.store) - before) / 1e6
            packed = size(place.store, "^bar_1m_day_[0-9]+$")
            print(
                f"  {symbols:5,} symbols, {done['bars']:9,.0f} bars: {done['seconds']:6.2f} s,"
                f" {done['processor']:5.2f} s of processor, peak {done['peak'] / 2**20:4.0f} MiB,"
                f" database +{grown:4.0f} MB, bars {packed / done['bars']:.1f} bytes each ({known})",
                flush=True,
            )
        growth = [large / small for small, large in zip(took[500][1:], took[ALL][1:], strict=True)]
        print(
            f"  {min(growth):.1f} to {max(growth):.1f} times as long for 10 times as many (wanted about 10)"
        )
        print("  wanted: 600 MiB at the most, 35 bytes a bar at the most")


def whole(store: Store) -> int:
    with store.sql.connect() as connection:
        return int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())


# ---------------------------------------------------------------- nothing to do


def nothing_to_do() -> None:
    with ExitStack() as stack:
        place = Place(stack, ALL)
        place.alone(ALL)
        print(f"\nNothing to do: {ALL:,} symbols x 1 session, all covered")
        for what, how in (
            ("nothing is read again", ("covered",)),
            ("read again, as fast as it goes", ()),
            ("read again, 200 requests a minute", ("slow",)),
        ):
            done = place.alone(ALL, *how)
            print(
                f"  {what:<36} {done['requests']:4.0f} requests, {done['seconds']:6.2f} s,"
                f" {done['seconds'] - done['wire']:5.2f} s without a request under way,"
                f" {done['processor']:5.2f} s of processor",
                flush=True,
            )
    print("  wanted, at 200 requests a minute: 2 s without a request under way")
    command()


def command() -> None:
    """`qfund ingest` of five symbols' daily bars, as a process, when all is there."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder)) as database,
        Separate("tests.support.alpaca:recent", "5", "60") as fake,
    ):
        env = os.environ | {
            "QFUND__STORE__URL": database,
            "QFUND__VENDORS__ALPACA__DATA_URL": fake.url,
            "QFUND__VENDORS__ALPACA__TRADING_URL": fake.url,
            "APCA_API_KEY_ID": vendor.KEY,
            "APCA_API_SECRET_KEY": vendor.SECRET,
        }
        since = datetime.now(UTC).date() - timedelta(days=40)
        names = ",".join(vendor.names(5))
        words = ["ingest", "--vendor", "alpaca", "--symbols", names, "--since", str(since)]
        times = []
        for _ in range(6):
            begun = time.perf_counter()
            command = [sys.executable, "-m", "qfund", *words]
            subprocess.run(command, check=True, capture_output=True, env=env, cwd=folder)
            times.append(time.perf_counter() - begun)
        requests = len(fake.log().entries)
    print(
        f"  qfund ingest, 5 symbols daily, read again: {min(times[1:]):.2f} to {max(times[1:]):.2f} s"
        f" as a process ({requests} requests in 6 runs)",
        flush=True,
    )


PARTS: dict[str, Callable[[], None]] = {
    "wire": against_others,
    "size": sizes,
    "idle": nothing_to_do,
    "pace": pace.main,
}


def main(*parts: str) -> None:
    for name in parts or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""How near to a vendor's limit requests leave, and whether ever one too many does.

    python -m benchmarks.pace [SECONDS]       (a window of 60 unless given; about four windows in all)

A fake that allows 200 requests in a window and refuses those beyond, in a process of its own. Four ingests
one after the other, of about 200 requests each, so that a window holds the end of one and the start of the
next: with 1, 4 and 16 workers, and with two processes at once. A request asks for one symbol; half of them
ask for its corporate actions, one after the other, the other half for its bars, by all workers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import vendor
from qfund.store import open_store
from qfund.store.server import serving
from qfund.testing.log import Log
from qfund.vendors.contract import Rate

REQUESTS = 200
SYMBOLS = 100  # of one ingest
CASES = (("1 worker", (1,)), ("4 workers", (4,)), ("16 workers", (16,)), ("two processes of 4", (4, 4)))
CHILD = """
import json, sys
from benchmarks.pace import one
one(*sys.argv[1:3], json.loads(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
"""


def one(database: str, url: str, symbols: list[str], jobs: int, seconds: float) -> None:
    """One ingest, in a process of its own."""
    rate = Rate(REQUESTS, seconds)
    with open_store(database, Path()) as store:
        vendor.ingest(store, url, tuple(symbols), jobs=jobs, together=1, rate=rate)


def case(database: str, url: str, symbols: tuple[str, ...], jobs: tuple[int, ...], seconds: float) -> None:
    """Some ingests at once, each of its part of the symbols."""
    children = []
    for place, workers in enumerate(jobs):
        part = json.dumps(symbols[place :: len(jobs)])
        words = [database, url, part, str(workers), str(seconds)]
        children.append(subprocess.Popen([sys.executable, "-c", CHILD, *words]))
    codes = [child.wait() for child in children]
    if any(codes):
        raise AssertionError("an ingest failed")


def judged(log: Log, seconds: float, counts: list[int]) -> None:
    """Each ingest's mean rate, and the violations of all."""
    asked = log.of(account="key data")
    allowed, start = REQUESTS / seconds, 0
    for (what, _), count in zip(CASES, counts, strict=True):
        times = [entry.arrived for entry in asked[start:count]]
        share = (len(times) - 1) / (times[-1] - times[0]) / allowed
        print(f"  {what:<22} {len(times):4} requests, {share:6.1%} of the limit (wanted 90 %)", flush=True)
        start = count
    over = log.over(REQUESTS, seconds, account="key data")
    refused = sum(entry.status == 429 for entry in log.entries)
    print(f"  windows with more than {REQUESTS}: {len(over)}, refused with 429: {refused} (wanted 0)")


def main(seconds: float = 60.0) -> None:
    print(f"\nPace: {REQUESTS} requests in {seconds:g} s")
    symbols, counts = vendor.names(SYMBOLS * len(CASES)), []
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder)) as database,
        open_store(database, Path(folder)) as store,
        vendor.fake(len(symbols), str(REQUESTS), str(seconds)) as fake,
    ):
        vendor.register(store, fake.url, symbols)
        for place, (_, jobs) in enumerate(CASES):
            case(database, fake.url, symbols[place * SYMBOLS :][:SYMBOLS], jobs, seconds)
            counts.append(len(fake.log().of(account="key data")))
        judged(fake.log(), seconds, counts)


if __name__ == "__main__":
    main(*map(float, sys.argv[1:2]))

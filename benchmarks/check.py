"""How long an answer takes to be checked: pages of 10,000 minute bars, and a million at once.

python -m benchmarks.check
"""

from __future__ import annotations

import time
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa

from qfund.ingest.check import check
from qfund.ingest.doubts import doubtful
from qfund.market.sessions import opens_and_closes, sessions
from qfund.vendors.contract import MINUTE_SCHEMA, BarRequest, Offer

NOW = datetime(2031, 1, 1, tzinfo=UTC)
MINUTES = 390


def answer(symbols: int, rows: int) -> tuple[pa.Table, BarRequest]:
    """Minute bars of some symbols over as many sessions as it takes, without sessions, symbol by symbol."""
    each = -(-rows // symbols)
    days = sessions("XNYS", date(2021, 1, 4), date(2030, 12, 31))
    opens, closes = opens_and_closes("XNYS", days[0].date(), days[-1].date())
    whole = np.asarray((closes - opens).total_seconds() == MINUTES * 60)
    starts = opens.as_unit("us").asi8[whole][: -(-each // MINUTES), None] + np.arange(MINUTES) * 60_000_000
    last = days[whole][len(starts) - 1].date()
    times = np.tile(starts.ravel()[:each], symbols)
    names = tuple(f"S{number:04}" for number in range(symbols))
    count = each * symbols
    random = np.random.default_rng(7)
    close = np.round(100 + random.normal(0, 0.05, count).cumsum() % 50, 2)
    columns = [
        pa.array(np.repeat(np.array(names, dtype=object), each), pa.string()),
        pa.array(times).cast(pa.timestamp("us", tz="UTC")),
        pa.nulls(count, pa.date32()),
        *(pa.array(np.round(close + add, 2)) for add in (0.0, 0.1, -0.1, 0.05)),
        pa.array(random.integers(1, 10_000, count).astype(float)),
    ]
    offer = Offer("1m", "f", first=date(2000, 1, 1), last=None, sessions_per_request=9999)
    return pa.table(columns, schema=MINUTE_SCHEMA), BarRequest(names, "1m", days[0].date(), last, offer)


def best(work, times: int) -> float:
    """The shortest of several runs, in milliseconds."""
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        spent.append(time.perf_counter() - start)
    return min(spent) * 1000


def main() -> None:
    print(f"{'rows':>10}{'symbols':>9}{'check ms':>10}{'unsorted ms':>13}{'neighbours ms':>15}")
    for symbols, rows in ((26, 10_000), (1, 10_000), (26, 1_000_000), (2600, 1_000_000)):
        table, request = answer(symbols, rows)
        mixed = table.take(pa.array(np.random.default_rng(1).permutation(len(table))))
        times = 100 if rows < 100_000 else 7
        good = check(table, request, now=NOW).good
        figures = (
            best(lambda table=table, request=request: check(table, request, now=NOW), times),
            best(lambda table=mixed, request=request: check(table, request, now=NOW), times),
            best(lambda table=good, request=request: doubtful(table, request), times),
        )
        print(f"{len(table):>10,}{symbols:>9}{figures[0]:>10.2f}{figures[1]:>13.2f}{figures[2]:>15.2f}")


if __name__ == "__main__":
    main()

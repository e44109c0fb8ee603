"""Ingest against a fake vendor: the real vendor's code, the real wire, the real store, a server on loopback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd

from qfund.errors import QfundError
from qfund.ingest.apply import Event, Ingest
from qfund.ingest.look import Wish
from qfund.ingest.meter import Deadline
from qfund.ingest.network import network
from qfund.ingest.report import Report
from qfund.market.bars import FIELDS
from qfund.store import Store, sources
from qfund.store.bars import read_bars
from qfund.testing import Moment
from qfund.vendors.alpaca import Alpaca
from qfund.vendors.contract import Setup
from qfund.vendors.transport import Patience
from qfund.vendors.wire import Network
from tests.support.alpaca import FakeAlpaca

EVENING = datetime(2024, 3, 12, 3, tzinfo=UTC)
"""23:00 New York on Monday, 2024-03-11, the first session of daylight saving time: it is over and final."""

LATEST = 10**9  # the number of a request after all others

SYMBOLS = ("AAPL", "IBM", "MSFT")

SINCE, UNTIL = date(2024, 3, 4), date(2024, 3, 11)  # six sessions, across the change of the clocks


@dataclass(frozen=True)
class Known:
    """A secret that is what it says."""

    value: str

    def reveal(self) -> str:
        return self.value


@dataclass(frozen=True)
class Way:
    """To Alpaca's vendor, pointed at a fake.

    Attributes:
        fake: the fake.
        changes: of the vendor's capabilities.
        key: the key that is sent.
    """

    fake: FakeAlpaca
    changes: Mapping[str, Any] = field(default_factory=dict)
    key: str = FakeAlpaca.key

    def vendor(self, way: Network) -> Alpaca:
        secrets = {"key_id": Known(self.key), "secret_key": Known(self.fake.secret)}
        values = {"data_url": self.fake.url, "trading_url": self.fake.url}
        vendor = Alpaca(Setup(values, secrets, way))
        vendor.capabilities = replace(Alpaca.capabilities, **self.changes)
        return vendor


def ingest(
    store: Store,
    way: Way,
    *,
    jobs: int | None = None,
    max_requests: int | None = None,
    timeout: float | None = None,
    attempts: int = 3,
    silence: float = 5.0,
    patience: float = 0.0,
    **wish: Any,
) -> tuple[Report, list[Event]]:
    """One ingest from its plan to its end, with little patience for a test's sake."""
    asked = {"since": SINCE, "until": UNTIL, "symbols": SYMBOLS} | wish
    with network(
        store,
        "alpaca",
        max_requests=max_requests,
        deadline=Deadline.after(timeout),
        attempts=attempts,
        patience=Patience(connect=2.0, silence=silence, total=2 * silence),
    ) as line:
        quick = replace(line.network, jitter=lambda: 0.01, clock=way.fake.clock.now)
        work = Ingest(
            store,
            way.vendor(quick),
            Wish(**asked),
            clock=quick.now,
            jobs=jobs,
            patience=patience,
            sent=lambda: line.sent,
            record=line.record,
        )
        events = list(work.apply(work.plan()))
        return work.report, events


def stored(
    store: Store, symbols: Sequence[str] = SYMBOLS, timeframe: str = "1d", **span: date
) -> pd.DataFrame:
    """The stored bars as rows: symbol, time (session or start of the minute), the five fields."""
    series = next(one for one in sources.sources(store, timeframe) if one.vendor == "alpaca")
    period = {"since": SINCE, "until": UNTIL} | span
    bars = read_bars(store, symbols, series=series, **period)
    long = [getattr(bars, name).melt(ignore_index=False, value_name=name) for name in FIELDS]
    rows = pd.concat([long[0].symbol, *(one[name] for one, name in zip(long, FIELDS, strict=True))], axis=1)
    rows = rows.dropna().reset_index(names="time")
    if timeframe == "1m":
        rows["time"] -= pd.Timedelta(minutes=1)
    return rows.sort_values(["symbol", "time"], ignore_index=True)


def truth(
    fake: FakeAlpaca, symbols: Sequence[str] = SYMBOLS, timeframe: str = "1d", **span: date
) -> pd.DataFrame:
    """What the fake holds to be true now, in the same form."""
    period = {"since": SINCE, "until": UNTIL} | span
    table = fake.truth.table(timeframe, keys=list(symbols), at=Moment(fake.clock.now(), LATEST), **period)
    rows = table.to_pandas(date_as_object=False)
    rows = (
        rows.rename(columns={"session": "time"})
        if timeframe == "1d"
        else rows.drop(columns="session").rename(columns={"ts": "time"})
    )
    return rows[["time", "symbol", *FIELDS]].sort_values(["symbol", "time"], ignore_index=True)


def assert_whole(
    store: Store, fake: FakeAlpaca, symbols: Sequence[str] = SYMBOLS, timeframe: str = "1d", **span: date
) -> None:
    """The database equals the truth, bar for bar."""
    found, wanted = stored(store, symbols, timeframe, **span), truth(fake, symbols, timeframe, **span)
    assert len(found) == len(wanted)
    assert found["symbol"].tolist() == wanted["symbol"].tolist()
    np.testing.assert_array_equal(
        found["time"].astype("datetime64[us, UTC]" if timeframe == "1m" else "datetime64[us]"),
        wanted["time"].astype("datetime64[us, UTC]" if timeframe == "1m" else "datetime64[us]"),
    )
    np.testing.assert_array_equal(found[list(FIELDS)].to_numpy(), wanted[list(FIELDS)].to_numpy())


def errors(report: Report) -> tuple[QfundError, ...]:
    return report.errors("qfund ingest …")


def offers(timeframe: str, **changes: Any) -> dict[str, Any]:
    """Capabilities with Alpaca's first offer of a timeframe alone, changed."""
    offer = Alpaca.capabilities.offer(timeframe, market="us_equity")
    assert offer is not None
    return {"offers": (replace(offer, **changes),)}


def revisions(store: Store) -> list[tuple[Any, ...]]:
    with store.sql.connect() as connection:
        return [
            tuple(row)
            for row in connection.exec_driver_sql(
                "SELECT session, close, volume FROM sec.bar_revision ORDER BY 1"
            )
        ]

"""The whole sample through the whole way: vendor, plan, check, store, adjustment, and out again, over 13 years."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest

from qfund.ingest.apply import Ingest
from qfund.ingest.look import Wish
from qfund.store import Store, actions, open_store, securities, sources
from qfund.store.bars import read_bars
from qfund.vendors.contract import BarRequest
from qfund.vendors.sample import FIRST, LAST, LISTINGS, Sample

SYMBOLS = tuple(listing.symbol for listing in LISTINGS)


@pytest.fixture(scope="module")
def full(pg_server, tmp_path_factory) -> Iterator[Store]:
    """A store that holds all daily bars of the sample and the minutes of two months; only read from."""
    with (
        pg_server.database() as url,
        open_store(url, tmp_path_factory.mktemp("home")) as store,
    ):
        days = Ingest(store, Sample(), Wish())
        list(days.apply(days.plan()))
        assert days.report.total.stored == days.report.total.new == 12_154
        assert (days.report.total.holes, days.report.actions) == (0, 95)
        span = {"since": date(2012, 7, 2), "until": date(2012, 8, 31)}
        minutes = Ingest(store, Sample(), Wish(timeframe="1m", symbols=("AAPL", "IBM"), **span))
        list(minutes.apply(minutes.plan()))
        assert minutes.report.status == "ok"
        yield store


def series(store, timeframe="1d"):
    (found,) = sources.sources(store, timeframe)
    return found


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_adjusted_closes_are_the_publishers_in_the_database(full, symbol):
    """sec.bar_1d_adjusted × the file's last ratio = the file's adjusted close, to 1e-5."""
    number = securities.instruments(full, [symbol], vendor="sample")[symbol]
    with full.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT session, close FROM sec.bar_1d_adjusted(%s, %s, %s, %s, '{split,dividend}')",
            (number, series(full).source_id, FIRST, LAST),
        ).all()
    days, wanted = Sample().adjusted_close(symbol)
    assert [row[0] for row in rows] == days
    close = np.array([row[1] for row in rows])
    assert np.max(np.abs(close * (wanted[-1] / close[-1]) / wanted - 1)) < 1e-5


def test_adjusted_closes_are_the_publishers_in_bars(full):
    bars = read_bars(full, SYMBOLS, series=series(full), since=FIRST, until=LAST, adjust="all")
    for symbol in SYMBOLS:
        days, wanted = Sample().adjusted_close(symbol)
        close = bars.close[symbol].dropna()
        assert close.index.date.tolist() == days
        ours = close.to_numpy()
        assert np.max(np.abs(ours * (wanted[-1] / ours[-1]) / wanted - 1)) < 1e-5


def test_split_adjustment_leaves_dividends_alone_and_carries_volume(full):
    """MSFT, 2003-02-14, the session before its 2-for-1: raw close 48.30; split-adjusted 24.15 and twice the volume."""
    span = {"since": date(2003, 2, 14), "until": date(2003, 2, 14)}
    raw = read_bars(full, ["MSFT"], series=series(full), **span)
    split = read_bars(full, ["MSFT"], series=series(full), adjust="split", **span)
    assert (raw.close.iloc[0, 0], split.close.iloc[0, 0]) == (48.30, pytest.approx(24.15, rel=1e-12))
    assert split.volume.iloc[0, 0] == pytest.approx(2 * raw.volume.iloc[0, 0], rel=1e-12)


def test_as_of_a_day_before_the_split_nobody_knows_of_it(full):
    span = {"since": date(2003, 2, 14), "until": date(2003, 2, 14), "adjust": "split"}
    before = datetime(2003, 2, 15, tzinfo=UTC)
    seen = read_bars(full, ["MSFT"], series=series(full), as_of=before, **span)
    assert seen.close.iloc[0, 0] == 48.30


def test_stored_actions_are_the_vendors(full):
    found = actions.read_actions(full, SYMBOLS, since=FIRST, until=LAST)
    wanted = Sample().actions(SYMBOLS, FIRST, LAST)
    assert sorted(found, key=lambda a: (a.symbol, a.ex_date)) == wanted


def test_minutes_come_back_as_the_vendor_gave_them(full):
    span = {"since": date(2012, 7, 2), "until": date(2012, 7, 5)}
    bars = read_bars(full, ["AAPL", "IBM"], series=series(full, "1m"), **span)
    pages = Sample().bars(BarRequest(("AAPL", "IBM"), "1m", *span.values(), Sample.capabilities.offer("1m")))
    given = pd.concat([page.bars.to_pandas() for page in pages])
    ends = given.assign(time=given.ts + pd.Timedelta(minutes=1))
    wanted = ends.pivot_table(index="time", columns="symbol", values="close")
    np.testing.assert_array_equal(bars.close.to_numpy(), wanted.to_numpy())
    assert (bars.index == wanted.index).all()


def test_minutes_carry_the_dividend_too(full):
    """AAPL pays three times after 2012-08-08: minutes are lowered by the same factors as days."""
    span = {"since": date(2012, 8, 8), "until": date(2012, 8, 8)}
    ratios = []
    for timeframe in ("1d", "1m"):
        one = series(full, timeframe)
        raw = read_bars(full, ["AAPL"], series=one, **span)
        adjusted = read_bars(full, ["AAPL"], series=one, adjust="all", **span)
        ratios.append((adjusted.close / raw.close).to_numpy().min())
    # the source divides by 1 + dividend / close of the ex-date
    by_hand = 1 / (1 + 2.65 / 620.73) / (1 + 2.65 / 558.0019) / (1 + 2.65 / 468.22)
    assert ratios == [pytest.approx(by_hand, rel=1e-5)] * 2

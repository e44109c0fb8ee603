"""The bundled vendor tells the truth of its file, and its made-up minutes add up to it."""

from __future__ import annotations

import gzip
import hashlib
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.resources import files

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfund.market import sessions
from qfund.market.actions import factors
from qfund.vendors.contract import DAILY_SCHEMA, MINUTE_SCHEMA, BarRequest
from qfund.vendors.sample import FIRST, LAST, LISTINGS, Sample

SYMBOLS = tuple(listing.symbol for listing in LISTINGS)
# Uncompressed file, as `gzip -dc stocks.csv.gz | sed 1d` of bokeh_sampledata 2026.1 below qfund's header line.
FILE_SHA256 = "94f6777477cc60f22b11e14cb5cbc4751b07b797916e5c8ffabc42a0019fae37"


@pytest.fixture(scope="module")
def sample() -> Sample:
    return Sample()


def bars(sample, timeframe, since, until, symbols=SYMBOLS) -> pd.DataFrame:
    pages = list(
        sample.bars(BarRequest(tuple(symbols), timeframe, since, until, sample.capabilities.offer(timeframe)))
    )
    assert [page.next_cursor is None for page in pages] == [False] * (len(pages) - 1) + [True]
    return pa.concat_tables([page.bars for page in pages]).to_pandas()


@pytest.fixture(scope="module")
def daily(sample) -> pd.DataFrame:
    return bars(sample, "1d", FIRST, LAST)


def test_the_file_is_the_publishers():
    packed = (files("qfund.vendors") / "sample_data" / "daily.csv.gz").read_bytes()
    assert hashlib.sha256(gzip.decompress(packed)).hexdigest() == FILE_SHA256


def test_every_row_of_the_file_is_given(daily):
    assert len(daily) == 12_154
    assert daily.groupby("symbol").size().to_dict() == {
        "AAPL": 3270, "FB": 196, "GOOG": 2148, "IBM": 3270, "MSFT": 3270,
    }  # fmt: skip


def test_first_and_last_bar_are_raw_prices(daily):
    aapl = daily[daily.symbol == "AAPL"]
    assert aapl.iloc[0].tolist() == [
        "AAPL", date(2000, 3, 1), 118.56, 132.06, 118.5, 130.31, 9616100.0,
    ]  # fmt: skip
    msft = daily[daily.symbol == "MSFT"]
    assert msft.iloc[-1].tolist() == [
        "MSFT", date(2013, 3, 1), 27.72, 27.98, 27.52, 27.95, 34849700.0,
    ]  # fmt: skip


def test_sessions_are_exactly_the_calendars_since_listing(daily):
    starts = {"FB": date(2012, 5, 18), "GOOG": date(2004, 8, 19)}
    for symbol, rows in daily.groupby("symbol"):
        wanted = sessions.sessions("XNYS", starts.get(symbol, FIRST), LAST)
        assert rows.session.tolist() == list(wanted.date)


def test_closures_have_no_bars(daily):
    closed = {date(2001, 9, day) for day in (11, 12, 13, 14)} | {date(2012, 10, 29), date(2012, 10, 30)}
    assert not closed & set(daily.session)


def test_pages_have_the_contracts_columns(sample):
    request = BarRequest(("IBM",), "1d", date(2012, 7, 2), date(2012, 7, 3), Sample.capabilities.offer("1d"))
    assert next(sample.bars(request)).bars.schema == DAILY_SCHEMA
    request = BarRequest(("IBM",), "1m", date(2012, 7, 2), date(2012, 7, 3), Sample.capabilities.offer("1m"))
    assert next(sample.bars(request)).bars.schema == MINUTE_SCHEMA


def test_a_symbol_without_bars_has_an_empty_last_page(sample):
    for timeframe in ("1d", "1m"):
        assert not len(bars(sample, timeframe, FIRST, date(2001, 1, 1), ["FB"]))


def test_unknown_symbols_are_absent_from_listings(sample):
    assert [listing.symbol for listing in sample.listings(["IBM", "NOPE"])] == ["IBM"]
    assert len(sample.listings()) == 5


# --- corporate actions -----------------------------------------------------------------------------------------------


def test_three_splits_and_92_dividends(sample):
    actions = sample.actions(SYMBOLS, FIRST, LAST)
    splits = {(a.symbol, a.ex_date, a.new_rate, a.old_rate) for a in actions if a.kind == "split"}
    assert splits == {
        ("AAPL", date(2000, 6, 21), 2, 1),
        ("AAPL", date(2005, 2, 28), 2, 1),
        ("MSFT", date(2003, 2, 18), 2, 1),
    }
    dividends = [a for a in actions if a.kind == "dividend"]
    assert len(dividends) == 92
    assert {a.symbol for a in dividends} == {"AAPL", "IBM", "MSFT"}


def test_a_fall_by_half_without_an_action_is_no_split(sample, daily):
    """AAPL closed at 53.50 on 2000-09-28 and at 25.75 the day after: a profit warning, not a split."""
    aapl = daily[daily.symbol == "AAPL"].set_index("session").close
    assert (aapl[date(2000, 9, 28)], aapl[date(2000, 9, 29)]) == (53.5, 25.75)
    assert sample.actions(["AAPL"], date(2000, 9, 1), date(2000, 10, 31)) == []


def test_dividend_amounts_are_the_declared_ones(sample):
    """To the cent, as the companies' investor pages list them; the file itself holds only adjusted closes."""
    found = {(a.symbol, a.ex_date): a.cash_amount for a in sample.actions(SYMBOLS, FIRST, LAST)}
    assert found["AAPL", date(2012, 8, 9)] == Decimal("2.65")
    assert found["AAPL", date(2013, 2, 7)] == Decimal("2.65")
    assert found["MSFT", date(2004, 11, 15)] == Decimal("3.08")  # 3.00 of it special
    assert found["MSFT", date(2013, 2, 19)] == Decimal("0.23")
    assert found["IBM", date(2000, 5, 8)] == Decimal("0.13")
    assert found["IBM", date(2013, 2, 6)] == Decimal("0.85")


def test_every_dividend_is_a_whole_number_of_cents(sample):
    amounts = [a.cash_amount for a in sample.actions(SYMBOLS, FIRST, LAST) if a.kind == "dividend"]
    assert all(amount == round(amount, 2) for amount in amounts)


def test_an_action_is_known_from_its_ex_date_on(sample):
    for action in sample.actions(SYMBOLS, FIRST, LAST):
        assert action.known_at == datetime.combine(action.ex_date, time(), UTC)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_actions_explain_the_files_adjusted_close(sample, daily, symbol):
    """Raw close × factors of later events × the file's last ratio = the file's adjusted close, to 1e-5 in 13 years."""
    raw = daily[daily.symbol == symbol].set_index("session").close
    factor = pd.Series(1.0, index=raw.index)
    for action in sample.actions([symbol], FIRST, LAST):
        before = raw.index < action.ex_date
        factor[before] *= factors(action, raw[before].iloc[-1]).price
    days, wanted = sample.adjusted_close(symbol)
    assert days == list(raw.index)
    ours = raw * factor * (wanted[-1] / raw.iloc[-1])
    assert np.max(np.abs(ours.to_numpy() / wanted - 1)) < 1e-5


# --- made-up minutes -------------------------------------------------------------------------------------------------

DAYS = sessions.sessions("XNYS", FIRST, LAST).date


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(SYMBOLS), st.integers(0, len(DAYS) - 5))
def test_minutes_add_up_to_the_day(symbol, start):
    sample = Sample()
    span = DAYS[start], DAYS[start + 4]
    real = bars(sample, "1d", *span, [symbol]).set_index("session").drop(columns="symbol")
    made = bars(sample, "1m", *span, [symbol])
    assert made.ts.is_monotonic_increasing
    added = made.groupby("session").agg(
        {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    )
    pd.testing.assert_frame_equal(added, real, check_exact=True)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(SYMBOLS), st.integers(0, len(DAYS) - 5))
def test_each_minute_is_a_valid_bar_in_trading_hours(symbol, start):
    span = DAYS[start], DAYS[start + 4]
    made = bars(Sample(), "1m", *span, [symbol])
    if made.empty:
        return
    body = made[["open", "close"]]
    assert (made.high >= body.max(axis=1)).all()
    assert (made.low <= body.min(axis=1)).all()
    assert (made.volume >= 1).all()
    assert (made.volume == made.volume.round()).all()
    opens, closes = sessions.opens_and_closes("XNYS", *span)
    hours = pd.DataFrame({"open": opens, "close": closes}, index=sessions.sessions("XNYS", *span).date)
    of_row = hours.loc[made.session]
    assert (made.ts.to_numpy() >= of_row.open.to_numpy()).all()
    assert (made.ts.to_numpy() < of_row.close.to_numpy()).all()
    firsts, lasts = made.groupby("session").ts.min(), made.groupby("session").ts.max()
    assert (firsts == hours.open.loc[firsts.index]).all()
    assert (lasts == hours.close.loc[lasts.index] - pd.Timedelta(minutes=1)).all()


@pytest.mark.parametrize(
    ("day", "length"), [(date(2012, 7, 2), 390), (date(2012, 7, 3), 210), (date(2012, 11, 23), 210)]
)
def test_half_days_have_half_the_minutes(sample, day, length):
    made = bars(sample, "1m", day, day, ["IBM"])
    assert length - 3 <= len(made) <= length
    last = made.ts.iloc[-1].tz_convert("America/New_York")
    assert (last.hour, last.minute) == ((15, 59) if length == 390 else (12, 59))


def test_a_few_minutes_are_missing(sample):
    made = bars(sample, "1m", date(2012, 3, 1), date(2012, 3, 30), ["IBM"])
    counts = made.groupby("session").size()
    assert counts.min() >= 387
    assert counts.sum() < 390 * len(counts)


def test_minutes_of_a_day_do_not_depend_on_the_span(sample):
    alone = bars(sample, "1m", date(2012, 7, 3), date(2012, 7, 3), ["MSFT"])
    wide = bars(sample, "1m", date(2012, 6, 1), date(2012, 8, 1), ["FB", "MSFT"])
    same = wide[(wide.symbol == "MSFT") & (wide.session == date(2012, 7, 3))].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, same)


def test_minutes_are_the_same_for_ever(sample):
    """The digest was taken when the synthesis was written: a change makes stored minutes 'changed' for every user."""
    made = bars(sample, "1m", date(2012, 6, 29), date(2012, 7, 6))
    digest = hashlib.sha256()
    for name in ("open", "high", "low", "close", "volume"):
        digest.update(made[name].to_numpy("<f8").tobytes())
    digest.update(made.ts.to_numpy("datetime64[us]").astype("<i8").tobytes())
    assert (len(made), digest.hexdigest()[:16]) == (8776, "c3eaf8983b83f473")


def test_prices_move_in_cents(sample):
    made = bars(sample, "1m", date(2012, 7, 2), date(2012, 7, 2), ["IBM"])
    inner = made[["open", "high", "low", "close"]].to_numpy()
    assert np.mean(np.abs(inner * 100 - np.rint(inner * 100)) < 1e-6) > 0.99

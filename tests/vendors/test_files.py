"""A file's bars are what the file says, or rows that can be rejected with their line."""

from __future__ import annotations

import csv
import gzip
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from qfund.errors import DataQualityError, NotFoundError, UsageError
from qfund.vendors import file_columns, file_times
from qfund.vendors.contract import DAILY_SCHEMA, MINUTE_SCHEMA, BarRequest, Setup
from qfund.vendors.files import Files, KeepsRejects

NAMES = ("open", "high", "low", "close", "volume")


def written(folder, text, name="bars.csv"):
    path = folder / name
    path.write_text(text)
    return path


def files(path, **options) -> Files:
    return Files(Setup({"path": str(path)} | options))


def rows(vendor, timeframe=None, symbols=None, since=None, until=None) -> list[dict]:
    offer = vendor.capabilities.offer(timeframe) if timeframe else vendor.capabilities.offers[0]
    chosen = tuple(symbols or (one.symbol for one in vendor.listings()))
    request = BarRequest(chosen, offer.timeframe, since or offer.first, until or offer.last, offer)
    (page,) = vendor.bars(request)
    assert page.next_cursor is None
    assert page.bars.schema == (DAILY_SCHEMA if offer.timeframe == "1d" else MINUTE_SCHEMA)
    return page.bars.to_pylist()


def unfit(vendor, timeframe=None, since=None, until=None) -> list[dict]:
    """The rows that are no bars."""
    offer = vendor.capabilities.offer(timeframe) if timeframe else vendor.capabilities.offers[0]
    chosen = tuple(one.symbol for one in vendor.listings())
    days = (since or offer.first, until or offer.last)
    (page,) = vendor.bars(BarRequest(chosen, offer.timeframe, offer.first, offer.last, offer, days))
    return page.unfit.to_pylist()


def utc(*parts) -> datetime:
    return datetime(*parts, tzinfo=UTC)


# ---------------------------------------------------------------- what a file may look like


def test_daily_bars_of_a_csv(tmp_path):
    path = written(
        tmp_path,
        "Date,Open,High,Low,Close,Adj Close,Volume,Ticker\n"
        "2024-02-28,1,2,0.5,1.5,1.4,100,AAPL\n"
        "2024-02-29,1.5,3,1,2,1.9,200,AAPL\n"
        "2024-02-29,9,9,9,9,9,7,MSFT\n",
    )
    vendor = files(path)
    (offer,) = vendor.capabilities.offers
    assert (offer.timeframe, offer.feed, offer.first, offer.last) == (
        "1d",
        "bars",
        date(2024, 2, 28),
        date(2024, 2, 29),
    )
    assert vendor.capabilities.small
    assert [(one.symbol, one.kind, one.mic, one.currency) for one in vendor.listings()] == [
        ("AAPL", "equity", "XNYS", "USD"),
        ("MSFT", "equity", "XNYS", "USD"),
    ]
    assert [one.symbol for one in vendor.listings(["MSFT", "X"])] == ["MSFT"]
    assert [tuple(row.values()) for row in rows(vendor)] == [
        ("AAPL", date(2024, 2, 28), 1.0, 2.0, 0.5, 1.5, 100.0),
        ("AAPL", date(2024, 2, 29), 1.5, 3.0, 1.0, 2.0, 200.0),
        ("MSFT", date(2024, 2, 29), 9.0, 9.0, 9.0, 9.0, 7.0),
    ]
    assert [row["volume"] for row in rows(vendor, symbols=["AAPL"], since=date(2024, 2, 29))] == [200.0]


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("<TICKER>,<DATE>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>", "X,20240308,1,1,1,1,5"),
        ("t;o;h;l;c;v;s", "2024-03-08;1;1;1;1;5;X"),
        (
            "timestamp\tOpen Price\tHigh Price\tLow Price\tClose Price\tVolume\tSymbol",
            "2024-03-08\t1\t1\t1\t1\t5\tX",
        ),
        ("\ufeffsymbol,DATETIME,open,high,low,close,volume", " X ,2024-03-08 00:00:00-05:00,1,1,1,1,5"),
        ("symbol,ts,open,high,low,close,volume", "X,1709856000,1,1,1,1,5"),
    ],
)
def test_customary_names_and_forms_are_recognised(tmp_path, header, line):
    (row,) = rows(files(written(tmp_path, f"{header}\n{line}\n")), "1d")
    assert tuple(row.values()) == ("X", date(2024, 3, 8), 1.0, 1.0, 1.0, 1.0, 5.0)


def test_columns_can_be_mapped_and_all_rows_be_of_one_symbol(tmp_path):
    path = written(tmp_path, "When,o,h,l,c,adj,v\n2024-03-08,1,1,1,1,0.9,5\n")
    (row,) = rows(files(path, map="ts=When,close=adj", symbol="SPY", feed="mine"))
    assert (row["symbol"], row["close"]) == ("SPY", 0.9)
    assert files(path, map="ts=When", symbol="SPY", feed="mine").capabilities.offers[0].feed == "mine"


def test_a_file_without_header_is_mapped_by_the_numbers_of_its_columns(tmp_path):
    """Binance's daily files, whose times went from ms to µs on 2025-01-01, joined to one."""
    path = written(
        tmp_path,
        "1735689540000,93000,93001,92999,93000.5,1.5,1735689599999\n"
        "1735689600000000,93000.5,93010,93000,93005,2.5,1735689659999999\n"
        "1735689660000000,93005,93010,93000,93005,2.5,1735689719999999\n",
    )
    named = {"symbol": "BTC/USDT", "calendar": "24/7", "map": "ts=1,open=2,high=3,low=4,close=5,volume=6"}
    vendor = files(path, **named)
    assert [row["ts"] for row in rows(vendor)] == [
        utc(2024, 12, 31, 23, 59),
        utc(2025, 1, 1, 0, 0),
        utc(2025, 1, 1, 0, 1),
    ]
    (offer,) = vendor.capabilities.offers
    assert (offer.timeframe, offer.market, offer.calendar, offer.hours) == ("1m", "crypto", "24/7", "always")
    assert (offer.first, offer.last) == (date(2024, 12, 31), date(2025, 1, 1))
    (listing,) = vendor.listings()
    assert (listing.kind, listing.currency, listing.mic) == ("crypto", "USDT", None)


def test_times_without_a_zone_need_one_and_are_that_zones(tmp_path):
    text = "time,open,high,low,close,volume\n2024-03-08 09:30,1,1,1,1,5\n2024-03-11 09:30:00,1,1,1,1,5\n"
    text += "2024-03-11 09:31:00,1,1,1,1,5\n"
    path = written(tmp_path, text)
    with pytest.raises(UsageError, match="'time' have no zone, such as '2024-03-08 09:30'") as error:
        files(path, symbol="X")
    assert "zone=America/New_York" in error.value.fix
    vendor = files(path, symbol="X", zone="America/New_York")
    assert [row["ts"] for row in rows(vendor, "1m")] == [
        utc(2024, 3, 8, 14, 30),
        utc(2024, 3, 11, 13, 30),
        utc(2024, 3, 11, 13, 31),
    ]
    assert vendor.capabilities.offers[0].answers_more
    with pytest.raises(UsageError, match="no time zone 'Mars/Dune'"):
        files(path, symbol="X", zone="Mars/Dune")


def test_dates_and_times_in_two_columns_are_one_time(tmp_path):
    path = written(
        tmp_path,
        "<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>\n20240703,093000,1,1,1,1,5\n20240703,125900,1,1,1,1,5\n",
    )
    found = rows(files(path, symbol="X", zone="America/New_York"), "1m")
    assert [row["ts"] for row in found] == [utc(2024, 7, 3, 13, 30), utc(2024, 7, 3, 16, 59)]


def test_an_hour_that_the_clocks_show_twice_or_never_is_no_time(tmp_path):
    path = written(
        tmp_path,
        "ts,open,high,low,close\n2024-03-10 02:30:00,1,1,1,1\n2024-03-10 03:30:00,1,1,1,1\n"
        "2024-11-03 01:30:00,1,1,1,1\n2024-11-03 02:30:00,1,1,1,1\n",
    )
    vendor = files(path, symbol="EURUSD", zone="America/New_York", calendar="FX", price_kind="mid")
    found = rows(vendor, "1m")
    assert [row["ts"] for row in found] == [utc(2024, 3, 10, 7, 30), utc(2024, 11, 3, 7, 30)]
    assert [(row["line"], row["reason"], row["ts"]) for row in unfit(vendor, "1m")] == [
        (2, "bad_time", None),
        (4, "bad_time", None),
    ]
    assert {row["volume"] for row in found} == {0.0}


def test_sessions_of_foreign_exchange_begin_at_seventeen_new_york(tmp_path):
    path = written(
        tmp_path,
        "time,open,high,low,close,volume\n2024-11-03T22:00:00Z,1,1,1,1,1\n2024-11-04T21:59:00Z,1,1,1,1,1\n"
        "2024-11-04T22:00:00Z,1,1,1,1,1\n",
    )
    vendor = files(path, symbol="EUR_USD", calendar="FX", price_kind="mid")
    (offer,) = vendor.capabilities.offers
    assert (offer.first, offer.last, offer.price_kind) == (date(2024, 11, 4), date(2024, 11, 5), "mid")
    assert len(rows(vendor, until=date(2024, 11, 4))) == 2
    assert vendor.listings()[0].currency == "USD"


def test_futures_that_open_on_the_evening_before_are_of_their_session(tmp_path):
    """CME's Monday opens on Sunday at 17:00 Chicago, 22:00 UTC in summer."""
    path = written(
        tmp_path,
        "time,open,high,low,close,volume\n2024-03-08T21:59:00Z,1,1,1,1,1\n2024-03-10T22:00:00Z,1,1,1,1,1\n"
        "2024-03-11T21:59:00Z,1,1,1,1,1\n2024-03-11T22:00:00Z,1,1,1,1,1\n",
    )
    vendor = files(path, symbol="ESM4", calendar="CMES")
    (offer,) = vendor.capabilities.offers
    assert (offer.timeframe, offer.first, offer.last) == ("1m", date(2024, 3, 8), date(2024, 3, 12))
    by_day = [len(rows(vendor, since=day, until=day)) for day in [date(2024, 3, n) for n in range(8, 13)]]
    assert by_day == [1, 0, 0, 2, 1]


def test_days_that_are_stamped_with_their_opening_on_the_evening_before_are_of_their_session(tmp_path):
    lines = "".join(f"{time},1,1,1,1,5\n" for time in ("2024-03-07T23:00:00Z", "2024-03-10T22:00:00Z"))
    path = written(tmp_path, f"time,open,high,low,close,volume\n{lines}")
    vendor = files(path, symbol="ESM4", calendar="CMES")
    assert [offer.timeframe for offer in vendor.capabilities.offers] == ["1d"]
    assert [row["session"] for row in rows(vendor)] == [date(2024, 3, 8), date(2024, 3, 11)]


@pytest.mark.parametrize(
    "times",
    [
        ["2024-03-08T00:00:00Z", "2024-03-11T00:00:00Z"],  # a date in disguise
        ["2024-03-08T05:00:00Z", "2024-03-11T04:00:00Z"],  # midnight in New York
        ["2024-03-08 00:00:00", "2024-03-11 00:00:00"],  # no zone, but no hour either
        ["2024-03-08T21:00:00Z", "2024-03-11T20:00:00Z"],  # 16:00 in New York
    ],
)
def test_daily_bars_may_be_stamped_with_instants(tmp_path, times):
    lines = "".join(f"{time},1,1,1,1,5\n" for time in times)
    vendor = files(written(tmp_path, f"time,open,high,low,close,volume\n{lines}"), symbol="X")
    assert [row["session"] for row in rows(vendor, "1d")] == [date(2024, 3, 8), date(2024, 3, 11)]


def test_parquet_may_hold_timestamps_dates_decimals_and_categories(tmp_path):
    frame = pd.DataFrame(
        {"Open": [1.0], "High": [1], "Low": np.float32([1]), "Close": [Decimal("1.25")], "Volume": [5]},
        index=pd.DatetimeIndex([pd.Timestamp("2024-03-08 09:30", tz="America/New_York")]),
    )
    frame["Symbol"] = pd.Categorical(["X"])
    path = tmp_path / "one.parquet"
    frame.to_parquet(path)
    (row,) = rows(files(path), "1m")
    assert (row["symbol"], row["ts"], row["close"]) == ("X", utc(2024, 3, 8, 14, 30), 1.25)
    days = pa.table({"day": [date(2024, 2, 29)], **{name: [1.0] for name in NAMES}})
    parquet.write_table(days, tmp_path / "two.parquet")
    (row,) = rows(files(tmp_path / "two.parquet", symbol="Y"))
    assert (row["symbol"], row["session"]) == ("Y", date(2024, 2, 29))


def test_a_packed_csv_is_read(tmp_path):
    path = tmp_path / "bars.csv.gz"
    path.write_bytes(gzip.compress(b"date,open,high,low,close,volume\n2024-03-08,1,1,1,1,5\n"))
    vendor = files(path, symbol="X")
    assert len(rows(vendor)) == 1
    assert vendor.capabilities.offers[0].feed == "bars"


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("date,open,high,low,volume,symbol", "no column was recognised for close"),
        ("date,open,high,low,close,symbol", "no column was recognised for volume"),
        ("open,high,low,close,volume,symbol", "no column was recognised for ts"),
        ("timestamp,datetime,open,high,low,close,volume,symbol", "'timestamp', 'datetime' may all be ts"),
        ("date,open,high,low,Close,CLOSE,volume,symbol", "'Close', 'CLOSE' may all be close"),
        ("date,open,high,low,close,close,volume,symbol", "two columns are called 'close'"),
        ("date,open,high,low,close,volume", "no column of symbols"),
    ],
)
def test_unclear_columns_are_listed_with_what_mends_them(tmp_path, header, said):
    path = written(tmp_path, f"{header}\n{','.join('1' * len(header.split(',')))}\n")
    with pytest.raises(UsageError, match=said) as error:
        files(path)
    assert all(f"'{name}'" in error.value.message for name in header.split(","))
    assert error.value.fix.startswith("--with ")


@pytest.mark.parametrize("text", ["close", "close=", "price=close", "close=a,close=b", "=a"])
def test_a_map_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="map"):
        file_columns.parsed_map(text)


def test_other_slips_say_what_to_do(tmp_path):
    good = "date,open,high,low,close,volume,symbol\n"
    with pytest.raises(NotFoundError):
        files(tmp_path / "none.csv")
    for text, said in (
        (good + "03/08/2024,1,1,1,1,1,X\n", "no times that qfund reads, such as '03/08/2024'"),
        (good + "2024-03-08,1,1,1,a,1,X\n", "'close' holds no number.*'a'"),
        ("\n" + good, "not clear"),
    ):
        with pytest.raises(UsageError, match=said):
            files(written(tmp_path, text))
    path = written(tmp_path, good + "2024-03-08,1,1,1,1,1,X\n")
    with pytest.raises(UsageError, match="'trades' is no kind of price"):
        files(path, price_kind="trades")
    with pytest.raises(UsageError, match="column of symbols"):
        files(path, symbol="Y")
    with pytest.raises(UsageError, match="map names 'nope'"):
        files(path, map="close=nope")
    with pytest.raises(UsageError, match="Which file"):
        Files().listings()
    assert Files().capabilities.offers == ()


GOOD = "date,open,high,low,close,volume,symbol\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        (GOOD, "has no rows, only the names of columns"),
        (GOOD + "2024-03-08,1;1;1;1\n", "No row of .* has as many fields as its first line.* line 2"),
    ],
)
def test_a_file_that_holds_nothing_is_bad_data(tmp_path, text, said):
    with pytest.raises(DataQualityError, match=said):
        files(written(tmp_path, text))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("bars.csv", b"PK\x03\x04\0\0\0\0", "no CSV.* a workbook or a ZIP archive"),
        ("bars.csv", GOOD.encode("utf-16"), "no CSV.* text in UTF-16"),
        ("bars.csv", b"\x7fELF\0\0", "no CSV: it is not text in UTF-8.$"),
        ("bars.csv", GOOD.encode() + "2024-03-08,1,1,1,1,1,ÄÖ\n".encode("latin-1"), "cannot be read as CSV"),
        ("bars.csv.gz", b"not packed", "cannot be read as CSV"),
        ("bars.parquet", b"not parquet", "cannot be read as Parquet"),
        ("bars.parquet", b"", "cannot be read as Parquet"),
    ],
)
def test_a_file_of_another_kind_is_named_as_such(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError, match=said):
        files(path)


def test_a_parquet_file_of_other_columns_is_explained(tmp_path):
    path = tmp_path / "bars.parquet"
    parquet.write_table(pa.table({"a": [1], "b": ["x"]}), path)
    with pytest.raises(UsageError, match=r"no column was recognised for open.* Found: 'a', 'b'"):
        files(path)
    nested = {name: [[1.0]] for name in ("symbol", "date", "open", "high", "low", "close", "volume")}
    parquet.write_table(pa.table(nested), path)
    with pytest.raises(UsageError, match="'open' holds no number"):
        files(path)
    parquet.write_table(pa.table({name: [1.0] for name in nested}).slice(0, 0), path)
    with pytest.raises(DataQualityError, match="no rows"):
        files(path)


def test_a_folder_is_called_one_with_what_it_holds(tmp_path):
    written(tmp_path, GOOD, "a.csv")
    with pytest.raises(UsageError, match=r"is a folder.* It holds a\.csv") as error:
        files(tmp_path)
    assert error.value.fix == f"--path {tmp_path / 'a.csv'}"


# ---------------------------------------------------------------- rows to reject

FAULTY = (
    "date,open,high,low,close,volume,symbol\n"  # line 1
    "2024-03-07,1,1,1,1,5,X\n"
    "2024-03-08,1,1,x,1,5,X\n"  # 3: no number
    "\n"
    '"2024-03-32",1,1,1,1,5,X\n'  # 5: no time
    "2024-03-11,1,1,1,1\n"  # 6: torn
    "2024-03-12,1,1,1,,5,X\n"  # 7: no close
    "2024-03-13,1,1,1,1,5,\n"  # 8: no symbol
    "2024-03-14,1,1,1,1,5,X,9\n"  # 9: torn
    "2024-03-15,1,1,1,1,5,X\n"
)


def test_what_is_no_number_comes_as_a_bar_without_it(tmp_path):
    found = rows(files(written(tmp_path, FAULTY)))
    assert [(row["symbol"], row["session"].day) for row in found] == [
        ("X", 7),
        ("X", 8),
        ("X", 12),
        ("X", 15),
    ]
    assert math.isnan(found[1]["low"])
    assert math.isnan(found[2]["close"])


def test_a_row_that_is_no_bar_comes_with_its_line_and_what_is_wrong_with_it(tmp_path):
    found = unfit(files(written(tmp_path, FAULTY)))
    assert [(row["line"], row["reason"], row["symbol"], row["session"]) for row in found] == [
        (5, "bad_time", "X", None),
        (6, "torn", None, None),
        (8, "no_symbol", None, date(2024, 3, 13)),
        (9, "torn", None, None),
    ]
    assert all(math.isnan(found[1][name]) for name in NAMES)
    assert [[day.day for day in row["beside"] or ()] for row in found] == [[8, 12], [8, 12], [], [13, 15]]


def test_an_unreadable_row_comes_once_with_the_readable_row_before_it(tmp_path):
    vendor = files(written(tmp_path, FAULTY))
    halves = [unfit(vendor, until=date(2024, 3, 8)), unfit(vendor, since=date(2024, 3, 9))]
    assert [[row["line"] for row in half] for half in halves] == [[5, 6], [8, 9]]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2024-03-08,1,1", "torn"),
        ("2024-03-08,1,1,1,1,5,X,Y", "torn"),
        ('2024-03-08,1,1,1,1,5,"X', "torn"),
        ('"2024-03-08,1,1,1,1,5,X', "torn"),
        ("yesterday,1,1,1,1,5,X", "bad_time"),
        ("2024-02-30,1,1,1,1,5,X", "bad_time"),
        ("9999-12-31,1,1,1,1,5,X", "bad_time"),
        (",1,1,1,1,5,X", "bad_time"),
        ("2024-03-08,1,1,1,1,5,", "no_symbol"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_row_at_fault_costs_no_other_row(tmp_path, line, reason, end):
    lines = [
        "date,open,high,low,close,volume,symbol",
        "2024-03-07,1,1,1,1,5,X",
        line,
        "",
        '2024-03-11,1,1,1,1,5,"X"',
    ]
    path = tmp_path / "bars.csv"
    path.write_bytes(end.join([*lines, "2024-03-12,1,1,1,1,5,X", ""]).encode())
    vendor = files(path)
    assert [row["session"].day for row in rows(vendor)] == [7, 11, 12]
    assert [(row["line"], row["reason"]) for row in unfit(vendor)] == [(3, reason)]


def test_rejects_are_written_beside_the_file_with_line_and_reason(tmp_path):
    vendor = files(written(tmp_path, FAULTY))
    assert isinstance(vendor, KeepsRejects)
    table = pa.Table.from_pylist(rows(vendor), DAILY_SCHEMA)
    bad = table.take([2, 1]).append_column("reason", pa.array(["why"] * 2))
    none = pa.Table.from_pylist(unfit(vendor)[::-1]).select([*bad.column_names, "line"])
    target = vendor.write_rejects(pa.concat_tables([bad, none], promote_options="permissive"))
    assert target == tmp_path / "bars.csv.rejects.csv"
    with target.open() as file:
        written_rows = list(csv.DictReader(file))
    assert [row["line"] for row in written_rows] == ["3", "5", "6", "7", "8", "9"]
    assert [row["reason"] for row in written_rows] == ["why", "bad_time", "torn", "why", "no_symbol", "torn"]
    assert [row["session"] for row in written_rows] == ["2024-03-08", "", "", "2024-03-12", "2024-03-13", ""]


def test_rejected_minutes_are_found_though_the_core_filled_in_their_session(tmp_path):
    path = written(
        tmp_path,
        "ts,open,high,low,close,volume\n"
        "2024-03-08T14:30:00Z,1,1,1,1,5\n2024-03-08T14:31:00Z,-1,1,1,1,5\n2024-03-08T14:31:00Z,-1,1,1,1,5\n",
    )
    vendor = files(path, symbol="X")
    bad = pa.Table.from_pylist(rows(vendor), MINUTE_SCHEMA).slice(1)
    bad = bad.set_column(2, "session", pa.array([date(2024, 3, 8)] * 2)).append_column(
        "reason", pa.array(["not_positive"] * 2)
    )
    with vendor.write_rejects(bad).open() as file:
        assert [row["line"] for row in csv.DictReader(file)] == ["3", "4"]


# ---------------------------------------------------------------- properties


@given(st.lists(st.tuples(st.integers(86_400 * 60, 4_102_444_799), st.sampled_from(["s", "ms", "us", "ns"]))))
def test_every_instant_is_known_by_its_size_in_whatever_unit(told):
    scale = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
    numbers = [seconds * scale[unit] for seconds, unit in told]
    found = file_times.numbers(pa.array(numbers, pa.int64()))
    for (seconds, unit), ts, day in zip(told, found.ts.to_pylist(), found.day.to_pylist(), strict=True):
        if unit == "s" and 19_700_101 <= seconds <= 20_991_231 and day is not None:
            assert int(day.strftime("%Y%m%d")) == seconds  # so written it is a date
        else:
            assert ts == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


@given(st.integers(-(2**63), 2**63 - 1))
def test_no_number_is_a_time_outside_1970_to_2099(number):
    found = file_times.numbers(pa.array([number], pa.int64()))
    (ts,), (day,) = found.ts.to_pylist(), found.day.to_pylist()
    assert ts is None or day is None
    assert all(1970 <= one.year <= 2099 for one in (ts, day) if one is not None)


@given(st.lists(st.text("0123456789-: TZ.+", max_size=25), min_size=1, max_size=5))
def test_text_is_a_time_or_null_or_refused_as_a_whole(texts):
    try:
        found = file_times.read(pa.array([*texts, "2024-03-08T14:30:00Z"]), "UTC", name="t")
    except UsageError as error:
        pytest.fail(error.message)
    assert len(found.ts) == len(found.day) == len(texts) + 1
    assert found.ts[-1].as_py() == utc(2024, 3, 8, 14, 30)


@given(st.dates(date(1970, 1, 1), date(2099, 12, 31)))
def test_eight_digits_are_a_date(day):
    found = file_times.numbers(pa.array([int(day.strftime("%Y%m%d"))]))
    assert found.day.to_pylist() == [day]

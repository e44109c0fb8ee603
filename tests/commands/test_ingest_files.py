"""`qfund ingest --vendor files`: a CSV or Parquet file of one's own, with its columns, its zone and its faults."""

from __future__ import annotations

import csv
import json
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from pyarrow import parquet

from qfund.store import sources
from qfund.store.bars import read_bars
from tests.support.ingesting import Cli

DAYS = ("2024-03-07", "2024-03-08", "2024-03-11")
ROWS = [
    (symbol, day, 10.0 + n, 11.0 + n, 9.0 + n, 10.5 + n, 100.0)
    for symbol in ("AAA", "BBB")
    for n, day in enumerate(DAYS)
]


@pytest.fixture
def cli(store_url, tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    return Cli(folder, {"QFUND__STORE__URL": store_url})


@pytest.fixture
def qfund(cli, monkeypatch, capsys):
    return lambda line: cli.here(line, monkeypatch, capsys)


@pytest.fixture
def written(cli):
    """Writes lines into a file of the project."""

    def write(name: str, head: str, rows) -> None:
        (cli.folder / name).write_text("\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n")

    return write


def closes(store, symbol, feed, timeframe="1d"):
    series = next(
        one for one in sources.sources(store, timeframe) if (one.vendor, one.feed) == ("files", feed)
    )
    bars = read_bars(store, [symbol], series=series, since=date(2024, 1, 1), until=date(2024, 12, 31))
    return bars.close[symbol].dropna()


def test_a_csv_whose_columns_are_recognised(qfund, store, written):
    written("bars.csv", "symbol,date,open,high,low,close,volume", ROWS)
    ran = qfund("ingest --vendor files --path bars.csv --json")
    assert ran.code == 0, ran.err
    data = json.loads(ran.out)["data"]
    assert (data["feed"], data["total"]["rows_new"], data["total"]["requests"]) == ("bars", 6, 0)
    assert closes(store, "BBB", "bars").tolist() == [10.5, 11.5, 12.5]
    again = qfund("ingest --vendor files --path bars.csv")
    assert (again.code, again.out.startswith("Nothing to fetch")) == (0, True)


def test_a_parquet_with_other_names_of_columns_and_one_symbol(qfund, store, cli):
    columns = {
        "Day": [date.fromisoformat(row[1]) for row in ROWS[:3]],
        **{
            name: [row[place] for row in ROWS[:3]]
            for place, name in enumerate(("O", "H", "L", "Last", "Vol"), 2)
        },
    }
    parquet.write_table(pa.table(columns), cli.folder / "mine.parquet")
    line = (
        "ingest --vendor files --path mine.parquet --with symbol=AAA --with feed=bought"
        " --with map=session=Day,open=O,high=H,low=L,close=Last,volume=Vol"
    )
    ran = qfund(line)
    assert ran.code == 0, ran.err
    assert closes(store, "AAA", "bought").tolist() == [10.5, 11.5, 12.5]


def test_minutes_without_a_zone_need_one_and_are_placed_by_it(qfund, store, written):
    """09:30 in New York is 14:30 UTC on the 8th, and 13:30 on the 11th, after the change of the clocks."""
    rows = [("AAA", f"{day} 09:30:00", 10, 11, 9, 10.5, 100) for day in DAYS[1:]]
    written("minutes.csv", "symbol,ts,open,high,low,close,volume", rows)
    line = "ingest --vendor files --path minutes.csv --timeframe 1m"
    refused = qfund(line)
    assert refused.code == 2
    assert "zone" in refused.err
    ran = qfund(f"{line} --with zone=America/New_York")
    assert ran.code == 0, ran.err
    starts = [time.tz_convert("UTC").to_pydatetime() for time in closes(store, "AAA", "minutes", "1m").index]
    assert [(one.day, one.hour, one.minute) for one in starts] == [
        (8, 14, 31),
        (11, 13, 31),
    ]  # a bar is known at its end


def test_rows_that_are_not_fit_are_written_beside_the_file_with_line_and_reason(qfund, cli, store, written):
    rows = [list(row) for row in ROWS]
    rows[1][3] = 1.0  # high below everything
    rows[4][5] = "abc"
    written("bad.csv", "symbol,date,open,high,low,close,volume", rows)
    ran = qfund("ingest --vendor files --path bad.csv")
    assert ran.code == 5, ran.err
    assert "bad.csv.rejects.csv" in (ran.out + ran.err).replace("\n", "")
    with (cli.folder / "bad.csv.rejects.csv").open() as file:
        told = list(csv.DictReader(file))
    assert [(one["symbol"], one["line"], one["reason"]) for one in told] == [
        ("AAA", "3", "order"),
        ("BBB", "6", "not_a_number"),
    ]
    assert closes(store, "AAA", "bad").tolist() == [10.5, 12.5]
    written("bad.csv", "symbol,date,open,high,low,close,volume", ROWS)  # the file is mended
    assert qfund("ingest --vendor files --path bad.csv").code == 0
    assert closes(store, "AAA", "bad").tolist() == [10.5, 11.5, 12.5]


def test_only_some_symbols_and_days(qfund, store, written):
    written("bars.csv", "symbol,date,open,high,low,close,volume", ROWS)
    ran = qfund(
        "ingest --vendor files --path bars.csv --symbols BBB,NOPE --since 2024-03-08 --until 2024-03-08 --json"
    )
    assert ran.code == 4
    assert json.loads(ran.out)["data"]["total"]["rows_new"] == 1
    assert closes(store, "BBB", "bars").tolist() == [11.5]


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("ingest --vendor files", 2, "Which file?"),
        ("ingest --vendor files --path absent.csv", 11, "absent.csv"),
        ("ingest --vendor files --path bars.csv --with zone=Mars/Olympus", 2, "Mars/Olympus"),
        ("ingest --vendor files --path bars.csv --with map=close=Nothing", 2, "Nothing"),
        ("ingest --vendor files --path bars.csv --with colour=red", 2, "colour"),
    ],
)
def test_a_file_or_an_option_that_is_wrong_is_explained(qfund, written, line, code, words):
    written("bars.csv", "symbol,date,open,high,low,close,volume", ROWS)
    ran = qfund(line)
    assert (ran.code, words in ran.err) == (code, True), ran.err


def test_nothing_in_the_future_is_stored(qfund, store, written):
    tomorrow = datetime.now(UTC).year + 1
    written(
        "bars.csv",
        "symbol,date,open,high,low,close,volume",
        [*ROWS[:3], ("AAA", f"{tomorrow}-03-08", 1, 1, 1, 1, 1)],
    )
    ran = qfund("ingest --vendor files --path bars.csv")
    assert closes(store, "AAA", "bars").index.max().year == 2024
    assert ran.code in (0, 5)

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
        ("ingest --vendor files --path bars.csv --with colour=red", 2, "takes no --with colour"),
        ("ingest --vendor files --path bars.csv --with colour=red", 2, "--with calendar, --with price_kind"),
        ("ingest --vendor files --path bars.csv --with zones=UTC", 2, "Did you mean zone?"),
        ("ingest --vendor sample --path bars.csv", 2, "takes no --path"),
        (
            "ingest --vendor files --path bars.csv --with zone",
            2,
            "--with 'zone' is not of the form name=value",
        ),
        ("ingest --vendor files --path .", 2, "is a folder"),
    ],
)
def test_a_file_or_an_option_that_is_wrong_is_explained(qfund, written, line, code, words):
    written("bars.csv", "symbol,date,open,high,low,close,volume", ROWS)
    ran = qfund(line)
    assert (ran.code, words in ran.err) == (code, True), ran.err


HEAD = "symbol,date,open,high,low,close,volume"


def rejects(cli, name="bars.csv"):
    """Line → reason, of the file beside a file."""
    with (cli.folder / f"{name}.rejects.csv").open() as file:
        return {int(one["line"]): one["reason"] for one in csv.DictReader(file)}


def test_rows_before_the_first_and_after_the_last_session_of_a_file_do_not_vanish(qfund, cli, store, written):
    """A Saturday before and Good Friday after: both used to be gone without a word."""
    bar = (10, 11, 9, 10.5, 100)
    days = ("2024-03-23", "2024-03-25", "2024-03-28", "2024-03-29")
    written("bars.csv", HEAD, [("AAA", day, *bar) for day in days])
    ran = qfund("ingest --vendor files --path bars.csv --json")
    assert ran.code == 5
    data = json.loads(ran.out)["data"]
    assert rejects(cli) == {2: "not_a_session", 5: "not_a_session"}
    assert (data["rows"]["rows"], data["rows"]["stored"], data["rows"]["rejected"]) == (4, 2, 2)
    assert len(closes(store, "AAA", "bars")) == 2


def test_minutes_of_a_weekend_at_either_end_of_a_file_do_not_vanish(qfund, cli, written):
    times = ("2024-03-09T15:00:00Z", "2024-03-11T13:30:00Z", "2024-03-12T04:30:00Z", "2024-03-16T15:00:00Z")
    written(
        "bars.csv", "symbol,ts,open,high,low,close,volume", [("AAA", one, 1, 1, 1, 1, 5) for one in times]
    )
    ran = qfund("ingest --vendor files --path bars.csv --timeframe 1m --json")
    assert ran.code == 5
    data = json.loads(ran.out)["data"]
    assert rejects(cli) == {2: "not_a_session", 5: "not_a_session"}
    assert data["left_out"] == {"outside_hours": 1}
    assert [data["rows"][name] for name in ("rows", "stored", "rejected", "left_out", "lost")] == [
        4,
        1,
        2,
        1,
        0,
    ]


def test_what_was_not_asked_for_is_counted_and_told(qfund, cli, written):
    written("bars.csv", HEAD, [*ROWS, ("BBB", "2024-03-09", 1, 1, 1, 1, 1)])
    ran = qfund("ingest --vendor files --path bars.csv --symbols BBB --until 2024-03-08")
    assert ran.code == 0, ran.err
    said = " ".join(ran.out.split())
    assert (
        "Rows: 7 in all; 2 stored, 3 of symbols that were not asked for, 2 of days that were not asked"
        in said
    )
    assert not (cli.folder / "bars.csv.rejects.csv").exists()
    again = qfund("ingest --vendor files --path bars.csv")
    assert (again.code, rejects(cli)) == (5, {8: "not_a_session"})
    assert "4 stored, 1 rejected, 2 of sessions that were answered before" in " ".join(again.out.split())
    nothing = qfund("ingest --vendor files --path bars.csv --symbols AAA")
    assert "Nothing to fetch" in nothing.out
    assert "3 of sessions that were answered before" in " ".join(nothing.out.split())


def test_a_row_that_is_cut_short_is_rejected_alone_and_is_taken_once_it_is_mended(qfund, cli, store, written):
    whole = [",".join(map(str, row)) for row in ROWS]
    torn = [*whole[:1], whole[1][:17], *whole[2:4], '"' + whole[4], *whole[5:]]
    (cli.folder / "bars.csv").write_text("\n".join([HEAD, *torn]) + "\n")
    for _ in range(2):  # it is said each time, until it is mended
        ran = qfund("ingest --vendor files --path bars.csv")
        assert ran.code == 5
        assert "2 a row with too few or too many fields" in " ".join(ran.err.split())
        assert "not asked for" not in ran.err
        assert rejects(cli) == {3: "torn", 6: "torn"}
        assert closes(store, "AAA", "bars").tolist() == closes(store, "BBB", "bars").tolist() == [10.5, 12.5]
    (cli.folder / "bars.csv").write_text("\n".join([HEAD, *whole]) + "\n")
    assert qfund("ingest --vendor files --path bars.csv").code == 0
    assert (
        closes(store, "AAA", "bars").tolist() == closes(store, "BBB", "bars").tolist() == [10.5, 11.5, 12.5]
    )
    assert "AAA" not in qfund("data check --vendor files").out  # nothing is left in quarantine


def test_a_date_that_cannot_be_read_is_called_that(qfund, cli, written):
    written("bars.csv", HEAD, [*ROWS, ("AAA", "12.03.2024", 10, 11, 9, 10.5, 100)])
    ran = qfund("ingest --vendor files --path bars.csv")
    assert ran.code == 5
    assert "1 a date or time that cannot be read" in " ".join(ran.err.split())
    assert rejects(cli) == {8: "bad_time"}


def test_a_torn_minute_leaves_the_other_sessions_answered(qfund, store, written):
    days = ("2024-03-07", "2024-03-08", "2024-03-11", "2024-03-12")
    rows = [("AAA", f"{day}T15:{n:02}:00Z", 10, 11, 9, 10.5, 100 + n) for day in days for n in range(3)]
    last = ("AAA", "2024-03-12T19:59:00Z", 10, 11, 9, 10.5, 100)
    written("bars.csv", "symbol,ts,open,high,low,close,volume", [*rows[:4], ("AAA", "2024"), *rows[5:], last])
    assert qfund("ingest --vendor files --path bars.csv --timeframe 1m").code == 5
    assert len(closes(store, "AAA", "bars", "1m")) == 12
    again = qfund("ingest --vendor files --path bars.csv --timeframe 1m --dry-run --json")
    (step,) = json.loads(again.out)["data"]["steps"]
    assert (step["since"], step["until"]) == ("2024-03-08", "2024-03-08")


def test_a_file_that_ends_within_a_session_goes_on_there_when_it_has_grown(qfund, store, written):
    """The same minutes at noon and in the evening: nothing that came later is taken for answered."""
    day = [f"2024-07-02T{13 + (30 + n) // 60}:{(30 + n) % 60:02}:00Z" for n in range(390)]
    rows = [("ZZ", one, 10, 11, 9, 10.5, 100 + n) for n, one in enumerate(day)]
    line = "ingest --vendor files --path day.csv --timeframe 1m"
    written("day.csv", "symbol,ts,open,high,low,close,volume", rows[:150])
    assert qfund(line).code == 0
    written("day.csv", "symbol,ts,open,high,low,close,volume", rows)
    assert qfund(line).code == 0
    assert len(closes(store, "ZZ", "day", "1m")) == 390
    assert "Nothing to fetch" in qfund(line).out


def test_a_value_that_a_file_corrects_is_read_again_on_request(qfund, store, written):
    line = "ingest --vendor files --path days.csv"
    for volume in (1100, 1111):
        written(
            "days.csv",
            "symbol,date,open,high,low,close,volume",
            [("AAA", "2024-07-02", 10, 11, 9, 10, volume)],
        )
        ran = qfund(f"{line} --reread 1 --json")
        assert ran.code == 0, ran.err
    assert json.loads(ran.out)["data"]["total"]["rows_changed"] == 1


def test_minutes_of_futures_are_of_the_session_that_opened_on_the_evening_before(qfund, store, written):
    times = ("2024-03-10T22:00:00Z", "2024-03-11T14:30:00Z", "2024-03-11T22:00:00Z")
    written("es.csv", "ts,open,high,low,close,volume", [(one, 1, 1, 1, 1, 5) for one in times])
    line = "ingest --vendor files --path es.csv --timeframe 1m --with symbol=ESM4 --with calendar=CMES --json"
    ran = qfund(f"{line} --until 2024-03-11")
    assert ran.code == 0, ran.err
    data = json.loads(ran.out)["data"]
    assert (data["since"], data["rows"]["stored"], data["rows"]["unread"]) == (
        "2024-03-11",
        2,
        {"other_dates": 1},
    )
    assert len(closes(store, "ESM4", "es", "1m")) == 2


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", 5, "is empty"),
        (HEAD.encode() + b"\n", 5, "has no rows"),
        (b"PK\x03\x04\0\0", 2, "no CSV"),
        (b"<html><body>no</body></html>\n", 2, "columns are not clear"),
    ],
)
def test_a_file_that_holds_no_bars_is_explained_in_a_sentence(qfund, cli, content, code, words):
    (cli.folder / "bars.csv").write_bytes(content)
    ran = qfund("ingest --vendor files --path bars.csv")
    assert (ran.code, words in ran.err, "Traceback" in ran.err) == (code, True, False), ran.err


def test_a_session_that_has_not_come_yet_is_not_answered(qfund, cli, written):
    year = datetime.now(UTC).year + 1
    written(
        "bars.csv",
        HEAD,
        [*ROWS, ("AAA", f"{year}-03-08", 1, 1, 1, 1, 1), ("AAA", "2098-06-02", 1, 1, 1, 1, 1)],
    )
    ran = qfund("ingest --vendor files --path bars.csv")
    assert ran.code == 5
    assert rejects(cli) == {8: "future", 9: "future"}
    again = json.loads(qfund("ingest --vendor files --path bars.csv --json").out)["data"]
    assert again["total"]["rows_rejected"] == 2  # and so again, until the file is mended or the day has come


@pytest.mark.parametrize("calendar", ["XNYS", "CMES", "FX", "XHKG"])
@pytest.mark.parametrize("time", ["2098-06-02", "2098-06-02T14:31:00Z"])
def test_a_file_of_the_far_future_is_refused_in_words(qfund, written, calendar, time):
    written("bars.csv", HEAD, [("AAA", time, 1, 1, 1, 1, 1)])
    timeframe = "1m" if "T" in time else "1d"
    line = f"ingest --vendor files --path bars.csv --with calendar={calendar} --timeframe {timeframe}"
    ran = qfund(line)
    assert (ran.code, "has no session" in ran.err) == (5, True), ran.err


def test_days_before_the_calendars_begin_are_called_that(qfund, cli, written):
    written("bars.csv", HEAD, [("AAA", "1988-03-08", 1, 1, 1, 1, 1), *ROWS])
    assert qfund("ingest --vendor files --path bars.csv --since 1990-01-01").code == 0
    ran = qfund("ingest --vendor files --path bars.csv --full-refresh")
    assert (ran.code, rejects(cli)) == (5, {2: "before_calendar"})


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

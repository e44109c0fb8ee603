"""`qfund data pack|export|import`: minutes packed at night, bars out to files and back."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pytest

from qfund.ingest import ledger
from qfund.store import bars, open_store, sources
from tests.commands.lines import command, document
from tests.support.stored import Shelf, at, flat, minute, minute_table

__all__ = ["command"]

DAY = date(2024, 1, 2)


@pytest.fixture
def filled(command, store):
    """Three minutes of a session that was never finished, and three daily bars in two years."""
    hot = Shelf(store, timeframe="1m", feed="sip")
    hot.list("IBM")
    table = minute_table(
        [minute("IBM", at(2024, 1, 2, 14, 30) + timedelta(minutes=k), 10 + k) for k in range(3)]
    )
    with store.transaction() as conn:
        bars.write_bars(conn, hot.series, table, hot.ids, ingest_run_id=1, unfinished={DAY})
    Shelf(store, feed="sip").write(
        [flat("IBM", day, 5) for day in (date(2023, 12, 29), DAY, date(2024, 1, 3))]
    )
    return command


def test_pack_says_what_it_packed_and_a_second_time_that_there_is_nothing(filled):
    code, out, _ = filled("data pack")
    assert code == 0
    assert out.split()[-5:] == ["acme", "sip", "2024-01-02", "1", "3"]
    assert filled("data pack")[:2] == (0, "Nothing to pack.\n")


def test_pack_can_be_looked_at_first_and_is_quiet_at_night(filled):
    code, out, _ = filled("data pack --dry-run")
    assert code == 0
    assert out.split()[5:10] == ["acme", "sip", "2024-01-02", "1", "3"]
    assert "3 bars to pack; nothing was changed" in out
    assert filled("data pack --quiet") == (0, "", "")
    assert filled("data pack --dry-run")[1] == "Nothing to pack.\n"


def test_pack_as_a_document(filled):
    found = document(filled("data pack --json")[1], "data.pack")
    assert found["data"]["sessions"] == [
        {"vendor": "acme", "feed": "sip", "session": "2024-01-02", "symbols": 1, "bars": 3}
    ]


def test_minutes_that_were_never_answered_as_a_whole_count_in_the_status(filled, store):
    (row,) = document(filled("data status --timeframe 1m --json")[1], "data.status")["data"]["series"]
    assert (row["bars"], row["first"], row["last"], row["holes"]) == (3, "2024-01-02", "2024-01-02", 1)


@pytest.mark.parametrize(("hour", "missing"), [(15, []), (21, [DAY])])
def test_a_session_that_is_going_on_is_no_gap_until_it_is_over(filled, store, hour, missing):
    (series,) = sources.asked(store, "1m")
    now = at(2024, 1, 2, hour, 5)
    assert [gap.since for gap in ledger.gaps(store, series, now=now)] == missing
    assert [one.missing for one in ledger.standings(store, series, now=now).values()] == [1] * len(missing)


def test_export_and_import_into_another_store(filled, qfund, pg_server, tmp_path):
    folder = tmp_path / "bars"
    code, out, err = filled(f"data export {folder}")
    assert code == 0, err
    assert "files        2" in out
    assert f"Next: qfund data import {folder}" in err
    with pg_server.database() as url, open_store(url, tmp_path):
        first = qfund("data", "import", str(folder), "--json", QFUND__STORE__URL=url)
        second = qfund("data", "import", str(folder), "--json", QFUND__STORE__URL=url)
    counts = [document(ran.out, "data.import")["data"] for ran in (first, second)]
    assert [(c["new"], c["changed"], c["same"], c["files"]) for c in counts] == [(3, 0, 0, 2), (0, 0, 3, 2)]


def test_a_copy_of_a_project_adjusts_and_tests_alike(command, qfund, pg_server, tmp_path):
    folder = tmp_path / "bars"
    assert command("init")[0] == 0
    assert command("ingest --vendor sample --symbols IBM,AAPL --since 2010-01-01")[0] == 0
    assert command(f"data export {folder} --vendor sample")[0] == 0
    lines = [
        "data show AAPL --adjust all --since 2010-01-01 --json",
        "data actions AAPL --json",
        "data actions IBM --json",
    ]
    test = "backtest strategies/sma_cross.py --no-report --json"
    with pg_server.database() as url, open_store(url, tmp_path):
        came = qfund("data", "import", str(folder), "--json", QFUND__STORE__URL=url)
        assert document(came.out, "data.import")["data"]["actions"] > 0
        copied = [json.loads(qfund(*line.split(), QFUND__STORE__URL=url).out)["data"] for line in lines]
        tested = document(qfund(*test.split(), QFUND__STORE__URL=url).out, "backtest")["data"]
    assert copied == [json.loads(command(line)[1])["data"] for line in lines]
    assert tested["metrics"] == document(command(test)[1], "backtest")["data"]["metrics"]


def test_an_export_without_actions_is_taken_with_a_warning(filled, qfund, pg_server, tmp_path):
    folder = tmp_path / "bars"
    filled(f"data export {folder}")
    said = json.loads((folder / "manifest.json").read_text())
    del said["actions"]
    (folder / "manifest.json").write_text(json.dumps(said))
    with pg_server.database() as url, open_store(url, tmp_path):
        ran = qfund("data", "import", str(folder), QFUND__STORE__URL=url)
    assert ran.code == 0
    assert "No corporate actions came with this export" in ran.err
    assert "qfund ingest --vendor acme" in ran.err
    assert "--symbols IBM" in ran.err
    assert "--full-refresh" in ran.err


def test_export_of_minutes_holds_those_that_are_not_packed(filled, tmp_path):
    line = f"data export {tmp_path / 'bars'} --timeframe 1m --symbols IBM --json"
    found = document(filled(line)[1], "data.export")["data"]
    assert (found["bars"], found["files"], found["series"]["timeframe"]) == (3, 1, "1m")


def test_import_of_a_changed_file_is_refused_with_5(filled, tmp_path):
    folder = tmp_path / "bars"
    filled(f"data export {folder}")
    next(folder.rglob("*.parquet")).write_bytes(b"something else")
    code, out, err = filled(f"data import {folder}")
    assert (code, out) == (5, "")
    assert "is not the file that was exported" in err
    assert "Fix:" in err


def test_export_into_a_folder_of_something_else_is_refused_with_6(filled, tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "one.txt").write_text("dear")
    code, _, err = filled(f"data export {tmp_path / 'letters'}")
    assert code == 6
    assert "nothing was changed" in err


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("data export x --vendor acne", 11, "Did you mean acme"),
        ("data export x --symbols IBN", 11, "Did you mean IBM"),
        ("data export x --since yesterday", 2, "is no date"),
        ("data export x --since 2024-02-01 --until 2024-01-01", 2, "is after"),
        ("data export x --since 2031-01-01", 5, "no session"),
        ("data import x", 11, "no finished export"),
    ],
)
def test_wrong_words_are_explained(filled, line, code, words):
    ended, _, err = filled(line)
    assert ended == code, err
    assert words in err


def test_of_several_series_one_must_be_named(filled, store):
    Shelf(store, feed="iex").write([flat("IBM", DAY, 5)])
    code, _, err = filled("data export x")
    assert code == 2
    assert "acme iex, acme sip" in err
    assert filled("data export x --feed iex")[0] == 0

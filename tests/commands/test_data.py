"""`qfund data` shows what is stored, and who has more."""

from __future__ import annotations

from datetime import date

import pytest

from qfund.market.instruments import Listing
from tests.commands.lines import command, document

__all__ = ["command"]


@pytest.fixture
def filled(command):
    """A store with two months of two shares, one of which was listed in between."""
    code, _, err = command("ingest --vendor sample --symbols FB,IBM --since 2012-05-01 --until 2012-06-29")
    assert code == 0, err
    return command


def test_status_says_how_far_the_bars_reach(filled):
    code, out, err = filled("data status")
    assert code == 0
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.split()}
    assert rows["IBM"][1:9] == ["sample", "wiki", "1d", "2012-05-01", "2012-06-29", "43", "43", "43"]
    assert rows["FB"][1:9] == ["sample", "wiki", "1d", "2012-05-18", "2012-06-29", "30", "30", "30"]
    assert "2 series, 73 bars, 0 holes" in out
    assert "Next:" in err


def test_status_and_gaps_mean_the_same_by_a_hole(command):
    """Sessions after the last bar of a symbol are holes too, once they were asked of another."""
    for symbol, until in (("IBM", "2012-05-31"), ("AAPL", "2012-06-29")):
        assert (
            command(f"ingest --vendor sample --symbols {symbol} --since 2012-05-01 --until {until}")[0] == 0
        )
    gaps = document(command("data gaps --json")[1], "data.gaps")["data"]["sessions"]
    rows = document(command("data status --json")[1], "data.status")["data"]["series"]
    assert gaps["not_asked"] == sum(row["holes"] for row in rows) == 21
    assert [(row["symbol"], row["expected"], row["covered"], row["holes"]) for row in rows] == [
        ("AAPL", 43, 43, 0),
        ("IBM", 43, 22, 21),
    ]


def test_status_as_a_document(filled):
    found = document(filled("data status --json")[1], "data.status")
    row = next(row for row in found["data"]["series"] if row["symbol"] == "FB")
    assert (row["first"], row["last"], row["bars"], row["holes"]) == ("2012-05-18", "2012-06-29", 30, 0)


def test_status_of_nothing_points_to_the_first_command(command):
    code, out, err = command("data status")
    assert (code, out) == (0, "Nothing is stored yet.\n")
    assert "Next: qfund ingest --vendor sample" in err


def test_status_of_one_vendor_and_timeframe(filled):
    assert document(filled("data status --vendor other --json")[1], "data.status")["data"]["series"] == []
    assert document(filled("data status --timeframe 1m --json")[1], "data.status")["data"]["series"] == []


def test_show_prints_raw_bars_by_default(filled):
    code, out, _ = filled("data show IBM --since 2012-05-07 --until 2012-05-08")
    assert code == 0
    assert "2012-05-08" in out
    assert out.split("2012-05-08")[1].split()[:5] == [
        "202.4400",
        "203.0600",
        "199.7180",
        "201.4800",
        "3,881,500",
    ]


def test_show_adjusts_as_asked(filled):
    """IBM closed at 203.75 on 2012-05-07 and at 201.48 a day later without 0.85: the source divides by 1 + 0.85/201.48."""
    rows = {}
    for adjust in ("raw", "split", "all"):
        line = f"data show ibm --since 2012-05-07 --until 2012-05-07 --adjust {adjust} --json"
        (rows[adjust],) = document(filled(line)[1], "data.show")["data"]["rows"]
    assert rows["raw"]["close"] == rows["split"]["close"] == 203.75
    assert rows["all"]["close"] == pytest.approx(203.75 / (1 + 0.85 / 201.48), rel=1e-6)
    assert rows["all"]["session"] == "2012-05-07"


def test_show_gives_the_last_lines_and_counts_all(filled):
    data = document(filled("data show IBM --lines 2 --json")[1], "data.show")["data"]
    assert [row["session"] for row in data["rows"]] == ["2012-06-28", "2012-06-29"]
    assert data["bars"] == 43


def test_show_of_minutes_gives_the_ends_of_the_last_session(filled):
    filled("ingest --vendor sample --symbols IBM --timeframe 1m --since 2012-06-28 --until 2012-06-29")
    data = document(filled("data show IBM --timeframe 1m -n 1 --json")[1], "data.show")["data"]
    assert [row["time"] for row in data["rows"]] == ["2012-06-29T20:00:00Z"]
    assert 387 <= data["bars"] <= 390


@pytest.mark.parametrize(
    ("line", "code", "name", "words"),
    [
        ("data show IMB", 11, "UNKNOWN_SYMBOL", "Did you mean IBM"),
        ("data show IBM --timeframe 1m", 11, "UNKNOWN_SYMBOL", "No 1m bars"),
        ("data show IBM --since 2012-07-02 --until 2012-07-06", 11, "NO_BARS", "2012-05-01 to 2012-06-29"),
        ("data show IBM --since 2012-06-02 --until 2012-06-01", 2, "EMPTY_PERIOD", "is after"),
        ("data show", 2, "USAGE", "SYMBOL"),
    ],
)
def test_show_explains_what_it_cannot_show(filled, line, code, name, words):
    found = filled(line + " --json")
    (error,) = document(found[1], "data.show")["errors"]
    assert (found[0], error["code"]) == (code, name)
    assert words in error["message"]


def test_vendors_lists_offers_and_limits(command):
    code, out, _ = command("data vendors")
    assert code == 0
    assert "wiki" in out
    assert "synthetic" in out
    vendors = document(command("data vendors --json")[1], "data.vendors")["data"]["vendors"]
    assert [vendor["name"] for vendor in vendors] == ["alpaca", "files", "oanda", "sample"]
    sample = vendors[-1]
    assert (sample["name"], sample["needs_key"]) == ("sample", False)
    assert [offer["timeframe"] for offer in sample["offers"]] == ["1d", "1m"]
    assert sample["offers"][0]["last"] == "2013-03-01"


def test_two_feeds_of_one_vendor_are_told_apart_and_never_chosen_in_silence(command, store_url, tmp_path):
    from qfund.store import coverage, open_store, securities, sources
    from qfund.store.bars import write_bars
    from tests.support.stored import daily_table

    with open_store(store_url, tmp_path) as store:
        ids = securities.register(store, "acme", [Listing("LOW", "Low")])
        for feed, price in (("sip", 10.0), ("iex", 20.0)):
            series = sources.series(store, vendor="acme", timeframe="1d", feed=feed)
            run = coverage.start_run(store, "acme", "bars 1d", {})
            with store.transaction() as connection:
                rows = daily_table([("LOW", date(2024, 1, 2), price, price, price, price, 5.0)])
                write_bars(connection, series, rows, ids, ingest_run_id=run)
                coverage.add_coverage(
                    connection, series, {ids["LOW"]: [(date(2024, 1, 2), date(2024, 1, 2))]}
                )
    code, _, err = command("data show LOW")
    assert (code, "WHICH_SERIES" in err, "--feed iex" in err) == (2, True, True)
    assert "20.0000" in command("data show LOW --feed iex")[1]
    assert "10.0000" in command("data show LOW --feed sip")[1]

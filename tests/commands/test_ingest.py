"""`qfund ingest` as an operator meets it: words in, exit code, one document or a table out."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.lines import command, document

__all__ = ["command"]

REPOSITORY = Path(__file__).parents[2]


def test_the_daily_command_stores_everything_and_says_how_much(command):
    code, out, err = command("ingest --vendor sample --since 2012-01-01")
    assert code == 0
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.split()}
    assert rows["IBM"] == ["1d", "291", "0", "0", "0", "0"]
    assert rows["FB"] == ["1d", "196", "0", "0", "0", "0"]
    assert rows["all"] == ["1d", "1,360", "0", "0", "0", "0"]
    assert "FB was listed on 2012-05-18; nothing is expected before." in err
    assert "Next: qfund data status" in err


def test_with_json_stdout_is_one_document(command):
    code, out, _ = command(
        "ingest --vendor sample --symbols IBM,FB --since 2012-05-01 --until 2012-05-31 --json"
    )
    found = document(out)
    assert (code, found["ok"], found["exit_code"], found["errors"]) == (0, True, 0, [])
    data = found["data"]
    assert data["symbols"] == {
        "IBM": {"new": 22, "changed": 0, "same": 0, "rejected": 0, "holes": 0},
        "FB": {"new": 9, "changed": 0, "same": 0, "rejected": 0, "holes": 0},
    }
    assert (data["vendor"], data["feed"], data["timeframe"]) == ("sample", "wiki", "1d")
    assert data["total"]["rows_new"] == 31
    assert re.fullmatch(r"[0-9a-f]{12}", data["plan"])


def test_a_second_time_there_is_nothing_to_do(command):
    command("ingest --vendor sample --symbols IBM --since 2013-02-01")
    code, out, _ = command("ingest --vendor sample --symbols IBM --since 2013-02-01")
    assert code == 0
    assert out == "Nothing to fetch: IBM is complete from 2013-02-01 to 2013-03-01.\n"


def test_a_dry_run_shows_the_plan_and_changes_nothing(command):
    line = "ingest --vendor sample --symbols IBM,MSFT --since 2013-02-01 --dry-run"
    code, out, _ = command(line)
    assert code == 0
    assert "IBM, MSFT" in out
    assert "1 chunk, 40 sessions missing, 0 read again; nothing was changed" in out
    assert document(command(line + " --json")[1])["data"]["steps"] == [
        {
            "symbols": ["IBM", "MSFT"],
            "since": "2013-02-01",
            "until": "2013-03-01",
            "sessions": 20,
            "unfinished": False,
        }
    ]
    assert document(command("data status --json")[1], "data.status")["data"]["series"] == []


def test_since_last_goes_on_where_the_data_end(command):
    command("ingest --vendor sample --symbols IBM --since 2013-01-02 --until 2013-02-01")
    found = document(command("ingest --vendor sample --symbols IBM --since last --json")[1])
    assert found["data"]["since"] == "2013-02-01"
    assert found["data"]["total"]["rows_new"] == 19


def test_minutes_are_ingested_the_same_way(command):
    line = "ingest --vendor sample --timeframe 1m --symbols IBM --since 2012-07-03 --until 2012-07-05 --json"
    data = document(command(line)[1])["data"]
    assert data["feed"] == "synthetic"
    assert 210 + 390 - 6 <= data["symbols"]["IBM"]["new"] <= 210 + 390


def test_symbols_from_a_file(command, project):
    (project / "mine.txt").write_text("ibm\nMSFT # and no more\n")
    data = document(command("ingest --vendor sample --symbols @mine.txt --since 2013-02-28 --json")[1])[
        "data"
    ]
    assert list(data["symbols"]) == ["IBM", "MSFT"]


@pytest.mark.parametrize(
    ("line", "code", "name", "words"),
    [
        ("ingest", 2, "VENDOR_REQUIRED", "Installed: alpaca"),
        ("ingest --vendor sampel", 11, "UNKNOWN_VENDOR", "Did you mean sample"),
        ("ingest --vendor sample --symbols IMB", 11, "UNKNOWN_SYMBOL", "Did you mean IBM"),
        ("ingest --vendor sample --since 2012-02-01 --until 2012-01-01", 2, "EMPTY_PERIOD", "is after"),
        ("ingest --vendor sample --since yesterday", 2, "BAD_DATE", "is no date"),
        ("ingest --vendor sample --since 2024-01-01", 2, "OUTSIDE_SPAN", "2000-03-01 to 2013-03-01"),
        ("ingest --vendor sample --since last", 5, "NOTHING_STORED", "Nothing is stored yet"),
        ("ingest --vendor sample --until 1999-12-31", 2, "OUTSIDE_SPAN", "2000-03-01 to 2013-03-01"),
        (
            "ingest --vendor sample --symbols FB --since 2010-01-01 --until 2010-12-31",
            5, "NOT_LISTED", "FB was listed on 2012-05-18",
        ),
        ("ingest --vendor sample --since 2012-06-02 --until 2012-06-03", 5, "NO_SESSIONS", "no session"),
        ("ingest --vendor sample --timeframe 5m", 2, "USAGE", "5m"),
    ],
)  # fmt: skip
def test_a_wish_that_cannot_be_met_is_explained(command, line, code, name, words):
    found = command(line + " --json")
    (error,) = document(found[1])["errors"]
    assert (found[0], error["code"]) == (code, name)
    assert words in error["message"]


# --- as a process of its own, with vendors that fail -----------------------------------------------------------------

PLUGIN = """
import sys, time
from tests.ingest import doubles
from qfund.vendors.contract import Page

class Truthful(doubles.Truthful):
    name = "truthful"

class Faulty(doubles.Failing):
    name = "faulty"
    def __init__(self, setup):
        super().__init__("AAPL")

class Dirty(doubles.Altered):
    name = "dirty"
    def __init__(self, setup):
        super().__init__(lambda table, request: doubles.replaced(table, "IBM", doubles.date(2012, 4, 5), low=99999.0))

class Slow(doubles.Truthful):
    name = "slow"
    def answer(self, request):
        yield from super().answer(request)
        if len(self.requests) == 3:
            print("third request", file=sys.stderr, flush=True)
            time.sleep(60)
"""


@pytest.fixture
def process(store_url, tmp_path):
    """Starts qfund as a process that has the vendors above installed as plug-ins."""
    place = tmp_path / "plugins"
    facts = place / "plugins-1.0.dist-info"
    facts.mkdir(parents=True)
    (place / "failing_vendors.py").write_text(PLUGIN)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: plugins\nVersion: 1.0\n")
    names = {"faulty": "Faulty", "dirty": "Dirty", "slow": "Slow"}
    lines = [f"{name} = failing_vendors:{kind}" for name, kind in names.items()]
    (facts / "entry_points.txt").write_text("[qfund.vendors]\n" + "\n".join(lines) + "\n")
    environ = {
        **os.environ,
        "PYTHONPATH": f"{place}{os.pathsep}{REPOSITORY}",
        "QFUND__STORE__URL": store_url,
    }

    def start(line: str) -> subprocess.Popen:
        words = [sys.executable, "-m", "qfund", *line.split()]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(words, cwd=tmp_path, env=environ, **pipes)

    return start


def test_a_failing_symbol_makes_exit_4_and_the_command_that_asks_again(process):
    run = process("ingest --vendor faulty --json")
    out, _ = run.communicate(timeout=60)
    (error,) = document(out)["errors"]
    assert (run.returncode, error["code"]) == (4, "PARTIAL")
    assert error["message"].startswith("Kept 4 of 7 spans, 155 bars. AAPL failed: The vendor answers 503.")
    assert error["fix"] == "qfund ingest --vendor faulty --since 2012-01-03 --until 2012-06-29"


def test_a_rejected_bar_makes_exit_5(process):
    run = process("ingest --vendor dirty")
    out, err = run.communicate(timeout=60)
    assert run.returncode == 5
    assert "BARS_REJECTED" in err
    assert re.search(r"IBM\s+1d\s+124\s+0\s+0\s+1\s+0", out)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_says_what_was_kept(process, number, code):
    run = process("ingest --vendor slow")
    for line in run.stderr:
        if line == "third request\n":
            break
    run.send_signal(number)
    _, err = run.communicate(timeout=60)
    assert run.returncode == code, err
    # the second may be waiting for its turn to be committed while the third is asked for
    assert re.search(r"Stopped: kept (1 of 4 spans, 84|2 of 4 spans, 168) bars\.", err), err
    assert "Fix: qfund ingest --vendor slow --since 2012-01-03 --until 2012-06-29" in err

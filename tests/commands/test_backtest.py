"""`qfund backtest` runs a file on stored bars, keeps the run, and explains every refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.lines import command, document

__all__ = ["command"]

SMA = "backtest strategies/sma_cross.py -p fast=5 -p slow=20"


@pytest.fixture
def ready(command):
    """A project with one year of two shares and the first strategy."""
    for line in ("init", "ingest --vendor sample --symbols AAPL,IBM --since 2012-01-01"):
        code, _, err = command(line)
        assert code == 0, err
    return command


def test_a_backtest_shows_its_numbers_and_writes_its_report(ready, project: Path):
    code, out, err = ready(SMA)
    assert code == 0, err
    assert out.startswith("SmaCross fast=5 slow=20")
    assert "Sharpe ratio" in out
    assert "survivorship" in err
    [report] = (project / "reports").glob("*.html")
    assert report.read_text(encoding="utf-8").count("SmaCross") > 1
    assert str(report) in out
    assert oct(report.stat().st_mode)[-3:] == "644"


def test_the_same_backtest_twice_is_one_run(ready, project: Path):
    first, second = (document(ready(f"{SMA} --json")[1], "backtest")["data"] for _ in range(2))
    assert first["run_id"] == second["run_id"]
    assert first["metrics"] == second["metrics"]
    assert len(document(ready("runs list --json")[1], "runs.list")["data"]["runs"]) == 1
    assert len(list((project / "reports").iterdir())) == 1


def test_the_command_in_the_document_repeats_the_run(ready):
    told = document(
        ready(f"{SMA} --since 2012-06-01 --cost slippage_bps=7 --whole-shares --json")[1], "backtest"
    )
    again = document(ready(told["data"]["repeat"].removeprefix("qfund ") + " --json")[1], "backtest")
    assert again["data"]["run_id"] == told["data"]["run_id"]
    assert told["data"]["costs"]["slippage_bps"] == 7.0
    assert told["data"]["rules"]["fractional"] is False


def test_one_of_two_strategies_on_an_odd_amount_is_repeated_to_the_cent(ready, project: Path):
    source = (project / "strategies/sma_cross.py").read_text()
    second = source[source.index("class SmaCross") :].replace("SmaCross", "Second")
    (project / "strategies/two.py").write_text(f"{source}\n\n{second}")
    told = document(
        ready("backtest strategies/two.py:Second --cash 1234567.89 --no-report --json")[1], "backtest"
    )["data"]
    assert "strategies/two.py:Second" in told["repeat"]
    assert "--cash 1234567.89 " in told["repeat"]
    again = document(ready(told["repeat"].removeprefix("qfund ") + " --no-report --json")[1], "backtest")
    assert again["data"]["run_id"] == told["run_id"]
    assert again["data"]["metrics"]["end_equity"] == told["metrics"]["end_equity"]


def test_history_before_the_start_warms_the_strategy_up(ready):
    told = document(ready(f"{SMA} --since 2012-06-01 --json")[1], "backtest")["data"]
    assert told["since"] == "2012-06-01"
    assert told["metrics"]["start_equity"]["value"] == 100_000.0


def test_a_strategy_that_decides_once_does_so_on_the_first_day(ready):
    """One purchase, three dividends, nothing else."""
    ready("strategy new hold --template buy_and_hold")
    line = "backtest strategies/hold.py --symbols IBM --since 2012-06-04 --costs none --no-report --json"
    told = document(ready(line)[1], "backtest")["data"]
    assert told["orders"] == 1
    assert told["metrics"]["trades"]["value"] == 1
    assert told["metrics"]["dividends"]["value"] > 0


def test_no_report_means_none(ready, project: Path):
    told = document(ready(f"{SMA} --no-report --json")[1], "backtest")["data"]
    assert told["report_path"] is None
    assert not (project / "reports").exists()


@pytest.mark.parametrize(
    ("words", "code", "error", "says"),
    [
        ("-p fats=3", 2, "UNKNOWN_PARAMETER", "fast"),
        ("-p fast=ten", 2, "PARAMETER_TYPE", "whole number"),
        ("-p fast", 2, "BAD_PARAM", "name=value"),
        ("--symbols APPL", 11, "UNKNOWN_SYMBOL", "AAPL"),
        ("--vendor sampel", 11, "NO_BARS", "sample"),
        ("--since 2012-06-01 --until 2012-01-01", 2, "EMPTY_PERIOD", "after"),
        ("--since yesterdayish", 2, "BAD_DATE", "ISO date"),
        ("--timeframe 1h", 2, "BAD_CHOICE", "1m"),
        ("--timeframe 1m", 11, "NO_BARS", "No 1m bars"),
        ("--adjust al", 2, "BAD_CHOICE", "all"),
        ("--fill open", 2, "BAD_CHOICE", "next_open"),
        ("--costs us-equitys", 11, "UNKNOWN_COSTS", "us-equities"),
        ("--cost slipage_bps=3", 2, "UNKNOWN_COST", "slippage_bps"),
        ("--cash 0", 2, None, "cash"),
        ("-p slow=5000", 5, "WARMUP", "5000"),
        ("--benchmark GOOG", 11, "UNKNOWN_SYMBOL", "GOOG"),
        ("--since 2013-02-25 --until 2012-03-01", 2, "EMPTY_PERIOD", "after"),
        ("--as-of soon", 2, None, "--as-of"),
        ("--until 2005-06-01", 5, "NO_BARS", "run from 2012-01-03 to 2013-03-01"),
        ("--since 2020-01-02", 5, "NO_BARS", "--until 2013-03-01"),
    ],
)
def test_wrong_input_is_explained(ready, words: str, code: int, error: str | None, says: str):
    ended, out, _ = ready(f"backtest strategies/sma_cross.py {words} --json")
    found = document(out, "backtest")
    assert (ended, found["exit_code"], found["ok"]) == (code, code, False)
    [told] = found["errors"]
    assert says in told["message"] + (told["fix"] or "")
    if error is not None:
        assert told["code"] == error


def test_a_missing_file_names_the_nearest(ready):
    code, _, err = ready("backtest strategies/sma_cros.py")
    assert code == 11
    assert "sma_cross.py" in err


def test_look_ahead_is_refused_and_nothing_is_stored(ready, project: Path):
    source = (project / "strategies/sma_cross.py").read_text()
    (project / "strategies/peek.py").write_text(source.replace("(fast > slow)", "(fast.shift(-1) > slow)"))
    code, out, err = ready("backtest strategies/peek.py")
    assert (code, out) == (5, "")
    assert "sees the future" in err
    assert "mend line 18" in err
    assert document(ready("runs list --json")[1], "runs.list")["data"]["runs"] == []
    assert not (project / "reports").exists()


def test_a_report_that_cannot_be_written_leaves_no_run(ready, project: Path):
    (project / "blocked").write_text("a file, not a folder")
    code, _, err = ready(f"{SMA} --report blocked/report.html")
    assert code == 3
    assert "--no-report" in err
    assert document(ready("runs list --json")[1], "runs.list")["data"]["runs"] == []


def test_every_metric_is_shown_when_asked(ready):
    few, all_of_them = ready(SMA)[1], ready(f"{SMA} --full")[1]
    assert "Ulcer index" not in few
    assert "Ulcer index" in all_of_them
    assert len(all_of_them.splitlines()) > 2 * len(few.splitlines())

"""`qfund runs` lists, shows, compares, exports and deletes what was run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.commands.lines import command, document

__all__ = ["command"]


@pytest.fixture
def ran(command):
    """A project with two runs of one strategy, and their ids."""
    for line in ("init", "ingest --vendor sample --symbols AAPL,IBM --since 2012-01-01"):
        assert command(line)[0] == 0
    ids = [
        document(
            command(f"backtest strategies/sma_cross.py -p fast={fast} -p slow=20 --no-report --json")[1],
            "backtest",
        )["data"]["run_id"]
        for fast in (5, 8)
    ]
    return command, ids


def test_the_newest_run_comes_first(ran):
    command, (first, second) = ran
    runs = document(command("runs list --json")[1], "runs.list")["data"]["runs"]
    assert [run["run_id"] for run in runs] == [second, first]
    assert len(document(command("runs list --limit 1 --json")[1], "runs.list")["data"]["runs"]) == 1
    assert "fast=8 slow=20" in command("runs list")[1]
    assert document(command("runs list --strategy Other --json")[1], "runs.list")["data"]["runs"] == []


def test_a_run_is_found_by_the_beginning_of_its_id(ran):
    command, (first, _) = ran
    shown = document(command(f"runs show {first[:7]} --json")[1], "runs.show")["data"]
    assert shown["run_id"] == first
    assert len(shown["equity"]) > 200
    assert {"symbol", "pnl", "entered_at"} <= set(shown["trades"][0])
    assert "fast=5" in command(f"runs show {first[:7]} --full")[1]


def test_a_stored_run_shows_every_metric_in_the_order_of_its_report(ran):
    """The same groups and the same lines as right after the backtest, each with its convention."""
    command, (first, _) = ran
    fresh = command("backtest strategies/sma_cross.py -p fast=5 -p slow=20 --no-report --full")[1]
    stored = command(f"runs show {first} --full")[1]
    assert stored.startswith(fresh)
    titles = ["Period", "Return", "Against the benchmark", "Risk", "Drawdown", "Reward for risk"]
    lines = stored.splitlines()
    assert [line for line in lines if line in titles] == titles
    assert lines.index("Drawdown") < next(i for i, line in enumerate(lines) if line.startswith("Its trough"))
    assert "compound growth a year" in stored


@pytest.mark.parametrize("verb", ["show", "export", "delete --yes", "compare ffffffffffff"])
def test_a_run_that_is_not_there_is_not_found(ran, verb: str):
    command, _ = ran
    code, _, err = command(f"runs {verb} 000000000000")
    assert code == 11
    assert "runs list" in err


def test_comparing_names_the_one_input_that_differs(ran):
    command, (first, second) = ran
    told = document(command(f"runs compare {first} {second} --json")[1], "runs.compare")["data"]
    assert told["inputs"] == {"-p fast": [5, 8]}
    assert told["metrics"]["total_return"][0] != told["metrics"]["total_return"][1]
    same, differing = (
        command(f"runs compare {first} {first}")[1],
        command(f"runs compare {first} {second}")[1],
    )
    assert f"INPUT    {first}  {second}" in differing, "an id stays as it can be typed"
    assert "it is the same run" in same


@pytest.mark.parametrize(("form", "read"), [("csv", pd.read_csv), ("parquet", pd.read_parquet)])
def test_exported_files_hold_the_stored_numbers(ran, project: Path, form: str, read):
    command, (first, _) = ran
    shown = document(command(f"runs show {first} --json")[1], "runs.show")["data"]
    told = document(command(f"runs export {first} --format {form} --json")[1], "runs.export")["data"]
    assert [Path(name).name for name in told["files"]] == [
        f"{n}.{form}" for n in ("equity", "trades", "positions")
    ]
    equity = read(project / "exports" / first / f"equity.{form}")
    assert equity["equity"].tolist() == [row["equity"] for row in shown["equity"]]
    trades = read(project / "exports" / first / f"trades.{form}")
    assert trades["pnl"].tolist() == pytest.approx([row["pnl"] for row in shown["trades"]], rel=1e-15)


def test_an_export_that_cannot_be_written_is_explained(ran, project: Path):
    command, (first, _) = ran
    (project / "taken").write_text("")
    code, _, err = command(f"runs export {first} --to taken")
    assert code == 3
    assert "--to" in err


def test_deleting_asks_first_and_keeps_the_count_of_trials(ran):
    command, (first, second) = ran
    assert command(f"runs delete {first}")[0] == 6
    assert command(f"runs delete {first} --yes")[0] == 0
    runs = document(command("runs list --json")[1], "runs.list")["data"]["runs"]
    assert [run["run_id"] for run in runs] == [second]
    again = document(
        command("backtest strategies/sma_cross.py -p fast=9 -p slow=20 --no-report --json")[1], "backtest"
    )
    assert again["data"]["metrics"]["trials"]["value"] == 3


def test_without_runs_the_list_says_how_to_make_one(command):
    code, out, err = command("runs list")
    assert (code, out) == (0, "No run is stored yet.\n")
    assert "Next: qfund backtest" in err

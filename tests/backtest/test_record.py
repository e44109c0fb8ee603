"""The stored run and the report say what the result says."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qfund.backtest import record
from qfund.backtest.run import Backtest, Wish, run
from qfund.strategy.loading import load
from tests.backtest.test_run import HOLD, data

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def result(tmp_path: Path) -> Backtest:
    path = tmp_path / "idea.py"
    path.write_text(HOLD)
    return run(load(path), {"weight": "0.5"}, data(), Wish())


def test_the_stored_run_holds_what_made_it_and_what_came_out(result: Backtest) -> None:
    stored = record.run_record(result, report=Path("r.html"), git_commit="abc")
    assert stored.run_id == result.run_id
    assert stored.params == {"weight": 0.5}
    assert stored.symbols == ("A", "B")
    assert stored.metrics["total_return"]["value"] == result.metrics["total_return"].value
    assert list(stored.equity.columns) == ["equity", "cash", "gross", "net", "benchmark"]
    np.testing.assert_array_equal(stored.equity["equity"], result.simulation.equity)
    held = stored.positions.set_index("symbol")
    total = stored.equity["cash"].iloc[-1] + held["value"].sum()
    assert total == pytest.approx(stored.equity["equity"].iloc[-1], rel=1e-12)
    np.testing.assert_allclose(held["price"], result.raw.close.iloc[-1], rtol=1e-12)


def test_contribution_and_costs_add_up_to_the_profit(result: Backtest) -> None:
    earned = record.contribution(result.simulation).sum()
    assert earned == pytest.approx(result.simulation.equity.iloc[-1] - 100_000, abs=1e-6)


def test_exposure_is_a_fraction_of_equity(result: Backtest) -> None:
    gross, net = record.exposure(result.simulation)
    assert gross.iloc[0] == 0.0
    assert gross.iloc[1:].between(0.49, 0.51).all()
    pd.testing.assert_series_equal(gross, net, check_names=False)


def test_turnover_of_the_first_fill_is_what_was_bought(result: Backtest) -> None:
    turnover = record.turnover(result.simulation)
    assert turnover.iloc[0] == 0.0
    assert turnover.iloc[1] == pytest.approx(0.5, abs=0.01)


def test_a_strategy_that_says_nothing_about_itself_is_not_described_by_others(tmp_path: Path) -> None:
    """No sentence for programmers ("Subclass it once …") stands under the title of a report."""
    path = tmp_path / "idea.py"
    path.write_text(
        "from qfund import Strategy\n"
        "class Silent(Strategy):\n"
        "    def targets(self, bars):\n"
        "        return bars.close * 0 + 0.1\n"
    )
    silent = run(load(path), {}, data(), Wish())
    shown = record.report_input(silent, command="", generated_at=NOW, git_commit=None)
    assert shown.description == ""


def test_the_report_shows_the_first_paragraph_and_the_same_numbers(result: Backtest) -> None:
    shown = record.report_input(result, command="qfund", generated_at=NOW, git_commit=None)
    assert shown.title == "Hold"
    assert shown.metrics is result.metrics
    assert shown.dividends == 0.0
    assert ("Look-ahead", f"none found at {result.verdict.checked} moments") in shown.provenance


def test_the_command_that_repeats_a_run_names_every_choice(result: Backtest) -> None:
    words = shlex.split(
        record.repeat_command(result, Wish(), costs="us-equities", cost={"slippage_bps": "5"}, as_of=NOW)
    )
    assert words[:3] == ["qfund", "backtest", str(result.loaded.path)]
    assert "weight=0.5" in words
    assert words[words.index("--symbols") + 1] == "A,B"
    assert words[words.index("--cost") + 1] == "slippage_bps=5"
    assert words[words.index("--as-of") + 1] == NOW.isoformat()

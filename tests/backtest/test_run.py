"""A backtest has an identity, refuses what it cannot believe, and says what a reader must know."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qfund.backtest.costs import preset
from qfund.backtest.data import Data
from qfund.backtest.inputs import Rules
from qfund.backtest.run import Backtest, Wish, run
from qfund.errors import DataQualityError
from qfund.market.bars import FIELDS, Bars
from qfund.market.sessions import sessions
from qfund.strategy.loading import load

HOLD = """
import pandas as pd
from qfund import Bars, Strategy, param

class Hold(Strategy):
    weight: float = param(1.0)

    def targets(self, bars: Bars) -> pd.DataFrame:
        return bars.close.notna().astype(float) * self.weight / bars.close.shape[1]
"""
PEEK = HOLD.replace("bars.close.notna()", "(bars.close.shift(-1) > bars.close)")
IDLE = HOLD.replace("bars.close.notna()", "0 * bars.close.notna()")


def bars(rows: int = 60, symbols: tuple[str, ...] = ("A", "B")) -> Bars:
    index = sessions("XNYS", date(2024, 1, 2), date(2024, 12, 31))[:rows]
    walk = np.random.default_rng(1).normal(0.0005, 0.01, (rows, len(symbols)))
    close = 100 * np.exp(walk.cumsum(axis=0))
    fields = dict.fromkeys(FIELDS, close) | {"high": close * 1.01, "low": close * 0.99}
    return Bars.from_arrays(index, symbols, fields)


def data(rows: int = 60) -> Data:
    raw = bars(rows)
    return Data(signals=replace(raw, adjust="all"), raw=raw, source="acme", vendor="acme")


@pytest.fixture
def play(tmp_path: Path):
    def run_it(
        source: str = HOLD, wish: Wish | None = None, *, given: Data | None = None, **more
    ) -> Backtest:
        path = tmp_path / "idea.py"
        path.write_text(source)
        return run(load(path), more.pop("params", {}), given or data(), wish or Wish(), **more)

    return run_it


def test_equal_inputs_give_an_equal_run(play) -> None:
    one, other = play(), play()
    assert one.run_id == other.run_id
    assert dict(one.metrics) == dict(other.metrics)
    pd.testing.assert_series_equal(one.simulation.equity, other.simulation.equity)


def test_whatever_decides_the_result_changes_the_run_id(play) -> None:
    changed = data()
    changed.raw.close.iloc[30, 0] += 0.01
    ids = [
        play().run_id,
        play(params={"weight": "0.5"}).run_id,
        play(HOLD + "\n# another thought\n").run_id,
        play(given=changed).run_id,
        play(wish=Wish(costs=preset("us-equities", {"slippage_bps": 5}))).run_id,
        play(wish=Wish(rules=Rules(fractional=False))).run_id,
        play(wish=Wish(since=date(2024, 1, 10))).run_id,
        play(wish=Wish(benchmark="A")).run_id,
    ]
    assert len(set(ids)) == len(ids)


def test_how_hard_look_ahead_was_looked_for_does_not_change_the_run_id(play) -> None:
    assert play(wish=Wish(seed=3)).run_id == play(wish=Wish(causality_samples=2)).run_id


def test_a_strategy_that_sees_the_future_is_refused_by_name_and_day(play) -> None:
    with pytest.raises(DataQualityError, match="sees the future") as caught:
        play(PEEK)
    assert caught.value.code == "LOOKAHEAD"
    assert caught.value.details["column"] in ("A", "B")
    assert str(caught.value.details["time"]).startswith("2024-")


def test_an_unchecked_strategy_runs_with_a_warning(play) -> None:
    result = play(PEEK, Wish(causality_samples=0))
    assert any("not checked" in warning for warning in result.warnings)
    assert result.verdict is None


def test_a_strategy_that_never_trades_says_so(play) -> None:
    result = play(IDLE)
    assert result.simulation.orders.empty
    assert any("never wants a position" in warning for warning in result.warnings)
    assert result.metrics["sharpe"].value is None
    assert result.metrics["sharpe"].reason


def test_a_period_without_bars_names_the_stored_ones(play) -> None:
    with pytest.raises(DataQualityError, match="2024-01-02 to"):
        play(wish=Wish(since=date(2025, 1, 1)))


def test_the_benchmark_is_the_universe_or_a_symbol_held(play) -> None:
    raw = data().raw
    universe = play(wish=Wish(rules=Rules(fill="close")))
    expected = 100_000 * (raw.close / raw.close.iloc[0]).mean(axis=1)
    np.testing.assert_allclose(universe.benchmark, expected, rtol=1e-12)
    single = play(wish=Wish(benchmark="B", rules=Rules(fill="close")))
    np.testing.assert_allclose(
        single.benchmark, 100_000 * raw.close["B"] / raw.close["B"].iloc[0], rtol=1e-12
    )
    assert single.benchmark_name == "B, bought and held"


def test_each_different_run_so_far_counts_as_a_trial(play) -> None:
    first = play()
    assert first.metrics["trials"].value == 1
    assert play(earlier={first.run_id}).metrics["trials"].value == 1
    assert play(earlier={"000000000000", "111111111111"}).metrics["trials"].value == 3


def test_costs_of_nothing_are_warned_about(play) -> None:
    assert any("Costs are zero" in text for text in play(wish=Wish(costs=preset("none"))).warnings)
    assert not any("Costs are zero" in text for text in play().warnings)
    assert play().simulation.paid["commission"] > 0


def test_made_up_bars_are_called_so_first(play) -> None:
    result = play(given=replace(data(), source="sample/synthetic"))
    assert result.warnings[0].startswith("These bars (sample/synthetic) are made up")
    assert not any("made up" in text for text in play().warnings)


def test_one_bar_is_a_result_without_infinities(play) -> None:
    result = play(given=data(1))
    assert all(metric.value is not None or metric.reason for metric in result.metrics.values())
    assert len(result.simulation.equity) == 1

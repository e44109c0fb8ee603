"""Runs are kept as they were, found by a prefix, and counted for ever."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pandas as pd
import pytest

from qfund.errors import NotFoundError, UsageError
from qfund.store import runs
from qfund.store.runs import RunRecord
from tests.support.stored import at


def record(run_id="a1b2c3d4e5f6", **changes):
    index = pd.DatetimeIndex(["2024-01-02", "2024-01-03"], name="session").as_unit("us")
    made = RunRecord(
        run_id=run_id,
        run_type="backtest",
        strategy="sma_cross",
        code_sha256="c" * 64,
        params={"fast": 10, "x": 0.1},
        symbols=("AAPL", "MSFT"),
        timeframe="1d",
        adjust="all",
        since=date(2024, 1, 2),
        until=date(2024, 1, 3),
        data_asof=at(2024, 2, 1),
        data_fingerprint="f" * 16,
        costs={"name": "us-equities", "half_spread_bps": 1.0},
        rules={"cash": 100000.0, "fill": "next_open"},
        engine={"vectorbt": "1.2.0"},
        metrics={
            "sharpe": {"value": 1 / 3, "reason": None},
            "beta": {"value": None, "reason": "no benchmark"},
        },
        warnings=('a, "quoted" warning', "another"),
        git_commit=None,
        started_at=at(2024, 2, 1, 10),
        ended_at=at(2024, 2, 1, 11),
        report_path="reports/x.html",
        equity=pd.DataFrame(
            {
                "equity": [0.1 + 0.2, 100.0],
                "cash": [1 / 3, 2e-17],
                "gross": [float("nan"), 1.0],
                "net": [0.0, 1.0],
                "benchmark": [float("nan")] * 2,
            },
            index=index,
        ),
        trades=pd.DataFrame(
            {
                "symbol": ["AAPL", "MSFT"],
                "direction": ["long", "short"],
                "entered_at": index,
                "exited_at": [index[1], pd.NaT],
                "price_in": [1.1, 2.2],
                "price_out": [1 / 7, float("nan")],
                "shares": [3.5, 4.0],
                "pnl": [-1.0, 0.5],
                "pnl_pct": [-0.1, 0.2],
                "fees": [0.01, 0.02],
                "bars": [1, 0],
                "status": ["closed", "open"],
                "mfe_pct": [0.1, 0.2],
                "mae_pct": [-0.1, -0.2],
            }
        ),
        positions=pd.DataFrame({"symbol": ["MSFT"], "shares": [-4.0], "price": [2.1], "value": [-8.4]}),
        orders=3,
    )
    return replace(made, **changes)


def query(store, text):
    with store.sql.connect() as connection:
        return connection.exec_driver_sql(text).all()


def test_a_run_comes_back_to_the_last_bit(store):
    saved = record()
    runs.save_run(store, saved)
    found = runs.find_run(store, "a1b")
    for name in RunRecord.__dataclass_fields__:
        if name not in ("equity", "trades", "positions"):
            assert getattr(found, name) == getattr(saved, name), name
    pd.testing.assert_frame_equal(found.equity, saved.equity, check_exact=True)
    pd.testing.assert_frame_equal(found.trades, saved.trades, check_exact=True, check_dtype=False)
    pd.testing.assert_frame_equal(found.positions, saved.positions, check_exact=True, check_dtype=False)


def test_minute_runs_keep_their_times(store):
    index = pd.DatetimeIndex([at(2024, 1, 2, 14, 31), at(2024, 1, 2, 14, 32)], name="time").as_unit("us")
    saved = record(timeframe="1m")
    saved = replace(
        saved,
        equity=saved.equity.set_index(index),
        trades=saved.trades.assign(entered_at=index, exited_at=[index[1], pd.NaT]),
    )
    runs.save_run(store, saved)
    found = runs.find_run(store, saved.run_id)
    pd.testing.assert_frame_equal(found.equity, saved.equity, check_exact=True)
    assert found.trades["entered_at"].tolist() == index.tolist()


def test_a_run_without_trades_or_equity_is_kept(store):
    empty = record()
    runs.save_run(
        store,
        replace(
            empty,
            equity=empty.equity.iloc[:0],
            trades=empty.trades.iloc[:0],
            positions=empty.positions.iloc[:0],
        ),
    )
    found = runs.find_run(store, empty.run_id)
    assert found.equity.empty
    assert found.trades.empty
    assert list(found.trades.columns) == list(empty.trades.columns)


def test_saving_an_equal_run_again_replaces_it_and_counts_once(store):
    runs.save_run(store, record())
    runs.save_run(store, record(report_path="elsewhere.html"))
    assert runs.find_run(store, "a1b2").report_path == "elsewhere.html"
    assert len(runs.trials(store, "sma_cross")) == 1
    assert query(store, "SELECT count(*) FROM ops.equity") == [(2,)]


def test_deleting_runs_does_not_lower_the_trials(store):
    for run_id in ("aaaaaaaaaaaa", "bbbbbbbbbbbb"):
        runs.save_run(store, record(run_id))
    runs.delete_run(store, "aaaaaaaaaaaa")
    assert len(runs.trials(store, "sma_cross")) == 2
    assert not runs.trials(store, "unknown")
    assert query(store, "SELECT count(*) FROM ops.trade") == [(2,)]
    with pytest.raises(NotFoundError):
        runs.delete_run(store, "aaaaaaaaaaaa")


def test_a_prefix_finds_one_run_and_several_are_named(store):
    for run_id in ("abc111111111", "abc222222222", "def333333333"):
        runs.save_run(store, record(run_id))
    assert runs.find_run(store, "DEF").run_id == "def333333333"
    with pytest.raises(UsageError, match="'abc': abc111111111, abc222222222") as told:
        runs.find_run(store, "abc")
    assert told.value.exit_code == 2
    for unknown in ("999", "latest'; DROP", ""):
        with pytest.raises(NotFoundError) as missing:
            runs.find_run(store, unknown)
        assert missing.value.fix == "qfund runs list"


def test_the_newest_runs_come_first(store):
    for day, (run_id, strategy) in enumerate([("a" * 12, "one"), ("b" * 12, "two"), ("c" * 12, "one")]):
        runs.save_run(
            store, record(run_id, strategy=strategy, started_at=at(2024, 2, 1) + timedelta(days=day))
        )
    assert [run.run_id[0] for run in runs.list_runs(store)] == ["c", "b", "a"]
    assert [run.run_id[0] for run in runs.list_runs(store, strategy="one", limit=1)] == ["c"]
    assert runs.list_runs(store)[0].metrics["sharpe"]["value"] == 1 / 3


def test_a_number_that_json_cannot_hold_is_not_stored(store):
    with pytest.raises(ValueError, match="JSON"):
        runs.save_run(store, record(metrics={"sharpe": {"value": float("inf"), "reason": None}}))
    assert runs.list_runs(store) == []

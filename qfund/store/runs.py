"""Backtests that were run: what made them, what came out, and how many there have been.

Promises: a run is named by what made it, so that saving an equal run again replaces it and counts once. The
number of trials of a strategy never falls, also when runs are deleted. Numbers come back as they were
saved, to the last bit.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from qfund.errors import NotFoundError, UsageError
from qfund.store.faults import translated

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from qfund.store.database import Store

_EQUITY = ("equity", "cash", "gross", "net", "benchmark")
_TRADE = (
    "symbol", "direction", "entered_at", "exited_at", "price_in", "price_out", "shares", "pnl", "pnl_pct",
    "fees", "bars", "status", "mfe_pct", "mae_pct",
)  # fmt: skip
_POSITION = ("symbol", "shares", "price", "value")


@dataclass(frozen=True, eq=False)
class RunRecord:
    """One run as it is kept.

    Attributes:
        run_id: 12 hexadecimal digits, a hash of what made the run.
        run_type: ``backtest`` or ``sweep``.
        strategy: the strategy's name.
        code_sha256: of the strategy's file.
        params: the strategy's parameters.
        symbols: the universe.
        timeframe: length of a bar.
        adjust: what the strategy saw.
        since: first session.
        until: last session.
        data_asof: the data were read as of this UTC instant.
        data_fingerprint: of the bars.
        costs: the cost model.
        rules: cash, fills, whole shares, …
        engine: versions.
        metrics: name → ``{"value": …, "reason": …}``, reason given when the value is None.
        warnings: what the user was warned of.
        git_commit: of the strategy's folder, when there is one.
        started_at: UTC.
        ended_at: UTC.
        report_path: where the report was written, None without.
        equity: index time (naive sessions for daily bars, UTC for minutes); equity, cash, gross, net,
            benchmark.
        trades: see ``qfund.backtest``; symbol, direction, entered_at, exited_at, price_in, …
        positions: what is held at the end; symbol, shares, price, value.
        orders: how many orders there were.
    """

    run_id: str
    run_type: str
    strategy: str
    code_sha256: str
    params: dict[str, Any]
    symbols: tuple[str, ...]
    timeframe: str
    adjust: str
    since: date
    until: date
    data_asof: datetime
    data_fingerprint: str
    costs: dict[str, Any]
    rules: dict[str, Any]
    engine: dict[str, Any]
    metrics: dict[str, dict[str, Any]]
    warnings: tuple[str, ...]
    git_commit: str | None
    started_at: datetime
    ended_at: datetime | None
    report_path: str | None
    equity: pd.DataFrame = field(repr=False, default_factory=pd.DataFrame)
    trades: pd.DataFrame = field(repr=False, default_factory=pd.DataFrame)
    positions: pd.DataFrame = field(repr=False, default_factory=pd.DataFrame)
    orders: int = 0


# ---------------------------------------------------------------- saving


def save_run(store: Store, record: RunRecord) -> None:
    """Keep a run; an equal one that is there already is replaced. One transaction."""
    with translated(), store.sql.begin() as connection:
        strategy = _strategy_id(connection, record.strategy)
        values = _run_values(record, strategy)
        connection.exec_driver_sql("DELETE FROM ops.run WHERE run_id = %s", (record.run_id,))
        connection.exec_driver_sql(
            f"INSERT INTO ops.run ({', '.join(values)}) VALUES ({', '.join(f'%({k})s' for k in values)})",  # noqa: S608
            values,
        )
        connection.exec_driver_sql(
            "INSERT INTO ops.run_performance (run_id, metrics) VALUES (%s, %s)",
            (record.run_id, _json(record.metrics)),
        )
        connection.exec_driver_sql(
            "INSERT INTO ops.trial (strategy_id, run_id) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            (strategy, record.run_id),
        )
        _copy_frames(connection, record)


def _strategy_id(connection: Connection, name: str) -> int:
    connection.exec_driver_sql("INSERT INTO ops.strategy (name) VALUES (%s) ON CONFLICT DO NOTHING", (name,))
    found = connection.exec_driver_sql("SELECT strategy_id FROM ops.strategy WHERE name = %s", (name,))
    return int(found.scalar_one())


def _run_values(record: RunRecord, strategy: int) -> dict[str, Any]:
    plain = (
        "run_id", "run_type", "code_sha256", "git_commit", "timeframe", "adjust", "since", "until",
        "data_asof", "data_fingerprint", "orders", "report_path", "started_at", "ended_at",
    )  # fmt: skip
    mappings = ("params", "costs", "rules", "engine")
    return (
        {name: getattr(record, name) for name in plain}
        | {name: _json(getattr(record, name)) for name in mappings}
        | {"strategy_id": strategy, "universe": list(record.symbols), "warnings": list(record.warnings)}
    )


def _json(values: Mapping[str, object]) -> str:
    return json.dumps(dict(values), allow_nan=False, default=str)


def _copy_frames(connection: Connection, record: RunRecord) -> None:
    """Equity, trades and positions by COPY; as text every float keeps all its digits."""
    if not record.equity.empty:
        equity = record.equity.reindex(columns=list(_EQUITY))
        equity.insert(0, "at", record.equity.index)
        _copy(connection, record.run_id, "equity", equity)
    if not record.trades.empty:
        trades = record.trades.reindex(columns=list(_TRADE))
        trades.insert(0, "ref", range(1, len(trades) + 1))
        _copy(connection, record.run_id, "trade", trades)
    if not record.positions.empty:
        positions = record.positions.reindex(columns=list(_POSITION))
        positions.insert(0, "at", record.equity.index[-1])
        _copy(connection, record.run_id, "position", positions)


def _copy(connection: Connection, run_id: str, table: str, frame: pd.DataFrame) -> None:
    text = io.StringIO()
    frame = frame.copy(deep=False)
    if "bars" in frame:
        frame["bars"] = frame["bars"].astype("Int64")
    frame.insert(0, "run_id", run_id)
    frame.to_csv(text, index=False, header=False)
    text.seek(0)
    columns = ", ".join(frame.columns)
    driver = connection.connection.cursor()
    try:
        # Session dates of daily bars are kept as midnights UTC.
        driver.execute("SET LOCAL timezone = 'UTC'")
        driver.copy_expert(f"COPY ops.{table} ({columns}) FROM STDIN (FORMAT csv)", text)
    finally:
        driver.close()


def delete_run(store: Store, run_id: str) -> None:
    """Forget a run and all that belongs to it; it still counts as a trial.

    Raises:
        NotFoundError: there is no such run.
    """
    with translated(), store.sql.begin() as connection:
        gone = connection.exec_driver_sql("DELETE FROM ops.run WHERE run_id = %s", (run_id,)).rowcount
    if not gone:
        raise _no_run(run_id)


# ---------------------------------------------------------------- finding

_RUN = """
SELECT r.run_id, r.run_type, s.name AS strategy, r.code_sha256, r.params, r.universe AS symbols, r.timeframe,
       r.adjust, r.since, r.until, r.data_asof, r.data_fingerprint, r.costs, r.rules, r.engine,
       coalesce(p.metrics, '{}') AS metrics, r.warnings, r.git_commit, r.started_at, r.ended_at,
       r.report_path, r.orders
  FROM ops.run r JOIN ops.strategy s USING (strategy_id) LEFT JOIN ops.run_performance p USING (run_id)
"""


def _record(row: Any, frames: Mapping[str, pd.DataFrame]) -> RunRecord:
    lists = {name: tuple(getattr(row, name)) for name in ("symbols", "warnings")}
    return RunRecord(**(dict(row._mapping) | lists | dict(frames)))  # noqa: SLF001 - SQLAlchemy's public name


def find_run(store: Store, prefix: str) -> RunRecord:
    """The run whose id starts so, with its equity, trades and positions.

    Raises:
        NotFoundError: there is none.
        UsageError: several runs' ids start so.
    """
    wanted = prefix.strip().lower()
    if not re.fullmatch(r"[0-9a-f]{1,64}", wanted):
        raise _no_run(prefix)
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            _RUN + " WHERE starts_with(r.run_id, %s) ORDER BY r.run_id LIMIT 6", (wanted,)
        ).all()
        if not rows:
            raise _no_run(prefix)
        exact = [row for row in rows if row[0] == wanted]
        if len(rows) > 1 and not exact:
            raise UsageError(
                f"Several runs begin with '{wanted}': {', '.join(row[0] for row in rows[:5])}"
                f"{', …' if len(rows) > 5 else ''}.",
                fix="give more digits of the run's id",
                code="AMBIGUOUS_RUN",
            )
        found = (exact or rows)[0]
        return _record(found, _frames(connection, found.run_id, daily=found.timeframe == "1d"))


def _no_run(wanted: str) -> NotFoundError:
    return NotFoundError(f"There is no run '{wanted[:64]}'.", fix="qfund runs list", code="UNKNOWN_RUN")


def _frames(connection: Connection, run_id: str, *, daily: bool) -> dict[str, pd.DataFrame]:
    equity = _frame(connection, "equity", ("at", *_EQUITY), run_id, "at")
    equity["at"] = _times(equity["at"], daily=daily)
    trades = _frame(connection, "trade", _TRADE, run_id, "ref")
    for name in ("entered_at", "exited_at"):
        trades[name] = _times(trades[name], daily=daily)
    return {
        "equity": equity.set_index("at").rename_axis("session" if daily else "time"),
        "trades": trades,
        "positions": _frame(connection, "position", _POSITION, run_id, "symbol"),
    }


def _frame(
    connection: Connection, table: str, columns: tuple[str, ...], run_id: str, order: str
) -> pd.DataFrame:
    rows = connection.exec_driver_sql(
        f"SELECT {', '.join(columns)} FROM ops.{table} WHERE run_id = %s ORDER BY {order}",  # noqa: S608 - our own names
        (run_id,),
    ).all()
    frame = pd.DataFrame.from_records([tuple(row) for row in rows], columns=list(columns))
    words = {"symbol", "direction", "status", "at", "entered_at", "exited_at", "bars"}
    return frame.astype({name: "float64" for name in columns if name not in words})


def _times(column: pd.Series, *, daily: bool) -> pd.Series:
    """UTC instants; the sessions of daily bars are naive midnights again."""
    times = pd.to_datetime(column, utc=True).dt.as_unit("us")
    return times.dt.tz_localize(None) if daily else times


def list_runs(store: Store, strategy: str | None = None, limit: int = 20) -> list[RunRecord]:
    """The newest runs, newest first, without their frames."""
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            _RUN + " WHERE (%s::text IS NULL OR s.name = %s) ORDER BY r.started_at DESC, r.run_id LIMIT %s",
            (strategy, strategy, limit),
        ).all()
    return [_record(row, {}) for row in rows]


def trials(store: Store, strategy: str) -> frozenset[str]:
    """The ids of all different runs of a strategy that there have ever been; deleted ones stay."""
    with translated(), store.sql.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT t.run_id FROM ops.trial t JOIN ops.strategy s USING (strategy_id) WHERE s.name = %s",
            (strategy,),
        )
        return frozenset(found.scalars())

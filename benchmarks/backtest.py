"""How long a backtest of 1,000 symbols × 2,520 sessions takes, against bt, backtrader and backtesting.py.

    uv pip install --group benchmarks .       # the peers
    python -m benchmarks.backtest

The strategy is the same for all: equal parts of every symbol from one purse, rebalanced monthly or daily,
with a commission of 10 bps. Each engine runs in a process of its own. Not timed: imports, and bringing the
prices into the engine's own form (bars, frames, feeds). Timed: the simulation and its figures; for qfund
``simulate`` and ``compute``, all frames and metrics included.

What the peers do differently: bt fills at the close that decided (qfund is timed on that too, and the final
equities are shown side by side); backtrader sizes at the close before the open that fills. backtesting.py
trades one symbol with its own purse by design and cannot run this portfolio: as an idea of its speed it runs
one symbol, half invested, rebalanced as often; its time is multiplied by the number of symbols.

A peer that is not done within the time limit is run again on the first tenth of the sessions, and its time is
multiplied by ten; such figures are marked with "~".
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd

CASH = 10_000_000.0
BPS = 10
REBALANCES = ("monthly", "daily")

Run = Callable[[], float]  # does the work and returns the final equity


def prices(symbols: int, sessions: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Opens and closes of a random market with a common factor."""
    draw = np.random.default_rng(7)
    move = draw.normal(0.0002, 0.008, (sessions, 1)) + draw.normal(0.0, 0.015, (sessions, symbols))
    close = 50 * np.exp(np.cumsum(move, axis=0))
    opens = close * np.exp(draw.normal(0.0, 0.004, close.shape))
    index = pd.bdate_range("2014-01-02", periods=sessions, name="session")
    names = pd.Index([f"S{number:04d}" for number in range(symbols)], dtype=object)
    return pd.DataFrame(opens, index, names), pd.DataFrame(close, index, names)


def due(index: pd.DatetimeIndex, rebalance: str) -> np.ndarray:
    """The sessions whose close decides: all, or the last of each month."""
    if rebalance == "daily":
        return np.ones(len(index), dtype=bool)
    months = index.month.to_numpy()
    return np.append(months[1:] != months[:-1], False)


def qfund(opens: pd.DataFrame, close: pd.DataFrame, rebalance: str, fill: str = "next_open") -> Run:
    """Simulate and measure."""
    from qfund.backtest.costs import CostModel
    from qfund.backtest.engine import Market, Rules, simulate
    from qfund.backtest.metrics import compute
    from qfund.market.bars import Bars

    high, low = np.maximum(opens, close), np.minimum(opens, close)
    fields = {"open": opens, "high": high, "low": low, "close": close, "volume": close}
    arrays = {name: np.ascontiguousarray(frame.to_numpy()) for name, frame in fields.items()}
    bars = Bars.from_arrays(close.index, list(close.columns), arrays)
    targets = pd.DataFrame(np.nan, close.index, bars.close.columns)
    targets[due(close.index, rebalance)] = 1 / close.shape[1]
    rules = Rules(cash=CASH, fill=fill)  # type: ignore[arg-type]

    def run() -> float:
        sim = simulate(Market(bars), targets, CostModel("ten", commission_bps=BPS), rules)
        compute(sim, calendar="XNYS", benchmark=None)
        return float(sim.equity.iloc[-1])

    return run


def bt(opens: pd.DataFrame, close: pd.DataFrame, rebalance: str) -> Run:
    """bt: weights at the close, fractional positions."""
    import bt as peer

    dates = close.index[due(close.index, rebalance)]
    algos = [
        peer.algos.RunOnDate(*dates),
        peer.algos.SelectAll(),
        peer.algos.WeighEqually(),
        peer.algos.Rebalance(),
    ]
    test = peer.Backtest(
        peer.Strategy("equal", algos),
        close,
        initial_capital=CASH,
        commissions=lambda quantity, price: abs(quantity) * price * BPS / 10_000,
        integer_positions=False,
        progress_bar=False,
    )
    return lambda: float(peer.run(test).prices.iloc[-1, 0]) / 100 * CASH


def backtrader(opens: pd.DataFrame, close: pd.DataFrame, rebalance: str) -> Run:
    """backtrader: one feed a symbol, target percentages, filled at the next open."""
    import backtrader as peer

    decided = due(close.index, rebalance)

    class Equal(peer.Strategy):  # type: ignore[misc]
        def next(self) -> None:
            if decided[len(self) - 1]:
                for feed in self.datas:
                    self.order_target_percent(feed, target=1 / len(self.datas))

    engine = peer.Cerebro(stdstats=False)
    for name in close.columns:
        frame = pd.DataFrame({"open": opens[name], "close": close[name]})
        frame["high"], frame["low"] = frame.max(axis=1), frame.min(axis=1)
        frame["volume"] = 1e6
        engine.adddata(peer.feeds.PandasData(dataname=frame), name=name)
    engine.addstrategy(Equal)
    engine.broker.setcash(CASH)
    engine.broker.setcommission(commission=BPS / 10_000)

    def run() -> float:
        engine.run()
        return float(engine.broker.getvalue())

    return run


def backtesting(opens: pd.DataFrame, close: pd.DataFrame, rebalance: str) -> Run:
    """backtesting.py: the first symbol alone, half invested."""
    import backtesting as peer

    decided = due(close.index, rebalance)

    class Half(peer.Strategy):  # type: ignore[misc]
        def init(self) -> None:
            pass

        def next(self) -> None:
            if decided[len(self.data) - 1]:
                change = round(0.5 * self.equity / self.data.Close[-1]) - self.position.size
                if change > 0:
                    self.buy(size=change)
                elif change < 0:
                    self.sell(size=-change)

    name = close.columns[0]
    frame = pd.DataFrame({"Open": opens[name], "Close": close[name], "Volume": 1e6})
    frame["High"], frame["Low"] = frame[["Open", "Close"]].max(axis=1), frame[["Open", "Close"]].min(axis=1)
    test = peer.Backtest(frame, Half, cash=CASH, commission=BPS / 10_000)
    return lambda: float(test.run()["Equity Final [$]"])


ENGINES: dict[str, Callable[[pd.DataFrame, pd.DataFrame, str], Run]] = {
    "qfund": qfund,
    "qfund, fill close": lambda opens, close, rebalance: qfund(opens, close, rebalance, "close"),
    "bt": bt,
    "backtrader": backtrader,
    "backtesting": backtesting,
}


def worker(engine: str, rebalance: str, symbols: int, sessions: int) -> None:
    """Time one engine in this process and print one JSON line."""
    warnings.simplefilter("ignore")
    ENGINES[engine](*prices(20, 60), rebalance)()  # imports and compiles
    run = ENGINES[engine](*prices(symbols, sessions), rebalance)
    begun = time.perf_counter()
    equity = run()
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "equity": equity, "peak_mb": peak}))


def timed(engine: str, rebalance: str, symbols: int, sessions: int, limit: float) -> dict[str, float] | None:
    """One engine in a process of its own; None when the time limit is over."""
    words = ["--engine", engine, "--rebalance", rebalance, f"--symbols={symbols}", f"--sessions={sessions}"]
    command = [sys.executable, "-m", "benchmarks.backtest", *words]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return None
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(rebalance: str, symbols: int, sessions: int, limit: float, engines: list[str]) -> None:
    """One table: seconds, how many times qfund's, final equity, peak memory."""
    print(f"\n{rebalance} rebalancing, {symbols:,} symbols × {sessions:,} sessions")
    print(f"{'engine':20} {'seconds':>10} {'× qfund':>9} {'final equity':>16} {'peak MB':>9}")
    base = 0.0
    for engine in engines:
        few = 1 if engine == "backtesting" else symbols
        found, mark, factor = timed(engine, rebalance, few, sessions, limit), "", symbols / few
        if found is None:
            found, mark = timed(engine, rebalance, few, sessions // 10, limit), "~"
            factor *= sessions / (sessions // 10)
        if found is None:
            print(f"{engine:20} {f'> {limit:.0f}':>10}   (a tenth of the sessions is not done in that time)")
            continue
        seconds = found["seconds"] * factor
        base = base or seconds
        whole = factor == 1
        shown = f"{found['equity']:16,.0f}" if whole else f"{'':16}"
        print(
            f"{engine:20} {mark + format(seconds, '.2f'):>10} {seconds / base:9.1f} {shown} "
            f"{found['peak_mb']:9,.0f}"
        )


def main() -> None:
    """Both rebalancings; or one engine, when called as a worker."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", choices=ENGINES)
    parser.add_argument("--rebalance", choices=REBALANCES)
    parser.add_argument("--symbols", type=int, default=1000)
    parser.add_argument("--sessions", type=int, default=2520)
    parser.add_argument("--only", help="engines, separated by commas; the first is the measure", default="")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds for each peer")
    given = parser.parse_args()
    if given.engine:
        worker(given.engine, given.rebalance, given.symbols, given.sessions)
        return
    for rebalance in REBALANCES if given.rebalance is None else (given.rebalance,):
        engines = given.only.split(",") if given.only else list(ENGINES)
        compare(rebalance, given.symbols, given.sessions, given.limit, engines)


if __name__ == "__main__":
    main()

"""The same strategy and costs through an engine that shares no code with ours: backtesting.py.

What is compared is what both can do: one symbol, all in or all out at the next open, whole shares, a commission
in proportion to the order. What they do differently is kept out by name:

- backtesting.py takes its spread once, on entry; we take half on each side: both run without spread.
- backtesting.py knows no dividends and no splits: both run on raw prices without corporate actions.
- backtesting.py sizes a relative order on cash net of commission; we wish for the whole equity and cut the order
  to the cash. For a flat account that is the same number of shares.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from qfund.backtest.costs import CostModel
from qfund.backtest.engine import Market, Rules, simulate
from qfund.market.bars import Bars
from qfund.vendors.sample import Sample
from tests.strategy.prices import sample_bars

ALL = 1 - 1e-12  # backtesting.py reads 1 as one share
CASH = 1_000_003.17  # no multiple of an opening price, where that 1e-12 would cost it a share
FAST, SLOW = 10, 30


@pytest.fixture(scope="module")
def sample() -> Bars:
    return sample_bars(Sample())


def theirs(frame: pd.DataFrame, long: np.ndarray, commission: float, cash: float) -> pd.Series:
    from backtesting import Backtest, Strategy

    class Follow(Strategy):
        def init(self) -> None:
            pass

        def next(self) -> None:
            wanted = long[len(self.data) - 1]
            if wanted and not self.position:
                self.buy(size=ALL)
            elif not wanted and self.position:
                self.position.close()

    test = Backtest(frame, Follow, cash=cash, commission=commission, exclusive_orders=False)
    return test.run()["_equity_curve"]["Equity"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("symbol", ["AAPL", "FB", "GOOG", "IBM", "MSFT"])
@pytest.mark.parametrize("bps", [0.0, 10.0])
def test_equity_agrees_to_a_millionth_at_every_close(sample: Bars, symbol: str, bps: float) -> None:
    bars = sample.select([symbol])
    listed = int(np.flatnonzero(bars.close[symbol].notna())[0])
    bars = bars.rows(listed, None)
    close = bars.close[symbol]
    long = (close.rolling(FAST).mean() > close.rolling(SLOW).mean()).to_numpy()
    changed = np.diff(long.astype(int), prepend=0) != 0
    targets = pd.DataFrame({symbol: np.where(changed, long.astype(float), np.nan)}, index=bars.index)
    targets.columns = bars.close.columns

    sim = simulate(
        Market(bars), targets, CostModel("paper", commission_bps=bps), Rules(CASH, fractional=False)
    )

    frame = pd.DataFrame(
        {
            name.capitalize(): getattr(bars, name)[symbol]
            for name in ("open", "high", "low", "close", "volume")
        }
    )
    curve = theirs(frame, long, bps / 10_000, CASH)
    assert len(sim.orders) > 5
    # backtesting.py starts to act at its second bar and reports its first as the starting cash
    assert np.allclose(sim.equity.to_numpy(), curve.to_numpy(), rtol=1e-6)

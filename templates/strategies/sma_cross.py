import pandas as pd
from qfund import Bars, Strategy, param


class SmaCross(Strategy):
    """Hold, in equal parts, every symbol whose fast average is above its slow one."""

    fast: int = param(10, grid=range(5, 30, 5))
    slow: int = param(30, grid=range(20, 120, 20))

    @property
    def warmup(self) -> int:  # bars needed before the first decision
        return self.slow

    def targets(self, bars: Bars) -> pd.DataFrame:  # weights, time x symbol, decided at each bar's close
        fast = bars.close.rolling(self.fast).mean()
        slow = bars.close.rolling(self.slow).mean()
        return (fast > slow).astype(float) / bars.close.shape[1]

"""Mean reversion: a price far below its own recent average tends to come back to it."""

import pandas as pd

from qfund import Bars, Strategy, param


class MeanReversion(Strategy):
    """Buy a symbol when it is unusually cheap, sell it when it is back near its average."""

    window: int = param(20, grid=range(10, 60, 10), low=3, help="bars of the average and its spread")
    entry: float = param(2.0, grid=(1.5, 2.0, 2.5), low=0.0, help="buy this many deviations below")
    leave: float = param(0.5, grid=(0.0, 0.5), low=0.0, help="sell when at most this many below")

    @property
    def warmup(self) -> int:
        """Bars needed before the first decision."""
        return self.window

    def targets(self, bars: Bars) -> pd.DataFrame:
        """Weights, time x symbol, decided at each bar's close."""
        # Average and spread of the *past* bars only. Taken over the whole history, they would know
        # the future.
        average = bars.close.rolling(self.window).mean()
        spread = bars.close.rolling(self.window).std()
        distance = (bars.close - average) / spread

        # In between the two limits there is nothing to decide: NaN keeps what is held.
        weights = pd.DataFrame(float("nan"), index=bars.close.index, columns=bars.close.columns)
        weights = weights.mask(distance < -self.entry, 1 / bars.close.shape[1])
        return weights.mask(distance > -self.leave, 0.0)

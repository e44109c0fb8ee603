"""Momentum across symbols, decided once a month: what rose the most tends to go on rising for a while."""

import pandas as pd

from qfund import Bars, Strategy, param


class Momentum(Strategy):
    """Each month, hold in equal parts the few symbols that rose the most over the past year."""

    lookback: int = param(252, grid=(63, 126, 252), low=2, help="bars over which the rise is measured")
    skip: int = param(21, grid=(0, 21), low=0, help="latest bars left out: they tend to turn around")
    top: int = param(2, grid=range(1, 4), low=1, help="how many symbols to hold at the most")

    @property
    def warmup(self) -> int:
        """Bars needed before the first decision."""
        # The oldest price that a decision looks at is max(lookback, skip) bars back, and the deciding
        # bar counts, too.
        return max(self.lookback, self.skip) + 1

    def targets(self, bars: Bars) -> pd.DataFrame:
        """Weights, time x symbol, decided at each bar's close."""
        # shift(n) with n > 0 looks back. A negative n would look into the future: the check finds that.
        rise = bars.close.shift(self.skip) / bars.close.shift(self.lookback) - 1

        # axis=1 ranks the symbols of one day against each other, never the days of one symbol.
        place = rise.rank(axis=1, ascending=False, method="first")
        chosen = (place <= self.top) & (rise > 0)
        weights = chosen.astype(float) / self.top

        # Decide on the first session of each month, keep (NaN) on all others. The *last* session of a
        # month could only be known by looking at the next one.
        month = pd.Series(bars.sessions.to_period("M"), index=bars.close.index)
        new_month = month != month.shift(1)
        return weights.where(new_month)

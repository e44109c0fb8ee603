"""Buy and hold: the plainest strategy, and the one that every other must beat."""

import pandas as pd

from qfund import Bars, Strategy


class BuyAndHold(Strategy):
    """Buy each symbol in equal parts when it is first priced, and never trade again."""

    def targets(self, bars: Bars) -> pd.DataFrame:
        """Weights, time x symbol, decided at each bar's close."""
        # A symbol that is listed later leaves its part in cash until then.
        weight = 1 / bars.close.shape[1]
        priced_so_far = bars.close.notna().cumsum()
        first_price = bars.close.notna() & (priced_so_far == 1)

        # A number is a wish for that part of the portfolio; NaN keeps what is held. Returning the
        # weight in every row would buy and sell a little each day to keep the parts equal.
        nothing = pd.DataFrame(float("nan"), index=bars.close.index, columns=bars.close.columns)
        return nothing.mask(first_price, weight)

"""Twenty-odd strategies whose answer is known: some see the future, some do not."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd

from qfund import Bars, Strategy, param


def even(bars: Bars, wanted: pd.DataFrame) -> pd.DataFrame:
    return wanted.astype(float) / bars.close.shape[1]


class NextBar(Strategy):
    """Buys what will rise tomorrow."""

    def targets(self, bars: Bars) -> pd.DataFrame:
        return even(bars, bars.close.shift(-1) > bars.close)


class CentredAverage(Strategy):
    """Its average reaches five bars ahead."""

    def targets(self, bars: Bars) -> pd.DataFrame:
        return even(bars, bars.close < bars.close.rolling(11, center=True).mean())


class FullSampleScore(Strategy):
    """Its mean and deviation are those of the whole history."""

    def targets(self, bars: Bars) -> pd.DataFrame:
        score = (bars.close - bars.close.mean()) / bars.close.std()
        return -score.clip(-3, 3) / 100


class BackFill(Strategy):
    """Fills holes with the price after them."""

    warmup = 6

    def targets(self, bars: Bars) -> pd.DataFrame:
        close = bars.close.bfill()
        return even(bars, close > close.shift(5))


class WeeklyLabel(Strategy):
    """Labels the week's last price with the week's first day."""

    warmup = 11

    def targets(self, bars: Bars) -> pd.DataFrame:
        weekly = bars.close.resample("W", label="left", closed="left").last()
        daily = weekly.reindex(bars.close.index, method="ffill")
        return even(bars, daily > bars.close.shift(1))


class FutureMaximum(Strategy):
    """Sells at the highest price of the next ten bars."""

    def targets(self, bars: Bars) -> pd.DataFrame:
        ahead = bars.high[::-1].rolling(10, min_periods=1).max()[::-1]
        return even(bars, bars.close < ahead * 0.98)


class FullSampleRank(Strategy):
    """Knows how cheap today is among all days to come."""

    def targets(self, bars: Bars) -> pd.DataFrame:
        return (1 - bars.close.rank(pct=True)) / bars.close.shape[1]


class FullSampleQuantile(Strategy):
    """Its threshold is a quantile of the whole history."""

    def targets(self, bars: Bars) -> pd.DataFrame:
        moves = bars.close.pct_change(fill_method=None)
        return even(bars, moves < moves.quantile(0.2))


class LastPrice(Strategy):
    """Scales by the last price of the history."""

    def targets(self, bars: Bars) -> pd.DataFrame:
        last = bars.close.ffill().iloc[-1]
        return (bars.close / last).clip(0, 5) / 30


class VolumeAhead(Strategy):
    """Prices are honest, but tomorrow's volume is not."""

    def targets(self, bars: Bars) -> pd.DataFrame:
        busy = bars.volume.shift(-1) > bars.volume.rolling(20).mean()
        return even(bars, busy & (bars.close > bars.close.shift(1)))


class OnlyInMarch(Strategy):
    """An honest average, except in March."""

    warmup = 20

    def targets(self, bars: Bars) -> pd.DataFrame:
        honest = bars.close > bars.close.rolling(20).mean()
        ahead = bars.close.shift(-1) > bars.close
        march = pd.Series(bars.close.index.month == 3, index=bars.close.index)
        return even(bars, ahead.where(march, honest))


class FittedOnAll(Strategy):
    """Its regression is trained on all rows."""

    def targets(self, bars: Bars) -> pd.DataFrame:
        moves = bars.close.pct_change(fill_method=None)
        past, future = moves.shift(1).to_numpy().ravel(), moves.to_numpy().ravel()
        known = ~(np.isnan(past) | np.isnan(future))
        slope, level = np.polyfit(past[known], future[known], 1)
        return (moves * slope + level) * 20


class MonthEnd(Strategy):
    """Decides on each month's last session, which only the next session tells."""

    def targets(self, bars: Bars) -> pd.DataFrame:
        month = bars.sessions.to_period("M")
        last = np.append(month[1:] != month[:-1], True)
        weights = even(bars, bars.close > bars.close.shift(20))
        return weights.where(pd.Series(last, index=bars.close.index))


class NextOpen(Strategy):
    """Knows tomorrow's open at today's close."""

    def targets(self, bars: Bars) -> pd.DataFrame:
        return even(bars, bars.open.shift(-1) > bars.close)


class TooClever(Strategy):
    """Keeps what the first run knew for later runs, and looks ahead in it."""

    memory: ClassVar[dict[str, pd.DataFrame]] = {}

    def targets(self, bars: Bars) -> pd.DataFrame:
        seen = self.memory.get("close")
        if seen is None or len(seen) < len(bars):
            self.memory["close"] = seen = bars.close
        ahead = (seen.shift(-1) > seen).reindex(bars.close.index)
        return even(bars, ahead)


class SmaCross(Strategy):
    fast: int = param(10)
    slow: int = param(30)

    @property
    def warmup(self) -> int:
        return self.slow

    def targets(self, bars: Bars) -> pd.DataFrame:
        fast = bars.close.rolling(self.fast).mean()
        return even(bars, fast > bars.close.rolling(self.slow).mean())


class EmaCross(Strategy):
    warmup = 300

    def targets(self, bars: Bars) -> pd.DataFrame:
        fast, slow = bars.close.ewm(span=10).mean(), bars.close.ewm(span=40).mean()
        return even(bars, fast > slow)


class EmaDistance(Strategy):
    warmup = 200

    def targets(self, bars: Bars) -> pd.DataFrame:
        return (bars.close / bars.close.ewm(span=20).mean() - 1).clip(-0.1, 0.1)


class MonthlyFilled(Strategy):
    """The month before's last price, known from the first session of the month on."""

    warmup = 60

    def targets(self, bars: Bars) -> pd.DataFrame:
        month = pd.Series(bars.sessions.to_period("M"), index=bars.close.index)
        before = bars.close.shift(1).where(month != month.shift(1)).ffill()
        return even(bars, bars.close > before)


class MonthlyResampled(Strategy):
    """A month's last price, labelled with the month's end: known from the next session on."""

    warmup = 70

    def targets(self, bars: Bars) -> pd.DataFrame:
        monthly = bars.close.resample("ME").last()
        known = monthly.reindex(bars.close.index, method="ffill")
        return even(bars, bars.close > known)


class RollingScore(Strategy):
    warmup = 20

    def targets(self, bars: Bars) -> pd.DataFrame:
        window = bars.close.rolling(20)
        return -((bars.close - window.mean()) / window.std()).clip(-3, 3) / 30


class MomentumSkip(Strategy):
    warmup = 127

    def targets(self, bars: Bars) -> pd.DataFrame:
        rise = bars.close.shift(21) / bars.close.shift(126) - 1
        return even(bars, rise > 0)


class VolatilityTarget(Strategy):
    warmup = 21

    def targets(self, bars: Bars) -> pd.DataFrame:
        daily = bars.close.pct_change(fill_method=None).rolling(20).std()
        return (0.01 / daily).clip(0, 1) / bars.close.shape[1]


class RowRank(Strategy):
    warmup = 11

    def targets(self, bars: Bars) -> pd.DataFrame:
        return even(bars, (bars.close / bars.close.shift(10)).rank(axis=1) <= 2)


class BuyAndHold(Strategy):
    def targets(self, bars: Bars) -> pd.DataFrame:
        weights = pd.DataFrame(np.nan, index=bars.close.index, columns=bars.close.columns)
        weights.iloc[0] = 1 / bars.close.shape[1]
        return weights


class KeepInBetween(Strategy):
    """NaN between two thresholds keeps what is held."""

    warmup = 20

    def targets(self, bars: Bars) -> pd.DataFrame:
        score = (bars.close - bars.close.rolling(20).mean()) / bars.close.rolling(20).std()
        chosen = np.select([score < -1, score > 1], [1 / bars.close.shape[1], 0.0], np.nan)
        return pd.DataFrame(chosen, index=bars.close.index, columns=bars.close.columns)


class ExpandingMean(Strategy):
    """Honest, though it hangs on where its history begins."""

    warmup = 20

    def targets(self, bars: Bars) -> pd.DataFrame:
        return even(bars, bars.close > bars.close.expanding().mean())


class Breakout(Strategy):
    """Compares equal numbers with each other."""

    warmup = 55

    def targets(self, bars: Bars) -> pd.DataFrame:
        chosen = np.select(
            [bars.close >= bars.close.rolling(55).max(), bars.close <= bars.close.rolling(20).min()],
            [1 / bars.close.shape[1], 0.0],
            np.nan,
        )
        return pd.DataFrame(chosen, index=bars.close.index, columns=bars.close.columns)


class Stateful(Strategy):
    """Counts on the instance itself; honest, since each evaluation gets a fresh one."""

    warmup = 2

    def targets(self, bars: Bars) -> pd.DataFrame:
        self.runs = getattr(self, "runs", 0) + 1
        return even(bars, bars.close > bars.close.shift(self.runs))


LEAKY = (
    NextBar,
    CentredAverage,
    FullSampleScore,
    BackFill,
    WeeklyLabel,
    FutureMaximum,
    FullSampleRank,
    FullSampleQuantile,
    LastPrice,
    VolumeAhead,
    OnlyInMarch,
    FittedOnAll,
    MonthEnd,
    NextOpen,
    TooClever,
)
CLEAN = (
    SmaCross,
    EmaCross,
    EmaDistance,
    MonthlyFilled,
    MonthlyResampled,
    RollingScore,
    MomentumSkip,
    VolatilityTarget,
    RowRank,
    BuyAndHold,
    KeepInBetween,
    ExpandingMean,
    Breakout,
    Stateful,
)

"""Curves: what an equity series looks like through time; drawdowns, calendar returns, rolling ratios.

Promises: every function takes an equity series as it is and returns plain series and tables for people to
look at; a value that is not defined is NaN in a curve and absent from a table. Nothing is resampled by
truncating UTC instants when the sessions are given.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from qfund.market.sessions import sessions_per_year


def daily(equity: pd.Series, sessions: pd.DatetimeIndex | None = None) -> pd.Series:
    """Equity at the close of each session; index naive midnights.

    Args:
        equity: money after each bar.
        sessions: the session of each bar. None takes the index of daily bars as it is, and the UTC date of
            intraday bars, which is the session for exchanges that open and close on one UTC date.
    """
    if sessions is None:
        index = pd.DatetimeIndex(equity.index)
        sessions = (index.tz_localize(None) if index.tz is not None else index).normalize()
    days = pd.Series(equity.to_numpy(dtype=float), index=pd.DatetimeIndex(sessions, name="session"))
    return days[~days.index.duplicated(keep="last")]


def drawdown(equity: pd.Series) -> pd.Series:
    """Distance from the highest equity so far, as a fraction: zero at a peak, negative below it."""
    values = equity.to_numpy(dtype=float)
    peak = np.maximum.accumulate(values)
    return pd.Series(values / peak - 1, index=equity.index, name="drawdown")


def drawdowns(equity: pd.Series, most: int | None = None) -> pd.DataFrame:
    """The falls from a peak, deepest first.

    Args:
        equity: money after each bar, above zero at the first one.
        most: how many; None for all.

    Returns:
        Columns ``peak``, ``trough``, ``recovered`` (first time at or above the old peak; NaT while below),
        ``depth`` (negative fraction), ``days`` (calendar days from peak to recovery, or to the end).
    """
    below = drawdown(equity).to_numpy() < 0
    edge = np.diff(np.concatenate([[False], below, [False]]).astype(np.int8))
    firsts, stops = np.flatnonzero(edge == 1), np.flatnonzero(edge == -1)
    times, depths = pd.DatetimeIndex(equity.index), drawdown(equity).to_numpy()
    rows = []
    for first, stop in zip(firsts.tolist(), stops.tolist(), strict=True):
        peak, trough = times[first - 1], first + int(np.argmin(depths[first:stop]))
        back = stop < len(times)
        days = (times[stop if back else -1] - peak).days
        rows.append((peak, times[trough], times[stop] if back else pd.NaT, depths[trough], days))
    table = pd.DataFrame(rows, columns=["peak", "trough", "recovered", "depth", "days"])
    table["recovered"] = pd.DatetimeIndex(table["recovered"])
    return table.sort_values("depth", kind="stable").head(len(rows) if most is None else most)


def monthly(equity: pd.Series, sessions: pd.DatetimeIndex | None = None) -> pd.DataFrame:
    """Returns of calendar months as fractions; index years, columns 1 to 12, NaN where there is none.

    The first month starts at the first equity, the last ends at the last: both may be parts of a month.
    """
    days = daily(equity, sessions)
    found = _returns_by(days, "M")
    index = pd.PeriodIndex(found.index)
    table = pd.DataFrame(
        np.nan, index=pd.Index(sorted(set(index.year)), name="year"), columns=pd.Index(range(1, 13))
    )
    for period, value in zip(index, found, strict=True):
        table.loc[period.year, period.month] = value
    return table


def yearly(equity: pd.Series, sessions: pd.DatetimeIndex | None = None) -> pd.Series:
    """Returns of calendar years as fractions; index years; the first and the last may be parts."""
    found = _returns_by(daily(equity, sessions), "Y")
    years = pd.Index(pd.PeriodIndex(found.index).year, name="year")
    return pd.Series(found.to_numpy(), index=years, name="return")


def returns_by(days: pd.Series, frequency: str) -> np.ndarray:
    """Returns of calendar periods (``M``, ``Q``, ``Y``, ``W``) of session closes, as fractions; float64."""
    return np.asarray(_returns_by(days, frequency).dropna().to_numpy(dtype=float))


def _returns_by(days: pd.Series, frequency: str) -> pd.Series:
    periods = pd.DatetimeIndex(days.index).to_period(frequency)
    ends = days.groupby(periods).last()
    starts = ends.shift(1)
    starts.iloc[0] = days.iloc[0]
    # from nothing, or less, there is no return
    return (ends / starts.where(starts > 0) - 1).rename("return")


def rolling_sharpe(
    equity: pd.Series, window: int, calendar: str, sessions: pd.DatetimeIndex | None = None
) -> pd.Series:
    """Sharpe ratio of the last ``window`` daily returns, annualised on the calendar.

    NaN before the window is full and where the returns in it do not vary. Index: sessions, naive midnights.
    """
    days = daily(equity, sessions)
    values = days.where(days > 0).to_numpy()
    returns = pd.Series(np.nan, index=days.index)
    returns.iloc[1:] = values[1:] / values[:-1] - 1
    index = pd.DatetimeIndex(days.index)
    per_year = sessions_per_year(calendar, index[0].date(), index[-1].date())
    view = returns.rolling(window)
    spread = view.std(ddof=1)
    return (view.mean() / spread.where(spread > 1e-12) * math.sqrt(per_year)).rename("sharpe")

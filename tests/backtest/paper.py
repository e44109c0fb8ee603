"""Small markets that can be worked out on paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd

from qfund.backtest.costs import CostModel
from qfund.backtest.engine import Market, Rules, Simulation, simulate
from qfund.market.actions import CorporateAction
from qfund.market.bars import Bars

NAN = float("nan")
FREE = CostModel("none")
Rows = Sequence[float]


def days(count: int, start: str = "2024-01-01") -> pd.DatetimeIndex:
    """That many naive midnights in a row; calendars do not matter to the engine."""
    return pd.date_range(start, periods=count, freq="D", name="session").as_unit("us").set_names("session")


def day(number: int) -> date:
    """The session of row ``number`` of :func:`days`."""
    return date(2024, 1, 1 + number)


def table(opens: Mapping[str, Rows], closes: Mapping[str, Rows] | None = None, **more: object) -> Bars:
    """Bars of these opens and closes (the same when left out); highs and lows span both."""
    first = np.column_stack([np.asarray(values, dtype=float) for values in opens.values()])
    last = first if closes is None else np.column_stack([np.asarray(closes[name], float) for name in opens])
    fields = {
        "open": first,
        "high": np.fmax(first, last),
        "low": np.fmin(first, last),
        "close": last,
        "volume": np.where(np.isnan(last), NAN, 1e6),
    }
    index = more.pop("index", days(len(first)))
    return Bars.from_arrays(index, list(opens), fields, **more)  # type: ignore[arg-type]


def wishes(bars: Bars, given: Mapping[str, Rows | Mapping[int, float]]) -> pd.DataFrame:
    """Targets: a whole column, or only the rows that wish something."""
    frame = pd.DataFrame(NAN, index=bars.index, columns=bars.close.columns)
    for symbol, rows in given.items():
        if isinstance(rows, Mapping):
            for row, weight in rows.items():
                frame.iloc[row, frame.columns.get_loc(symbol)] = weight
        else:
            frame[symbol] = rows
    return frame


def split(symbol: str, number: int, new: int, old: int) -> CorporateAction:
    """``new`` shares for ``old`` from row ``number`` on."""
    return CorporateAction(symbol, "split", day(number), new_rate=Decimal(new), old_rate=Decimal(old))


def dividend(symbol: str, number: int, cash: str) -> CorporateAction:
    """Cash per share held at the close before row ``number``."""
    return CorporateAction(symbol, "dividend", day(number), cash_amount=Decimal(cash))


def play(
    bars: Bars,
    given: Mapping[str, Rows | Mapping[int, float]],
    *,
    costs: CostModel = FREE,
    actions: Sequence[CorporateAction] = (),
    delisted: Mapping[str, date] | None = None,
    **rules: object,
) -> Simulation:
    """Simulate wishes on a small market; cash is 1,000 unless given."""
    market = Market(raw=bars, actions=tuple(actions), delisted=dict(delisted or {}))
    return simulate(market, wishes(bars, given), costs, Rules(**{"cash": 1000.0, **rules}))  # type: ignore[arg-type]

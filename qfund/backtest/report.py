"""A backtest as one HTML file that one may show to an investor.

Promises: the file is complete (style, script, charts and data inside; a content policy forbids the browser to
load anything else), reads well on paper, on a phone and without JavaScript, and is the same bytes for equal
input. Every text that came from a user or from data is escaped. Degenerate runs (one bar, no trade, total
loss) render too: what cannot be shown says why. Nothing here reads the clock or writes a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files

import pandas as pd
from plotly.offline import get_plotlyjs

from qfund.backtest import metrics as measure
from qfund.backtest.charts import (
    MOST_POINTS,
    Axis,
    Chart,
    axis_of,
    drawdown_chart,
    equity_chart,
    exposure_chart,
    payload,
    ratio_chart,
    turnover_chart,
    yearly_chart,
)
from qfund.backtest.metrics import Metric
from qfund.backtest.tables import (
    MOST_TRADES,
    Footnotes,
    contribution_table,
    drawdown_table,
    esc,
    metric_groups,
    metric_value,
    monthly_table,
    pairs_table,
    trades_table,
)
from qfund.backtest.wording import NIL, listed, moment, number, say, term_of

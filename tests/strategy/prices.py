"""The bundled sample's real prices as bars."""

from __future__ import annotations

import numpy as np
import pandas as pd

from qfund.market.bars import FIELDS, Bars
from qfund.vendors.contract import BarRequest
from qfund.vendors.sample import FIRST, LAST, LISTINGS, Sample


def sample_bars(vendor: Sample) -> Bars:
    """All daily bars of the sample, unadjusted, NaN where a symbol was not listed yet."""
    symbols = tuple(listing.symbol for listing in LISTINGS)
    request = BarRequest(
        symbols=symbols, timeframe="1d", since=FIRST, until=LAST, offer=Sample.capabilities.offers[0]
    )
    table = pd.concat([page.bars.to_pandas() for page in vendor.bars(request)])
    table["session"] = pd.to_datetime(table["session"])
    wide = table.pivot(index="session", columns="symbol", values=list(FIELDS))  # noqa: PD010
    index = pd.DatetimeIndex(wide.index.to_numpy(dtype="datetime64[us]"), name="session")
    fields = {name: np.ascontiguousarray(wide[name][list(symbols)].to_numpy(float)) for name in FIELDS}
    return Bars.from_arrays(index, symbols, fields)

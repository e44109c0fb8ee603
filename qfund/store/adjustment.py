"""Adjustment on read: prices and volumes of a block carried across splits, spin-offs and dividends.

Promises: the factors known at a moment, no others; each applies to all sessions before its ex-date. The
block's own arrays are changed, nothing stored is.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

import numpy as np

from qfund.market.bars import Adjust
from qfund.store.sources import Basis, Series

if TYPE_CHECKING:
    from qfund.store.database import Store
    from qfund.store.reading import Block

_KINDS: dict[str, tuple[str, ...]] = {
    "raw": (),
    "split": ("split", "spinoff"),  # also the default of sec.bar_1d_adjusted
    "all": ("split", "spinoff", "dividend"),
}
_PRICES = ("open", "high", "low", "close")
_EPOCH = date(1970, 1, 1)


def kinds(stored: Basis, wanted: Adjust) -> list[str]:
    """The kinds of actions that still have to be applied to bars of a basis."""
    return [kind for kind in _KINDS[wanted] if kind not in _KINDS[stored]]


def apply(store: Store, series: Series, block: Block, wanted: list[str], as_of: datetime | None) -> None:
    """Multiply the block's prices and volumes by the factors of later ex-dates, in place.

    Args:
        store: where the factors are.
        series: whose vendor's actions count.
        block: bars, changed in place.
        wanted: kinds of actions.
        as_of: only actions known then, and not yet withdrawn then; None for all that stand now.
    """
    column = {int(number): place for place, number in enumerate(block.numbers)}
    with store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT a.instrument_id, a.ex_date, a.price_factor, a.volume_factor"
            "  FROM sec.adjustment a"
            "  JOIN sec.vendor v USING (vendor_id)"
            " WHERE v.name = %s AND a.instrument_id = ANY (%s) AND a.kind = ANY (%s)"
            "   AND (%s::timestamptz IS NULL OR a.known_at <= %s)"
            "   AND (a.withdrawn_at IS NULL OR a.withdrawn_at > %s) AND (NOT %s OR a.stored_at <= %s)",
            (series.vendor, list(column), wanted, as_of, as_of, as_of, block.hides, as_of),
        ).all()
    by_column: dict[int, list[tuple[int, float, float]]] = {}
    for number, ex_date, price, volume in rows:
        before = int(np.searchsorted(block.days, (ex_date - _EPOCH).days, "left"))
        by_column.setdefault(column[number], []).append((before, price, volume))
    for place, steps in by_column.items():
        prices, volumes = _curves(steps, block.rows)
        for name in _PRICES:
            block.fields[name][place] *= prices
        if volumes is not None:
            block.fields["volume"][place] *= volumes


def _curves(steps: list[tuple[int, float, float]], rows: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The factor of each row: the product of all steps that lie after it."""
    prices, volumes = np.ones(rows + 1), np.ones(rows + 1)
    for before, price, volume in steps:
        prices[before] *= price
        volumes[before] *= volume
    # Row t is multiplied by every factor whose ex-date is after it: a product from the end.
    carried = np.cumprod(prices[::-1])[::-1][1:]
    shares = np.cumprod(volumes[::-1])[::-1][1:]
    return carried, shares if bool((volumes != 1).any()) else None

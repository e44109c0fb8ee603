"""Corporate actions, and the factors that carry prices across them.

Promises: raw prices are never changed in place; a factor multiplies the prices of all sessions *before* its
ex-date. Nothing here reads a store or the clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Literal, get_args

ActionKind = Literal[
    "split",
    "dividend",
    "spinoff",
    "stock_dividend",
    "unit_split",
    "name_change",
    "cash_merger",
    "stock_merger",
    "stock_and_cash_merger",
    "worthless_removal",
    "redemption",
    "rights_distribution",
    "partial_call",
    "reorganization",
    "other",
]
"""What can happen to a share. Splits (stock dividends arrive as such), dividends and spin-offs carry prices
across their ex-date; the others are kept as the vendor told them and change no price. See also `ENDING`."""

KINDS: tuple[ActionKind, ...] = get_args(ActionKind)
PRICED: tuple[ActionKind, ...] = ("split", "dividend", "spinoff")
"""The kinds that have factors."""

ENDING: tuple[ActionKind, ...] = ("cash_merger", "stock_merger", "stock_and_cash_merger", "worthless_removal")
"""The kinds after which the share does not trade any more."""


@dataclass(frozen=True)
class CorporateAction:
    """One corporate action of one symbol.

    Attributes:
        symbol: the vendor's symbol on the ex-date; of a name change either symbol.
        kind: what happened; ``"split"`` (forward, reverse, stock dividend), ``"dividend"`` (cash),
            ``"spinoff"``, or one that changes no price.
        ex_date: the first session on which a buyer does not receive it.
        new_rate: split: shares held after, for each ``old_rate`` shares held before; spin-off: shares of
            ``other_symbol`` received for each ``old_rate`` held; else None.
        old_rate: split, spin-off: shares held before; else None.
        cash_amount: dividend: cash for each share held at the close before the ex-date; else None.
        currency: ISO 4217 code of ``cash_amount``.
        price_factor: the vendor's own adjustment factor, where it publishes one: it is believed over the
            formula of `factors`. None for most vendors.
        other_symbol: spin-off: what is received; name change and merger: the symbol afterwards; else None.
        former_symbol: name change: the symbol before, when that is not ``symbol``; else None.
        payload: what the vendor said, as JSON text; kept as it is.
        vendor_ref: the vendor's own identity of the action, stable between downloads.
        known_at: UTC instant from which a point-in-time reader may know it; None means when it is stored.
    """

    symbol: str
    kind: ActionKind
    ex_date: date
    new_rate: Decimal | None = None
    old_rate: Decimal | None = None
    cash_amount: Decimal | None = None
    currency: str = "USD"
    price_factor: float | None = None
    other_symbol: str | None = None
    former_symbol: str | None = field(default=None, compare=False)
    payload: str | None = field(default=None, compare=False)
    vendor_ref: str = field(default="", compare=False)
    known_at: datetime | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Refuse an action whose numbers cannot be applied."""
        if self.kind in ("split", "spinoff"):
            if not self.new_rate or not self.old_rate or self.new_rate < 0 or self.old_rate < 0:
                raise ValueError(f"{self.symbol} {self.ex_date}: a {self.kind} needs two positive rates")
            if self.kind == "spinoff" and not self.other_symbol:
                raise ValueError(f"{self.symbol} {self.ex_date}: a spin-off needs the symbol received")
        elif self.kind == "dividend" and (self.cash_amount is None or self.cash_amount <= 0):
            raise ValueError(f"{self.symbol} {self.ex_date}: a dividend needs a positive amount")
        if self.price_factor is not None and not 0 < self.price_factor < math.inf:
            raise ValueError(f"{self.symbol} {self.ex_date}: {self.price_factor} is no price factor")


@dataclass(frozen=True)
class Factors:
    """What to multiply the prices and volumes of all sessions before an ex-date by."""

    price: float
    volume: float


def factors(
    action: CorporateAction, previous_close: float | None, received_close: float | None = None
) -> Factors:
    """The adjustment factors of one action.

    A split of ``new`` for ``old`` shares: price × old/new, volume × new/old. A cash dividend of D after a raw
    close of P: price × (1 − D/P), volume unchanged, so that the return over the ex-date is the total return
    of who sold the dividend's worth before it (CRSP, "CRSP US Stock and Indices Databases: Data Descriptions
    Guide", price adjustment). A spin-off of ``new`` shares received for ``old`` held is such a dividend, paid
    in shares: price × (1 − new/old × R/P), where R is the first close of what is received on or after the
    ex-date. Vendors differ: Quandl WIKI divides by 1 + D/C with C the close *of* the ex-date; where a vendor
    publishes its factor, ``action.price_factor`` holds it and is used.

    Args:
        action: the split, dividend or spin-off.
        previous_close: raw close of the last session before the ex-date, in the dividend's currency; not
            needed for splits.
        received_close: raw close of what a spin-off hands out, in the same currency; else not needed.

    Raises:
        ValueError: a close is missing, what is handed out is worth as much as the price, or an action of
            this kind changes no price.
    """
    if action.kind == "split":
        kept = 1 / _ratio(action)
        return Factors(price=action.price_factor or float(kept), volume=1.0 / float(kept))
    if action.kind not in PRICED:
        raise ValueError(f"{action.symbol} {action.ex_date}: a {action.kind} changes no price")
    if action.price_factor is not None:
        return Factors(price=action.price_factor, volume=1.0)
    if action.kind == "dividend":
        amount = float(action.cash_amount or 0)
        what = f"a dividend of {amount:g}"
    else:
        if received_close is None:
            raise ValueError(f"{action.symbol} {action.ex_date}: no close of {action.other_symbol} is known")
        amount = float(_ratio(action)) * received_close
        what = f"{action.other_symbol} worth {amount:g} for each share"
    if previous_close is None or not previous_close > amount:
        raise ValueError(
            f"{action.symbol} {action.ex_date}: {what} does not fit a previous close of {previous_close}"
        )
    return Factors(price=1.0 - amount / previous_close, volume=1.0)


def _ratio(action: CorporateAction) -> Fraction:
    """Shares after, or received, for each share held."""
    if action.new_rate is None or action.old_rate is None:
        raise ValueError(f"{action.symbol} {action.ex_date}: a {action.kind} needs two rates")
    return Fraction(action.new_rate) / Fraction(action.old_rate)

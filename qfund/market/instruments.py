"""Instruments: what is traded, where, and since when.

A symbol is a dated, per-vendor label and never an identity; the store gives an instrument its identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

InstrumentKind = Literal["equity", "etf", "fx", "crypto", "index", "future", "option", "rate"]


@dataclass(frozen=True)
class Listing:
    """One instrument under the symbol that a vendor gives it.

    Attributes:
        symbol: the vendor's symbol.
        name: the instrument's name, for people.
        kind: what it is.
        currency: ISO 4217 code of its prices.
        mic: ISO 10383 code of its venue (``XNYS`` stands for the US equity sessions); None without a venue.
        listed_on: first session it could trade; None when unknown.
        delisted_on: last session it could trade; None while listed or when unknown.
        vendor_ref: the vendor's own stable identity of it, where it has one.
    """

    symbol: str
    name: str
    kind: InstrumentKind = "equity"
    currency: str = "USD"
    mic: str | None = "XNYS"
    listed_on: date | None = None
    delisted_on: date | None = None
    vendor_ref: str | None = None

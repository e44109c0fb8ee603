"""Instruments: what is traded, where, and since when.

A symbol is a dated, per-vendor label and never an identity; the store gives an instrument its identity.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal

InstrumentKind = Literal["equity", "etf", "fx", "crypto", "index", "future", "option", "rate"]


@dataclass(frozen=True)
class Status:
    """What may be done with an instrument, as a vendor says it; None where it is silent.

    Attributes:
        status: the vendor's word, such as ``active`` or ``inactive``.
        tradable: whether orders are taken.
        marginable: whether it can be bought on margin.
        shortable: whether it can be sold short.
        borrow_status: the vendor's word on borrowing it, such as ``easy_to_borrow``.
        fractionable: whether parts of a share can be held.
        margin_long: margin required of a long position, in percent of its value.
        margin_short: margin required of a short position, in percent of its value.
    """

    status: str | None = None
    tradable: bool | None = None
    marginable: bool | None = None
    shortable: bool | None = None
    borrow_status: str | None = None
    fractionable: bool | None = None
    margin_long: Decimal | None = None
    margin_short: Decimal | None = None


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
        status: what may be done with it now, where the vendor says so; it is kept with its date.
    """

    symbol: str
    name: str
    kind: InstrumentKind = "equity"
    currency: str = "USD"
    mic: str | None = "XNYS"
    listed_on: date | None = None
    delisted_on: date | None = None
    vendor_ref: str | None = None
    status: Status | None = field(default=None, compare=False)

    @property
    def gone(self) -> bool:
        """Whether it cannot be traded any more: it has a last session, or its status is ``inactive``."""
        inactive = self.status is not None and self.status.status == "inactive"
        return inactive or self.delisted_on is not None

"""Costs: what a fill costs in commission, spread and slippage.

Promises: a cost model is frozen, complete and never zero by silence: only the preset called ``none`` is free,
and whoever reports a run under it says so. Nothing here knows prices, orders or the engine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from qfund.errors import NotFoundError, UsageError, did_you_mean

BPS = 1e-4  # one basis point


@dataclass(frozen=True)
class CostModel:
    """What trading costs. Money is in the currency of the prices; bps are of the traded value.

    A buy fills at ``reference × (1 + s)`` and a sell at ``reference × (1 - s)`` with
    ``s = (half_spread_bps + slippage_bps) / 10,000``. The commission of one order of ``n`` shares worth ``v``
    at the fill price is ``max(commission_min, commission_per_share × n + commission_bps × v / 10,000)``, and
    never more than ``commission_max_bps × v / 10,000`` where that is set (the cap beats the minimum).

    Attributes:
        name: of the preset, or what the user calls it.
        commission_bps: proportional commission and fees.
        commission_per_share: commission for each share, as traded (not adjusted for later splits).
        commission_min: least commission of an order.
        commission_max_bps: most commission of an order, of its value; None for no limit.
        half_spread_bps: half the quoted spread, paid on every fill.
        slippage_bps: further distance between the reference price and the fill.
    """

    name: str
    commission_bps: float = 0.0
    commission_per_share: float = 0.0
    commission_min: float = 0.0
    commission_max_bps: float | None = None
    half_spread_bps: float = 0.0
    slippage_bps: float = 0.0

    def __post_init__(self) -> None:
        """Refuse amounts that no broker charges. Raises UsageError."""
        for field, value in self.amounts().items():
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UsageError(
                    f"{field} is {value}, but a cost is a finite number, zero or more.",
                    code="BAD_COSTS",
                )
        if self.half_spread_bps + self.slippage_bps >= 1 / BPS:
            raise UsageError(
                "half_spread_bps and slippage_bps together reach 10,000 bps: a sell would fill at nothing.",
                code="BAD_COSTS",
            )

    def amounts(self) -> dict[str, float | None]:
        """Every field but the name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "name"}

    @property
    def price_impact(self) -> float:
        """The fraction ``s`` by which a fill is worse than its reference price."""
        return (self.half_spread_bps + self.slippage_bps) * BPS

    @property
    def proportional(self) -> bool:
        """Whether the commission is the same fraction of every order, whatever its size."""
        return self.commission_per_share == 0 and self.commission_min == 0 and self.commission_max_bps is None

    @property
    def free(self) -> bool:
        """Whether trading costs nothing at all."""
        return (
            self.price_impact == 0
            and self.commission_bps == 0
            and self.commission_per_share == 0
            and self.commission_min == 0
        )

    def commission(self, shares: np.ndarray, value: np.ndarray) -> np.ndarray:
        """Commission of orders of ``shares`` (positive) worth ``value`` at the fill price.

        Args:
            shares: float64, any shape, raw shares.
            value: float64, same shape, money.

        Returns:
            float64, same shape, money; zero where there are no shares.
        """
        charged = np.maximum(
            self.commission_min, self.commission_per_share * shares + self.commission_bps * BPS * value
        )
        if self.commission_max_bps is not None:
            charged = np.minimum(charged, self.commission_max_bps * BPS * value)
        return np.where(shares > 0, charged, 0.0)

    def affordable(self, cash: np.ndarray, price: np.ndarray) -> np.ndarray:
        """The most shares that can be bought at ``price``, commission included, with ``cash``.

        With ``g`` the commission of one share without minimum and cap, ``n`` shares cost at most the cash
        when ``n × price × (1 + cap) <= cash`` or both ``n × price + minimum <= cash`` and
        ``n × (price + g) <= cash``; the largest ``n`` follows.

        Args:
            cash: float64, any shape, money.
            price: float64, same shape, the fill price.

        Returns:
            float64, same shape, not rounded to whole shares; zero where nothing can be bought.
        """
        each = self.commission_per_share + self.commission_bps * BPS * price
        shares = np.minimum((cash - self.commission_min) / price, cash / (price + each))
        if self.commission_max_bps is not None:
            shares = np.maximum(shares, cash / (price * (1 + self.commission_max_bps * BPS)))
        return np.asarray(np.maximum(shares, 0.0))

    def changed(self, overrides: Mapping[str, float | str]) -> CostModel:
        """This model with some amounts replaced, as in ``{"slippage_bps": 5}``.

        Raises:
            UsageError: an amount is not a number, is negative, or no such amount exists; the message names
                the nearest.
        """
        if not overrides:
            return self
        known = self.amounts()
        parsed: dict[str, float] = {}
        for key, value in overrides.items():
            if key not in known:
                raise UsageError(f"Costs have no '{key}'.{did_you_mean(key, known)}", code="UNKNOWN_COST")
            try:
                parsed[key] = float(value)
            except ValueError as error:
                raise UsageError(f"{key} is '{value}', not a number.", code="BAD_COSTS") from error
        model = replace(self, name=f"{self.name} changed", **parsed)
        return self if model.amounts() == known else model

    def describe(self) -> str:
        """One line for reports and the conventions: every amount that is not zero."""
        if self.free:
            return f"{self.name} (no costs at all)"
        parts = []
        if self.commission_bps:
            parts.append(f"commission {self.commission_bps:g} bps")
        if self.commission_per_share:
            parts.append(f"commission {self.commission_per_share:g} a share")
        if self.commission_min:
            parts.append(f"at least {self.commission_min:g} an order")
        if self.commission_max_bps is not None:
            parts.append(f"at most {self.commission_max_bps:g} bps an order")
        if self.half_spread_bps:
            parts.append(f"half spread {self.half_spread_bps:g} bps")
        if self.slippage_bps:
            parts.append(f"slippage {self.slippage_bps:g} bps")
        return f"{self.name} ({', '.join(parts)})"


PRESETS: Mapping[str, CostModel] = {
    # Flat assumption for liquid US shares at retail size, to be replaced by one's own measured fills:
    # 1 bps commission is 0.005 a share on a 50-dollar share; a one-cent spread on that share is half a spread
    # of 1 bps, taken twice; 2 bps slippage at the open. 5 bps a side, 10 bps a round trip.
    "us-equities": CostModel("us-equities", commission_bps=1.0, half_spread_bps=2.0, slippage_bps=2.0),
    # The usual shape of a per-share schedule for US shares: 0.005 a share, at least 1.00, at most 1 % of the
    # order. The same assumption on spread and slippage as above.
    "per-share": CostModel(
        "per-share",
        commission_per_share=0.005,
        commission_min=1.0,
        commission_max_bps=100.0,
        half_spread_bps=2.0,
        slippage_bps=2.0,
    ),
    "none": CostModel("none"),
}


def preset(name: str, overrides: Mapping[str, float | str] | None = None) -> CostModel:
    """A preset by name, with amounts replaced where asked.

    Raises:
        NotFoundError: no preset of that name; the message names the nearest.
        UsageError: an override that is not a cost, see :meth:`CostModel.changed`.
    """
    if name not in PRESETS:
        raise NotFoundError(
            f"There is no cost preset named '{name}'.{did_you_mean(name, PRESETS)}",
            code="UNKNOWN_COSTS",
            details={"known": sorted(PRESETS)},
        )
    return PRESETS[name].changed(overrides or {})

"""qfund: one command line that runs a one-person quant fund.

A strategy file needs three names and finds them here: ``Bars``, ``Strategy`` and ``param``. They are
loaded on first use, so that importing the package costs nothing on the command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qfund.market.bars import Bars
    from qfund.strategy.api import Strategy, param

__all__ = ["Bars", "Strategy", "param"]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    match name:
        case "Bars":
            from qfund.market.bars import Bars

            return Bars
        case "Strategy" | "param":
            from qfund.strategy import api

            return getattr(api, name)
        case _:
            raise AttributeError(f"module 'qfund' has no attribute {name!r}")

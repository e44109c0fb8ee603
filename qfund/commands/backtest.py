"""`qfund backtest`: one strategy file on stored bars, honestly and fast.

Promises: nothing is stored and no report is written unless the whole backtest succeeded. Never fetches data and never
trades.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qfund.commands.completion import complete_symbols
from qfund.commands.options import (
    ParamOption,
    SeedOption,
    SinceOption,
    StrategyArgument,
    SymbolsOption,
    UntilOption,
    VendorOption,
    instant,
    params,
    period,
    symbols,
)
from qfund.commands.session import Session

if TYPE_CHECKING:
    from qfund.backtest.costs import CostModel
    from qfund.backtest.data import Query
    from qfund.backtest.run import Wish


def register(root: typer.Typer) -> None:
    """Add ``qfund backtest`` to the command line."""
    root.command(name="backtest", rich_help_panel="Research")(backtest)

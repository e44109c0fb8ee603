"""What can be set: sections, keys, types, defaults and one line of meaning each.

Promises: frozen; every default is the safe one; the meanings here are the ones that ``qfund init`` writes
into a new ``qfund.toml``. Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from qfund.config.secrets import Secret

FROZEN = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
Money = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Word = Annotated[str, Field(min_length=1)]


class StoreSettings(BaseModel):
    """Where prices and results live."""

    model_config = FROZEN

    url: Secret | None = Field(
        default=None,
        description="postgresql:// URL, or a reference to it: env:NAME or file:PATH",
        json_schema_extra={"unset": "an embedded server in the state folder", "example": "env:DATABASE_URL"},
    )


class BacktestSettings(BaseModel):
    """What a backtest assumes unless its command says otherwise."""

    model_config = FROZEN

    cash: Money = Field(default=100_000.0, description="starting cash, in the symbols' currency")
    costs: Word = Field(default="us-equities", description="preset of commission, spread, slippage")
    adjust: Literal["raw", "split", "all"] = Field(
        default="all", description="prices the strategy sees: raw, split, or all (and dividends)"
    )
    fractional: bool = Field(default=True, description="whether parts of a share may be held")
    benchmark: Word | None = Field(
        default=None,
        description="symbol that results are compared with",
        json_schema_extra={"unset": "none", "example": "SPY"},
    )
    calendar: Word = Field(default="XNYS", description="exchange calendar (XNYS: New York)")


@dataclass(frozen=True)
class Origin:
    """Where a value came from.

    Attributes:
        value_shown: the value as text, secrets starred.
        source: ``default``, ``qfund.toml:3``, ``QFUND__STORE__URL``, ``flag``.
        overrides: the sources it won over, the strongest first.
    """

    value_shown: str
    source: str
    overrides: tuple[str, ...] = ()


class Settings(BaseModel):
    """Every value that a command may need, and where each came from."""

    model_config = FROZEN

    store: StoreSettings = StoreSettings()
    backtest: BacktestSettings = BacktestSettings()
    vendors: Mapping[str, Mapping[str, Secret]] = Field(default_factory=dict)
    project: Path
    home: Path
    profile: str | None = None
    files: tuple[Path, ...] = ()
    origins: Mapping[str, Origin] = Field(default_factory=dict)


VENDORS = "vendors"
"""``vendors.NAME.KEY``: what a vendor plug-in can be told. The plug-in declares its keys, so that here any is
taken, as text or as a reference; the key is checked when the vendor is opened."""

SECTIONS: Mapping[str, type[BaseModel]] = {"store": StoreSettings, "backtest": BacktestSettings}


def keys() -> Iterator[tuple[str, FieldInfo]]:
    """Every ``section.key`` with its declaration, in the order in which they are documented."""
    for section, model in SECTIONS.items():
        for name, declared in model.model_fields.items():
            yield f"{section}.{name}", declared


def as_text(value: Any) -> str:
    """A setting's value as one would write it in TOML; an unset one as ``(not set)``."""
    match value:
        case None:
            return "(not set)"
        case bool():
            return str(value).lower()
        case float() if value.is_integer():
            return f"{value:.0f}"
        case _:
            return str(value)

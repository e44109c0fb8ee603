"""Configuration: typed, frozen, and every value knows where it came from.

Order, the later wins: defaults, ``qfund.toml`` in the nearest ancestor folder, ``qfund.<profile>.toml``,
``qfund.local.toml``, ``QFUND__SECTION__KEY`` variables, ``--config`` files, flags. Unknown keys and wrong
types are errors with file and line. Secrets are references that are opened at the moment of use. Never writes
a file.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qfund.config.loading import load
    from qfund.config.project import Project, locate
    from qfund.config.secrets import Secret
    from qfund.config.settings import BacktestSettings, Origin, Settings, StoreSettings

__all__ = [
    "BacktestSettings",
    "Origin",
    "Project",
    "Secret",
    "Settings",
    "StoreSettings",
    "load",
    "locate",
]

_HOMES = {"load": "loading", "locate": "project", "Project": "project", "Secret": "secrets"}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'qfund.config' has no attribute {name!r}")
    return getattr(import_module(f"qfund.config.{_HOMES.get(name, 'settings')}"), name)

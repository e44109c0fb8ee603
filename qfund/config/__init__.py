"""Configuration: typed, frozen, and every value knows where it came from.

Order, the later wins: defaults, ``qfund.toml`` in the nearest ancestor folder, ``qfund.<profile>.toml``,
``qfund.local.toml``, ``QFUND__SECTION__KEY`` variables, ``--config`` files, flags. Unknown keys and wrong
types are errors with file and line. Secrets are references that are opened at the moment of use. Never writes
a file.
"""

from __future__ import annotations

from qfund.config.load import Project, load, locate
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

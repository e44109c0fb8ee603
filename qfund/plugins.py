"""Name → class, through entry points: ``qfund.vendors`` today.

Entry points are read only when a plug-in is asked for, since reading them costs more than a whole ``--help``.
A plug-in that does not load is that plug-in's fault and is reported as such; it never breaks the others.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from qfund.errors import ConfigError, NotFoundError, did_you_mean


def names(group: str) -> list[str]:
    """The plug-ins installed for a group, sorted by name."""
    return sorted(point.name for point in entry_points(group=group))


def load(group: str, name: str) -> Any:
    """The class that a plug-in name stands for.

    Raises:
        NotFoundError: no plug-in of that name; the message names the nearest.
        ConfigError: the plug-in is installed but cannot be imported.
    """
    found = {point.name: point for point in entry_points(group=group)}
    noun = group.rpartition(".")[2].removesuffix("s")
    if name not in found:
        raise NotFoundError(
            f"There is no {noun} named '{name}'.{did_you_mean(name, found)}",
            code=f"UNKNOWN_{noun.upper()}",
            details={noun: name, "known": sorted(found)},
        )
    return _imported(found[name], noun)


def _imported(point: EntryPoint, noun: str) -> Any:
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"The {noun} plug-in '{point.name}' ({point.value}) does not load: {error}.",
            fix=f"reinstall the package that provides {point.value.partition(':')[0]}",
        ) from error

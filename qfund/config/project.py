"""Where a project is, found by names alone: no file is read, so that this works also when one is broken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE = "qfund.toml"
LOCAL = "qfund.local.toml"
STATE = ".qfund"


@dataclass(frozen=True)
class Project:
    """Where a project is: the folder of ``qfund.toml`` (or the current one), and its state folder."""

    folder: Path
    home: Path
    has_file: bool


def locate(cwd: Path, environ: Mapping[str, str]) -> Project:
    """Find the project around a folder without reading any file.

    ``QFUND_HOME`` names another state folder, for a project folder that cannot be written.
    """
    cwd = cwd.absolute()
    folder = next((near for near in (cwd, *cwd.parents) if (near / FILE).is_file()), None)
    project = folder or cwd
    chosen = environ.get("QFUND_HOME", "")
    home = (cwd / Path(chosen).expanduser()) if chosen else project / STATE
    return Project(project, home, has_file=folder is not None)

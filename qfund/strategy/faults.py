"""Where a user's code went wrong: the line of their file, never a traceback.

Promises: names the innermost frame that lies in the strategy's own folder. Never shows code of a library.
"""

from __future__ import annotations

import linecache
import traceback
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """A line of a user's file.

    Attributes:
        file: the file's name without its folder.
        line: counted from 1.
        text: the line itself, stripped.
    """

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def place_of(error: BaseException, folder: Path) -> Place | None:
    """The innermost line of the error's traceback in a file under ``folder``, or None."""
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    for name, line in reversed(frames):
        if _within(Path(name), folder):
            return Place(Path(name).name, line, linecache.getline(name, line).strip())
    return None


def told(error: BaseException) -> str:
    """An exception in one line: ``ZeroDivisionError: division by zero``."""
    if isinstance(error, SystemExit):
        return f"it ends the program with exit({error.code!r})"
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _within(file: Path, folder: Path) -> bool:
    """Whether a file is the user's own: under the folder, but not in an environment inside it."""
    if not file.is_relative_to(folder):
        return False
    inside = file.relative_to(folder).parts
    return not {"site-packages", "dist-packages"}.intersection(inside)

"""The folder of strategies: what is in it, and how a new one gets there.

Promises: a file that is there is never overwritten unless that is asked for; a broken file is a row that says
what is wrong with it and never hides the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qfund.errors import QfundError, RefusedError, UpstreamError
from qfund.strategy.loading import Loaded, load
from qfund.strategy.templates import checked_name, rendered


@dataclass(frozen=True)
class Found:
    """A file of the folder: what it loads as, or why it does not."""

    path: Path
    loaded: Loaded | None
    error: QfundError | None


def write_new(folder: Path, name: str, template: str, *, overwrite: bool) -> Path:
    """Write a strategy from a template as ``folder/name.py``, and return that path.

    Args:
        folder: where; made when it is not there.
        name: of the strategy; written in snake_case.
        template: which of `qfund.strategy.templates.names`.
        overwrite: replace a file that is there.

    Raises:
        UsageError: no such name is possible.
        NotFoundError: no such template.
        RefusedError: the file is there (``FILE_EXISTS``).
        UpstreamError: the file cannot be written.
    """
    snake = checked_name(name)
    text = rendered(template, snake)
    path = folder / f"{snake}.py"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("w" if overwrite else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise _exists(folder, path) from None
    except OSError as error:
        raise UpstreamError(
            f"{path} cannot be written: {error.strerror}.",
            code="FILE_NOT_WRITTEN",
            details={"path": str(path)},
        ) from error
    return path


def found(folder: Path) -> Iterator[Found]:
    """Every strategy of the folder's Python files, by name; a file with several gives one for each.

    Files whose names begin with an underscore are left out.
    """
    for path in sorted(folder.glob("*.py")):
        if path.name.startswith("_"):
            continue
        one = _tried(path)
        classes = one.error.details.get("classes") if one.error is not None else None
        if isinstance(classes, list) and len(classes) > 1:
            yield from (_tried(path, name) for name in classes)
        else:
            yield one


def _tried(path: Path, name: str | None = None) -> Found:
    shown = path if name is None else Path(f"{path}:{name}")
    try:
        return Found(shown, load(shown), None)
    except QfundError as error:
        return Found(shown, None, error)


def _exists(folder: Path, path: Path) -> RefusedError:
    if not path.exists():  # then it is the folder that is in the way
        return RefusedError(
            f"{folder} is a file, so no strategy can be put into it.",
            fix=f"rename {folder}",
            code="FILE_EXISTS",
            details={"path": str(folder)},
        )
    return RefusedError(
        f"{path} is there already and is kept.",
        fix="choose another name, or overwrite it with --force",
        code="FILE_EXISTS",
        details={"path": str(path)},
    )

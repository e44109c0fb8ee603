"""Strategy files to begin from: real, runnable files, renamed and copied.

Promises: what is rendered is Python that loads; a template keeps its own text but for the class's name and
the first line of its docstring. There is no template language. Never writes anything.
"""

from __future__ import annotations

import ast
import keyword
import re
import sys
from pathlib import Path

import qfund
from qfund.errors import NotFoundError, UsageError, did_you_mean, nearest

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TAKEN = frozenset({"qfund", "pandas", "numpy"})


def folder() -> Path:
    """Where the templates lie: the source tree's own, else those packaged with qfund.

    An editable install may carry an old copy of them; the source tree that qfund is imported from wins.
    """
    package = Path(qfund.__file__).resolve().parent
    tree = package.parent
    if (tree / "pyproject.toml").is_file() and (tree / "templates" / "strategies").is_dir():
        return tree / "templates" / "strategies"
    return package / "templates" / "strategies"


def names() -> list[str]:
    """The templates there are, sorted."""
    return sorted(file.stem for file in folder().glob("*.py") if not file.stem.startswith("_"))


def checked_name(name: str) -> str:
    """A strategy's name in snake_case: ``SmaCross`` and ``sma-cross`` become ``sma_cross``.

    Raises:
        UsageError: no such name can be made (``STRATEGY_NAME``).
    """
    plain = name.removesuffix(".py")
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain).replace("-", "_").lower()
    why = None
    if not _NAME.fullmatch(snake) or snake.endswith("_") or "__" in snake:
        why = "use letters, digits and single underscores, beginning with a letter"
    elif keyword.iskeyword(snake) or keyword.issoftkeyword(snake):
        why = "it is a word of Python"
    elif snake in sys.stdlib_module_names or snake in _TAKEN:
        why = "a Python module has this name, and the file would hide it"
    if why is None:
        return snake
    raise UsageError(
        f"'{name}' is no name for a strategy: {why}.",
        fix="qfund strategy new my_strategy",
        code="STRATEGY_NAME",
        details={"name": name},
    )


def rendered(template: str, name: str) -> str:
    """The text of a template for a strategy of that name (in snake_case).

    Raises:
        NotFoundError: no template of that name; the nearest are named.
    """
    known = names()
    if template not in known:
        raise NotFoundError(
            f"There is no strategy template named '{template}'.{did_you_mean(template, known)}",
            fix=f"--template {(nearest(template, known) or known or ['?'])[0]}",
            code="UNKNOWN_TEMPLATE",
            details={"template": template, "known": known},
        )
    source = (folder() / f"{template}.py").read_text(encoding="utf-8")
    return source if name == template else _renamed(source, template, name)


def class_name(name: str) -> str:
    """``sma_cross`` as a class: ``SmaCross``."""
    return "".join(part.capitalize() for part in name.split("_"))


def _renamed(source: str, template: str, name: str) -> str:
    """The text with another class name, and a docstring that says where it comes from."""
    before = class_name(template)
    definition = next(
        node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == before
    )
    docstring = definition.body[0]
    lines = source.splitlines(keepends=True)
    indent = " " * docstring.col_offset
    text = ast.get_docstring(definition, clean=True) or ""
    title = f"{name.replace('_', ' ').capitalize()}, begun from {template}."
    body = "".join(f"{indent}{line}\n" if line else "\n" for line in text.splitlines())
    lines[docstring.lineno - 1 : docstring.end_lineno] = [f'{indent}"""{title}\n\n{body}{indent}"""\n']
    return re.sub(rf"\b{before}\b", class_name(name), "".join(lines))

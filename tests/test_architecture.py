"""The rules of the house, checked on the text of the program: what no reviewer should have to look for."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs import make_cli

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "qfund"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "templates" not in path.parts)
TESTS = sorted((ROOT / "tests").rglob("*.py"))
MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 60
FORBIDDEN = re.compile(r"(?:^|_)(?:manager|helpers?|utils?|common|base|misc|handlers?)(?:_|$)")

# Modules that other rooms use and whose promise is kept by other tests than their mirror's: module → those tests.
ELSEWHERE = {
    "commands/session.py": "tests/commands/test_doctor.py",
    "config/__init__.py": "tests/config/test_loading.py",
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_promises_and_is_not_too_long(path):
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), "no docstring"
    assert len(text.splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_function_is_too_long(path):
    # From the docstring on: a command's signature is a table of options, not work.
    long = [
        f.name for f in functions(path) if (f.end_lineno or 0) - f.body[0].lineno >= MOST_LINES_OF_A_FUNCTION
    ]
    assert long == []


@pytest.mark.parametrize("path", [*MODULES, *TESTS], ids=name_of)
def test_no_name_is_one_that_says_nothing(path):
    tree = ast.parse(path.read_text())
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    names = [path.stem, *(node.name for node in ast.walk(tree) if isinstance(node, kinds))]
    snake = [re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower() for name in names]
    assert [name for name in snake if FORBIDDEN.search(name)] == []


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_no_test_patches_the_program(path):
    tree = ast.parse(path.read_text())
    patched = [
        node.lineno
        for node in ast.walk(tree)
        if (
            isinstance(node, ast.Attribute)
            and node.attr in {"setattr", "setitem", "delattr"}
            and _patcher(node)
        )
        or (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("unittest.mock"))
        or (
            isinstance(node, ast.Import)
            and any(alias.name.startswith("unittest.mock") for alias in node.names)
        )
    ]
    assert patched == []


def _patcher(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in {"monkeypatch", "patch", "mp"}


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, anywhere in it, as ``store.bars``; also ``from qfund.store import bars``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("qfund"):
            module = (node.module or "").removeprefix("qfund").removeprefix(".")
            yield module
            yield from (f"{module}.{alias.name}".removeprefix(".") for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("qfund.") for alias in node.names)


def used_by_other_rooms() -> list[Path]:
    """Modules with code that another room imports; the others are parts, tested through the one that uses them."""
    used: set[str] = set()
    for path in MODULES:
        room = path.relative_to(PACKAGE).parts[0]
        used |= {name for name in imported(path) if name.partition(".")[0] != room}
    found = []
    for path in MODULES:
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        if name in used and any(True for _ in functions(path)):
            found.append(path)
    return found


@pytest.mark.parametrize("path", used_by_other_rooms(), ids=name_of)
def test_what_other_rooms_rely_on_has_its_mirrored_test(path):
    inside = path.relative_to(PACKAGE)
    mirror = ROOT / "tests" / inside.with_name(f"test_{inside.name}")
    assert mirror.is_file() or str(inside) in ELSEWHERE, f"{mirror.relative_to(ROOT)} is missing"


def test_the_exceptions_exist_and_so_do_their_tests():
    assert [part for part in ELSEWHERE if not (PACKAGE / part).is_file()] == []
    assert [tests for tests in ELSEWHERE.values() if not (ROOT / tests).is_file()] == []


def test_imports_point_down():
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_page_of_the_command_line_is_fresh():
    assert make_cli.PAGE.read_text(encoding="utf-8") == make_cli.page(), "run: python docs/make_cli.py"

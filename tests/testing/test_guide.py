"""The guide's vendor and its tests run as they stand in ``docs/guides/vendor.md``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
GUIDE = REPOSITORY / "docs" / "guides" / "vendor.md"
# the second line: exchange_calendars 4.13 on pandas 3.1, as in pyproject.toml
INI = """[pytest]
filterwarnings =
    error
    ignore:Series.values returning an ndarray:DeprecationWarning
"""


def files(text: str) -> dict[str, str]:
    """The guide's files: what stands in blocks that name one."""
    return dict(re.findall(r"^```python file=(\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def test_the_guides_vendor_passes_the_contract_and_the_guides_own_tests(tmp_path):
    found = files(GUIDE.read_text())
    assert set(found) == {"plain_vendor.py", "test_plain_vendor.py", "test_plain_faults.py"}
    for name, text in found.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "pytest.ini").write_text(INI)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout


def test_a_vendor_is_about_a_hundred_lines_and_its_test_ten():
    found = files(GUIDE.read_text())
    lines = {name: len([line for line in text.splitlines() if line.strip()]) for name, text in found.items()}
    assert lines["plain_vendor.py"] <= 150
    assert lines["test_plain_vendor.py"] <= 12

"""Write the golden documents anew; read the difference before you commit it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.golden.lines import FOLDER, LINES, said

for name, words in LINES.items():
    with tempfile.TemporaryDirectory() as folder:
        (FOLDER / f"{name}.json").write_text(said(words, Path(folder)), encoding="utf-8")

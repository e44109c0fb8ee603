"""What scripts rely on does not change unseen: ``python -m tests.golden`` writes it anew."""

from __future__ import annotations

import pytest

from tests.golden.lines import FOLDER, LINES, said


@pytest.mark.parametrize("name", LINES)
def test_the_document_is_the_one_that_was_agreed(name, tmp_path):
    assert said(LINES[name], tmp_path) == (FOLDER / f"{name}.json").read_text(encoding="utf-8")


def test_no_golden_document_is_left_over():
    assert {path.stem for path in FOLDER.glob("*.json")} == set(LINES)

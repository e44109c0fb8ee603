"""Command lines on a fresh database, and the documents they print."""

from __future__ import annotations

import json
from typing import Any

import pytest


@pytest.fixture
def command(qfund, store_url):
    """Runs a command line in an empty project on a fresh database: (exit code, stdout, stderr)."""

    def run(line: str) -> tuple[int, str, str]:
        ran = qfund(*line.split(), QFUND__STORE__URL=store_url)
        return ran.code, ran.out, ran.err

    return run


def document(out: str, command: str = "ingest") -> dict[str, Any]:
    """The one document that stdout is, after a look at its schema."""
    found = json.loads(out)
    assert found["schema"] == f"qfund.{command}/1"
    return found

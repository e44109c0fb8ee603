"""A crash leaves one line, a log without secrets, and never a second crash."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from qfund.commands.failures import crash, scrubbed

ENVIRON = {"API_SECRET": "s3cr3t-value", "QFUND_DB_PASSWORD": "hunter22", "PATH": "/usr/bin", "TOKEN": "ab"}


def fault() -> ValueError:
    with pytest.raises(ValueError, match="bad") as caught:
        stumble()
    return caught.value


def stumble() -> None:
    raise ValueError("bad s3cr3t-value at postgresql://u:geheim@h/d\nsecond line")


def test_the_log_holds_the_traceback_and_no_secret(tmp_path):
    told = crash(fault(), tmp_path / "logs", ENVIRON)
    log = Path(str(told.details["log"]))
    text = log.read_text()
    assert "Traceback" in text
    assert "test_failures.py" in text
    assert "s3cr3t-value" not in text + told.message
    assert "geheim" not in text + told.message
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert told.exit_code == 1
    assert re.fullmatch(
        r"An unexpected fault of qfund's own, ValueError: bad ••• at postgresql://u:•••@h/d "
        r"\(id [0-9a-f]{6}, log .*/logs/error-\d{8}T\d{6}Z-[0-9a-f]{6}\.log\)\.",
        told.message,
    )


def test_a_log_that_cannot_be_written_is_said_in_the_same_line(tmp_path):
    (tmp_path / "file").touch()
    told = crash(fault(), tmp_path / "file" / "logs", ENVIRON)
    assert "its log could not be written: " in told.message
    assert told.details["log"] is None


def test_an_exception_without_words_is_named(tmp_path):
    assert "ZeroDivisionError (id" in crash(ZeroDivisionError(), tmp_path, {}).message


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("hunter22", "•••"),
        ("/usr/bin ab", "/usr/bin ab"),
        ("s3cr3t-value/hunter22", "•••/•••"),
    ],
)
def test_values_of_secret_looking_variables_are_hidden_but_short_ones_would_hide_everything(text, safe):
    assert scrubbed(text, ENVIRON) == safe

"""The versions come from the installed metadata, without importing a library."""

from __future__ import annotations

import platform
from importlib import metadata

from qfund.commands.version import LIBRARIES, installed


def test_it_tells_qfund_python_and_the_libraries_that_matter(qfund):
    told = qfund("version", "--json").document["data"]
    assert told["qfund"] == metadata.version("qfund")
    assert told["python"] == platform.python_version()
    assert set(told["libraries"]) == set(LIBRARIES)
    assert told["libraries"]["pandas"] == metadata.version("pandas")


def test_people_get_the_same_as_a_list(qfund):
    ran = qfund("version")
    assert f"vectorbt-rust           {metadata.version('vectorbt-rust')}\n" in ran.out
    assert ran.code == 0


def test_a_library_that_is_missing_is_none():
    assert installed("no-such-distribution") is None

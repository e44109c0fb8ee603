"""What every test may ask for: one embedded Postgres per test process, a fresh database per test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qfund.store import Store, open_store
from tests.support.databases import Server, quick_folder, running_server


@pytest.fixture(scope="session")
def pg_server() -> Iterator[Server]:
    """The embedded server of this test process."""
    with quick_folder() as folder, running_server(folder / "home") as server:
        yield server


@pytest.fixture
def store_url(pg_server: Server) -> Iterator[str]:
    """The address of a fresh, migrated database."""
    with pg_server.database() as url:
        yield url


@pytest.fixture
def store(store_url: str, tmp_path) -> Iterator[Store]:
    """An open store on a fresh database."""
    with open_store(store_url, tmp_path) as opened:
        yield opened

"""The store says what `qfund doctor` and `qfund db status` show of it."""

from __future__ import annotations

from qfund.store import Store, check, schema


def test_a_healthy_store_tells_its_version_revision_size_and_clock(store: Store) -> None:
    found = check.facts(store)
    assert found.revision == found.newest_revision == schema.HEAD
    assert int(found.server_version.partition(".")[0]) >= 14
    assert found.bytes > 1_000_000
    assert abs(found.clock_skew_seconds) < 5
    assert found.embedded is False, "the tests give its address"
    assert found.url == store.url

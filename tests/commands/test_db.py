"""The database tells where it is, how it is and how large it is, without its password."""

from __future__ import annotations

from qfund.commands.db import megabytes


def test_status_tells_the_server_the_schema_and_the_size(qfund, store_url):
    ran = qfund("db", "status", "--json", QFUND__STORE__URL=store_url)
    facts = ran.document["data"]["facts"]
    assert facts["revision"] == facts["newest_revision"]
    assert facts["bytes"] > 1_000_000
    assert abs(facts["clock_skew_seconds"]) < 1
    assert facts["embedded"] is False
    ran = qfund("db", "status", QFUND__STORE__URL=store_url)
    assert f"PostgreSQL {facts['server_version']}" in ran.out


def test_migrate_twice_is_as_good_as_once(qfund, store_url):
    first = qfund("db", "migrate", "--json", QFUND__STORE__URL=store_url)
    again = qfund("db", "migrate", "--json", QFUND__STORE__URL=store_url)
    assert first == again
    assert first.document["data"]["revision"] == first.document["data"]["newest"]


def test_size_lists_every_table(qfund, store_url):
    ran = qfund("db", "size", QFUND__STORE__URL=store_url)
    assert ran.code == 0
    assert "sec.bar_1d" in ran.out
    assert " MB in all\n" in ran.out


def test_a_wrong_address_is_told_without_the_password(qfund):
    ran = qfund("db", "status", QFUND__STORE__URL="mysql://fund:geheim@db/x")
    assert ran.code == 3
    assert "postgresql://" in ran.err
    assert "geheim" not in ran.err + ran.out


def test_sizes_are_in_megabytes():
    assert megabytes(1536 * 1024) == "1.5 MB"

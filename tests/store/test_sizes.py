"""Every table has its size, partitions counted for their parent."""

from __future__ import annotations

from qfund.store.sizes import sizes


def test_every_table_is_told_the_largest_first(store):
    found = sizes(store)
    names = [one.table for one in found]
    assert {"sec.bar_1d", "sec.bar_1m_day", "ops.run", "ops.trade"} <= set(names)
    assert len(names) == len(set(names))
    assert [one.bytes for one in found] == sorted((one.bytes for one in found), reverse=True)
    assert all(one.rows >= 0 and one.bytes >= 0 for one in found)
    assert sum(one.bytes for one in found) > 0


def test_partitions_count_for_their_parent(store):
    before = {one.table: one.bytes for one in sizes(store)}
    with store.sql.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE sec.bar_1m_day_2090 PARTITION OF sec.bar_1m_day"
            " FOR VALUES FROM ('2090-01-01') TO ('2091-01-01')"
        )
    after = {one.table: one.bytes for one in sizes(store)}
    assert after.keys() == before.keys()
    assert after["sec.bar_1m_day"] > before["sec.bar_1m_day"]

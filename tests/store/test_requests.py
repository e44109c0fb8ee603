"""The ledger of requests: counts that only grow, by vendor, account and month."""

from __future__ import annotations

import threading
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from qfund.store import requests
from qfund.store.requests import Sent


def backdated(store, months):
    with store.sql.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE ops.request_ledger SET month = (month - %s * interval '1 month')::date", (months,)
        )


def test_what_is_added_is_read_by_vendor_and_month(store):
    requests.add(store, "alpaca", {"data 1f": Sent(3, 1, 1, 500), "trading 1f": Sent(1, 0, 0, 20)})
    requests.add(store, "alpaca", {"data 1f": Sent(2, 0, 1, 100)})
    requests.add(store, "oanda", {"live": Sent(7)})
    assert requests.this_month(store) == {"alpaca": Sent(6, 1, 2, 620), "oanda": Sent(7)}
    lines = requests.months(store, "alpaca")
    assert [(line.account, line.sent) for line in lines] == [
        ("data 1f", Sent(5, 1, 2, 600)),
        ("trading 1f", Sent(1, 0, 0, 20)),
    ]
    assert {line.month for line in lines} == {date.today().replace(day=1)}  # noqa: DTZ011


def test_another_month_is_another_line(store):
    requests.add(store, "alpaca", {"data": Sent(3)})
    backdated(store, 2)
    requests.add(store, "alpaca", {"data": Sent(1)})
    assert requests.this_month(store) == {"alpaca": Sent(1)}
    assert [line.sent.requests for line in requests.months(store, back=1)] == [1]
    assert [line.sent.requests for line in requests.months(store, back=2)] == [1, 3]


def test_nothing_is_written_for_nothing(store):
    requests.add(store, "alpaca", {"data": Sent()})
    requests.add(store, "alpaca", {})
    assert requests.months(store) == []


def test_two_runs_at_once_lose_no_count_and_never_wait_for_each_other_for_ever(store):
    def work(names):
        for _ in range(50):
            requests.add(store, "alpaca", {name: Sent(1, size=10) for name in names})

    threads = [threading.Thread(target=work, args=(names,)) for names in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert requests.this_month(store) == {"alpaca": Sent(200, size=2000)}


sent = st.builds(Sent, *[st.integers(0, 10**9)] * 4)


@given(sent, sent)
def test_what_is_added_can_be_taken_away(one, other):
    assert one + other - other == one
    assert one + Sent() == one

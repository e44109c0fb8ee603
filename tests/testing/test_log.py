"""Each oracle catches its violation, and is silent where there is none."""

from __future__ import annotations

import concurrent.futures
import json
from datetime import UTC, date, datetime
from urllib.error import HTTPError
from urllib.request import Request as Asking
from urllib.request import urlopen

import pytest

from qfund.testing import Clock, Entry, Log, Truth, faults
from qfund.testing.plain import FakePlain


def entry(number: int, arrived: float, **facts) -> Entry:
    made = Entry(number, arrived, "2024-02-01T00:00:00+00:00", "GET", "/bars", {}, {}, status=200)
    for name, value in facts.items():
        setattr(made, name, value)
    return made


def log(*arrivals: float, **facts) -> Log:
    return Log([entry(number, arrived, **facts) for number, arrived in enumerate(arrivals, 1)])


@pytest.fixture
def fake():
    truth = Truth()
    truth.walk("AAPL", "1d", date(2024, 1, 2), date(2024, 1, 31))
    with FakePlain(truth, clock=Clock(datetime(2024, 2, 1, tzinfo=UTC))) as running:
        yield running


def get(fake, path: str = "/bars", method: str = "GET", key: str | None = None, **params: str) -> int:
    said = {"symbols": "AAPL", "timeframe": "1d", "since": "2024-01-02", "until": "2024-01-05", **params}
    query = "&".join(f"{name}={value}" for name, value in said.items())
    headers = {"Authorization": f"Bearer {fake.key if key is None else key}"}
    try:
        with urlopen(Asking(f"{fake.url}{path}?{query}", headers=headers, method=method)) as answer:
            answer.read()
            return answer.status
    except HTTPError as error:
        error.close()
        return error.code


# --- rate


def test_a_window_with_one_request_too_many_is_found():
    assert not log(0.0, 10.0, 60.0, 70.0).over(2)
    (said,) = log(0.0, 10.0, 59.9, 200.0).over(2)
    assert "requests 1 to 3 within 59.900 s, the limit is 2 in 60 s" in said


def test_the_window_slides():
    assert log(0.0, 58.0, 59.0, 61.0).over(3) == []
    assert log(0.0, 58.0, 59.0, 61.0, 62.0).over(3)


def test_accounts_have_a_window_each_and_slack_forgives_the_way():
    two = Log([entry(1, 0.0, account="a"), entry(2, 1.0, account="b"), entry(3, 2.0, account="a")])
    assert not two.over(2, 60)
    assert two.over(1, 60, account="a")
    assert not two.over(1, 60, account="b")
    assert not log(0.0, 59.95).over(1, slack=0.1)


@pytest.mark.parametrize("as_date", [False, True])
def test_a_request_before_retry_after_has_passed_is_found(fake, as_date):
    fake.script.add(faults.Status(429, retry_after=30, as_date=as_date))
    assert get(fake) == 429
    assert not fake.log.early()
    get(fake)
    (said,) = fake.log.early()
    assert "request 2 came 2" in said
    assert "before request 1 allowed" in said


def test_a_request_before_the_reset_is_found_and_a_reset_in_the_past_blocks_nothing(fake):
    fake.script.add(faults.Status(429, reset_in=-3600))
    get(fake)
    get(fake)
    assert not fake.log.early()
    fake.script.add(faults.Status(429, reset_in=600))
    get(fake)
    get(fake)
    assert len(fake.log.early()) == 1


def test_a_request_that_was_under_way_when_it_was_blocked_is_not_early():
    block = entry(1, 0.0, finished=2.0, blocked_until=10.0)
    assert not Log([block, entry(2, 1.0), entry(3, 10.0)]).early()
    assert Log([block, entry(2, 9.0)]).early()


# --- concurrency


def test_crowds_are_counted(fake):
    fake.script.add(faults.Delay(0.3), times=None)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda _: get(fake), range(3))) == [200] * 3
    assert fake.log.most_in_flight() == 3
    assert not fake.log.crowded(3)
    assert len(fake.log.crowded(2)) == 1


def test_one_after_the_other_is_no_crowd(fake):
    for _ in range(3):
        get(fake)
    assert fake.log.most_in_flight() == 1


def test_a_dropped_connection_is_no_longer_in_flight(fake):
    fake.script.add(faults.Drop())
    with pytest.raises((OSError, Exception)):
        get(fake)
    get(fake)
    assert fake.log.most_in_flight() == 1


# --- words


def test_forbidden_and_missing_parameters_are_found(fake):
    get(fake, feed="iex")
    assert fake.log.forbidden("feed") == ["request 1 to /bars says feed=iex"]
    assert not fake.log.forbidden("adjusted")
    assert not fake.log.without(timeframe="1d")
    assert fake.log.without(timeframe="1m") == ["request 1 to /bars says timeframe=1d, not 1m"]
    assert fake.log.without(adjustment="raw") == ["request 1 to /bars says adjustment=None, not raw"]


def test_a_write_is_found(fake):
    get(fake)
    assert not fake.log.writes()
    get(fake, method="DELETE")
    assert fake.log.writes() == ["request 2 is DELETE /bars"]


def test_no_secret_is_logged_but_whether_it_was_right(fake):
    get(fake)
    assert get(fake, key="wrong") == 401
    assert [one.authorized for one in fake.log.of()] == [True, False]
    text = json.dumps(fake.log.document())
    assert fake.key not in text
    assert "Bearer" not in text


# --- pairs


def test_pairs_of_symbol_and_session_are_counted(fake):
    get(fake)
    get(fake, since="2024-01-05", until="2024-01-08")
    pairs = fake.log.asked()
    assert pairs["AAPL", date(2024, 1, 4)] == 1
    assert pairs["AAPL", date(2024, 1, 5)] == 2
    assert ("AAPL", date(2024, 1, 6)) not in pairs  # a Saturday
    assert fake.log.again() == ["AAPL 2024-01-05 was asked 2 times"]
    assert not fake.log.again(most=2)
    assert not fake.log.again(allowed={("AAPL", date(2024, 1, 5))})


def test_pages_and_failures_are_not_asked_again(fake):
    fake.script.add(faults.Status(503))
    get(fake)
    get(fake)
    assert not fake.log.again()


def test_a_log_is_cleared_and_its_numbers_go_on(fake):
    get(fake)
    fake.log.clear()
    get(fake)
    assert [one.number for one in fake.log.of()] == [2]


def test_a_log_of_another_process_is_the_same_log(fake):
    get(fake)
    get(fake, since="x")
    read = Log.read(json.loads(json.dumps(fake.log.document())))
    assert read.entries == fake.log.entries

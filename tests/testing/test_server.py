"""The server: its clock, its own limit, its honesty about itself, and a process of its own."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from datetime import UTC, date, datetime

import pytest

from qfund.testing import Clock, FakeVendor, Truth
from qfund.testing.plain import FakePlain
from qfund.testing.process import Separate
from qfund.vendors.contract import Rate
from tests.testing.test_faults import SPAN, connection, raw

NOW = datetime(2024, 2, 1, 12, tzinfo=UTC)


def small() -> FakeVendor:
    """A fake for a process of its own."""
    truth = Truth()
    truth.walk("AAPL", "1d", date(2024, 1, 2), date(2024, 1, 31))
    return FakePlain(truth, clock=Clock(NOW))


def broken() -> FakeVendor:
    raise RuntimeError("no such fake")


def test_the_date_header_is_the_fakes_own_clock():
    with small() as fake:
        assert raw(fake)[1]["date"] == "Thu, 01 Feb 2024 12:00:00 GMT"
        fake.clock.advance(3600)
        assert raw(fake)[1]["date"] == "Thu, 01 Feb 2024 13:00:00 GMT"
        assert fake.log.entries[1].wall == "2024-02-01T13:00:00+00:00"


def test_it_enforces_a_rate_and_says_where_it_stands():
    with FakePlain(clock=Clock(NOW), rate=Rate(2, 60), retry_after=True) as fake:
        told = [raw(fake, "/instruments") for _ in range(3)]
    assert [status for status, _, _ in told] == [200, 200, 429]
    assert [headers["x-ratelimit-remaining"] for _, headers, _ in told] == ["1", "0", "0"]
    _, headers, _ = told[2]
    assert headers["x-ratelimit-limit"] == "2"
    assert 50 <= int(headers["retry-after"]) <= 60
    assert NOW.timestamp() + 50 <= int(headers["x-ratelimit-reset"]) <= NOW.timestamp() + 60
    assert len(fake.log.over(2)) == 1


def test_a_rate_lets_go_after_its_window():
    with FakePlain(rate=Rate(1, 0.2)) as fake:
        assert raw(fake, "/instruments")[0] == 200
        time.sleep(0.25)
        assert raw(fake, "/instruments")[0] == 200


def test_a_fault_of_the_dialect_is_not_taken_for_the_vendors():
    class Failing(FakePlain):
        def answer(self, request):
            raise ZeroDivisionError("a fault of the fake")

    with pytest.raises(ZeroDivisionError, match="a fault of the fake"), Failing() as fake:
        assert raw(fake)[0] == 500


def test_a_connection_serves_one_request_after_the_other():
    with small() as fake, connection(fake) as made:
        for _ in range(3):
            made.request("GET", "/instruments", headers={"Authorization": f"Bearer {fake.key}"})
            assert json.load(made.getresponse())["instruments"]


def test_it_listens_on_loopback_alone_and_not_after_its_end():
    with small() as fake:
        host, _, port = fake.url.removeprefix("http://").partition(":")
        assert host == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)
    with pytest.raises(RuntimeError, match="not running"):
        _ = fake.url


def test_unknown_words_are_refused_in_the_vendors_form():
    with small() as fake:
        assert raw(fake, "/nothing")[0] == 404
        status, _, body = raw(fake, f"/bars?symbols=AAPL&timeframe=1d&{SPAN}&feed=x")
        assert (status, json.loads(body)) == (400, {"error": "unknown parameter feed"})
        assert raw(fake, f"/bars?symbols=AAPL&timeframe=2d&{SPAN}")[0] == 400
        assert raw(fake, "/bars?symbols=AAPL&timeframe=1d")[0] == 400
        assert raw(fake, f"/bars?symbols=AAPL&timeframe=1d&{SPAN}&page_token=x")[0] == 400


def test_a_fake_in_another_process_answers_and_gives_its_log():
    with Separate("tests.testing.test_server:small") as fake:
        made = http.client.HTTPConnection(fake.url.removeprefix("http://"), timeout=10)
        made.request("GET", "/instruments", headers={"Authorization": f"Bearer {FakePlain.key}"})
        assert json.load(made.getresponse())["instruments"][0]["symbol"] == "AAPL"
        made.close()
        (entry,) = fake.log().of("/instruments")
        assert entry.status == 200
        assert entry.rows == 1


def test_a_fake_that_does_not_start_says_so():
    with (
        pytest.raises(RuntimeError, match="test_server:broken ended with 1"),
        Separate("tests.testing.test_server:broken"),
    ):
        pass


def test_without_uvicorn_it_says_how_to_install_it():
    program = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from qfund.errors import ConfigError\n"
        "from qfund.testing.plain import FakePlain\n"
        "try:\n    FakePlain().start()\n"
        "except ConfigError as error:\n    print(error.message, error.fix, error.exit_code)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == (
        "The fake vendor needs uvicorn, which is not installed. pip install 'qfund[testing]' 3\n"
    )

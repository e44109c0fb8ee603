"""The check of the fake Alpaca by Alpaca's own descriptions catches what they do not allow."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime

import httpx
import pytest

from qfund.testing import Clock, Instrument, Truth, faults
from tests.support import openapi
from tests.support.alpaca import FakeAlpaca

NOW = datetime(2024, 4, 1, 12, tzinfo=UTC)
PARAMS = {"symbols": "BTC/USD", "timeframe": "1Day", "start": "2024-01-02", "end": "2024-01-05"}


@pytest.fixture(scope="module")
def truth() -> Truth:
    made = Truth()
    made.add(Instrument("BTC/USD", kind="crypto", calendar="24/7"))
    made.walk("BTC/USD", "1d", date(2024, 1, 2), date(2024, 1, 31))
    return made


def test_a_request_that_the_description_does_not_know_fails_the_fake(truth):
    with pytest.raises(AssertionError, match="unknown parameter adjusted"), FakeAlpaca(truth) as fake:
        httpx.get(f"{fake.url}/v1beta3/crypto/us/bars?symbols=BTC/USD&timeframe=1Day&adjusted=false")


@pytest.mark.parametrize(("change", "complaint"), [
    (lambda body: body.replace(b'"vw"', b'"w"'), "'vw' is a required property"),
    (lambda body: body.replace(b'"t":"2024', b'"t":"24'), "is not a 'date-time'"),
    (lambda body: body.replace(b'"o":', b'"o":"1","x":'), "is not of type 'number'"),
    (lambda body: body.replace(b'"next_page_token":null', b'"next":null'), "'next_page_token' is a required property"),
])  # fmt: skip
def test_an_answer_that_the_description_does_not_allow_fails_the_fake(truth, change, complaint):
    class Dishonest(FakeAlpaca):
        def answer(self, request):
            told = super().answer(request)
            return type(told)(change(told.body), told.status, rows=told.rows)

    with pytest.raises(AssertionError, match=complaint), Dishonest(truth, clock=Clock(NOW)) as fake:
        assert httpx.get(f"{fake.url}/v1beta3/crypto/us/bars", params=PARAMS).status_code == 200


def test_nullable_becomes_json_schemas_null():
    plain = openapi._plain({"type": "string", "nullable": True})
    assert plain == {"anyOf": [{"type": "string"}, {"type": "null"}]}


def test_a_scripted_untruth_is_not_held_against_the_fake(truth):
    with FakeAlpaca(truth, clock=Clock(NOW)) as fake:
        fake.script.add(faults.BadValue("close", "n/a"))
        assert httpx.get(f"{fake.url}/v1beta3/crypto/us/bars", params=PARAMS).text.count("n/a") == 1
        assert not fake.complaints


def test_without_the_descriptions_the_fake_says_how_to_get_them(tmp_path):
    with pytest.raises(FileNotFoundError, match="`make test` sets it up"):
        openapi.wheel((tmp_path,))


def test_the_descriptions_are_those_that_are_pinned():
    pinned = (openapi.REPOSITORY / "requirements" / "specifications.txt").read_text()
    digest = hashlib.sha256(openapi.wheel().read_bytes()).hexdigest()
    assert f"alpaca-mcp-server==2.4.0 --hash=sha256:{digest}" in pinned
    assert openapi.description("market-data-api").document["info"]["title"]

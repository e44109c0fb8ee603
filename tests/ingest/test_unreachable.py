"""A vendor whose host cannot be reached costs the attempts of one question, and nothing that was fetched is lost."""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace

import pytest

from qfund.errors import UnreachableError
from qfund.testing import Clock
from qfund.vendors.alpaca import Alpaca
from qfund.vendors.contract import Setup
from qfund.vendors.wire import Network
from tests.ingest.rig import EVENING, SINCE, SYMBOLS, UNTIL, Known, Way, assert_whole, errors, ingest
from tests.support.alpaca import FakeAlpaca

ATTEMPTS = 3


@dataclass(frozen=True)
class Half(Way):
    """One of the two hosts is where nobody listens."""

    dead: str = "data_url"

    def vendor(self, way: Network) -> Alpaca:
        secrets = {"key_id": Known(self.key), "secret_key": Known(self.fake.secret)}
        values = {"data_url": self.fake.url, "trading_url": self.fake.url} | {self.dead: nowhere()}
        vendor = Alpaca(Setup(values, secrets, way))
        vendor.capabilities = replace(Alpaca.capabilities, **self.changes)
        return vendor


def nowhere() -> str:
    """An address of this machine where nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{found.getsockname()[1]}"


@pytest.fixture
def fake():
    with FakeAlpaca(clock=Clock(EVENING)) as made:
        for symbol in SYMBOLS:
            made.truth.walk(symbol, "1d", SINCE, UNTIL)
        yield made


def test_without_the_host_of_prices_nothing_but_the_actions_is_tried(store, fake):
    report, _ = ingest(store, Half(fake), attempts=ATTEMPTS)
    assert report.sent().requests == len(SYMBOLS) + ATTEMPTS  # the look-ups, and one question
    (error,) = errors(report)
    assert (error.exit_code, error.code, error.fix) == (13, "VENDOR_UNREACHABLE", "qfund ingest …")
    ingest(store, Way(fake))
    assert_whole(store, fake)


def test_without_the_host_of_listings_no_question_follows(store, fake):
    with pytest.raises(UnreachableError) as told:
        ingest(store, Half(fake, dead="trading_url"), attempts=ATTEMPTS)
    assert told.value.details["attempts"] == ATTEMPTS
    assert len(fake.log) == 0

"""What a vendor says of itself; and the bundled vendor keeps what `VendorContract` demands of all."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from qfund import plugins
from qfund.testing.contract import VendorContract
from qfund.testing.network import Given
from qfund.vendors.contract import DAILY_SCHEMA, MINUTE_SCHEMA, BarRequest, Capabilities, Offer, Setup, schema
from qfund.vendors.sample import Sample

DAILY = Offer("1d", feed="sip", first=date(2016, 1, 4), last=None, sessions_per_request=250)
IEX = replace(DAILY, feed="iex")
PAIRS = replace(DAILY, market="crypto", feed="us")


class TestSample(VendorContract):
    """It has no network, so that what remains is its word about itself, its pages and its actions."""

    since, until = date(2013, 2, 15), date(2013, 3, 1)

    def vendor(self, server, network):
        return Sample(Setup())

    def test_it_is_installed_under_its_name(self, made):
        assert plugins.load("qfund.vendors", made.name) is Sample


def test_a_timeframe_that_is_not_offered_is_none():
    assert Capabilities("t", "p", offers=()).offer("1d") is None
    assert Capabilities("t", "p", offers=(DAILY,)).offer("1m") is None


@pytest.mark.parametrize(("wish", "found"), [
    ({}, DAILY), ({"feed": "iex"}, IEX), ({"market": "crypto"}, PAIRS), ({"market": "crypto", "feed": "iex"}, None),
])  # fmt: skip
def test_of_several_offers_the_first_that_fits_all_that_is_named_is_meant(wish, found):
    assert Capabilities("t", "p", offers=(DAILY, IEX, PAIRS)).offer("1d", **wish) == found


def test_symbols_are_meant_as_on_the_last_session_of_the_span():
    request = BarRequest(("FB",), "1d", date(2022, 6, 1), date(2022, 6, 8), DAILY)
    assert request.mapped_as_of == date(2022, 6, 8)


def test_pages_have_their_timeframes_columns():
    assert schema("1d") is DAILY_SCHEMA
    assert schema("1m") is MINUTE_SCHEMA


def test_a_secret_is_opened_when_it_is_used_and_is_none_when_it_is_not_set():
    setup = Setup(secrets={"key": Given("s3cret")})
    assert setup.secret("key") == "s3cret"
    assert setup.secret("other") is None
    assert "s3cret" not in repr(setup)

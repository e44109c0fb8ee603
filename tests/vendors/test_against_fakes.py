"""Alpaca and OANDA against stateful fakes that check every request by the vendors' published descriptions."""

from __future__ import annotations

from dataclasses import replace

from qfund.testing.contract import VendorContract
from qfund.testing.instruments import Instrument
from qfund.testing.network import Given
from qfund.vendors.alpaca import Alpaca
from qfund.vendors.contract import Setup
from qfund.vendors.oanda import Oanda
from tests.support.alpaca import FakeAlpaca
from tests.support.oanda import FakeOanda


class Referring(VendorContract):
    """A secret's default is where it customarily lies, ``env:NAME``, which is no secret itself."""

    def test_its_settings_and_limits_are_whole(self, made):
        secret = [setting for setting in made.capabilities.settings if setting.secret]
        assert secret
        assert all((setting.default or "env:").startswith("env:") for setting in secret)
        assert made.capabilities.rate is not None
        assert made.capabilities.concurrency > 1


class WholeTape(Alpaca):
    """Without IEX's own prices, which are a part of the truth that the fake tells as IEX would."""

    capabilities = replace(
        Alpaca.capabilities,
        offers=tuple(offer for offer in Alpaca.capabilities.offers if offer.feed != "iex"),
    )


class TestAlpaca(Referring):
    symbols = ("AAPL", "IBM", "BTC/USD")

    def instruments(self):
        return [
            Instrument("AAPL", title="Apple Inc."),
            Instrument("IBM", title="IBM", venue="NYSE"),
            Instrument("BTC/USD", title="Bitcoin", kind="crypto", calendar="24/7", venue="CRYPTO"),
        ]

    def server(self):
        return FakeAlpaca(self.world())

    def vendor(self, server, network):
        secrets = {"key_id": Given(server.key), "secret_key": Given(server.secret)}
        return WholeTape(Setup({"data_url": server.url, "trading_url": server.url}, secrets, network))


class TestOanda(Referring):
    symbols = ("EUR_USD", "USD_JPY")
    has_actions = False

    def instruments(self):
        return [
            Instrument("EUR_USD", title="EUR/USD", kind="fx", calendar="FX", venue="OANDA"),
            Instrument("USD_JPY", title="USD/JPY", kind="fx", calendar="FX", venue="OANDA", currency="JPY"),
        ]

    def server(self):
        return FakeOanda(self.world())

    def vendor(self, server, network):
        values = {"api_url": server.url, "account_id": server.account_id}
        return Oanda(Setup(values, {"token": Given(server.key)}, network))

"""Alpaca and OANDA against stateful fakes that check every request by the vendors' published descriptions."""

from __future__ import annotations

from qfund.testing.contract import VendorContract
from qfund.testing.instruments import Instrument
from qfund.testing.network import Given
from qfund.vendors.alpaca import Alpaca
from qfund.vendors.contract import Setup
from qfund.vendors.oanda import Oanda
from tests.support.alpaca import FakeAlpaca
from tests.support.oanda import FakeOanda


class TestAlpaca(VendorContract):
    symbols = ("AAPL", "IBM", "BTC/USD")
    extended = True

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
        return Alpaca(Setup({"data_url": server.url, "trading_url": server.url}, secrets, network))


class TestOanda(VendorContract):
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

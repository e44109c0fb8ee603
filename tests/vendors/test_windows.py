"""Windows of time without a candle are an answer, however many follow each other."""

from __future__ import annotations

from datetime import UTC, date, datetime

from qfund.ingest.check import Checked
from qfund.ingest.plan import FetchSpan
from qfund.ingest.steps import ask
from qfund.testing import Clock, Instrument, Name
from qfund.testing.network import single
from qfund.vendors.contract import Setup
from qfund.vendors.oanda import Oanda
from tests.ingest.rig import Known
from tests.support.oanda import FakeOanda


def test_minutes_of_an_instrument_whose_history_begins_later():
    with FakeOanda(clock=Clock(datetime(2024, 3, 9, tzinfo=UTC))) as fake, single() as network:
        fake.truth.add(Instrument("EUR_USD", (Name("EUR_USD"),), kind="fx", calendar="FX"))
        fake.truth.walk("EUR_USD", "1m", date(2024, 3, 6), date(2024, 3, 7))
        values = {"api_url": fake.url, "account_id": fake.account_id}
        vendor = Oanda(Setup(values, {"token": Known(fake.key)}, network))
        offer = vendor.capabilities.offer("1m")
        step = FetchSpan(("EUR_USD",), date(2024, 2, 1), date(2024, 3, 7), 26)
        answer = ask(vendor, offer, step, lambda: datetime(2024, 3, 9, tzinfo=UTC))
    assert isinstance(answer.checked, Checked)
    assert (len(answer.checked.good), answer.pages > 5) == (2880, True)

"""Doubles of the outside world for tests of vendors, shipped for the authors of plug-ins.

    with FakePlain() as fake:                   # or a dialect of your own: class Mine(FakeVendor)
        fake.truth.walk("AAPL", "1d", date(2024, 1, 2), date(2024, 1, 31))
        fake.script.add(Status(503), path="/bars", number=2)
        …                                       # point the plug-in at fake.url
        assert not fake.log.over(200)

``Truth`` is what is true, ``Script`` what goes wrong and when, ``Log`` what reached the fake, with oracles;
``FakeVendor`` is the server on loopback that they belong to. The contract that a plug-in's test inherits is
``qfund.testing.contract.VendorContract``. The server needs uvicorn (``pip install 'qfund[testing]'``).

Promises: real servers, nothing patched, nothing but loopback. Nothing of qfund imports this package.
"""

from qfund.testing import faults
from qfund.testing.clock import Clock
from qfund.testing.instruments import Instrument, Name
from qfund.testing.log import Entry, Log
from qfund.testing.script import Line, Script
from qfund.testing.truth import Filed, Moment, Truth, When
from qfund.testing.vendor import Answer, FakeVendor, Request

__all__ = [
    "Answer", "Clock", "Entry", "FakeVendor", "Filed", "Instrument", "Line", "Log", "Moment", "Name",
    "Request", "Script", "Truth", "When", "faults",
]  # fmt: skip

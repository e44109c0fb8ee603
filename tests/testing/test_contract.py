"""The contract catches what it is there for: each wrong vendor fails the test that names its fault."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import date

import pytest

from qfund.testing.contract import VendorContract
from qfund.vendors.contract import Setup
from qfund.vendors.sample import Sample
from tests.testing.test_guide import GUIDE, INI, REPOSITORY, files


class TestSample(VendorContract):
    """A vendor without a network inherits it too."""

    since, until = date(2013, 2, 15), date(2013, 3, 1)

    def vendor(self, server, network):
        return Sample(Setup())


WRONG = """
from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
from plain_vendor import Bars, Plain, decoded, table

from qfund.errors import QfundError
from qfund.testing.contract import VendorContract
from qfund.testing.network import Given
from qfund.testing.plain import FakePlain
from qfund.vendors.contract import Page, Setup


class Checked(VendorContract):
    kind = Plain

    def server(self):
        return FakePlain(self.world())

    def vendor(self, server, network):
        return self.kind(Setup({"url": server.url}, {"key": Given(server.key)}, network))


class AsksAgain(Plain):
    def bars(self, request):
        try:
            yield from super().bars(request)
        except QfundError:
            yield from super().bars(request)


class StopsShort(Plain):
    def bars(self, request):
        yield next(iter(super().bars(request)))


class RaisesItsOwn(Plain):
    def bars(self, request):
        try:
            yield from super().bars(request)
        except QfundError as error:
            raise ValueError("no bars") from error


class Tells(Plain):
    def bars(self, request):
        try:
            yield from super().bars(request)
        except QfundError as error:
            error.message += self._setup.secret("key")
            raise


class Rounds(Plain):
    def bars(self, request):
        for page in super().bars(request):
            place = page.bars.schema.get_field_index("close")
            close = pa.array([round(value) * 1.0 for value in page.bars["close"].to_pylist()])
            yield Page(page.bars.set_column(place, page.bars.schema.field("close"), close), page.next_cursor)


class Widens(Plain):
    def bars(self, request):
        yield from super().bars(replace(request, since=request.since - timedelta(days=600)))


class Loosens(Plain):
    def bars(self, request):
        for page in super().bars(request):
            yield Page(page.bars.drop_columns(["session"]), page.next_cursor)


class Invents(Plain):
    def listings(self, symbols=None):
        found = super().listings(symbols)
        return [*found, replace(found[0], symbol="NO.SUCH.THING")]


class Forgets(Plain):
    def actions(self, symbols, since, until):
        return super().actions(symbols, since, until)[1:]


class Crams(Plain):
    capabilities = replace(Plain.capabilities, offers=Plain.capabilities.offers[:1] * 2)


class Guesses(Plain):
    def market(self, symbol):
        return self.listings([symbol]) and "us_equity" or "none"


KINDS = (AsksAgain, StopsShort, RaisesItsOwn, Tells, Rounds, Widens, Loosens, Invents, Forgets, Crams, Guesses)
for kind in KINDS:
    globals()[f"Test{kind.__name__}"] = type(f"Test{kind.__name__}", (Checked,), {"kind": kind})
"""

CAUGHT = {
    "AsksAgain": "test_it_does_not_ask_again_by_itself",
    "StopsShort": "test_pages_have_the_columns_and_only_the_last_has_no_cursor",
    "RaisesItsOwn": "test_what_goes_wrong_is_told_in_qfunds_errors",
    "Tells": "test_credentials_that_are_refused_are_a_setting_to_mend",
    "Rounds": "test_bars_are_the_truth",
    "Widens": "test_requests_keep_to_the_limits_that_it_declares",
    "Loosens": "test_pages_have_the_columns_and_only_the_last_has_no_cursor",
    "Invents": "test_known_symbols_come_once_and_unknown_ones_not",
    "Forgets": "test_actions_are_the_truth_as_far_as_it_is_told",
    "Crams": "test_its_offers_are_whole_and_differ",
    "Guesses": "test_a_symbols_market_is_told_by_its_form",
}


@pytest.fixture(scope="module")
def failed(tmp_path_factory) -> set[tuple[str, str]]:
    """What fails of the wrong vendors: class and test."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "plain_vendor.py").write_text(files(GUIDE.read_text())["plain_vendor.py"])
    (folder / "test_wrong.py").write_text(WRONG)
    (folder / "pytest.ini").write_text(INI)
    wanted = " or ".join(f"(Test{kind} and {test})" for kind, test in CAUGHT.items())
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=no", "-rf", "-p", "no:cacheprovider", "-k", wanted, "."],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    return set(re.findall(r"^FAILED test_wrong\.py::Test(\w+)::(\w+)", ran.stdout, re.MULTILINE))


@pytest.mark.parametrize(("kind", "test"), CAUGHT.items(), ids=list(CAUGHT))
def test_a_wrong_vendor_fails_the_test_that_names_its_fault(failed, kind, test):
    assert (kind, test) in failed

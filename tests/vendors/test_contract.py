"""What every vendor owes the core; a vendor's tests inherit it."""

from __future__ import annotations

import pyarrow as pa
import pytest

from qfund import plugins
from qfund.market import sessions
from qfund.market.bars import TIMEFRAMES
from qfund.vendors.contract import BarRequest, Capabilities, Offer, schema
from qfund.vendors.sample import Sample


class Contract:
    """Inherit it and say which vendor."""

    @pytest.fixture
    def vendor(self):
        raise NotImplementedError

    @pytest.fixture
    def symbols(self, vendor) -> tuple[str, ...]:
        return tuple(listing.symbol for listing in vendor.listings())[:3]

    def days(self, vendor, offer: Offer):
        return sessions.sessions(vendor.capabilities.calendar, offer.first, offer.last)

    def test_it_has_one_offer_for_each_timeframe(self, vendor):
        offered = [offer.timeframe for offer in vendor.capabilities.offers]
        assert offered
        assert len(set(offered)) == len(offered)
        assert set(offered) <= set(TIMEFRAMES)

    def test_limits_are_positive_and_spans_begin_before_they_end(self, vendor):
        assert vendor.capabilities.symbols_per_request >= 1
        for offer in vendor.capabilities.offers:
            assert offer.sessions_per_request >= 1
            assert offer.last is None or offer.first <= offer.last

    def test_unknown_symbols_are_absent_and_known_ones_come_once(self, vendor, symbols):
        found = [listing.symbol for listing in vendor.listings([*symbols, "NO.SUCH.THING"])]
        assert sorted(found) == sorted(symbols)

    def test_pages_have_the_columns_and_only_the_last_has_no_cursor(self, vendor, symbols):
        for offer in vendor.capabilities.offers:
            last = self.days(vendor, offer)[-2:]
            request = BarRequest(symbols, offer.timeframe, last[0].date(), last[1].date(), offer)
            pages = list(vendor.bars(request))
            assert [page.next_cursor is None for page in pages] == [False] * (len(pages) - 1) + [True]
            bars = pa.concat_tables([page.bars for page in pages])
            assert bars.schema == schema(offer.timeframe)
            assert set(bars["symbol"].to_pylist()) <= set(symbols)
            assert set(bars["session"].to_pylist()) <= {day.date() for day in last}

    def test_actions_lie_in_the_span_that_was_asked(self, vendor, symbols):
        days = self.days(vendor, vendor.capabilities.offers[0])
        middle, last = days[len(days) // 2].date(), days[-1].date()
        for action in vendor.actions(symbols, middle, last):
            assert action.symbol in symbols
            assert middle <= action.ex_date <= last


class TestSample(Contract):
    @pytest.fixture
    def vendor(self):
        return Sample()

    def test_it_is_installed_under_its_name(self, vendor):
        assert plugins.load("qfund.vendors", vendor.name) is Sample


def test_a_timeframe_that_is_not_offered_is_none():
    assert Capabilities("t", "p", offers=()).offer("1d") is None

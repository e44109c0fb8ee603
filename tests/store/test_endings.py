"""What a merger or a removal ends, where the vendor's listings give no day."""

from __future__ import annotations

from datetime import date

import pytest

from qfund.market.actions import CorporateAction
from qfund.market.instruments import Listing, Status
from qfund.store import securities
from tests.support.stored import Shelf, at, flat, soon

DAY = date(2024, 1, 8)
MERGER = CorporateAction("A", "cash_merger", DAY)


@pytest.fixture
def shelf(store):
    """A trades until the Friday before the merger."""
    made = Shelf(store)
    made.write([flat("A", date(2024, 1, 4), 10), flat("A", date(2024, 1, 5), 11)])
    return made


def ended(shelf, **more):
    return securities.listings(shelf.store, ["A"], "acme", **more)[shelf.ids["A"]].delisted_on


@pytest.mark.parametrize(
    "kind", ["cash_merger", "stock_merger", "stock_and_cash_merger", "worthless_removal"]
)
def test_the_day_of_the_action_is_the_last_on_which_it_could_trade(shelf, kind):
    assert ended(shelf) is None
    shelf.act(CorporateAction("A", kind, DAY, other_symbol=None if kind == "cash_merger" else "B"))
    assert ended(shelf) == DAY


def test_an_action_that_is_taken_back_leaves_no_trace_and_a_past_reader_still_sees_it(shelf):
    before = soon()
    shelf.act(MERGER)
    between = soon()
    shelf.act(whole=(DAY, DAY))
    assert ended(shelf) is None
    assert (ended(shelf, as_of=before), ended(shelf, as_of=between)) == (None, DAY)


def test_it_is_not_known_before_it_was_told(shelf):
    told = soon()
    shelf.act(CorporateAction("A", "cash_merger", DAY, known_at=told))
    assert ended(shelf, as_of=at(2024, 1, 9)) is None
    assert ended(shelf, as_of=soon()) == DAY


def test_the_vendors_own_day_wins(shelf):
    shelf.act(MERGER)
    last = date(2024, 1, 5)
    securities.register(shelf.store, "acme", [Listing("A", "A Inc", delisted_on=last)])
    assert ended(shelf) == last


def test_what_trades_on_was_not_ended(shelf):
    """The merger was that of an earlier bearer of the ticker."""
    shelf.act(MERGER)
    shelf.write([flat("A", date(2024, 1, 9), 12)])
    assert ended(shelf) is None


def test_a_holding_that_takes_the_ticker_over_ends_nothing(shelf):
    shelf.act(CorporateAction("A", "stock_merger", DAY, other_symbol="A"))
    assert ended(shelf) is None


def test_bars_that_do_not_reach_the_day_leave_the_rest_to_be_asked_for_unless_it_is_inactive(shelf):
    late = date(2024, 3, 1)
    shelf.act(CorporateAction("A", "worthless_removal", late))
    assert ended(shelf) is None
    gone = Listing("A", "A Inc", status=Status(status="inactive"))
    securities.register(shelf.store, "acme", [gone])
    assert ended(shelf) == late

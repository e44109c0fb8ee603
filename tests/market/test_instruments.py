"""A listing is a label with dates; equal facts are equal listings."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import date

import pytest

from qfund.market.instruments import Listing, Status


def test_a_listing_compares_by_its_facts_and_cannot_change() -> None:
    assert Listing("AAPL", "Apple Inc.") == Listing("AAPL", "Apple Inc.")
    assert Listing("AAPL", "Apple Inc.") != Listing("AAPL", "Apple Inc.", currency="EUR")
    with pytest.raises(FrozenInstanceError):
        Listing("AAPL", "Apple Inc.").symbol = "MSFT"  # type: ignore[misc]


def test_what_a_house_allows_today_is_no_part_of_what_a_listing_is() -> None:
    assert Listing("AAPL", "Apple Inc.", status=Status(tradable=False)) == Listing("AAPL", "Apple Inc.")


def test_a_listing_is_gone_with_a_last_session_or_an_inactive_status() -> None:
    assert not Listing("A", "A", status=Status(status="active")).gone
    assert Listing("A", "A", status=Status(status="inactive")).gone
    assert Listing("A", "A", delisted_on=date(2002, 1, 15)).gone

"""What a series is: vendor, feed, basis, kind of price and hours, never mixed."""

from __future__ import annotations

from datetime import date

from qfund.store import Store, sources
from tests.support.stored import Shelf


def test_the_same_series_is_made_once(store: Store) -> None:
    first = sources.series(store, vendor="acme", timeframe="1d", feed="sip")
    assert sources.series(store, vendor="acme", timeframe="1d", feed="sip") == first
    assert sources.series(store, vendor="acme", timeframe="1m", feed="sip").source_id == first.source_id


def test_another_feed_basis_or_price_is_another_series(store: Store) -> None:
    ids = {
        sources.series(store, vendor=vendor, timeframe="1d", **more).source_id
        for vendor, more in (
            ("acme", {"feed": "sip"}),
            ("acme", {"feed": "iex"}),
            ("acme", {"feed": "sip", "basis": "split"}),
            ("acme", {"feed": "sip", "price_kind": "mid"}),
            ("acme", {"feed": "sip", "hours": "extended"}),
            ("other", {"feed": "sip"}),
        )
    }
    assert len(ids) == 6


def test_only_series_with_bars_of_the_timeframe_are_listed(store: Store) -> None:
    sources.series(store, vendor="empty", timeframe="1d")
    assert sources.sources(store, "1d") == []
    shelf = Shelf(store)
    shelf.write([("A", date(2024, 1, 2), 1, 1, 1, 1, 1)])
    assert sources.sources(store, "1d") == [shelf.series]
    assert sources.sources(store, "1m") == []

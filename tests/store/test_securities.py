"""Instruments under dated symbols."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import psycopg2
import pytest

from qfund.errors import DataQualityError, NotFoundError
from qfund.market.instruments import Listing
from qfund.store import securities
from tests.support.stored import Shelf, flat

APPLE = Listing("AAPL", "Apple", listed_on=date(1980, 12, 12))


def query(store, text):
    with store.sql.connect() as connection:
        return connection.exec_driver_sql(text).all()


def test_registering_again_changes_nothing(store):
    ids = securities.register(store, "acme", [APPLE, Listing("MSFT", "Microsoft")], terms="public domain")
    before = query(store, "SELECT xmin, * FROM sec.instrument ORDER BY 2")
    assert securities.register(store, "acme", [APPLE, Listing("MSFT", "Microsoft")]) == ids
    assert query(store, "SELECT xmin, * FROM sec.instrument ORDER BY 2") == before
    assert securities.listings(store) == {ids["AAPL"]: APPLE, ids["MSFT"]: Listing("MSFT", "Microsoft")}
    assert query(store, "SELECT terms FROM sec.vendor") == [("public domain",)]


def test_new_facts_are_taken_over_under_the_same_number(store):
    ids = securities.register(store, "acme", [APPLE])
    gone = replace(APPLE, name="Apple Inc", delisted_on=date(2030, 1, 2), vendor_ref="x-1")
    assert securities.register(store, "acme", [gone]) == ids
    assert securities.listings(store, ["AAPL"], "acme") == {ids["AAPL"]: gone}


def test_a_symbol_used_again_after_a_delisting_is_another_instrument(store):
    old = Listing("S", "Sears", listed_on=date(1990, 1, 2), delisted_on=date(2005, 3, 24))
    new = Listing("S", "Sprint", listed_on=date(2005, 8, 15))
    first = securities.register(store, "acme", [old])["S"]
    second = securities.register(store, "acme", [new])["S"]
    assert first != second
    assert securities.instruments(store, ["S"]) == {"S": second}
    assert securities.instruments(store, ["S"], on=date(2000, 1, 3)) == {"S": first}
    assert securities.register(store, "acme", [old]) == {"S": first}
    with pytest.raises(NotFoundError):
        securities.instruments(store, ["S"], on=date(2005, 5, 2))


def test_a_renamed_instrument_keeps_its_number_and_its_bars(store):
    shelf = Shelf(store)
    shelf.ids = securities.register(store, "acme", [Listing("FB", "Facebook", vendor_ref="meta")])
    shelf.write([flat("FB", date(2024, 1, 2), 1)])
    assert securities.register(store, "acme", [Listing("META", "Meta", vendor_ref="meta")]) == {
        "META": shelf.ids["FB"]
    }
    assert shelf.read("META").close["META"].tolist() == [1]
    assert securities.instruments(store, ["FB"]) == {"FB": shelf.ids["FB"]}
    assert [one.symbol for one in securities.listings(store).values()] == ["META"]


def test_two_instruments_cannot_share_a_symbol_on_one_day(store):
    one = Listing("X", "one", listed_on=date(2000, 1, 3), delisted_on=date(2010, 1, 4), vendor_ref="1")
    other = Listing("X", "other", listed_on=date(2010, 1, 4), vendor_ref="2")
    with pytest.raises(DataQualityError, match="symbol_names_one_instrument"):
        securities.register(store, "acme", [one, other])
    assert securities.listings(store) == {}
    assert len(securities.register(store, "acme", [one])) == 1
    securities.register(store, "other vendor", [other])


def test_the_database_itself_refuses_an_overlapping_symbol(store):
    (number,) = securities.register(store, "acme", [APPLE]).values()
    connection = psycopg2.connect(
        store.sql.url.set(drivername="postgresql").render_as_string(hide_password=False)
    )
    try:
        with connection.cursor() as cursor, pytest.raises(psycopg2.errors.ExclusionViolation):
            cursor.execute(
                "WITH i AS (INSERT INTO sec.instrument (kind, name, currency) VALUES ('equity', 'x', 'USD') RETURNING 1)"
                " INSERT INTO sec.instrument_symbol SELECT %s + 0, vendor_id, 'AAPL', NULL, '[2000-01-01,2000-01-02)'"
                " FROM sec.vendor",
                (number,),
            )
    finally:
        connection.close()


def test_venues_bring_their_calendar_and_unknown_ones_are_refused(store):
    securities.register(store, "acme", [Listing("VOD", "Vodafone", mic="XLON", currency="GBP")])
    assert query(store, "SELECT calendar, timezone FROM sec.venue WHERE mic = 'XLON'") == [
        ("XLON", "Europe/London")
    ]
    with pytest.raises(DataQualityError, match="venue 'XXQQ' has no exchange calendar"):
        securities.register(store, "acme", [Listing("Q", "Q", mic="XXQQ")])


def test_series_are_made_once_and_told_apart(store):
    one = securities.series(store, vendor="acme", feed="sip", timeframe="1d")
    assert securities.series(store, vendor="acme", feed="sip", timeframe="1d") == one
    others = [
        securities.series(store, vendor="acme", feed="iex", timeframe="1d"),
        securities.series(store, vendor="acme", feed="sip", hours="extended", timeframe="1d"),
        securities.series(store, vendor="acme", feed="sip", basis="all", timeframe="1d"),
        securities.series(store, vendor="acme", feed="sip", price_kind="mid", timeframe="1d"),
        securities.series(store, vendor="other", feed="sip", timeframe="1d"),
    ]
    assert len({series.source_id for series in [one, *others]}) == 6
    assert securities.find_series(store, "acme", one) == one
    assert securities.find_series(store, "nobody", one) is None


def test_sources_are_those_that_were_written_to(store):
    empty = securities.series(store, vendor="acme", feed="empty", timeframe="1d")
    shelf = Shelf(store, feed="full")
    assert securities.sources(store, "1d") == []
    shelf.write([flat("A", date(2024, 1, 2), 1)])
    assert securities.sources(store, "1d") == [shelf.series] != [empty]
    assert securities.sources(store, "1m") == []


def test_without_a_vendor_the_first_one_is_meant(store):
    first = securities.register(store, "acme", [APPLE])
    second = securities.register(store, "other", [APPLE])
    assert securities.instruments(store, ["AAPL"]) == first
    assert securities.instruments(store, ["AAPL"], vendor="other") == second


def test_unknown_symbols_are_named_with_the_nearest_and_the_way_to_get_them(store):
    securities.register(store, "acme", [APPLE, Listing("MSFT", "Microsoft")])
    with pytest.raises(NotFoundError) as told:
        securities.instruments(store, ["AAPL", "APPL", "GOOG"], vendor="acme")
    assert "'APPL' is not stored. Did you mean AAPL?" in told.value.message
    assert told.value.fix == "qfund ingest --vendor acme --symbols APPL,GOOG"
    assert told.value.details == {"symbols": ["APPL", "GOOG"]}

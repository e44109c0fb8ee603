"""Instruments under dated symbols."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import psycopg2
import pytest

from qfund.errors import DataQualityError, NotFoundError
from qfund.market.actions import CorporateAction
from qfund.market.instruments import Listing, Status
from qfund.store import actions, securities
from qfund.store.symbols import SymbolSpan, bearer_by, bearers
from tests.support.stored import Shelf, flat, soon

APPLE = Listing("AAPL", "Apple", listed_on=date(1980, 12, 12))


def query(store, text):
    with store.sql.connect() as connection:
        return connection.exec_driver_sql(text).all()


def today(store):
    return query(store, "SELECT current_date")[0][0]


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


# ---------------------------------------------------------------- names that change, tickers used again


def rename(day, before="FB", after="META", **more):
    return CorporateAction(before, "name_change", day, other_symbol=after, **more)


def names(store, instrument):
    """The symbols of an instrument over twenty years, as (symbol, since, until)."""
    spans = securities.symbol_spans(store, "acme", [instrument], date(2010, 1, 1), date(2029, 12, 31))
    return [(span.symbol, span.since, span.until) for span in spans]


RENAMED = date(2022, 6, 9)
TWO_NAMES = [
    ("FB", date(2010, 1, 1), date(2022, 6, 8)),
    ("META", RENAMED, date(2029, 12, 31)),
]


def test_a_rename_is_dated_by_the_change_of_name_that_is_known(store):
    shelf = Shelf(store)
    shelf.ids = securities.register(store, "acme", [Listing("FB", "Facebook", vendor_ref="meta")])
    shelf.act(rename(RENAMED))
    found = securities.register(store, "acme", [Listing("META", "Meta", vendor_ref="meta")])
    assert found == {"META": shelf.ids["FB"]}
    assert names(store, found["META"]) == TWO_NAMES


def test_a_change_of_name_that_is_told_after_the_rename_moves_it_to_its_own_day(store):
    shelf = Shelf(store)
    shelf.ids = securities.register(store, "acme", [Listing("FB", "Facebook", vendor_ref="meta")])
    securities.register(store, "acme", [Listing("META", "Meta", vendor_ref="meta")])
    assert names(store, shelf.ids["FB"])[1][1] == today(store)
    shelf.act(rename(RENAMED))
    assert names(store, shelf.ids["FB"]) == TWO_NAMES


def test_fb_becomes_meta_mid_range_and_stays_one_instrument_with_continuous_bars(store):
    """Only META is known, and asked for, when the change of name arrives; sessions before are asked for as FB."""
    shelf = Shelf(store)
    shelf.ids = securities.register(store, "acme", [Listing("META", "Meta", vendor_ref="meta")])
    shelf.act(rename(RENAMED, before="META", former_symbol="FB"))
    number = shelf.ids["META"]
    spans = securities.symbol_spans(store, "acme", [number], date(2022, 6, 7), date(2022, 6, 10))
    assert spans == [
        SymbolSpan(number, "FB", date(2022, 6, 7), date(2022, 6, 8)),
        SymbolSpan(number, "META", date(2022, 6, 9), date(2022, 6, 10)),
    ]
    shelf.ids = {"FB": number, "META": number}
    shelf.write([flat("FB", date(2022, 6, 7), 195), flat("FB", date(2022, 6, 8), 196)])
    shelf.write([flat("META", RENAMED, 184), flat("META", date(2022, 6, 10), 175)])
    for symbol in ("META", "FB"):
        assert shelf.read(symbol).close[symbol].tolist() == [195, 196, 184, 175]
    assert securities.instruments(store, ["FB"], on=date(2022, 6, 8)) == {"FB": number}
    with pytest.raises(NotFoundError):
        securities.instruments(store, ["FB"], on=RENAMED)
    assert securities.symbols_on(store, "acme", [number], date(2012, 5, 18)) == {number: "FB"}


EVER = (date(2000, 1, 1), date(2099, 12, 31))


@pytest.mark.parametrize("listed", [("FB",), ("META",), ("FB", "META")], ids=str)
def test_a_change_of_name_that_is_taken_back_leaves_the_names_as_the_listings_told_them(store, listed):
    shelf = Shelf(store)
    for symbol in listed:
        shelf.ids |= securities.register(store, "acme", [Listing(symbol, "Facebook", vendor_ref="meta")])
    number = shelf.ids[listed[0]]
    before = names(store, number)
    shelf.act(rename(RENAMED))
    assert names(store, number) == TWO_NAMES
    shelf.act(whole=EVER)
    assert names(store, number) == before


def test_a_rename_that_was_dated_by_a_change_taken_back_since_is_that_of_the_day_it_was_seen(store):
    shelf = Shelf(store)
    shelf.ids = securities.register(store, "acme", [Listing("FB", "Facebook", vendor_ref="meta")])
    shelf.act(rename(RENAMED))
    shelf.ids = securities.register(store, "acme", [Listing("META", "Meta", vendor_ref="meta")])
    securities.register(store, "acme", [Listing("MVRS", "Meta", vendor_ref="meta")])
    shelf.act(whole=EVER)
    assert [symbol for symbol, _, _ in names(store, shelf.ids["META"])] == ["FB", "MVRS"]
    assert names(store, shelf.ids["META"])[1][1] == today(store)


def test_a_change_of_name_that_moves_to_another_day_moves_the_names(store):
    shelf = Shelf(store)
    shelf.ids = securities.register(store, "acme", [Listing("META", "Meta", vendor_ref="meta")])
    shelf.act(rename(date(2022, 1, 31), vendor_ref="n-1"))
    shelf.act(rename(RENAMED, vendor_ref="n-1"))
    assert names(store, shelf.ids["META"]) == TWO_NAMES


def test_registering_an_old_name_again_is_no_rename_back(store):
    shelf = Shelf(store)
    shelf.ids = securities.register(store, "acme", [Listing("FB", "Facebook", vendor_ref="meta")])
    shelf.act(rename(RENAMED))
    securities.register(store, "acme", [Listing("META", "Meta", vendor_ref="meta")])
    for name in ("Facebook", "Facebook, Inc."):
        securities.register(store, "acme", [Listing("FB", name, vendor_ref="meta")])
    assert names(store, shelf.ids["FB"]) == TWO_NAMES


def test_a_change_of_name_that_would_give_a_symbol_two_bearers_changes_nothing_and_is_told(store):
    shelf = Shelf(store)
    shelf.ids = securities.register(store, "acme", [Listing("META", "Meta"), Listing("FB", "somebody else")])
    shelf.act(rename(RENAMED, before="FB"))  # told of FB: the somebody else
    [told] = actions.unapplied(store, "acme", today=date(2024, 1, 1))
    assert "change of name from FB to META on 2022-06-09 is not applied: another instrument" in told.sentence
    assert [len(names(store, number)) for number in shelf.ids.values()] == [1, 1]


def test_a_ticker_used_again_by_another_reference_is_another_instrument_though_nobody_gives_dates(store):
    old = securities.register(store, "acme", [Listing("S", "Sears", vendor_ref="1")])["S"]
    new = securities.register(store, "acme", [Listing("S", "Sprint", vendor_ref="2")])["S"]
    assert new != old
    assert securities.instruments(store, ["S"]) == {"S": new}
    assert securities.instruments(store, ["S"], on=date(2000, 1, 3)) == {"S": old}


def test_a_ticker_used_again_though_nobody_gives_dates_changed_hands_after_the_last_bar(store):
    shelf = Shelf(store)
    shelf.ids = securities.register(store, "acme", [Listing("S", "Sears", vendor_ref="1")])
    shelf.write([flat("S", date(2018, 10, 23), 1)])
    old = shelf.ids["S"]
    new = securities.register(store, "acme", [Listing("S", "Sprint", vendor_ref="2")])["S"]
    assert names(store, old) == [("S", date(2010, 1, 1), date(2018, 10, 23))]
    assert names(store, new) == [("S", date(2018, 10, 24), date(2029, 12, 31))]


def test_who_takes_a_name_that_another_gave_up_has_it_from_then_on(store):
    shelf = Shelf(store)
    shelf.ids = securities.register(store, "acme", [Listing("META", "Meta", vendor_ref="meta")])
    shelf.act(rename(RENAMED))
    fund = securities.register(store, "acme", [Listing("FB", "a fund", vendor_ref="fund")])["FB"]
    assert names(store, fund) == [("FB", RENAMED, date(2029, 12, 31))]


def test_a_symbol_means_who_bore_it_last_by_a_day_else_who_bore_it_next(store):
    one = Listing("S", "Sears", listed_on=date(1990, 1, 2), delisted_on=date(2005, 3, 24))
    two = Listing("S", "Sprint", listed_on=date(2005, 8, 15), delisted_on=date(2020, 4, 1))
    old = securities.register(store, "acme", [one])["S"]
    new = securities.register(store, "acme", [two])["S"]
    days = {date(1980, 1, 2): old, date(2000, 1, 3): old, date(2005, 5, 2): old}
    days |= {date(2005, 8, 15): new, date(2024, 1, 2): new}
    for day, number in days.items():
        assert securities.instruments(store, ["S"], vendor="acme", by=day) == {"S": number}
        assert bearer_by(bearers(store, "acme", ["S"]), "S", day) == number
    assert securities.instruments(store, ["S"], vendor="acme") == {"S": new}
    assert bearer_by(bearers(store, "acme", ["S"]), "S", None) == new
    assert bearer_by({}, "S", None) is None


def test_a_ticker_used_again_from_a_known_day_ends_the_old_bearer_there(store):
    old = securities.register(store, "acme", [Listing("S", "Sears", vendor_ref="1")])["S"]
    new = securities.register(
        store, "acme", [Listing("S", "Sprint", vendor_ref="2", listed_on=date(2015, 8, 17))]
    )
    assert names(store, old) == [("S", date(2010, 1, 1), date(2015, 8, 16))]
    assert names(store, new["S"]) == [("S", date(2015, 8, 17), date(2029, 12, 31))]
    securities.register(store, "acme", [Listing("S", "Sears Holdings", vendor_ref="1")])
    assert names(store, old) == [("S", date(2010, 1, 1), date(2015, 8, 16))]


def test_of_two_with_one_symbol_and_no_dates_the_one_that_can_be_traded_has_it(store):
    gone = Listing("S", "Sears", vendor_ref="1", status=Status(status="inactive", tradable=False))
    live = Listing("S", "Sprint", vendor_ref="2", status=Status(status="active", tradable=True))
    found = securities.register(store, "acme", [gone, live])
    assert names(store, found["S"]) == [("S", date(2010, 1, 1), date(2029, 12, 31))]
    assert securities.listings(store)[found["S"]].name == "Sprint"
    assert securities.register(store, "acme", [gone]) == found


def test_a_delisted_bearer_with_a_last_day_keeps_its_days_before_the_present_one(store):
    live = securities.register(store, "acme", [Listing("S", "Sprint", vendor_ref="2")])["S"]
    gone = Listing("S", "Sears", vendor_ref="1", delisted_on=date(2005, 3, 24))
    old = securities.register(store, "acme", [gone])["S"]
    assert securities.instruments(store, ["S"], on=date(2005, 3, 24)) == {"S": old}
    assert securities.instruments(store, ["S"], on=date(2005, 3, 25)) == {"S": live}


def test_a_delisting_ends_the_symbol_and_keeps_the_rows(store):
    shelf = Shelf(store)
    shelf.ids = securities.register(store, "acme", [Listing("ENRN", "Enron", vendor_ref="e")])
    shelf.write([flat("ENRN", date(2001, 11, 30), 0.26)])
    gone = Listing("ENRN", "Enron", vendor_ref="e", delisted_on=date(2002, 1, 15))
    assert securities.register(store, "acme", [gone]) == shelf.ids
    assert shelf.read("ENRN").close["ENRN"].tolist() == [0.26]
    assert securities.symbols_on(store, "acme", list(shelf.ids.values()), date(2002, 1, 16)) == {}


# ---------------------------------------------------------------- what may be done with it


def test_a_status_is_written_only_when_it_changed_and_its_past_stays(store):
    easy = Status("active", True, True, True, "easy_to_borrow", True, Decimal(30), Decimal(100))
    listing = Listing("AAPL", "Apple", vendor_ref="a", status=easy)
    (number,) = securities.register(store, "acme", [listing]).values()
    securities.register(store, "acme", [listing])
    securities.register(store, "acme", [replace(listing, status=None)])
    between = soon()
    hard = replace(easy, shortable=False, borrow_status="hard_to_borrow", margin_short=Decimal("150.5"))
    securities.register(store, "acme", [replace(listing, status=hard)])
    assert query(store, "SELECT count(*) FROM sec.instrument_status") == [(2,)]
    assert securities.statuses(store, "acme") == {number: hard}
    assert securities.statuses(store, "acme", [number], as_of=between) == {number: easy}
    assert securities.statuses(store, "other") == {}
    assert query(store, "SELECT shortable, easy_to_borrow FROM seed.symbol") == [(False, False)]

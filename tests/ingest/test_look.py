"""What an ingest finds before it plans, and wishes that no data can fulfil."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from qfund.errors import DataQualityError, NotFoundError, UsageError
from qfund.ingest.apply import Ingest
from qfund.ingest.look import Wish, last_covered, look
from tests.ingest.doubles import FIRST, LAST, Truthful

NOW = datetime(2020, 1, 1, tzinfo=UTC)


def ingest(store, **wish):
    work = Ingest(store, Truthful(), Wish(**wish))
    list(work.apply(work.plan()))


def test_of_a_fresh_store_nothing_is_covered(store):
    facts = look(store, Truthful(), Wish(), now=NOW)
    assert (facts.asked, facts.offered) == ((FIRST, LAST), (FIRST, LAST))
    assert (len(facts.sessions), facts.sessions[0], facts.sessions[-1]) == (125, FIRST, LAST)
    assert [(one.symbol, one.covered) for one in facts.symbols] == [("AAPL", ()), ("FB", ()), ("IBM", ())]


def test_what_was_answered_is_covered(store):
    ingest(store, symbols=("IBM",), since=date(2012, 3, 1), until=date(2012, 3, 30))
    facts = look(store, Truthful(), Wish(symbols=("IBM",)), now=NOW)
    assert facts.symbols[0].covered == ((date(2012, 3, 1), date(2012, 3, 30)),)


def test_equal_stores_make_equal_facts(store):
    assert repr(look(store, Truthful(), Wish(), now=NOW)) == repr(look(store, Truthful(), Wish(), now=NOW))


class Unlisting(Truthful):
    """Counts how often it is asked for listings."""

    asked = 0

    def listings(self, symbols=None):
        self.asked += 1
        return super().listings(symbols)


def test_symbols_that_the_store_knows_are_not_asked_of_the_vendor_again(store):
    ingest(store, symbols=("IBM",))
    vendor = Unlisting()
    look(store, vendor, Wish(symbols=("IBM",)), now=NOW)
    assert vendor.asked == 0


def test_a_vendor_that_goes_on_is_asked_until_the_last_settled_session(store):
    """Friday 2012-04-06 was a holiday; on Monday at 20:10 UTC the session has closed, 20 minutes later it is final."""
    vendor = Truthful()
    wait = replace(Truthful.capabilities.offers[0], last=None, settle=timedelta(minutes=20))
    vendor.capabilities = replace(Truthful.capabilities, offers=(wait,))
    ends = [
        look(store, vendor, Wish(), now=datetime(2012, 4, 9, 20, minute, tzinfo=UTC)).offered[1]
        for minute in (10, 20)
    ]
    assert ends == [date(2012, 4, 5), date(2012, 4, 9)]


@pytest.mark.parametrize(
    ("wish", "kind", "code", "words"),
    [
        (Wish(symbols=("IMB",)), NotFoundError, "UNKNOWN_SYMBOL", "Did you mean IBM"),
        (Wish(timeframe="1m"), UsageError, "NO_SUCH_SERIES", "it has 1d"),
        (Wish(since=date(2012, 7, 2)), UsageError, "OUTSIDE_SPAN", "from 2012-01-03 to 2012-06-29"),
        (Wish(until=date(2011, 7, 2)), UsageError, "OUTSIDE_SPAN", "from 2012-01-03 to 2012-06-29"),
        (Wish(since=date(2012, 3, 2), until=date(2012, 3, 1)), UsageError, "EMPTY_PERIOD", "after"),
        (Wish(since=date(2012, 3, 3), until=date(2012, 3, 4)), DataQualityError, "NO_SESSIONS", "no session"),
        (
            Wish(symbols=("FB",), until=date(2012, 5, 17)),
            DataQualityError, "NOT_LISTED", "FB was listed on 2012-05-18",
        ),
    ],
)  # fmt: skip
def test_a_hopeless_wish_is_refused_with_the_reason(store, wish, kind, code, words):
    vendor = Truthful()
    with pytest.raises(kind) as caught:
        Ingest(store, vendor, wish).plan()
    assert caught.value.code == code
    assert words in caught.value.message
    assert vendor.requests == []


def test_a_large_vendor_wants_symbols_and_a_date(store):
    vendor = Truthful()
    vendor.capabilities = replace(Truthful.capabilities, small=False)
    with pytest.raises(UsageError, match="name the symbols"):
        Ingest(store, vendor, Wish(since=FIRST)).plan()
    with pytest.raises(UsageError, match="say since when"):
        Ingest(store, vendor, Wish(symbols=("IBM",))).plan()


def test_last_is_the_session_that_all_are_covered_to(store):
    with pytest.raises(DataQualityError, match="Nothing is stored yet"):
        last_covered(store, Truthful(), Wish(symbols=("IBM",)))
    ingest(store, symbols=("IBM",), until=date(2012, 3, 30))
    ingest(store, symbols=("AAPL",), until=date(2012, 4, 30))
    assert last_covered(store, Truthful(), Wish(symbols=("AAPL", "IBM"))) == date(2012, 3, 30)

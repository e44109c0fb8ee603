"""Universes: who was a member on which day, and what a refresh may change."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qfund.errors import DataQualityError, NotFoundError, RefusedError, UsageError
from qfund.market.instruments import Listing
from qfund.store import securities, universes
from qfund.store.universes import Change, Member

TODAY = date(2024, 6, 3)
ENRON = Member("ENRN", date(1998, 1, 2), date(2001, 11, 29))


def made(store, *members, name="u", **more):
    return universes.create(store, name, members, **({"origin": "symbols", "dated_from": TODAY} | more))


def on(store, day, name="u"):
    return [one.symbol for one in universes.members(store, name, on=day)]


def test_members_are_those_of_the_day_and_a_delisted_one_stays_in_the_universe_of_its_time(store):
    securities.register(store, "acme", [Listing("ENRN", "Enron", delisted_on=date(2002, 1, 15))])
    made(
        store,
        ENRON,
        Member("IBM", date(1957, 3, 4)),
        Member("META", date(2022, 6, 9)),
        Member("FB", date(2013, 12, 23), date(2022, 6, 8)),
    )
    assert on(store, date(2000, 1, 3)) == ["ENRN", "IBM"]
    assert on(store, date(2001, 11, 29)) == ["ENRN", "IBM"]
    assert on(store, date(2001, 11, 30)) == ["IBM"]
    assert on(store, date(2022, 6, 8)) == ["FB", "IBM"]
    assert on(store, date(2022, 6, 9)) == ["IBM", "META"]
    spans = universes.members(store, "u", since=date(2001, 1, 1), until=date(2013, 1, 1))
    assert spans == (ENRON, Member("IBM", date(1957, 3, 4)))
    assert len(universes.members(store, "u")) == 4


def test_a_symbol_may_leave_and_come_back(store):
    first, again = Member("A", date(2020, 1, 2), date(2020, 6, 30)), Member("A", date(2021, 1, 4))
    made(store, first, again)
    assert on(store, date(2020, 9, 1)) == []
    assert universes.members(store, "u") == (first, again)


def test_a_universe_says_where_it_is_from_and_how_many_there_are(store):
    found = made(store, ENRON, Member("IBM"), title="Two", origin="file:/x.csv")
    assert (found.name, found.title, found.origin, found.dated_from) == ("u", "Two", "file:/x.csv", TODAY)
    assert (found.members, found.past) == (1, 1)
    assert universes.universes(store) == [found]


@pytest.mark.parametrize(
    ("members", "error", "says"),
    [
        ([], UsageError, "needs a member"),
        ([Member("A", date(2020, 1, 2), date(2020, 1, 1))], DataQualityError, "leaves on 2020-01-01 before"),
        ([Member("A"), Member("A", date(2020, 1, 2))], DataQualityError, "A is a member twice on 2020-01-02"),
        ([Member("A"), Member("A", None, date(2020, 1, 2))], DataQualityError, "A is a member twice"),
    ],
)
def test_a_membership_that_cannot_be_is_refused_and_nothing_is_stored(store, members, error, says):
    with pytest.raises(error, match=says):
        made(store, *members)
    assert universes.universes(store) == []


def test_a_name_is_taken_once_and_has_a_form(store):
    made(store, Member("A"))
    with pytest.raises(RefusedError, match="'u' already"):
        made(store, Member("B"))
    with pytest.raises(UsageError, match="no name for a universe"):
        made(store, Member("B"), name="Big Ones")
    assert on(store, TODAY) == ["A"]


def test_an_unknown_universe_names_the_nearest(store):
    made(store, Member("A"), name="sp100")
    with pytest.raises(NotFoundError, match="Did you mean sp100"):
        universes.members(store, "sp10")
    with pytest.raises(NotFoundError):
        universes.delete(store, "sp10")


def test_a_refresh_lets_new_ones_join_today_and_gone_ones_end_before_today(store):
    made(store, Member("A"), Member("B", date(2020, 1, 2)), ENRON)
    assert universes.refresh(store, "u", ["A", "C"], today=TODAY) == Change(("C",), ("B",))
    assert on(store, TODAY - timedelta(days=1)) == ["A", "B"]
    assert on(store, TODAY) == ["A", "C"]
    assert universes.members(store, "u", on=date(2000, 1, 3)) == (Member("A"), ENRON)
    assert universes.refresh(store, "u", ["A", "C"], today=TODAY) == Change()


def test_who_joined_and_left_on_one_day_was_never_a_member(store):
    made(store, Member("A"))
    universes.refresh(store, "u", ["A", "B"], today=TODAY)
    universes.refresh(store, "u", ["A"], today=TODAY)
    assert universes.members(store, "u") == (Member("A"),)


def test_an_empty_origin_ends_nobody(store):
    made(store, Member("A"))
    with pytest.raises(UsageError):
        universes.refresh(store, "u", [], today=TODAY)
    assert on(store, TODAY) == ["A"]


def test_a_member_that_was_announced_for_later_joins_when_it_is_there(store):
    made(store, Member("A"), Member("B", TODAY + timedelta(days=9)))
    assert universes.refresh(store, "u", ["A", "B"], today=TODAY) == Change(("B",))
    assert universes.members(store, "u") == (Member("A"), Member("B", TODAY))


def test_deleting_forgets_the_list_and_no_instrument(store):
    ids = securities.register(store, "acme", [Listing("A", "A")])
    made(store, Member("A"))
    universes.delete(store, "u")
    assert universes.universes(store) == []
    assert securities.instruments(store, ["A"]) == ids


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    days=st.lists(
        st.tuples(st.integers(0, 5), st.sets(st.sampled_from("ABCD"), min_size=1)), min_size=1, max_size=6
    )
)
def test_after_any_refreshes_every_past_day_shows_what_was_true_on_it(store, days):
    """Each refresh is the truth from its day on; the last one of a day counts."""
    name = f"u{len(universes.universes(store))}"
    made(store, Member("A"), name=name)
    day, truth = TODAY, {}
    for pause, listed in days:
        day += timedelta(days=pause)
        universes.refresh(store, name, listed, today=day)
        truth[day] = sorted(listed)
    believed = ["A"]
    for number in range((day - TODAY).days + 3):
        at = TODAY + timedelta(days=number)
        believed = truth.get(at, believed)
        assert on(store, at, name) == believed

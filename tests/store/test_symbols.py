"""Changes of name, as a calculation on the names of one instrument."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from qfund.store.symbols import Naming, dated, renamed

START = date(2020, 1, 1)
DAYS = [START + timedelta(days=n) for n in range(40)]


def on(names, day):
    """The symbols on a day."""
    return [
        one.symbol
        for one in names
        if (one.since is None or one.since <= day) and (one.until is None or day < one.until)
    ]


def test_a_name_that_is_known_alone_is_cut_in_two():
    assert renamed([Naming("META", None, None, "m")], DAYS[5], "FB", "META") == [
        Naming("FB", None, DAYS[5], "m"),
        Naming("META", DAYS[5], None, "m"),
    ]


def test_a_change_of_name_known_in_advance_ends_the_old_name_on_its_day():
    assert renamed([Naming("FB", None, DAYS[9], "m")], DAYS[5], "FB", "META") == [
        Naming("FB", None, DAYS[5], "m"),
        Naming("META", DAYS[5], DAYS[9], "m"),
    ]


def test_there_and_back_again_is_three_spans():
    names = [Naming("A", None, None)]
    for day, before, after in ((DAYS[3], "A", "B"), (DAYS[7], "B", "A"), (DAYS[9], "A", "C")):
        names = renamed(names, day, before, after)
    assert [one.symbol for one in names] == ["A", "B", "A", "C"]
    assert [one.since for one in names] == [None, DAYS[3], DAYS[7], DAYS[9]]


def test_a_change_that_contradicts_the_names_changes_nothing():
    names = [Naming("A", None, DAYS[5]), Naming("B", DAYS[8], None)]
    assert renamed(names, DAYS[20], "X", "Y") == names
    assert renamed(names, DAYS[6], "A", "C") == names


@st.composite
def histories(draw):
    """A true history of names, and the days of its changes in any order of learning."""
    cuts = sorted(draw(st.sets(st.integers(1, len(DAYS) - 2), min_size=1, max_size=5)))
    symbols = [f"S{n}" for n in range(len(cuts) + 1)]
    bounds = [None, *(DAYS[cut] for cut in cuts), None]
    truth = [Naming(symbol, bounds[n], bounds[n + 1]) for n, symbol in enumerate(symbols)]
    changes = [(DAYS[cut], symbols[n], symbols[n + 1]) for n, cut in enumerate(cuts)]
    return truth, changes


@given(histories())
def test_from_any_name_that_was_known_first_all_changes_lead_to_the_truth(history):
    truth, changes = history
    for known in truth:  # only one of its names was known, and for ever
        names = [Naming(known.symbol, None, None)]
        place = truth.index(known)
        for day, before, after in [*reversed(changes[:place]), *changes[place:]]:
            names = renamed(names, day, before, after)
        assert names == truth
        for day, before, after in changes:  # told again, they change nothing
            assert renamed(names, day, before, after) == names


@given(histories())
def test_of_one_name_that_is_told_all_changes_make_the_truth(history):
    """Also where the listings lag behind and tell an old one."""
    truth, changes = history
    for known in truth:
        names = dated([Naming(known.symbol, None, None, told=(None, None))], changes)
        assert [replace(one, told=None) for one in names] == truth
        assert [one.symbol for one in names if one.told is not None] == [known.symbol]


def test_a_name_that_somebody_else_gave_up_before_stays():
    """META was a fund's, which is METV since; then FB took it."""
    changes = [(DAYS[3], "META", "METV"), (DAYS[9], "FB", "META")]
    assert dated([Naming("META", None, None)], changes) == [
        Naming("FB", None, DAYS[9]),
        Naming("META", DAYS[9], None),
    ]


@given(histories(), st.randoms())
def test_in_whatever_order_changes_are_learned_no_day_has_two_names(history, random):
    truth, changes = history
    random.shuffle(changes)
    names = [Naming(truth[-1].symbol, DAYS[2], None)]
    for change in changes:
        names = renamed(names, *change)
        assert all(len(on(names, day)) <= 1 for day in DAYS)
        assert all(on(names, day) for day in DAYS[2:])

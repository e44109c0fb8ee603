"""A plan asks for exactly what is expected and not covered, once, within the vendor's limits."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from qfund.ingest.plan import Facts, FetchSpan, SymbolFacts, expected, plan, spans_of, within
from qfund.market import sessions

SINCE, UNTIL = date(2012, 1, 3), date(2012, 12, 31)
DAYS = tuple(sessions.sessions("XNYS", SINCE, UNTIL).date)


def facts(*symbols: SymbolFacts, **changes) -> Facts:
    whole = Facts(
        vendor="sample", timeframe="1d", feed="wiki", asked=(SINCE, UNTIL), offered=(SINCE, UNTIL),
        sessions=DAYS, symbols=symbols, symbols_per_request=50, sessions_per_request=1000,
    )  # fmt: skip
    return replace(whole, **changes)


def fresh(symbol: str, listed: date | None = None, delisted: date | None = None) -> SymbolFacts:
    return SymbolFacts(symbol, listed, delisted, ())


days_of_2012 = st.dates(SINCE - timedelta(days=40), UNTIL + timedelta(days=40))
spans = st.tuples(days_of_2012, days_of_2012).map(lambda pair: (min(pair), max(pair)))
optional_day = st.none() | days_of_2012


@st.composite
def random_facts(draw) -> Facts:
    symbols = tuple(
        SymbolFacts(f"S{n}", draw(optional_day), draw(optional_day), tuple(draw(st.lists(spans, max_size=4))))
        for n in range(draw(st.integers(1, 5)))
    )
    return facts(
        *symbols,
        symbols_per_request=draw(st.integers(1, 3)),
        sessions_per_request=draw(st.integers(1, 90)),
    )


@settings(max_examples=200, deadline=None)
@given(random_facts())
def test_steps_are_exactly_calendar_minus_coverage_and_disjoint(found):
    asked = Counter(
        (symbol, day)
        for step in plan(found).steps
        for symbol in step.symbols
        for day in DAYS
        if step.since <= day <= step.until
    )
    wanted = {
        (one.symbol, day)
        for one in found.symbols
        for day in DAYS
        if (one.listed_on is None or day >= one.listed_on)
        and (one.delisted_on is None or day <= one.delisted_on)
        and not any(first <= day <= last for first, last in one.covered)
    }
    assert set(asked) == wanted
    assert set(asked.values()) <= {1}


@settings(max_examples=100, deadline=None)
@given(random_facts())
def test_steps_keep_to_the_vendors_limits_and_count_their_sessions(found):
    for step in plan(found).steps:
        assert 1 <= len(step.symbols) <= found.symbols_per_request
        inside = [day for day in DAYS if step.since <= day <= step.until]
        assert step.sessions == len(inside) <= found.sessions_per_request
        assert (inside[0], inside[-1]) == (step.since, step.until)


@settings(max_examples=100, deadline=None)
@given(random_facts())
def test_a_plan_done_leaves_nothing_to_do(found):
    done = plan(found)
    after = tuple(
        replace(
            one, covered=(*one.covered, *((s.since, s.until) for s in done.steps if one.symbol in s.symbols))
        )
        for one in found.symbols
    )
    assert plan(replace(found, symbols=after)).steps == ()


def test_symbols_with_the_same_gap_travel_together():
    done = plan(facts(fresh("A"), fresh("B"), fresh("C", listed=date(2012, 5, 18))))
    assert done.steps == (
        FetchSpan(("A", "B"), SINCE, UNTIL, len(DAYS)),
        FetchSpan(("C",), date(2012, 5, 18), UNTIL, 155),
    )
    assert done.missing == 2 * len(DAYS) + 155


def test_a_later_listing_joins_the_others_at_the_next_cut():
    done = plan(facts(fresh("A"), fresh("B", listed=date(2012, 5, 18)), sessions_per_request=150))
    assert [(step.symbols, step.sessions) for step in done.steps] == [
        (("A",), 150),
        (("B",), 150 - DAYS.index(date(2012, 5, 18))),
        (("A", "B"), len(DAYS) - 150),
    ]


def test_a_covered_week_in_the_middle_is_left_out():
    week = (date(2012, 6, 4), date(2012, 6, 8))
    done = plan(facts(replace(fresh("A"), covered=(week,))))
    assert [(step.since, step.until) for step in done.steps] == [
        (SINCE, date(2012, 6, 1)),
        (date(2012, 6, 11), UNTIL),
    ]


def test_coverage_that_ends_on_a_holiday_leaves_no_empty_step():
    covered = (SINCE, date(2012, 12, 25))
    done = plan(facts(replace(fresh("A"), covered=(covered,))))
    assert done.steps == (FetchSpan(("A",), date(2012, 12, 26), UNTIL, 4),)


def test_equal_facts_make_equal_plans_and_any_difference_another_id():
    one = facts(fresh("A"), fresh("B"))
    assert plan(one) == plan(facts(fresh("A"), fresh("B")))
    others = [
        replace(one, feed="iex"),
        replace(one, symbols=one.symbols[:1]),
        replace(one, sessions_per_request=10),
        facts(fresh("A"), replace(fresh("B"), covered=((SINCE, SINCE),))),
    ]
    assert len({plan(each).id for each in (one, *others)}) == 5
    assert len(plan(one).id) == 12


def test_the_notes_say_what_was_not_asked_and_why():
    found = facts(
        fresh("A", listed=date(2012, 5, 18)), fresh("B", delisted=date(2012, 9, 28)),
        asked=(date(1999, 1, 1), date(2020, 1, 1)),
    )  # fmt: skip
    assert plan(found).notes == (
        "sample has no 1d bars before 2012-01-03; asked since 1999-01-01.",
        "sample has no 1d bars after 2012-12-31; asked until 2020-01-01.",
        "A was listed on 2012-05-18; nothing is expected before.",
        "B was delisted on 2012-09-28; nothing is expected after.",
    )
    assert plan(facts(fresh("A"))).notes == ()


def test_spans_of_joins_neighbouring_sessions_over_weekends():
    chosen = within(DAYS, [(date(2012, 6, 1), date(2012, 6, 4)), (date(2012, 6, 6), date(2012, 6, 6))])
    assert spans_of(DAYS, chosen) == [
        (date(2012, 6, 1), date(2012, 6, 4)),
        (date(2012, 6, 6), date(2012, 6, 6)),
    ]


def test_expected_is_listed_to_delisted_both_included():
    one = fresh("A", listed=DAYS[3], delisted=DAYS[5])
    assert expected(facts(one), one).nonzero()[0].tolist() == [3, 4, 5]

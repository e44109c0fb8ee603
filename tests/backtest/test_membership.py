"""A universe in a backtest: held while a member, sold when it leaves, and honest about the past."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfund.backtest.data import Query, read
from qfund.backtest.membership import Membership
from qfund.backtest.run import Wish, run
from qfund.errors import NotFoundError
from qfund.market.actions import CorporateAction
from qfund.market.instruments import Listing
from qfund.market.sessions import sessions
from qfund.store import Store, securities, universes
from qfund.store.universes import Member
from qfund.strategy.loading import load
from tests.backtest.paper import NAN, day, days
from tests.support.stored import Shelf, flat

DAYS = [one.date() for one in sessions("XNYS", date(2024, 1, 2), date(2024, 3, 28))]

ALL_OF_IT = """
import pandas as pd
from qfund import Bars, Strategy

class Hold(Strategy):
    def targets(self, bars: Bars) -> pd.DataFrame:
        return bars.close.notna().astype(float) / bars.close.shape[1]
"""


def of(**spans) -> Membership:
    return Membership("u", {symbol: tuple(some) for symbol, some in spans.items()}, date(2000, 1, 1))


def test_wishes_outside_a_membership_are_zero_and_leaving_is_a_wish_of_its_own() -> None:
    targets = pd.DataFrame({"A": [1.0] * 6, "B": [0.5, NAN, NAN, NAN, NAN, NAN]}, index=days(6))
    found = of(A=[(day(1), day(3))], B=[(None, day(2))]).applied(targets, days(6))
    assert found["A"].tolist() == [0, 1, 1, 1, 0, 0]
    assert found["B"].iloc[[0, 3]].tolist() == [0.5, 0]
    assert found["B"].isna().tolist() == [False, True, True, False, True, True]
    assert targets["A"].tolist() == [1.0] * 6, "the strategy's own frame stays"


def test_a_symbol_may_come_back() -> None:
    targets = pd.DataFrame({"A": [1.0] * 6}, index=days(6))
    found = of(A=[(None, day(0)), (day(3), None)]).applied(targets, days(6))
    assert found["A"].tolist() == [1, 0, 0, 1, 1, 1]


SPAN = st.tuples(st.one_of(st.none(), st.integers(0, 9)), st.one_of(st.none(), st.integers(0, 9)))


@given(
    spans=st.lists(SPAN, max_size=3),
    wished=st.lists(st.sampled_from([NAN, 0.0, 1.0, -1.0]), min_size=8, max_size=8),
)
def test_no_wish_outside_is_ever_anything_but_zero_and_none_inside_is_touched(spans, wished) -> None:
    bounds = [tuple(None if n is None else day(n) for n in span) for span in spans]
    targets = pd.DataFrame({"A": wished}, index=days(8))
    found = of(A=bounds).applied(targets, days(8))["A"].to_numpy()
    inside = [any((s is None or s <= n) and (u is None or n <= u) for s, u in spans) for n in range(8)]
    for row, member in enumerate(inside):
        if member:
            np.testing.assert_array_equal(found[row], wished[row])
        elif row and inside[row - 1]:
            assert found[row] == 0
        else:
            assert found[row] == 0 or np.isnan(found[row])


def test_the_past_that_is_not_known_is_said_with_its_dates() -> None:
    one = Membership("sp100", {"A": ((None, None),)}, date(2026, 8, 2), ("X", "Y"))
    survivorship, missing = one.warnings(date(2012, 1, 3))
    assert survivorship.startswith("Survivorship: who was in sp100 is known from 2026-08-02 on")
    assert "begins on 2012-01-03" in survivorship
    assert missing == "2 of 3 members of sp100 are left out, since none of their bars are stored: X, Y."
    assert len(one.warnings(date(2026, 8, 2))) == 1


# ---------------------------------------------------------------- from the store


@pytest.fixture
def shelf(store: Store) -> Shelf:
    """A and B at 10 on every day; FB until its change of name, META after it."""
    made = Shelf(store)
    made.ids = securities.register(store, "acme", [Listing("META", "Meta", vendor_ref="m")])
    made.act(CorporateAction("META", "name_change", DAYS[20], other_symbol="META", former_symbol="FB"))
    made.write([flat(symbol, one, 10.0) for symbol in ("A", "B", "META") for one in DAYS])
    return made


def universe(store: Store, *members: Member, dated_from: date = DAYS[0]) -> None:
    universes.create(store, "u", members, origin="symbols", dated_from=dated_from)


def test_members_are_followed_through_a_change_of_name(shelf: Shelf) -> None:
    universe(shelf.store, Member("A"), Member("FB", DAYS[5], DAYS[19]), Member("META", DAYS[20]))
    found = read(shelf.store, Query(universe="u"))
    assert found.raw.symbols == ("A", "META")
    assert found.membership is not None
    assert found.membership.missing == ()
    inside = found.membership.inside(found.raw.symbols, found.raw.sessions)
    assert inside[:, 0].all()
    assert inside[:, 1].tolist() == [False] * 5 + [True] * (len(DAYS) - 5)


def test_a_ticker_that_is_used_again_is_the_member_of_its_time(store: Store) -> None:
    shelf = Shelf(store)
    shelf.ids = securities.register(store, "acme", [Listing("S", "Sears", vendor_ref="1")])
    shelf.write([flat("S", one, 10.0) for one in DAYS[:10]])
    shelf.ids = securities.register(store, "acme", [Listing("S", "Sprint", vendor_ref="2")])
    shelf.write([flat("S", one, 20.0) for one in DAYS[20:]])
    universe(store, Member("S", None, DAYS[9]))
    found = read(store, Query(universe="u", until=DAYS[9]))
    assert found.raw.close["S"].tolist() == [10.0] * 10
    with pytest.raises(NotFoundError):
        read(store, Query(universe="u"))


def test_only_members_of_the_period_are_read(shelf: Shelf) -> None:
    universe(shelf.store, Member("A", None, DAYS[9]), Member("B", DAYS[10]), Member("ZZZ"))
    assert read(shelf.store, Query(universe="u", until=DAYS[9])).raw.symbols == ("A",)
    late = read(shelf.store, Query(universe="u", since=DAYS[10]))
    assert late.raw.symbols == ("B",)
    assert late.membership is not None
    assert late.membership.missing == ("ZZZ",)


def test_a_universe_without_any_bars_says_how_to_fetch_them(shelf: Shelf) -> None:
    universe(shelf.store, Member("ZZZ"))
    with pytest.raises(NotFoundError, match="None of the 1 members of u") as caught:
        read(shelf.store, Query(universe="u", since=DAYS[3]))
    assert caught.value.fix == f"qfund ingest --vendor acme --universe u --since {DAYS[3]}"


def test_a_former_bearer_of_a_used_ticker_is_not_mistaken_for_the_present_one(shelf: Shelf) -> None:
    securities.register(
        shelf.store, "acme", [Listing("S", "old", listed_on=date(1990, 1, 2), delisted_on=date(2005, 3, 24))]
    )
    shelf.ids |= securities.register(shelf.store, "acme", [Listing("S", "new", listed_on=date(2005, 8, 15))])
    shelf.write([flat("S", one, 10.0) for one in DAYS])
    universe(shelf.store, Member("A"), Member("S", date(1995, 1, 3), date(2005, 3, 1)))
    found = read(shelf.store, Query(universe="u", since=date(2004, 1, 2)))
    assert found.raw.symbols == ("A",)
    assert found.membership is not None
    assert found.membership.missing == ("S",)


def test_a_backtest_sells_what_leaves_and_its_identity_knows_the_members(
    shelf: Shelf, tmp_path: Path
) -> None:
    """B is a member of sessions 0 to 9: bought at the open of session 1, sold at the open of session 11."""
    (tmp_path / "hold.py").write_text(ALL_OF_IT)
    universe(shelf.store, Member("A"), Member("B", None, DAYS[9]), dated_from=DAYS[0] + timedelta(days=1))
    data = read(shelf.store, Query(universe="u"))
    result = run(load(tmp_path / "hold.py"), {}, data, Wish(causality_samples=0))
    held = (result.simulation.units["B"] > 0).tolist()
    assert held == [False] + [True] * 10 + [False] * (len(DAYS) - 11)
    assert any(one.startswith("Survivorship: who was in u is known from") for one in result.warnings)
    assert not any("today's choice" in one for one in result.warnings)
    always = run(
        load(tmp_path / "hold.py"),
        {},
        read(shelf.store, Query(symbols=("A", "B"))),
        Wish(causality_samples=0),
    )
    assert always.run_id != result.run_id
    assert "members" not in always.identity


def test_a_spin_off_of_a_member_is_paid_while_it_is_held(shelf: Shelf, tmp_path: Path) -> None:
    # B worth 10 is handed out one for four A: 2.50 on each of the 5,000 A that 50,000 buy at 10.
    (tmp_path / "hold.py").write_text(ALL_OF_IT)
    shelf.act(
        CorporateAction("A", "spinoff", DAYS[15], new_rate=Decimal(1), old_rate=Decimal(4), other_symbol="B")
    )
    universe(shelf.store, Member("A"), Member("B"))
    result = run(
        load(tmp_path / "hold.py"), {}, read(shelf.store, Query(universe="u")), Wish(causality_samples=0)
    )
    [paid] = result.simulation.dividends.to_dict("records")
    assert paid["per_share"] == pytest.approx(2.5)
    assert any("spin-off of B from A" in one for one in result.warnings)

"""A backtest reads one series, no further than its end, and just enough before its start."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pandas as pd
import pytest

from qfund.backtest.data import Data, Query, read
from qfund.errors import DataQualityError, NotFoundError, UsageError
from qfund.market.actions import CorporateAction
from qfund.market.sessions import sessions
from qfund.store import Store
from tests.support.stored import Shelf, flat, soon

DAYS = [day.date() for day in sessions("XNYS", date(2024, 1, 2), date(2024, 1, 31))]


def fill(shelf: Shelf, *symbols: str) -> None:
    shelf.write(
        [(s, day, 10.0, 20.0, 9.0, 10.0 + i / 10, 100.0) for s in symbols for i, day in enumerate(DAYS)]
    )


@pytest.fixture
def shelf(store: Store) -> Shelf:
    shelf = Shelf(store)
    fill(shelf, "A", "B")
    return shelf


def test_without_symbols_every_symbol_of_the_only_series_is_read(shelf: Shelf) -> None:
    data = read(shelf.store, Query())
    assert data.raw.symbols == ("A", "B")
    assert len(data.raw) == len(DAYS)
    assert (data.vendor, data.source) == ("acme", "acme")


def test_nothing_after_the_end_is_read_and_the_warm_up_before_the_start_is(shelf: Shelf) -> None:
    since, until = DAYS[10], DAYS[12]
    data = read(shelf.store, Query(since=since, until=until, warmup=4))
    assert data.raw.index[0].date() == DAYS[7], "three bars before, and the deciding one is the fourth"
    assert data.raw.index[-1].date() == until
    assert len(data.raw) == len(data.signals) == 3 + 3


def test_a_warm_up_of_one_bar_reads_nothing_before_the_start(shelf: Shelf) -> None:
    assert read(shelf.store, Query(since=DAYS[10], warmup=1)).raw.index[0].date() == DAYS[10]


def test_a_warm_up_longer_than_the_history_takes_all_there_is(shelf: Shelf) -> None:
    assert len(read(shelf.store, Query(since=DAYS[10], warmup=500)).raw) == len(DAYS)


def test_signals_are_adjusted_and_money_is_raw(shelf: Shelf) -> None:
    shelf.act(CorporateAction("A", "split", DAYS[5], new_rate=Decimal(2), old_rate=Decimal(1)))
    data = read(shelf.store, Query(adjust="all"))
    assert data.raw.close["A"].iloc[0] == 10.0
    assert data.signals.close["A"].iloc[0] == 5.0
    assert data.signals.close["B"].iloc[0] == 10.0
    assert [action.ex_date for action in data.actions] == [DAYS[5]]
    pd.testing.assert_index_equal(data.raw.index, data.signals.index)


def test_an_empty_store_says_how_to_fill_it(store: Store) -> None:
    with pytest.raises(NotFoundError, match="No 1d bars are stored yet") as caught:
        read(store, Query())
    assert "qfund ingest" in (caught.value.fix or "")


@pytest.mark.parametrize(
    ("query", "says", "fix"),
    [
        (Query(until=date(2020, 1, 31)), "no bars until 2020-01-31", "--since 2024-01-02 --until 2024-01-31"),
        (Query(since=date(2025, 1, 2)), "no bars since 2025-01-02", "--since 2024-01-02 --until 2024-01-31"),
        (Query(since=date(2024, 1, 6), until=date(2024, 1, 7)), "no bars in 2024-01-06 to 2024-01-07", None),
        (Query(as_of=datetime(2024, 1, 1, tzinfo=UTC)), "As of 2024-01-01T00:00:00Z no bar", "--as-of"),
    ],
    ids=["before the first bar", "after the last", "a weekend", "before anything was known"],
)
def test_a_period_without_bars_is_told_from_when_to_when_there_are_some(
    shelf: Shelf, query: Query, says: str, fix: str | None
) -> None:
    with pytest.raises(DataQualityError, match=says) as caught:
        read(shelf.store, query)
    assert "bars of A, B run from 2024-01-02 to 2024-01-31" in caught.value.message
    assert (fix or "qfund data status") in (caught.value.fix or "")
    assert (caught.value.exit_code, caught.value.code) == (5, "NO_BARS")


def test_dates_before_a_listing_are_told_with_the_days_of_that_symbol(shelf: Shelf) -> None:
    """C trades from the fifth session on; A and B were there before."""
    shelf.write([flat("C", day, 10.0) for day in DAYS[4:]])
    with pytest.raises(DataQualityError, match="bars of C run from 2024-01-08 to 2024-01-31"):
        read(shelf.store, Query(symbols=("C",), until=DAYS[3]))


def test_an_action_before_the_first_bar_makes_no_other_run(shelf: Shelf) -> None:
    """Nothing is held and nothing is adjusted before it, so equal runs stay equal."""
    before = read(shelf.store, Query())
    shelf.act(CorporateAction("A", "split", date(2010, 6, 1), new_rate=Decimal(2), old_rate=Decimal(1)))
    shelf.act(CorporateAction("A", "split", DAYS[0], new_rate=Decimal(2), old_rate=Decimal(1)))
    after = read(shelf.store, Query())
    assert after.actions == ()
    assert after.fingerprint() == before.fingerprint()
    pd.testing.assert_frame_equal(after.signals.close, before.signals.close)


def test_unknown_names_are_answered_with_the_nearest(shelf: Shelf) -> None:
    fill(shelf, "AAPL")
    with pytest.raises(NotFoundError, match="AAPL"):
        read(shelf.store, Query(symbols=("APPL",)))
    with pytest.raises(NotFoundError, match="acme") as caught:
        read(shelf.store, Query(vendor="acne"))
    assert caught.value.fix == "--vendor acme", "not the mistyped one once more"


def test_two_vendors_with_the_same_bars_must_be_told_apart(shelf: Shelf) -> None:
    fill(Shelf(shelf.store, vendor="other"), "A")
    with pytest.raises(UsageError, match="say which"):
        read(shelf.store, Query())
    assert read(shelf.store, Query(vendor="other")).raw.symbols == ("A",)


def test_the_fingerprint_notices_a_bar_an_action_and_a_delisting(shelf: Shelf) -> None:
    data = read(shelf.store, Query())
    split = CorporateAction("A", "split", DAYS[5], new_rate=Decimal(2), old_rate=Decimal(1))
    same_split = CorporateAction("A", "split", DAYS[5], new_rate=Decimal("2.0"), old_rate=Decimal("1.00"))
    prints = {
        data.fingerprint(),
        Data(data.signals, data.raw.rows(1), data.actions).fingerprint(),
        Data(data.signals, data.raw, (split,)).fingerprint(),
        Data(data.signals, data.raw, (split,), {"A": DAYS[9]}).fingerprint(),
    }
    assert len(prints) == 4
    assert Data(data.signals, data.raw, (same_split,)).fingerprint() in prints


def test_a_spin_off_comes_with_its_factor_and_what_money_cannot_apply_is_told(shelf: Shelf) -> None:
    # 1 B for 4 A: B closes at 10.5 on the ex-date, A at 10.4 the day before: 1 - 10.5/4/10.4
    parted = CorporateAction(
        "A", "spinoff", DAYS[5], new_rate=Decimal(1), old_rate=Decimal(4), other_symbol="B"
    )
    unpriced = CorporateAction(
        "B", "spinoff", DAYS[6], new_rate=Decimal(1), old_rate=Decimal(4), other_symbol="C"
    )
    merged = CorporateAction("B", "cash_merger", DAYS[7], other_symbol="Z")
    early = CorporateAction("B", "redemption", DAYS[0])
    before = read(shelf.store, Query()).fingerprint()
    shelf.act(parted, unpriced, merged, early)
    data = read(shelf.store, Query())
    [known] = data.actions
    assert known.price_factor == pytest.approx(1 - 10.5 / 4 / 10.4, rel=1e-15)
    assert data.fingerprint() != before
    merger, spinoff = data.untold
    assert (
        merger
        == f"Not in the money: cash merger of B {DAYS[7]} (Z); no cash and no shares were booked for it."
    )
    assert spinoff.startswith(
        f"Not in the money: spinoff of B {DAYS[6]} (C); what was received has no stored"
    )


def test_what_a_merger_ended_is_delisted_as_far_as_it_was_known(shelf: Shelf) -> None:
    shelf.list("G")
    shelf.write([flat("G", day, 10.0) for day in DAYS[:6]])
    before = soon()
    shelf.act(CorporateAction("G", "cash_merger", DAYS[6], other_symbol="Z"))
    assert read(shelf.store, Query()).delisted == {"G": DAYS[6]}
    assert read(shelf.store, Query(as_of=before)).delisted == {}


def test_actions_beyond_the_last_bar_are_not_read(shelf: Shelf) -> None:
    shelf.act(CorporateAction("A", "cash_merger", DAYS[12]))
    assert read(shelf.store, Query(until=DAYS[11])).untold == ()

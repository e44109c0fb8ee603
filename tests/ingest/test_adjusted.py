"""A vendor that sends adjusted prices where raw ones were asked for is found out and named."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from qfund.ingest.adjusted import Adjusted, adjusted, ratio_in_words, rows_of, unexplained_jumps
from qfund.ingest.neighbours import line
from qfund.market.actions import CorporateAction
from qfund.vendors.contract import DAILY_SCHEMA, BarRequest
from qfund.vendors.sample import FIRST, LAST, Sample

DAYS = [date(2014, 6, 2) + timedelta(days=n) for n in (0, 1, 2, 3, 4, 7, 8, 9, 10, 11)]
APPLE = CorporateAction("A", "split", date(2014, 6, 9), new_rate=Decimal(7), old_rate=Decimal(1))
BEFORE = [628.65, 637.54, 644.82, 647.35, 645.57]  # AAPL, the week before it was split 7:1
AFTER = [93.7, 94.25, 93.86, 92.29, 91.28]


def bars(closes, *, symbol="A", volumes=None, first=0):
    rows = [
        (symbol, DAYS[first + at], round(c * 0.99, 4), round(c * 1.01, 4), round(c * 0.98, 4), c,
         volumes[at] if volumes else 1e6 + 1000 * at)
        for at, c in enumerate(closes)
    ]  # fmt: skip
    return pa.table([list(column) for column in zip(*rows, strict=True)], schema=DAILY_SCHEMA)


def scaled(table, factor, *, rows=None, volume=1.0, digits=2):
    """The table with prices multiplied and rounded to cents, in its first rows."""
    count = len(table) if rows is None else rows
    for name in ("open", "high", "low", "close", "volume"):
        values = table[name].to_numpy().copy()
        values[:count] = np.round(values[:count] * (volume if name == "volume" else factor), digits)
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    return table


def test_raw_prices_across_a_split_are_raw():
    assert adjusted(bars(BEFORE + AFTER), "1d", actions=[APPLE]) == []


def test_a_split_that_does_not_show_is_named():
    smooth = scaled(bars(BEFORE + AFTER), 1 / 7, rows=5)
    (found,) = adjusted(smooth, "1d", actions=[APPLE])
    assert (found.symbol, found.trace, found.on) == ("A", "split", date(2014, 6, 9))
    said = found.said("acme")
    assert "acme" in said
    assert "A" in said
    assert "2014-06-09 (1/7)" in said


def test_a_split_is_looked_for_between_what_is_stored_and_what_came():
    smooth = scaled(bars(BEFORE + AFTER), 1 / 7, rows=5)
    assert adjusted(smooth.slice(5), "1d", around=smooth.slice(0, 5), actions=[APPLE])
    assert adjusted(smooth.slice(0, 5), "1d", around=smooth.slice(5), actions=[APPLE])
    assert not adjusted(smooth.slice(5), "1d", actions=[APPLE])  # nothing to compare with
    raw = bars(BEFORE + AFTER)
    assert not adjusted(raw.slice(5), "1d", around=raw.slice(0, 5), actions=[APPLE])


def test_reverse_splits_and_small_ones():
    one_for_ten = CorporateAction("A", "split", DAYS[5], new_rate=Decimal(1), old_rate=Decimal(10))
    assert adjusted(bars([10.0, 10.1, 10.2, 10.1, 10.0, 10.1, 10.2]), "1d", actions=[one_for_ten])
    assert not adjusted(bars([1.0, 1.01, 1.02, 1.01, 1.0, 10.1, 10.2]), "1d", actions=[one_for_ten])
    stock_dividend = CorporateAction("A", "split", DAYS[5], new_rate=Decimal(21), old_rate=Decimal(20))
    assert not adjusted(bars([10.0] * 7), "1d", actions=[stock_dividend])  # 5 % may hide in a day's move


def test_a_hole_around_the_ex_date_proves_nothing():
    flat = bars([100.0] * 10)
    far = flat.slice(9).set_column(1, "session", pa.array([date(2014, 7, 9)], pa.date32()))
    split = CorporateAction("A", "split", date(2014, 7, 1), new_rate=Decimal(2), old_rate=Decimal(1))
    assert adjusted(far, "1d", around=flat.slice(0, 9), actions=[split]) == []


@pytest.mark.parametrize(
    ("factor", "words"),
    [(0.5, "1/2"), (2 / 3, "2/3"), (1 / 3, "1/3"), (10, "10"), (1 / 7, "1/7"), (3, "3")],
)
def test_prices_that_moved_by_a_splits_ratio_since_they_were_read_are_named(factor, words):
    stored = bars(BEFORE)
    (found,) = adjusted(scaled(stored, factor, volume=1 / factor), "1d", stored=stored)
    assert found.trace == "reread"
    assert found.ratio == pytest.approx(factor, rel=1e-9)
    assert found.on == DAYS[4]
    assert f" {words} of what they were" in found.said("acme")


def test_prices_that_moved_up_to_an_ex_date_only():
    stored = bars(BEFORE + AFTER)
    (found,) = adjusted(scaled(stored, 1 / 7, rows=5), "1d", stored=stored)
    assert (found.trace, found.on) == ("reread", DAYS[4])


def test_volumes_alone_may_be_adjusted():
    stored = bars(BEFORE)
    (found,) = adjusted(scaled(stored, 1.0, volume=7), "1d", stored=stored)
    assert (found.trace, found.ratio) == ("volume", 7.0)
    assert "volumes" in found.said("acme")


def test_prices_moved_by_a_dividend_up_to_its_ex_date():
    stored = bars(BEFORE + AFTER)
    (found,) = adjusted(scaled(stored, 0.9949, rows=5), "1d", stored=stored)
    assert (found.trace, found.on) == ("dividend", DAYS[5])
    assert found.ratio == pytest.approx(0.9949, abs=1e-4)
    assert "as after a dividend" in found.said("acme")


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table,
        lambda table: scaled(table, 1.0, rows=1, volume=1.03),  # a late trade
        lambda table: scaled(table, 0.995, rows=1),  # one corrected bar
        lambda table: table.set_column(5, "close", pa.array([628.6, 637.5, 644.8, 647.3, 645.5])),
        lambda table: table.set_column(5, "close", pa.array([630.0, 636.0, 646.0, 646.0, 647.0])),
    ],
)
def test_corrections_are_no_adjustment(change):
    stored = bars(BEFORE)
    assert adjusted(change(stored), "1d", stored=stored) == []


def test_one_bar_that_halved_with_twice_the_volume_is_enough():
    stored = bars(BEFORE[:1])
    assert adjusted(scaled(stored, 0.5, volume=2), "1d", stored=stored)
    assert not adjusted(scaled(stored, 0.5), "1d", stored=stored)  # perhaps only wrong: others judge that


def test_all_rows_of_the_symbol_and_no_others_are_doubtful():
    table = pa.concat_tables([bars(BEFORE), bars(AFTER, symbol="B")])
    mask = rows_of(table, [Adjusted("A", "split", 0.5, DAYS[0])])
    assert mask.tolist() == [True] * 5 + [False] * 5


def test_symbols_are_judged_one_by_one():
    stored = pa.concat_tables([bars(BEFORE), bars(AFTER, symbol="B")])
    came = pa.concat_tables([bars(BEFORE), scaled(bars(AFTER, symbol="B"), 0.5, volume=2)])
    assert [one.symbol for one in adjusted(came, "1d", stored=stored)] == ["B"]


def test_an_unexplained_jump_by_a_splits_ratio_is_a_hint():
    table = line(bars(BEFORE + AFTER), None, "1d")
    (jump,) = unexplained_jumps(table)
    assert (jump.symbol, jump.session) == ("A", DAYS[5])
    assert jump.ratio == pytest.approx(1 / 7)
    assert unexplained_jumps(table, [APPLE]) == []


@pytest.mark.parametrize(
    "closes",
    [
        [53.5, 53.6, 25.75, 24.2, 22.3],  # AAPL in September 2000: no split, and no split's ratio
        [100, 101, 50.5, 100, 101],  # not lasting
        [100, 101, 80, 81, 80],
    ],
)
def test_other_moves_are_no_hint(closes):
    assert unexplained_jumps(line(bars(closes), None, "1d")) == []


def test_the_sample_is_raw_and_its_splits_show():
    source = Sample()
    names = tuple(one.symbol for one in source.listings())
    request = BarRequest(names, "1d", FIRST, LAST, source.capabilities.offer("1d"))
    table = pa.concat_tables([page.bars for page in source.bars(request)])
    actions = source.actions(names, FIRST, LAST)
    assert adjusted(table, "1d", actions=actions, stored=table) == []
    assert unexplained_jumps(line(table, None, "1d"), actions) == []


def test_ratios_are_said_as_people_say_them():
    assert [ratio_in_words(one) for one in (0.5, 1.5, 2 / 3, 10.0, 0.1, 0.9949)] == [
        "1/2", "3/2", "2/3", "10", "1/10", "0.9949",
    ]  # fmt: skip

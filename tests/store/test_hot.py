"""Minutes of a running session: one by one while it runs, packed when it is over, the same bars throughout."""

from __future__ import annotations

import pytest

from qfund.errors import DataQualityError
from qfund.store.bars import Written
from tests.store.running import DAY, NEXT, closes, opened, packed_and_hot, query, shelf_of, write
from tests.support.stored import minute, soon

# ---------------------------------------------------------------- while the session runs


def test_bars_of_a_running_session_are_kept_one_by_one_and_read_at_once(store):
    shelf = shelf_of(store)
    rows = [minute("A", opened(DAY, k), 10 + k) for k in (0, 1, 3)]
    assert write(shelf, rows, {DAY}) == Written(new=3)
    assert write(shelf, rows, {DAY}) == Written(same=3)
    assert packed_and_hot(store) == (0, 3)
    assert closes(shelf) == {0: 10, 1: 11, 3: 13}
    assert query(store, "SELECT count(*) FROM sec.bar_1m") == [(3,)]


def test_the_half_formed_last_bar_is_replaced_and_its_old_value_kept(store):
    shelf = shelf_of(store)
    write(shelf, [minute("A", opened(DAY), 1), minute("A", opened(DAY, 1), 2)], {DAY}, run=1)
    then = soon()
    changed = [minute("A", opened(DAY, 1), 5), minute("A", opened(DAY, 2), 6)]
    assert write(shelf, changed, {DAY}, run=2) == Written(new=1, changed=1)
    assert closes(shelf) == {0: 1, 1: 5, 2: 6}
    assert closes(shelf, as_of=then) == {0: 1, 1: 2}
    assert query(store, "SELECT ts, close, old_run_id, new_run_id FROM sec.bar_1m_revision") == [
        (opened(DAY, 1), 2, 1, 2)
    ]


def test_one_write_may_hold_finished_and_unfinished_sessions(store):
    shelf = shelf_of(store)
    rows = [minute("A", opened(day, k), k + 1) for day in (DAY, NEXT) for k in (0, 1)]
    assert write(shelf, rows, {NEXT}) == Written(new=4)
    assert packed_and_hot(store) == (2, 2)
    assert len(shelf.read("A")) == 4


def test_a_finished_session_that_arrives_takes_the_place_of_its_hot_bars(store):
    shelf = shelf_of(store)
    write(shelf, [minute("A", opened(DAY, k), 1) for k in (0, 1)], {DAY}, run=1)
    then = soon()
    whole = [minute("A", opened(DAY, k), price) for k, price in ((0, 1), (1, 2), (2, 3))]
    assert write(shelf, whole, run=2) == Written(new=1, changed=1, same=1)
    assert packed_and_hot(store) == (3, 0)
    assert closes(shelf) == {0: 1, 1: 2, 2: 3}
    assert closes(shelf, as_of=then) == {0: 1, 1: 1}


def test_a_bar_that_comes_late_for_a_packed_session_goes_there(store):
    shelf = shelf_of(store)
    write(shelf, [minute("A", opened(DAY), 1)])
    then = soon()
    assert write(shelf, [minute("A", opened(DAY, 1), 2)], {DAY}) == Written(new=1)
    assert packed_and_hot(store) == (2, 0)
    assert closes(shelf, as_of=then) == {0: 1}
    assert query(store, "SELECT count(*) FROM sec.session_revision") == [(0,)], "growing is no revision"


def test_a_session_restated_as_a_whole_is_still_known_as_it_was(store):
    shelf = shelf_of(store)
    write(shelf, [minute("A", opened(DAY, k), 1) for k in (0, 1)])
    then = soon()
    assert write(shelf, [minute("A", opened(DAY, k), 2) for k in (0, 1)]) == Written(changed=2)
    assert closes(shelf) == {0: 2, 1: 2}
    assert closes(shelf, as_of=then) == {0: 1, 1: 1}


@pytest.mark.parametrize("row", [(10, 9, 8, 9, 1), (10, 11, 10.5, 10.5, 1), (1, 1, 1, 1, -1)])
@pytest.mark.parametrize("unfinished", [(), (DAY,)])
def test_impossible_minutes_are_refused_and_nothing_is_kept(store, row, unfinished):
    shelf = shelf_of(store)
    with pytest.raises(DataQualityError, match="impossible"):
        write(shelf, [minute("A", opened(DAY), 1), ("A", opened(DAY, 1), DAY, *row)], unfinished)
    assert packed_and_hot(store) == (0, 0)

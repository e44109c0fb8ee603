"""Packing changes where bars of finished sessions lie, and nothing that anybody reads; also when it is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qfund.store import bars, coverage, packing, partitions, securities
from qfund.store.bars import Written
from tests.store.killed import LATER
from tests.store.running import DAY, NEXT, closes, opened, packed_and_hot, query, shelf_of, write
from tests.support.stored import Shelf, at, minute, minute_table, soon

# ---------------------------------------------------------------- packing


def test_packing_takes_the_sessions_that_are_over_and_no_others(store):
    """The NYSE closed at 21:00 UTC on both days."""
    shelf = shelf_of(store)
    rows = [minute("A", opened(day, k), 1) for day in (DAY, NEXT) for k in (0, 1)]
    write(shelf, [*rows, minute("B", opened(DAY), 7)], {DAY, NEXT})
    assert list(packing.pack(store, at(2024, 1, 2, 20, 59))) == []
    (done,) = packing.pack(store, at(2024, 1, 3, 20, 59))
    assert (done.session, done.instruments, done.bars) == (DAY, 2, 3)
    assert packed_and_hot(store) == (3, 2)
    (done,) = packing.pack(store, at(2024, 1, 3, 21, 0))
    assert (done.session, done.bars) == (NEXT, 2)
    assert list(packing.pack(store, LATER)) == []
    assert closes(shelf, "B") == {0: 7}


@pytest.mark.parametrize(
    ("session", "close"),
    [
        (date(2023, 11, 24), at(2023, 11, 24, 18, 0)),  # half day, winter time
        (date(2024, 7, 3), at(2024, 7, 3, 17, 0)),  # half day, summer time
        (date(2024, 3, 8), at(2024, 3, 8, 21, 0)),
        (date(2024, 3, 11), at(2024, 3, 11, 20, 0)),
        (date(2024, 11, 1), at(2024, 11, 1, 20, 0)),
        (date(2024, 11, 4), at(2024, 11, 4, 21, 0)),
        (date(2024, 2, 29), at(2024, 2, 29, 21, 0)),
    ],
)
def test_a_session_is_over_at_its_own_close(store, session, close):
    series = shelf_of(store).series
    assert packing.over(series, session) == close
    extended = securities.series(store, vendor="acme", hours="extended", timeframe="1m")
    assert packing.over(extended, session) == close + timedelta(hours=4)


def test_packing_changes_no_read_neither_now_nor_as_of_any_moment(store):
    shelf = shelf_of(store)
    moments = []
    for k in range(4):
        write(shelf, [minute("A", opened(DAY, j), 10 * k + j) for j in range(max(0, k - 1), k + 1)], {DAY})
        moments.append(soon())
    before = [closes(shelf, as_of=moment) for moment in moments]
    assert before[1] == {0: 10, 1: 11}
    assert before[2] == {0: 10, 1: 21, 2: 22}
    list(packing.pack(store, LATER))
    assert [closes(shelf, as_of=moment) for moment in moments] == before
    write(shelf, [minute("A", opened(DAY, j), 99) for j in range(6)])  # the finished session, asked again
    assert [closes(shelf, as_of=moment) for moment in moments] == before
    assert set(closes(shelf).values()) == {99.0}


def test_packing_sets_no_coverage(store):
    shelf = shelf_of(store)
    write(shelf, [minute("A", opened(DAY), 1)], {DAY})
    list(packing.pack(store, LATER))
    assert coverage.covered(store, shelf.series, list(shelf.ids.values())) == {}


def test_weeks_come_and_go_with_their_bars(store):
    shelf = shelf_of(store)
    friday, monday = date(2024, 3, 8), date(2024, 3, 11)
    write(shelf, [minute("A", at(2024, 3, 8, 15), 1), minute("A", at(2024, 3, 11, 15), 1)], {friday, monday})
    weeks = "SELECT relname FROM pg_class WHERE relname ~ '^bar_1m_hot_[0-9]{4}w[0-9]{2}$' ORDER BY 1"
    assert query(store, weeks) == [("bar_1m_hot_2024w10",), ("bar_1m_hot_2024w11",)]
    list(packing.pack(store, at(2024, 3, 11, 16)))
    assert query(store, weeks) == [("bar_1m_hot_2024w10",), ("bar_1m_hot_2024w11",)], "Sunday's zone may lag"
    list(packing.pack(store, at(2024, 3, 13, 1)))
    assert query(store, weeks) == [("bar_1m_hot_2024w11",)]
    assert packed_and_hot(store) == (2, 0)


def test_a_week_with_a_bar_that_is_not_packed_is_never_dropped(store):
    shelf = shelf_of(store)
    write(shelf, [minute("A", opened(DAY), 1)], {DAY})
    assert partitions.drop_empty_weeks(store, date(2030, 1, 1)) == []
    assert packed_and_hot(store) == (0, 1)
    list(packing.pack(store, at(2024, 1, 4)))
    assert partitions.drop_empty_weeks(store, date(2030, 1, 1)) == ["bar_1m_hot_2024w01"]


def test_a_week_in_use_is_left_for_the_next_time(store):
    shelf = shelf_of(store)
    write(shelf, [minute("A", opened(DAY), 1)], {DAY})
    list(packing.pack(store, at(2024, 1, 4)))
    with store.transaction() as conn, conn.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM sec.bar_1m_hot")
        cursor.fetchall()
        assert partitions.drop_empty_weeks(store, date(2030, 1, 1)) == []
    assert partitions.drop_empty_weeks(store, date(2030, 1, 1)) == ["bar_1m_hot_2024w01"]


def fill(store) -> tuple[Shelf, object]:
    shelf = shelf_of(store)
    rows = [minute(s, opened(day, k), k + 1) for s in "AB" for day in (DAY, NEXT) for k in range(5)]
    write(shelf, rows, {DAY, NEXT})
    return shelf, shelf.read("A", "B").fingerprint()


@pytest.mark.parametrize(
    "death",
    [("before commit", 1, 0), ("after commit", 1, 10), ("before commit", 2, 10), ("after commit", 2, 20)],
)
def test_a_packing_that_is_killed_loses_nothing_and_the_next_one_ends_it(store, store_url, tmp_path, death):
    point, number, there = death
    shelf, truth = fill(store)
    words = [sys.executable, "-m", "tests.store.killed", "pack", store_url, str(tmp_path), point, str(number)]
    dead = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert dead.returncode == -signal.SIGKILL, dead.stderr
    assert packed_and_hot(store) == (there, 20 - there)
    assert shelf.read("A", "B").fingerprint() == truth
    list(packing.pack(store, LATER))
    assert packed_and_hot(store) == (20, 0)
    assert shelf.read("A", "B").fingerprint() == truth


def test_two_packings_at_once_pack_each_bar_once(store):
    shelf, truth = fill(store)
    done: list[packing.Packed] = []
    threads = [threading.Thread(target=lambda: done.extend(packing.pack(store, LATER))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(one.bars for one in done) == 20
    assert packed_and_hot(store) == (20, 0)
    assert shelf.read("A", "B").fingerprint() == truth


# ---------------------------------------------------------------- 24 hours a day


def write_of(store, series, ids, starts, session) -> Written:
    table = minute_table([("X", start, session, 1.10001, 1.10003, 1.1, 1.10002, 7) for start in starts])
    with store.transaction() as conn:
        return bars.write_bars(conn, series, table, ids, ingest_run_id=1, unfinished={session})


@pytest.mark.parametrize(
    ("session", "first"),
    [
        (date(2024, 3, 11), at(2024, 3, 10, 21, 0)),  # Sunday 17:00 New York, hours after its clocks changed
        (date(2024, 11, 4), at(2024, 11, 3, 22, 0)),
        (date(2024, 2, 29), at(2024, 2, 28, 22, 0)),
    ],
)
def test_a_currency_session_opens_on_the_day_before(store, session, first):
    series = securities.series(store, vendor="fx", hours="always", timeframe="1m", calendar="FX")
    ids = securities.register(store, "fx", [securities.Listing("X", "X", kind="fx", mic=None)])
    starts = [first + timedelta(minutes=k) for k in range(1440)]
    assert write_of(store, series, ids, starts, session) == Written(new=1440)
    before = bars.read_bars(store, ["X"], series=series, since=session, until=session)
    list(packing.pack(store, first + timedelta(days=1)))
    after = bars.read_bars(store, ["X"], series=series, since=session, until=session)
    assert after.fingerprint() == before.fingerprint()
    assert [stamp.to_pydatetime() for stamp in after.index] == [s + timedelta(minutes=1) for s in starts]
    assert query(store, "SELECT minute[1], minute[1440], decimals, open_ticks[1] FROM sec.bar_1m_day") == [
        (0, 1439, 5, 110001)
    ]


def test_crypto_trades_round_the_clock(store):
    series = securities.series(store, vendor="c", hours="always", timeframe="1m", calendar="24/7")
    ids = securities.register(store, "c", [securities.Listing("X", "X", kind="crypto", mic=None)])
    session = date(2024, 3, 10)  # a Sunday
    starts = [at(2024, 3, 10) + timedelta(minutes=k) for k in range(1440)]
    write_of(store, series, ids, starts, session)
    (done,) = packing.pack(store, at(2024, 3, 11))
    assert done.bars == 1440
    assert len(bars.read_bars(store, ["X"], series=series, since=session, until=session)) == 1440


# ---------------------------------------------------------------- against a model

prices = st.sampled_from([1.0, 1.5, 2.25, 1 / 3])
steps = st.lists(
    st.tuples(
        st.sampled_from(["hot", "final", "pack"]),
        st.dictionaries(
            st.tuples(st.sampled_from("AB"), st.integers(0, 1), st.integers(0, 3)), prices, max_size=6
        ),
    ),
    max_size=6,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_any_mixture_of_hot_and_final_writes_and_packings_holds_what_a_dictionary_would_at_every_moment(
    store, sequence
):
    with store.sql.begin() as connection:
        connection.exec_driver_sql(
            "TRUNCATE sec.bar_1m_day, sec.bar_1m_hot, sec.session_revision, sec.bar_1m_revision"
        )
    shelf, model, history = shelf_of(store), {}, []
    shelf.list("A", "B")
    days = (DAY, NEXT)
    for kind, batch in sequence:
        if kind == "pack":
            list(packing.pack(store, LATER))
        else:
            new = sum(key not in model for key in batch)
            changed = sum(key in model and model[key] != value for key, value in batch.items())
            rows = [minute(s, opened(days[d], m), price) for (s, d, m), price in batch.items()]
            counted = write(shelf, rows, days if kind == "hot" else ())
            assert counted == Written(new, changed, len(batch) - new - changed)
            model |= batch
        history.append((soon(), dict(model)))
    assert held(shelf, days) == model
    for moment, then in history:
        assert held(shelf, days, as_of=moment) == then


def held(shelf: Shelf, days, as_of=None):
    read = shelf.read("A", "B", as_of=as_of)
    places = {opened(day, m + 1): (d, m) for d, day in enumerate(days) for m in range(4)}
    return {
        (symbol, *places[stamp.to_pydatetime()]): float(read.close.loc[stamp, symbol])
        for stamp in read.index
        for symbol in "AB"
        if not np.isnan(read.close.loc[stamp, symbol])
    }

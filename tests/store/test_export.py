"""An exported folder is whole or goes on where it was, holds the bars of one moment, and comes back as it was."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from qfund.errors import LockedError, NotFoundError, RefusedError
from qfund.market.actions import CorporateAction
from qfund.store import from_export
from qfund.store.export import JOURNAL, Export, Selected
from tests.store.exported import DAYS, contents, minutes, out
from tests.support.stored import Shelf, at, flat, minute, soon

# ---------------------------------------------------------------- out


def test_a_file_for_each_symbol_and_year_that_any_reader_of_hive_partitions_reads(store, tmp_path):
    shelf = minutes(store)
    files = out(store, tmp_path / "out", Selected(shelf.series))
    assert [(f.symbol, f.year, f.rows) for f in files] == [
        ("A", 2023, 4), ("B/USD", 2023, 4), ("A", 2024, 8), ("B/USD", 2024, 8),
    ]  # fmt: skip
    table = pq.read_table(tmp_path / "out" / "vendor=acme", partitioning="hive")
    assert table.num_rows == 24
    assert set(table.column("symbol").to_pylist()) == {"A", "B/USD"}
    assert min(table.column("ts").to_pylist()) == at(2023, 12, 29, 14, 30), "the start of the bar"
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["series"]["feed"] == "sip"
    assert manifest["rows"] == 24
    assert manifest["symbols"]["A"]["coverage"] == [["2023-12-29", "2024-01-02"]]


def test_equal_bars_give_equal_bytes(store, tmp_path):
    shelf = minutes(store)
    selected = Selected(shelf.series, as_of=soon())
    out(store, tmp_path / "one", selected)
    out(store, tmp_path / "two", selected)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_second_export_brings_the_folder_up_to_date(store, tmp_path):
    shelf = minutes(store)
    out(store, tmp_path / "out", Selected(shelf.series))
    before = contents(tmp_path / "out")
    shelf.write([minute("A", at(2024, 1, 3, 15, 0), 99)])
    out(store, tmp_path / "out", Selected(shelf.series))
    after = contents(tmp_path / "out")
    changed = {name for name in after if after[name] != before.get(name)}
    assert {name.split("/")[-3] for name in changed if name != "manifest.json"} == {"symbol=A"}
    out(store, tmp_path / "out", Selected(shelf.series, symbols=("A",)))
    left = contents(tmp_path / "out").keys() - {"manifest.json", "actions.parquet"}
    assert all("symbol=A" in name for name in left)


def test_prices_may_be_adjusted_on_the_way_out_and_then_do_not_come_back(store, tmp_path):
    shelf = Shelf(store)
    shelf.write([flat("A", DAYS[0], 10), flat("A", DAYS[1], 5)])
    shelf.act(CorporateAction("A", "split", DAYS[1], new_rate=2, old_rate=1))
    (before, after) = out(store, tmp_path / "out", Selected(shelf.series, adjust="split"))
    assert pq.read_table(tmp_path / "out" / before.path, partitioning=None).column("close").to_pylist() == [5]
    assert pq.read_table(tmp_path / "out" / after.path, partitioning=None).column("close").to_pylist() == [5]
    with pytest.raises(RefusedError, match="were adjusted"):
        from_export.Import(store, tmp_path / "out")


def test_a_folder_with_something_else_in_it_is_left_alone(store, tmp_path):
    shelf = minutes(store)
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "summer.jpg").write_bytes(b"sun")
    with pytest.raises(RefusedError, match="not empty"):
        Export(store, folder, Selected(shelf.series))
    other = Shelf(store, timeframe="1m", feed="iex")
    other.write([minute("A", at(2024, 1, 2, 15), 1)])
    out(store, tmp_path / "out", Selected(other.series))
    with pytest.raises(RefusedError):
        Export(store, tmp_path / "out", Selected(shelf.series))
    assert contents(folder) == {"summer.jpg": b"sun"}


def test_what_is_not_stored_cannot_be_exported(store, tmp_path):
    shelf = minutes(store)
    with pytest.raises(NotFoundError, match="'AA' is not stored"):
        Export(store, tmp_path / "out", Selected(shelf.series, symbols=("AA",)))
    empty = Shelf(store, timeframe="1m", feed="none")
    with pytest.raises(NotFoundError):
        Export(store, tmp_path / "out", Selected(empty.series))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [1, 3, 4])
def test_a_killed_export_goes_on_where_it_was_and_shows_one_moment(store, store_url, tmp_path, number):
    shelf = minutes(store)
    words = [sys.executable, "-m", "tests.store.killed", "export", store_url, str(tmp_path), "", str(number)]
    dead = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert dead.returncode == -signal.SIGKILL, dead.stderr
    folder = tmp_path / "out"
    assert not (folder / "manifest.json").exists(), "a folder with a manifest is whole"
    then = soon()
    shelf.write([minute("A", at(2024, 1, 3, 14, 30), 77), minute("B/USD", at(2023, 12, 29, 14, 30), 77)])
    there = {p: p.stat().st_mtime_ns for p in folder.rglob("*.parquet")}
    out(store, folder, Selected(shelf.series))
    assert {p: p.stat().st_mtime_ns for p in there} == there, "what was written is not written again"
    out(store, tmp_path / "truth", Selected(shelf.series, as_of=then))
    truth, found = contents(tmp_path / "truth"), contents(folder)
    assert found.keys() == truth.keys()
    assert all(found[name] == truth[name] for name in truth if name != "manifest.json")


def test_what_a_kill_in_the_middle_of_a_file_leaves_is_made_whole(store, tmp_path):
    """A file cut short, one in the making, and a last line of the journal that was not finished."""
    shelf = minutes(store)
    folder = tmp_path / "out"
    steps = Export(store, folder, Selected(shelf.series)).run()
    first, second = next(steps), next(steps)
    steps.close()
    (folder / first.path).write_bytes(b"PAR1 half")
    target = folder / second.path
    target.with_name(f".{target.name}.part").write_bytes(b"half")
    with (folder / JOURNAL).open("a") as journal:
        journal.write('{"path": "vendor=ac')
    out(store, folder, Selected(shelf.series))
    out(store, tmp_path / "truth", Selected(shelf.series))
    found = {name: body for name, body in contents(folder).items() if name.endswith("s.parquet")}
    assert found == {n: b for n, b in contents(tmp_path / "truth").items() if n.endswith("s.parquet")}


def test_an_export_that_was_stopped_is_not_gone_on_with_as_another(store, tmp_path):
    shelf = minutes(store)
    steps = Export(store, tmp_path / "out", Selected(shelf.series)).run()
    next(steps)
    steps.close()
    with pytest.raises(RefusedError, match="Another export"):
        out(store, tmp_path / "out", Selected(shelf.series, symbols=("A",)))


def test_two_exports_into_one_folder_do_not_meet(store, tmp_path):
    shelf = minutes(store)
    steps = Export(store, tmp_path / "out", Selected(shelf.series)).run()
    next(steps)
    with pytest.raises(LockedError):
        out(store, tmp_path / "out", Selected(shelf.series))
    steps.close()

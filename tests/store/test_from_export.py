"""An exported folder comes back as it was, or not at all."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qfund.errors import DataQualityError, NotFoundError
from qfund.store import coverage, from_export, open_store
from qfund.store.bars import Written
from qfund.store.export import Selected
from tests.store.exported import DAYS, minutes, out
from tests.support.stored import Shelf


@pytest.fixture
def other(pg_server, tmp_path):
    """Another store."""
    with pg_server.database() as url, open_store(url, tmp_path) as opened:
        yield opened


# ---------------------------------------------------------------- and back


@pytest.mark.parametrize("timeframe", ["1d", "1m"])
def test_a_folder_comes_back_as_it_was_under_the_same_series(store, other, tmp_path, timeframe):
    if timeframe == "1m":
        shelf = minutes(store)
    else:
        shelf = Shelf(store, feed="wiki")
        shelf.write([("A", day, 0.1 + 0.2, 0.5, 0.25, 1 / 3, 7) for day in DAYS])
    out(store, tmp_path / "out", Selected(shelf.series))
    work = from_export.Import(other, tmp_path / "out")
    total = sum((taken.written for taken in work.run()), Written())
    assert (total.new, total.changed, total.same) == (work.manifest.rows, 0, 0)
    again = sum((t.written for t in from_export.Import(other, tmp_path / "out").run()), Written())
    assert again == Written(same=work.manifest.rows)
    copy = Shelf(other, timeframe=timeframe, feed=shelf.series.feed)
    names = sorted(shelf.ids)
    one, two = shelf.read(*names), copy.read(*names)
    assert one.fingerprint() == two.fingerprint()
    np.testing.assert_array_equal(one.sessions, two.sessions)
    numbers = other.sql.connect()
    with numbers as connection:
        ids = dict(
            connection.exec_driver_sql("SELECT symbol, instrument_id FROM sec.instrument_symbol").all()
        )
    assert coverage.covered(other, copy.series, list(ids.values())) == {
        ids[name]: spans
        for name, number in shelf.ids.items()
        if (spans := coverage.covered(store, shelf.series, [number]).get(number))
    }


def test_a_file_that_was_changed_is_refused_and_nothing_is_stored(store, other, tmp_path):
    shelf = minutes(store)
    files = out(store, tmp_path / "out", Selected(shelf.series))
    path = tmp_path / "out" / files[-1].path
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(DataQualityError, match="not the file that was exported"):
        from_export.Import(other, tmp_path / "out")
    path.unlink()
    with pytest.raises(DataQualityError, match="is missing"):
        from_export.Import(other, tmp_path / "out")
    assert coverage.recent_runs(other) == []


def test_a_manifest_cannot_lead_out_of_its_folder(store, other, tmp_path):
    shelf = minutes(store)
    out(store, tmp_path / "out", Selected(shelf.series))
    path = tmp_path / "out" / "manifest.json"
    said = json.loads(path.read_text())
    said["files"][0]["path"] = "../secret.parquet"
    path.write_text(json.dumps(said))
    with pytest.raises(DataQualityError, match="outside"):
        from_export.Import(other, tmp_path / "out")


def test_a_folder_without_a_finished_export_is_named(store, tmp_path):
    with pytest.raises(NotFoundError, match="no finished export"):
        from_export.Import(store, tmp_path)


def test_an_import_that_was_stopped_is_whole_up_to_a_file(store, other, tmp_path):
    shelf = minutes(store)
    out(store, tmp_path / "out", Selected(shelf.series))
    steps = from_export.Import(other, tmp_path / "out").run()
    next(steps)
    steps.close()
    assert coverage.recent_runs(other)[0].status == "partial"
    written = [taken.written for taken in from_export.Import(other, tmp_path / "out").run()]
    assert written[0] == Written(same=4)
    assert sum(written, Written()) == Written(new=20, same=4)

"""An exported folder comes back as it was, or not at all."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import numpy as np
import pyarrow.parquet as pq
import pytest

from qfund.errors import DataQualityError, NotFoundError
from qfund.market.actions import CorporateAction
from qfund.store import action_file, coverage, from_export, open_store, securities
from qfund.store.actions import read_applied
from qfund.store.bars import Written
from qfund.store.export import Selected
from tests.store.exported import DAYS, minutes, out
from tests.support.stored import Shelf, at, flat, soon


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


# ---------------------------------------------------------------- corporate actions


def acted(store) -> Shelf:
    """Daily bars of shares with a split, a dividend, a spin-off and a change of name; one lies ahead."""
    shelf = Shelf(store, feed="wiki")
    shelf.write(
        flat(s, day, price) for s in ("NEW", "PART") for day, price in zip(DAYS, (20, 9, 8), strict=True)
    )
    shelf.act(
        CorporateAction("NEW", "split", DAYS[1], Decimal(2), Decimal(1), vendor_ref="s1", payload='{"a":  1}'),
        CorporateAction("NEW", "dividend", DAYS[2], cash_amount=Decimal("0.123456789"), known_at=at(2023, 12, 1)),
        CorporateAction("NEW", "dividend", date(2030, 1, 2), cash_amount=Decimal(1)),
        CorporateAction("NEW", "spinoff", DAYS[2], Decimal(1), Decimal(10), other_symbol="PART"),
        CorporateAction("OLD", "name_change", DAYS[1], other_symbol="NEW"),
    )  # fmt: skip
    return shelf


def brought(store, folder) -> from_export.Import:
    work = from_export.Import(store, folder)
    list(work.run())
    return work


def applied(store):
    some = read_applied(store, since=date.min, until=date.max, vendor="acme")
    told = [(one.action, one.action.payload, one.action.known_at, one.factors) for one in some]
    return sorted(told, key=repr)


@pytest.mark.parametrize("adjust", ["raw", "split", "all"])
def test_adjusted_prices_and_actions_are_equal_in_both_stores(store, other, tmp_path, adjust):
    shelf = acted(store)
    out(store, tmp_path / "out", Selected(shelf.series))
    assert brought(other, tmp_path / "out").new_actions == 5
    copy = Shelf(other, feed="wiki")
    one, two = (one.read("NEW", "PART", adjust=adjust) for one in (shelf, copy))
    assert one.fingerprint() == two.fingerprint()
    assert applied(store) == applied(other)
    assert sum(factors is not None for *_, factors in applied(other)) == 3
    early = {"adjust": adjust, "as_of": at(2023, 12, 15)}
    assert shelf.read("NEW", **early).fingerprint() == copy.read("NEW", **early).fingerprint()
    assert brought(other, tmp_path / "out").new_actions == 0


def test_the_former_name_of_a_share_is_known_in_the_other_store(store, other, tmp_path):
    shelf = acted(store)
    out(store, tmp_path / "out", Selected(shelf.series, symbols=("NEW",)))
    brought(other, tmp_path / "out")
    ids = [securities.instruments(one, ["NEW"], vendor="acme")["NEW"] for one in (store, other)]
    spans = [
        [(span.symbol, span.since, span.until) for span in securities.symbol_spans(one, "acme", [number], DAYS[0], DAYS[2])]
        for one, number in zip((store, other), ids, strict=True)
    ]  # fmt: skip
    assert spans[0] == spans[1] == [("OLD", DAYS[0], date(2024, 1, 1)), ("NEW", DAYS[1], DAYS[2])]


def test_actions_outside_the_span_come_too_and_those_taken_back_do_not(store, other, tmp_path):
    shelf = acted(store)
    gone = soon()
    shelf.act(whole=(DAYS[2], DAYS[2]))
    out(store, tmp_path / "old", Selected(shelf.series, until=DAYS[0], as_of=gone))
    out(store, tmp_path / "now", Selected(shelf.series, until=DAYS[0]))
    assert pq.read_table(tmp_path / "old" / "actions.parquet").num_rows == 5
    assert brought(other, tmp_path / "now").new_actions == 3
    copy = Shelf(other, feed="wiki")
    assert copy.read("NEW", adjust="all").close.iloc[0, 0] == 10


def test_an_import_that_was_stopped_has_the_actions_of_its_bars(store, other, tmp_path):
    shelf = acted(store)
    out(store, tmp_path / "out", Selected(shelf.series))
    steps = from_export.Import(other, tmp_path / "out").run()
    next(steps)
    steps.close()
    copy = Shelf(other, feed="wiki")
    assert copy.read("NEW", adjust="split").close.iloc[0, 0] == 10


def test_an_import_mends_one_that_had_no_actions(store, other, tmp_path):
    shelf = acted(store)
    out(store, tmp_path / "out", Selected(shelf.series))
    path = tmp_path / "out" / "manifest.json"
    whole = path.read_text()
    path.write_text(json.dumps({k: v for k, v in json.loads(whole).items() if k != "actions"}))
    assert brought(other, tmp_path / "out").manifest.actions is None
    path.write_text(whole)
    brought(other, tmp_path / "out")
    assert applied(store) == applied(other)


def test_actions_that_were_changed_are_refused(store, other, tmp_path):
    shelf = acted(store)
    out(store, tmp_path / "out", Selected(shelf.series))
    (tmp_path / "out" / "actions.parquet").write_bytes(b"something else")
    with pytest.raises(DataQualityError, match="not the file that was exported"):
        from_export.Import(other, tmp_path / "out")
    with pytest.raises(DataQualityError, match="does not hold corporate actions"):
        action_file.read(tmp_path / "out" / "actions.parquet")

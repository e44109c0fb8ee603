"""`qfund data repair` fills holes from a second vendor that agrees around them."""

from __future__ import annotations

from datetime import date

import pytest

from qfund.commands import data, data_quality
from qfund.market.sessions import sessions
from qfund.store import coverage, open_store, repairs
from qfund.vendors.contract import BarRequest
from qfund.vendors.sample import Sample
from tests.commands.lines import command, document
from tests.support.stored import Shelf

__all__ = ["command"]

DAYS = [day.date() for day in sessions("XNYS", date(2012, 5, 1), date(2012, 6, 29))]
HOLE = DAYS[20:23]
REPAIR = "data repair --vendor sample --of acme"


@pytest.fixture(autouse=True, scope="module")
def registered():
    """The command, also where ``qfund data`` does not have it yet."""
    if not any(one.callback is data_quality.gaps for one in data.app.registered_commands):
        data_quality.register(data.app)


@pytest.fixture
def acme(store_url, tmp_path):
    """Puts IBM's real bars with a hole into the store as those of a vendor ``acme``, all prices times a factor."""

    def put(factor=1.0, symbol="IBM"):
        source = Sample()
        offer = source.capabilities.offer("1d")
        (page,) = source.bars(BarRequest(("IBM",), "1d", DAYS[0], DAYS[-1], offer))
        rows = [
            (symbol, row["session"], *(row[name] * factor for name in ("open", "high", "low", "close")), row["volume"])
            for row in page.bars.to_pylist()
            if row["session"] not in HOLE
        ]  # fmt: skip
        with open_store(store_url, tmp_path) as store:
            shelf = Shelf(store)
            shelf.write(rows)
            with store.transaction() as conn:
                coverage.add_coverage(conn, shelf.series, {shelf.ids[symbol]: [(DAYS[0], DAYS[-1])]})
        return shelf

    return put


def test_a_hole_is_filled_and_gone(command, acme, store_url, tmp_path):
    acme()
    assert command("data gaps --vendor acme --exit-code")[0] == 5
    code, out, err = command(REPAIR)
    assert code == 0, err
    assert "3 bars of sample fill holes of acme" in out
    assert command("data gaps --vendor acme --exit-code")[0] == 0
    bars = document(command("data show IBM --vendor acme --json")[1], "data.show")["data"]
    assert bars["bars"] == len(DAYS)
    with open_store(store_url, tmp_path) as store:
        shelf = Shelf(store)
        shelf.list("IBM")
        marks = repairs.provenance(store, shelf.series, shelf.ids["IBM"], DAYS[0], DAYS[-1])
    assert [(one.session, one.vendor, one.feed) for one in marks] == [(day, "sample", "wiki") for day in HOLE]
    code, out, _ = command(REPAIR)
    assert (code, out) == (0, "acme has no hole to fill.\n")


def test_the_plan_changes_nothing(command, acme):
    acme()
    code, out, _ = command(f"{REPAIR} --dry-run")
    assert code == 0
    assert "3 sessions to look for at sample; nothing was changed" in out
    assert command("data gaps --vendor acme --exit-code")[0] == 5


# ---------------------------------------------------------------- from a file

FROM_FILE = "data repair --vendor files --of acme --symbols IBM"


@pytest.fixture
def csv(tmp_path):
    """Writes IBM's real bars as a CSV file of one symbol, without some days; where it is."""

    def put(without=()):
        source = Sample()
        offer = source.capabilities.offer("1d")
        (page,) = source.bars(BarRequest(("IBM",), "1d", DAYS[0], DAYS[-1], offer))
        names = ("session", "open", "high", "low", "close", "volume")
        lines = [
            ",".join(str(row[name]) for name in names)
            for row in page.bars.to_pylist()
            if row["session"] not in without
        ]
        path = tmp_path / "mine.csv"
        path.write_text("\n".join(["date,open,high,low,close,volume", *lines]) + "\n")
        return path

    return put


def test_a_hole_is_filled_from_a_file(command, acme, csv):
    acme()
    line = f"{FROM_FILE} --path {csv()} --with symbol=IBM"
    code, out, err = command(f"{line} --dry-run")
    assert code == 0, err
    assert "3 sessions to look for at files; nothing was changed" in out
    code, out, err = command(line)
    assert code == 0, err
    assert "3 bars of files fill holes of acme" in out
    assert command("data gaps --vendor acme --exit-code")[0] == 0


def test_a_file_that_has_the_days_by_now_is_read_again(command, acme, csv):
    acme()
    line = f"{FROM_FILE} --path {csv(without=HOLE)} --with symbol=IBM"
    assert "files has nothing either" in command(line)[1]
    csv()
    assert "3 bars of files fill holes of acme" in command(line)[1]


@pytest.mark.parametrize("dry", ["", " --dry-run"])
@pytest.mark.parametrize(
    ("words", "code", "name"),
    [
        (FROM_FILE, 2, "PATH_REQUIRED"),
        (f"{FROM_FILE} --path nowhere.csv", 11, None),
        (f"{FROM_FILE} --path CSV --with colour=red", 2, None),
        (f"{FROM_FILE} --path CSV --with symbol=IBM --with price_kind=mid", 6, "OTHER_KIND"),
        ("data repair --vendor nobody --of acme", 11, "UNKNOWN_VENDOR"),
    ],
)
def test_the_plan_fails_as_the_repair_does(command, acme, csv, *, words, code, name, dry):
    acme()
    found = command(f"{words.replace('CSV', str(csv()))}{dry} --json")
    assert found[0] == code, found
    (error,) = document(found[1], "data.repair")["errors"]
    assert name in (None, error["code"])


def test_the_file_is_asked_for_in_words_of_the_repair(command, acme):
    acme()
    _, _, err = command(FROM_FILE)
    assert "Which file?" in err
    assert "qfund data repair --vendor files --path FILE --of acme" in err


# ---------------------------------------------------------------- what goes wrong


def test_vendors_that_disagree_fill_nothing(command, acme):
    acme(factor=0.5)
    code, out, _ = command(f"{REPAIR} --json")
    assert code == 5
    found = document(out, "data.repair")
    assert found["errors"][0]["code"] == "VENDORS_DISAGREE"
    assert "100.0% apart" in found["data"]["holes"][0]["refused"]
    assert command("data gaps --vendor acme --exit-code")[0] == 5


def test_a_symbol_that_the_other_does_not_know_is_told(command, acme):
    acme(symbol="ACME")
    code, out, _ = command(f"{REPAIR} --json")
    assert code == 4
    assert document(out, "data.repair")["errors"][0]["code"] == "PARTIAL"


@pytest.mark.parametrize(
    ("words", "code", "name"),
    [
        ("data repair", 2, "VENDOR_REQUIRED"),
        ("data repair --vendor sample --of nobody", 11, "NOTHING_STORED"),
        ("data repair --vendor acme --of acme", 11, "NOTHING_STORED"),
        ("data repair --vendor nobody --of acme", 11, "UNKNOWN_VENDOR"),
    ],
)
def test_wrong_words_are_told(command, acme, words, code, name):
    acme()
    found = command(f"{words} --json")
    assert (found[0], document(found[1], "data.repair")["errors"][0]["code"]) == (code, name)

"""`qfund universe`: lists with members as of a date, from wherever they come."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from qfund.market.sessions import sessions
from tests.commands.lines import command, document
from tests.support.stored import Shelf, flat

__all__ = ["command"]

DATED = """# Five of the sample
symbol,since,until
AAPL,2000-03-01,
fb,2012-05-18,2012-12-31
IBM,2000-03-01,
"""
HOLD = """
from qfund import Bars, Strategy

class Hold(Strategy):
    def targets(self, bars: Bars):
        return bars.close.notna().astype(float) / bars.close.shape[1]
"""


def today() -> date:
    return datetime.now(UTC).date()


def members(command, line: str) -> list[str]:
    code, out, err = command(f"universe show {line} --json")
    assert code == 0, err
    return [one["symbol"] for one in document(out, "universe.show")["data"]["members"]]


def test_a_typed_list_holds_from_today_on_and_says_that_its_past_is_not_known(command):
    code, out, err = command("universe create mine --symbols ibm,AAPL")
    assert (code, out) == (0, "mine: 2 members now, 0 past; symbols.\n")
    assert "qfund universe show mine" in err
    assert members(command, "mine") == ["AAPL", "IBM"]
    code, out, err = command("universe show mine --as-of 2012-01-03")
    assert out.count("not known") == 2
    assert f"known from {today()} on" in err
    assert "survivorship" in err


def test_a_file_of_dated_members_is_shown_as_of_a_day(command, project):
    (project / "mine.csv").write_text(DATED)
    assert command("universe create mine --file mine.csv --title Sample")[0] == 0
    assert members(command, "mine --as-of 2012-05-17") == ["AAPL", "IBM"]
    assert members(command, "mine --as-of 2012-12-31") == ["AAPL", "FB", "IBM"]
    assert members(command, "mine --as-of 2013-01-01") == ["AAPL", "IBM"]
    assert members(command, "mine --all") == ["AAPL", "FB", "IBM"]
    told = document(command("universe show mine --as-of 2000-02-29 --json")[1], "universe.show")
    assert told["data"]["dated_from"] == "2000-03-01"
    assert told["data"]["title"] == "Sample"
    assert "known from 2000-03-01 on" in told["warnings"][0]


def test_the_members_of_a_vendor_are_its_listings(command):
    assert command("universe create all --vendor sample")[0] == 0
    assert members(command, "all") == ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
    assert members(command, "all --as-of 2012-05-17") == ["AAPL", "GOOG", "IBM", "MSFT"]
    code, out, _ = command("universe refresh all")
    assert (code, out) == (0, "all: nothing has changed.\n")


def test_the_sp100_comes_with_qfund_and_says_whose_list_of_which_day_it_is(command):
    code, out, _ = command("universe list")
    assert code == 0
    assert "sp100" in out
    assert "S&P 100, as listed on 2026-08-02" in out
    named = members(command, "sp100")
    assert len(named) == len(set(named)) == 101
    assert {"AAPL", "BRK.B", "GOOG", "GOOGL", "XOM"} <= set(named)
    listed = document(command("universe list --json")[1], "universe.list")["data"]
    assert [one["origin"] for one in listed["universes"]] == ["builtin:sp100"], (
        "it is taken in when first named"
    )
    assert listed["bundled"] == []
    assert "known from 2026-08-02 on" in command("universe show sp100 --as-of 2015-01-02")[2]


def test_a_refresh_reads_the_file_again_and_keeps_the_past(command, project):
    file = project / "list.txt"
    file.write_text("AAPL IBM  # two\n")
    command("universe create mine --symbols @list.txt")
    file.write_text("IBM\nMSFT\n")
    code, out, _ = command("universe refresh mine")
    assert (code, out) == (0, "mine: 1 joined: MSFT; 1 left: AAPL.\n")
    assert members(command, "mine") == ["IBM", "MSFT"]
    assert members(command, f"mine --as-of {today() - timedelta(days=1)}") == ["AAPL", "IBM"]


def test_a_refresh_takes_of_a_dated_file_only_who_is_a_member_today(command, project):
    (project / "mine.csv").write_text(DATED)
    command("universe create mine --file mine.csv")
    (project / "mine.csv").write_text(DATED.replace("2000-03-01", "1999-01-04") + "GOOG,2004-08-19,\n")
    assert command("universe refresh mine")[1] == "mine: 1 joined: GOOG.\n"
    assert members(command, "mine --as-of 1999-06-01") == [], "the past is not rewritten"
    assert members(command, f"mine --as-of {today() - timedelta(days=1)}") == ["AAPL", "IBM"]
    assert members(command, "mine") == ["AAPL", "GOOG", "IBM"]


def test_a_typed_list_is_refreshed_by_a_new_one(command):
    command("universe create mine --symbols A,B")
    code, _, err = command("universe refresh mine")
    assert code == 6
    assert "--symbols" in err
    assert command("universe refresh mine --symbols B,C")[1] == "mine: 1 joined: C; 1 left: A.\n"


def test_deleting_asks_first(command):
    command("universe create mine --symbols A,B")
    assert command("universe delete mine")[0] == 6
    assert members(command, "mine") == ["A", "B"]
    assert command("universe delete mine --yes")[:2] == (0, "Forgot the universe mine.\n")
    assert command("universe show mine")[0] == 11


@pytest.mark.parametrize(
    ("line", "code", "name", "says"),
    [
        ("create mine --symbols A --vendor sample", 2, "TWO_LISTS", "exclude"),
        ("create Mine --symbols A", 2, "UNIVERSE_NAME", "lower-case"),
        ("create mine", 11, "UNKNOWN_UNIVERSE", "sp100"),
        ("create mine --symbols ,", 2, "NO_SYMBOLS", "no symbol"),
        ("create mine --symbols @nowhere.txt", 2, "SYMBOLS_FILE", "nowhere.txt"),
        ("create mine --file nowhere.csv", 2, "UNIVERSE_FILE", "No such file"),
        ("create mine --vendor sampel", 11, "UNKNOWN_VENDOR", "sample"),
        ("show sp10", 11, "UNKNOWN_UNIVERSE", "no universe named 'sp10'"),
        ("show sp100 --as-of soon", 2, "BAD_DATE", "ISO date"),
        ("show sp100 --all --as-of 2020-01-01", 2, "TWO_SPANS", "exclude"),
        ("refresh nothing", 11, "UNKNOWN_UNIVERSE", "nothing"),
    ],
)
def test_wrong_words_are_explained(command, line, code, name, says):
    found = command(f"universe {line} --json")
    (error,) = document(found[1], f"universe.{line.split()[0]}")["errors"]
    assert (found[0], error["code"]) == (code, name)
    assert says in error["message"] + (error["fix"] or "")


def test_a_name_that_is_taken_points_to_the_refresh(command):
    command("universe create mine --symbols A")
    code, _, err = command("universe create mine --symbols B")
    assert code == 6
    assert "qfund universe refresh mine" in err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("A,B\n", "it needs symbol"),
        ("symbol,since\nA,2020-01-02\nB,2.1.2020\n", "line 3: since '2.1.2020' is no date"),
        ("# note\nsymbol\n\n ,\n", "line 4 has more cells"),
        ("symbol,until\n,2020-01-02\n", "line 2 names no symbol"),
        ("# as of: yesterday\nsymbol\nA\n", "as of: 'yesterday' is no date"),
        ("", "(none)"),
        ("symbol\n", "needs a member"),
        ("symbol,since,until\nA,2020-01-02,2019-01-02\n", "before it joins"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_its_line(command, project, text, says):
    (project / "mine.csv").write_text(text)
    code, _, err = command("universe create mine --file mine.csv")
    assert code in {2, 5}
    assert says in err


# ---------------------------------------------------------------- in a backtest


@pytest.fixture
def traded(command, store, project):
    """A strategy that holds everything, and bars of AAPL, IBM and JUNK through the first half of 2024."""
    shelf = Shelf(store)
    days = sessions("XNYS", date(2024, 1, 2), date(2024, 6, 28))
    shelf.write(
        [flat(s, day.date(), 10.0 + n % 7) for s in ("AAPL", "IBM", "JUNK") for n, day in enumerate(days)]
    )
    (project / "hold.py").write_text(HOLD)
    return command


def backtested(command, line: str) -> dict:
    code, out, err = command(f"backtest hold.py --costs none --no-report --no-check {line} --json")
    assert code == 0, err
    return document(out, "backtest")


def test_todays_list_in_a_backtest_of_the_past_warns_of_survivorship_with_its_days(traded):
    found = backtested(traded, "--universe sp100")
    assert found["data"]["symbols"] == ["AAPL", "IBM"]
    [told] = [one for one in found["warnings"] if "Survivorship" in one]
    assert "who was in sp100 is known from 2026-08-02 on, and this backtest begins on 2024-01-02" in told
    assert any("99 of 101 members of sp100 are left out" in one for one in found["warnings"])


def test_a_member_is_sold_when_it_leaves_and_the_command_repeats_the_run(traded, project):
    (project / "mine.csv").write_text("symbol,since,until\nAAPL,2023-01-03,\nIBM,2023-01-03,2024-03-28\n")
    traded("universe create mine --file mine.csv")
    found = backtested(traded, "--universe mine")
    assert not [one for one in found["warnings"] if "urvivorship" in one]
    held = document(traded(f"runs show {found['data']['run_id']} --json")[1], "runs.show")["data"][
        "positions"
    ]
    assert [one["symbol"] for one in held] == ["AAPL"]
    repeat = found["data"]["repeat"]
    assert "--universe mine" in repeat
    again = document(traded(repeat.removeprefix("qfund ") + " --no-report --no-check --json")[1], "backtest")
    assert again["data"]["run_id"] == found["data"]["run_id"]
    assert backtested(traded, "--symbols AAPL,IBM")["data"]["run_id"] != found["data"]["run_id"]


@pytest.mark.parametrize(
    ("line", "code", "name"),
    [("--universe sp10", 11, "UNKNOWN_UNIVERSE"), ("--universe sp100 --symbols AAPL", 2, "TWO_LISTS")],
)
def test_a_backtest_refuses_a_universe_that_is_not_there_or_not_alone(traded, line, code, name):
    found = traded(f"backtest hold.py {line} --json")
    assert (found[0], document(found[1], "backtest")["errors"][0]["code"]) == (code, name)

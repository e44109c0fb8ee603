"""Shares that are renamed, delisted or merged, and tickers that are used again, as the user of `qfund` meets them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from qfund.market.actions import CorporateAction
from qfund.store import securities
from qfund.testing import Clock, Instrument, Name
from tests.ingest.rig import EVENING, UNTIL
from tests.support.ingesting import Cli, TriggeredAlpaca, alpaca_variables

BEGIN, RENAMED = date(2024, 1, 2), date(2024, 2, 1)
INGEST = "ingest --vendor alpaca --reread 0 --symbols"


@pytest.fixture
def fake():
    with TriggeredAlpaca(clock=Clock(EVENING)) as made:
        made.truth.walk("AAPL", "1d", BEGIN, UNTIL)
        yield made


@pytest.fixture
def qfund(fake, store_url, tmp_path, monkeypatch, capsys):
    """Runs a command line in this process, in an empty project."""
    folder = tmp_path / "project"
    folder.mkdir()
    cli = Cli(folder, alpaca_variables(fake, store_url))
    return lambda line: cli.here(line, monkeypatch, capsys)


def good(ran):
    assert ran.code == 0, ran.err
    return ran


def sessions_shown(ran):
    return [row["session"] for row in json.loads(good(ran).out)["data"]["rows"]]


def asked_as(fake):
    """Symbol → first and last day for which bars were asked under it."""
    days = sorted((name, day) for name, day in fake.log.asked("/bars"))
    return {
        name: (min(d for n, d in days if n == name), max(d for n, d in days if n == name)) for name, _ in days
    }


# ---------------------------------------------------------------- an old name


@pytest.fixture
def meta(fake):
    """FB until 2024-01-31, META from 2024-02-01 on; the vendor's list knows META alone."""
    names = (Name("FB", until=RENAMED - timedelta(days=1)), Name("META", since=RENAMED))
    fake.truth.add(Instrument("meta", names=names))
    fake.truth.walk("meta", "1d", BEGIN, UNTIL)
    fake.truth.act(CorporateAction("FB", "name_change", RENAMED, other_symbol="META"))


def test_show_knows_a_share_by_its_old_name_and_says_the_new_one(qfund, meta):
    good(qfund(f"{INGEST} META --since 2024-01-02 --until 2024-03-11"))
    shown = good(qfund("data show FB --until 2024-01-31 --lines 1"))
    assert "2024-01-31" in shown.out
    assert "FB is META since 2024-02-01" in shown.err
    assert sessions_shown(qfund("data show FB --json --lines 2")) == ["2024-03-08", "2024-03-11"]


def test_an_old_name_in_a_fresh_project_brings_the_bars_of_then(qfund, fake, store, meta):
    ran = good(qfund(f"{INGEST} FB --since 2024-01-02 --until 2024-01-31"))
    assert "FB is META since 2024-02-01" in ran.err
    assert asked_as(fake) == {"FB": (BEGIN, date(2024, 1, 31))}
    assert [one.symbol for one in securities.listings(store).values()] == ["META"]
    assert len(sessions_shown(qfund("data show FB --json --lines 100"))) == 21
    fake.log.clear()
    good(qfund(f"{INGEST} FB --since 2024-01-02 --until 2024-01-31"))
    assert len(fake.log) == 0


def test_an_old_name_that_leads_to_no_share_of_the_vendor_is_unknown(qfund, fake):
    fake.truth.act(CorporateAction("FB", "name_change", RENAMED, other_symbol="META"))
    ran = qfund(f"{INGEST} FB --since 2024-01-02 --until 2024-01-31")
    assert ran.code == 11
    assert "alpaca has no symbol 'FB'" in ran.err


def test_a_span_before_the_new_name_is_asked_for_under_the_old_one(qfund, fake, meta):
    good(qfund(f"{INGEST} META --since 2024-01-02 --until 2024-01-12"))
    assert asked_as(fake) == {"FB": (BEGIN, date(2024, 1, 12))}
    assert good(qfund("data gaps --exit-code")).out.startswith("No gap")


def test_a_name_that_another_share_gave_up_before_is_not_lost_again(qfund, fake, meta):
    """META was a fund's until January, which is METV since."""
    fund = (Name("META", until=date(2024, 1, 12)), Name("METV", since=date(2024, 1, 13)))
    fake.truth.add(Instrument("fund", names=fund))
    fake.truth.walk("fund", "1d", BEGIN, UNTIL, seed=7)
    fake.truth.act(CorporateAction("META", "name_change", date(2024, 1, 13), other_symbol="METV"))
    good(qfund(f"{INGEST} META --since 2024-01-02 --until 2024-03-11"))
    assert asked_as(fake) == {"FB": (BEGIN, date(2024, 1, 31)), "META": (RENAMED, UNTIL)}


def test_past_members_of_a_universe_are_followed_by_the_name_of_their_day(qfund, fake, meta, tmp_path):
    """META itself never joined."""
    (tmp_path / "project" / "big.csv").write_text("symbol,since,until\nAAPL,,\nFB,,2024-01-31\n")
    good(qfund("universe create big --file big.csv"))
    good(qfund("ingest --vendor alpaca --universe big --reread 0 --since 2024-01-02 --until 2024-03-11"))
    assert good(qfund("data gaps --exit-code")).out.startswith("No gap")
    (tmp_path / "project" / "hold.py").write_text(
        "import pandas as pd\nfrom qfund import Bars, Strategy\n\n\nclass Hold(Strategy):\n"
        "    def targets(self, bars: Bars) -> pd.DataFrame:\n"
        "        return bars.close.notna().astype(float) / bars.close.shape[1]\n"
    )
    ran = good(
        qfund("backtest hold.py --universe big --since 2024-01-02 --until 2024-03-08 --no-report --json")
    )
    assert json.loads(ran.out)["data"]["symbols"] == ["AAPL", "META"]


# ---------------------------------------------------------------- a ticker that is used again


@pytest.fixture
def used_again(qfund, fake):
    """S is one share until 2024-01-31, nobody's for two weeks, then another's; nobody tells any date."""
    fake.truth.add(Instrument("old", names=(Name("S"),)))
    fake.truth.walk("old", "1d", BEGIN, date(2024, 1, 31))
    fake.clock.set(datetime(2024, 2, 10, 3, tzinfo=UTC))
    good(qfund(f"{INGEST} S,AAPL --since 2024-01-02"))
    fake.truth.instruments[-1] = replace(
        fake.truth.instruments[-1],
        names=(Name("S", until=date(2024, 1, 31)),),
        delisted_on=date(2024, 1, 31),
    )
    fake.truth._by_symbol["S"] = [fake.truth.instruments[-1]]
    fake.truth.add(Instrument("new", names=(Name("S", since=date(2024, 2, 15)),)))
    fake.truth.walk("new", "1d", date(2024, 2, 15), UNTIL, seed=5)
    fake.clock.set(EVENING)
    good(qfund(f"{INGEST} S,AAPL --since 2024-01-02"))


def test_no_session_is_expected_between_the_two_shares_of_a_ticker(qfund, used_again):
    assert good(qfund("data gaps --exit-code")).out.startswith("No gap")


def test_both_shares_of_a_ticker_can_be_shown(qfund, used_again):
    new = qfund("data show S --json --lines 100")
    assert sessions_shown(new)[0] == "2024-02-15"
    assert "Until 2024-01-31 S was another share" in json.loads(new.out)["warnings"][0]
    old = qfund("data show S --until 2024-01-31 --json --lines 100")
    assert sessions_shown(old)[:: len(sessions_shown(old)) - 1] == ["2024-01-02", "2024-01-31"]
    assert "From 2024-02-01 on S is another share" in json.loads(old.out)["warnings"][0]


def test_a_share_that_is_inactive_is_expected_until_its_last_bar(qfund, fake):
    fake.truth.add(Instrument("X", delisted_on=date(2024, 1, 31)))
    fake.truth.walk("X", "1d", BEGIN, UNTIL)
    fake.truth.withdraw("X", "1d", date(2024, 1, 17))
    good(qfund(f"{INGEST} X,AAPL --since 2024-01-02"))
    gaps = json.loads(good(qfund("data gaps --json")).out)["data"]["gaps"]
    assert [(one["symbol"], one["since"], one["until"]) for one in gaps] == [
        ("X", "2024-01-17", "2024-01-17")
    ]


# ---------------------------------------------------------------- mergers


@pytest.mark.parametrize(
    "kind", ["cash_merger", "stock_merger", "stock_and_cash_merger", "worthless_removal"]
)
@pytest.mark.parametrize("last", [date(2024, 2, 14), date(2024, 2, 15)])
def test_what_a_merger_ends_is_expected_no_more(qfund, fake, kind, last):
    """Whether it still traded on the effective date or not."""
    fake.truth.add(Instrument("ATVI", listed_on=None))
    fake.truth.walk("ATVI", "1d", BEGIN, last)
    merger = CorporateAction("ATVI", kind, date(2024, 2, 15), other_symbol="MSFT")
    fake.truth.act(merger)
    fake.clock.set(datetime(2024, 2, 21, 3, tzinfo=UTC))
    good(qfund(f"{INGEST} ATVI,AAPL --since 2024-01-02"))
    fake.clock.set(EVENING)
    fake.log.clear()
    good(qfund(f"{INGEST} ATVI,AAPL --since 2024-01-02"))
    assert set(asked_as(fake)) == {"AAPL"}
    assert good(qfund("data gaps --exit-code")).out.startswith("No gap")


def test_a_merger_that_is_taken_back_leaves_no_end(qfund, fake):
    fake.truth.add(Instrument("ATVI"))
    fake.truth.walk("ATVI", "1d", BEGIN, date(2024, 2, 14))
    fake.truth.act(CorporateAction("ATVI", "cash_merger", date(2024, 2, 15)))
    fake.clock.set(datetime(2024, 2, 15, 3, tzinfo=UTC))
    good(qfund(f"{INGEST} ATVI --since 2024-01-02"))
    fake.truth.filed.clear()
    fake.truth.walk("ATVI", "1d", date(2024, 2, 15), UNTIL)
    fake.clock.set(EVENING)
    good(qfund(f"{INGEST} ATVI --since 2024-01-02"))
    good(qfund(f"{INGEST} ATVI --since 2024-01-02"))
    assert sessions_shown(qfund("data show ATVI --json --lines 1")) == ["2024-03-11"]


# ---------------------------------------------------------------- an old name that somebody else took


@pytest.fixture
def taken(fake, meta):
    """FB is a fund since 2024-02-20."""
    since = date(2024, 2, 20)
    fake.truth.add(Instrument("fund", names=(Name("FB", since=since),), title="a fund"))
    fake.truth.walk("fund", "1d", since, UNTIL, seed=9)


def test_a_name_in_the_past_means_who_bore_it_then(qfund, fake, store, taken):
    good(qfund(f"{INGEST} FB --since 2024-01-02 --until 2024-01-31"))
    assert [one.name for one in securities.listings(store).values()] == ["META Common Stock"]
    assert sessions_shown(qfund("data show META --json --lines 1")) == ["2024-01-31"]


def test_a_name_of_today_does_not_follow_who_gave_it_up(qfund, fake, store, taken):
    good(qfund(f"{INGEST} FB --since 2024-01-02"))
    assert asked_as(fake) == {"FB": (BEGIN, UNTIL)}
    assert [one.symbol for one in securities.listings(store).values()] == ["FB"]
    assert sessions_shown(qfund("data show FB --json --lines 1")) == ["2024-03-11"]


def test_a_past_member_means_who_bore_its_name_while_it_was_one(qfund, fake, store, taken, tmp_path):
    (tmp_path / "project" / "big.csv").write_text("symbol,since,until\nAAPL,,\nFB,,2024-01-31\n")
    good(qfund("universe create big --file big.csv"))
    line = "ingest --vendor alpaca --universe big --reread 0 --since 2024-01-02 --until 2024-03-11"
    good(qfund(line))
    assert {one.name for one in securities.listings(store).values()} == {
        "AAPL Common Stock",
        "META Common Stock",
    }
    fake.log.clear()
    good(qfund(line))
    assert len(fake.log) == 0

"""`qfund data gaps` and `data check` say what is missing and what is doubtful, and the exit code says it too."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest

from qfund.commands import data, data_quality
from qfund.market.sessions import sessions
from qfund.store import coverage, open_store, quarantine
from tests.commands.lines import command, document
from tests.support.stored import Shelf, daily_table, flat

__all__ = ["command"]

DAYS = [day.date() for day in sessions("XNYS", date(2012, 5, 1), date(2012, 6, 29))]


@pytest.fixture(autouse=True, scope="module")
def registered():
    """The commands, also where ``qfund data`` does not have them yet."""
    if not any(one.callback is data_quality.gaps for one in data.app.registered_commands):
        data_quality.register(data.app)


@pytest.fixture
def acme(store_url, tmp_path):
    """Puts daily bars of a vendor ``acme`` into the store: without some days, with coverage, with bars in quarantine."""

    def put(*, without=(), covered=DAYS, doubtful=(), closes=None):
        with open_store(store_url, tmp_path) as store:
            shelf = Shelf(store)
            price = (lambda day: closes[day]) if closes else (lambda day: 100.0 + day.day / 10)
            shelf.list("IBM")
            shelf.write(flat("IBM", day, price(day), 1000.0 + day.day) for day in DAYS if day not in without)
            if covered:
                with store.transaction() as conn:
                    coverage.add_coverage(conn, shelf.series, {shelf.ids["IBM"]: [(covered[0], covered[-1])]})
            if doubtful:
                reasons = doubtful if isinstance(doubtful, dict) else dict.fromkeys(doubtful, "spike")
                run = coverage.start_run(store, "acme", "bars 1d", {})
                coverage.finish_run(store, run, "partial", {})
                table = daily_table([flat("IBM", day, 9999.0) for day in reasons])
                table = table.append_column("reason", pa.array(list(reasons.values())))
                with store.transaction() as conn:
                    quarantine.write(conn, shelf.series, run, shelf.ids, table)

    return put


# ---------------------------------------------------------------- gaps


def test_a_whole_series_has_no_gaps(command):
    assert command("ingest --vendor sample --symbols FB,IBM --since 2012-05-01 --until 2012-06-29")[0] == 0
    code, out, _ = command("data gaps --exit-code")
    assert (code, out) == (0, "No gap: every expected session has bars.\n")


def test_gaps_say_what_is_known_and_how_to_fetch_it(command):
    command("ingest --vendor sample --symbols IBM --since 2012-05-01 --until 2012-05-10")
    command("ingest --vendor sample --symbols IBM --since 2012-05-16 --until 2012-06-29")
    code, out, err = command("data gaps")
    assert code == 0
    assert "2012-05-11  2012-05-15         3" in out
    assert "3 never asked" in out
    fix = "qfund ingest --vendor sample --symbols IBM --since 2012-05-11 --until 2012-05-15"
    assert f"Next: {fix}" in err
    assert command("data gaps --exit-code")[0] == 5
    assert command(fix.removeprefix("qfund "))[0] == 0
    assert command("data gaps --exit-code")[0] == 0


def test_gaps_as_a_document(command, acme):
    acme(without=[*DAYS[3:5], DAYS[8]], doubtful=[DAYS[8]])
    code, out, _ = command("data gaps --vendor acme --exit-code --json")
    assert code == 5
    found = document(out, "data.gaps")
    assert found["data"]["sessions"] == {"not_asked": 0, "empty": 2, "quarantined": 1, "thin": 0}
    assert [(one["kind"], one["since"], one["sessions"]) for one in found["data"]["gaps"]] == [
        ("empty", str(DAYS[3]), 2),
        ("quarantined", str(DAYS[8]), 1),
    ]
    assert found["errors"][0]["code"] == "GAPS"
    asked_again, refreshed, repaired = found["data"]["remedies"]
    assert asked_again.startswith("qfund ingest --vendor acme --symbols IBM")
    assert refreshed.endswith("--full-refresh")  # what was answered empty is asked for by nothing less
    assert repaired.startswith("qfund data repair --vendor OTHER --of acme --symbols IBM")


def test_gaps_of_other_series_and_dates(command, acme):
    acme(without=DAYS[3:5])
    for words in ("--vendor sample", "--timeframe 1m", "--since 2012-06-01"):
        assert command(f"data gaps {words} --exit-code")[0] == 0
    assert command("data gaps --since 2012-04-30 --until 2012-05-02 --exit-code")[0] == 5
    assert command("data gaps --since 2012-05-02 --until 2012-05-01")[0] == 2


def test_gaps_and_status_reach_to_the_last_session_that_anything_is_known_of(command, acme):
    """One more was torn, one more stored, one more rejected after the last that was answered."""
    acme(without=[DAYS[6], *DAYS[8:]], covered=DAYS[:5], doubtful=[DAYS[8]])
    code, out, _ = command("data gaps --exit-code --json")
    assert code == 5
    found = document(out, "data.gaps")["data"]["gaps"]
    assert [(one["kind"], one["since"], one["until"]) for one in found] == [
        ("not_asked", str(DAYS[6]), str(DAYS[6])),
        ("quarantined", str(DAYS[8]), str(DAYS[8])),
    ]
    (row,) = document(command("data status --json")[1], "data.status")["data"]["series"]
    assert {name: row[name] for name in ("bars", "expected", "covered", "holes")} == {
        "bars": 7,
        "expected": 9,
        "covered": 5,
        "holes": 2,
    }


def test_a_series_of_which_every_bar_was_rejected_is_a_hole(command, acme):
    acme(without=DAYS, covered=(), doubtful=DAYS[:3])
    code, out, _ = command("data gaps --exit-code")
    assert code == 5
    assert "3 bars came that are not fit" in out
    code, out, _ = command("data status --json")
    (row,) = document(out, "data.status")["data"]["series"]
    assert (code, row["symbol"], row["bars"], row["holes"]) == (0, "IBM", 0, 3)
    assert command("data status")[0] == 0


def test_a_symbol_that_nobody_asked_for_is_not_called_whole(command, acme):
    acme()
    code, out, err = command("data gaps --symbols S05 --exit-code")
    assert (code, out) == (5, "S05: never answered, no run asked for it.\n")
    assert "qfund ingest --vendor acme --symbols S05" in err
    assert command("data gaps --symbols IBM,S05 --exit-code -q")[0] == 5
    assert command("data gaps --symbols IBM --exit-code")[0] == 0


def test_a_symbol_that_was_asked_for_and_failed_is_a_gap(command, acme, store_url, tmp_path):
    acme()
    with open_store(store_url, tmp_path) as store:
        params = {"symbols": ["IBM", "S05"], "feed": "", "since": str(DAYS[0]), "until": str(DAYS[-1])}
        run = coverage.start_run(store, "acme", "bars 1d", params)
        coverage.finish_run(store, run, "partial", {})
    code, out, err = command("data gaps --exit-code")
    span = f"from {DAYS[0]} to {DAYS[-1]}"
    assert (code, out) == (5, f"S05: asked of acme for 1d bars {span}, and never answered.\n")
    assert f"qfund ingest --vendor acme --symbols S05 --since {DAYS[0]} --until {DAYS[-1]}" in err
    (one,) = document(command("data gaps --json")[1], "data.gaps")["data"]["unanswered"]
    assert (one["symbol"], one["vendor"], one["since"]) == ("S05", "acme", str(DAYS[0]))
    for words in ("--symbols IBM", "--vendor sample", "--timeframe 1m", "--until 2012-04-30"):
        assert command(f"data gaps --exit-code {words}")[0] == 0


@pytest.mark.parametrize("words", ["data gaps -q", "data gaps -q --exit-code", "data check -q"])
def test_when_all_is_well_quiet_says_nothing(command, acme, words):
    acme()
    assert command(words) == (0, "", "")


@pytest.mark.parametrize("words", ["data gaps -q", "data check -q"])
def test_quiet_still_tells_what_is_missing_or_doubtful(command, acme, words):
    acme(without=[DAYS[3]], doubtful=[DAYS[3]])
    assert str(DAYS[3]) in command(words)[1]


# ---------------------------------------------------------------- check


def test_sound_bars_pass_the_check(command):
    command("ingest --vendor sample --symbols FB,IBM --since 2012-05-01 --until 2012-06-29")
    code, out, _ = command("data check")
    assert (code, out) == (
        0,
        "Nothing found: every stored bar passes every rule, and the quarantine is empty.\n",
    )


def test_the_check_names_what_it_finds(command, acme):
    closes = {day: 100.0 + day.day / 10 for day in DAYS} | {DAYS[7]: 1000.0}
    acme(closes=closes)
    code, out, err = command("data check")
    assert code == 5
    assert str(DAYS[7]) in out
    assert "prices far off the bars before and after" in out
    assert "1 doubtful bars or sessions are stored" in err
    found = document(command("data check --json")[1], "data.check")
    assert found["data"]["counts"] == {"spike": 1}
    assert found["errors"][0]["code"] == "DOUBTFUL_BARS"


def test_a_hint_alone_is_no_fault(command, acme):
    acme(closes={day: 100.0 + day.day / 100 if day < DAYS[20] else 50.0 + day.day / 100 for day in DAYS})
    code, out, _ = command("data check")
    assert code == 0
    assert "prices are 1/2 of those before" in out


def test_sessions_that_are_empty_at_the_vendor_are_told_and_are_no_fault(command, acme):
    acme(without=DAYS[3:5])
    code, out, _ = command("data check")
    assert code == 0
    assert "asked, and there is no bar" in out


def test_what_mends_it_is_told_rule_by_rule(command, acme):
    """To accept adjusted prices would poison the store, and what is no bar cannot be accepted."""
    acme(without=DAYS[7:10], doubtful={DAYS[7]: "adjusted", DAYS[8]: "order", DAYS[9]: "spike"})
    held = document(command("data check --json")[1], "data.check")["data"]["quarantine"]
    numbers = {one["reason"]: one["quarantine_id"] for one in held}
    code, _, err = command("data check")
    assert code == 5
    ingest = "qfund ingest --vendor acme --symbols IBM"
    assert [line.strip() for line in err[err.index("Fix: ") :].splitlines()] == [
        f"Fix: once acme sends raw prices: {ingest} --since {DAYS[7]} --full-refresh",
        f"Next: {ingest} --since {DAYS[8]} --until {DAYS[8]}",
        f"if it is right: qfund data check --accept {numbers['spike']}",
        f"if it never comes right: qfund data check --dismiss {numbers['order']}",
    ]


def test_a_stored_bar_that_is_right_is_accepted_by_name_and_not_told_again(command, acme):
    acme(closes={day: 100.0 + day.day / 10 for day in DAYS} | {DAYS[7]: 1000.0})
    code, _, err = command("data check")
    assert code == 5
    assert f"if it is right: qfund data check --accept IBM@{DAYS[7]}" in err
    code, out, _ = command(f"data check --accept ibm@{DAYS[7]}")
    assert (code, out) == (0, "Accepted: 1 stored bars are not told again.\n")
    assert command("data check")[0] == 0
    assert command(f"data check --accept IBM@{DAYS[7]}")[0] == 11  # nothing doubts it now


def test_a_bar_in_quarantine_is_shown_and_accepted_by_its_number(command, acme):
    acme(without=[DAYS[8]], doubtful=[DAYS[8]])
    code, out, err = command("data check --vendor acme")
    assert code == 5
    assert "in quarantine: 1 bars" in out
    assert "9999" in out
    (entry,) = document(command("data check --json")[1], "data.check")["data"]["quarantine"]
    accept = f"data check --accept {entry['quarantine_id']}"
    assert f"qfund {accept}" in err
    code, out, _ = command(accept)
    assert code == 0
    assert "1 bars are stored as they came" in out
    assert command("data check")[0] == 0  # and it is not told again
    assert command("data gaps --exit-code")[0] == 0


@pytest.mark.parametrize(
    ("words", "code", "name"),
    [
        ("--accept x", 2, "BAD_NUMBER"),
        ("--dismiss x", 2, "BAD_NUMBER"),
        ("--accept 1 --dismiss 2", 2, "TWO_DEEDS"),
        ("--accept 77", 11, "NOT_IN_QUARANTINE"),
        ("--dismiss 77", 11, "NOT_IN_QUARANTINE"),
    ],
)
def test_wrong_numbers_are_told(command, words, code, name):
    found = command(f"data check {words} --json")
    assert found[0] == code
    assert document(found[1], "data.check")["errors"][0]["code"] == name


@pytest.mark.parametrize("reason", ["not_a_session", "spike"])
def test_a_bar_of_a_saturday_is_never_stored_and_is_dismissed_by_its_number(command, acme, reason):
    acme(doubtful={date(2012, 5, 12): reason})
    (entry,) = document(command("data check --json")[1], "data.check")["data"]["quarantine"]
    number = entry["quarantine_id"]
    code, _, err = command(f"data check --accept {number}")
    assert code == 5
    assert f"Bar {number} of IBM is of 2012-05-12, on which XNYS has no session" in err
    assert f"qfund data check --dismiss {number}" in err
    code, out, _ = command(f"data check --dismiss {number}")
    assert (code, out) == (0, "Dismissed: 1 rows left the quarantine, nothing of them is stored.\n")
    assert command("data check")[0] == 0
    assert command("data gaps --exit-code")[0] == 0
    assert command(f"data check --dismiss {number}")[0] == 11

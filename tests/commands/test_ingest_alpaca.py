"""`qfund ingest --vendor alpaca` as its user meets it: what is printed, how it ends, what is stored then."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from qfund.market.sessions import opens_and_closes, sessions
from qfund.testing import Clock, Instrument, faults
from tests.ingest.rig import EVENING, SINCE, SYMBOLS, UNTIL, assert_whole, revisions, stored
from tests.support.ingesting import (
    Cli,
    Trigger,
    TriggeredAlpaca,
    alpaca_variables,
    covered_pairs,
    kill,
    statuses,
    wait_for_the_dead,
    wanted_pairs,
)
from tests.support.program import Ran, run_on_terminal

NAMES = "--vendor alpaca --symbols AAPL,IBM,MSFT"
SPAN = "--since 2024-03-04 --until 2024-03-11"
LINE = f"ingest {NAMES} {SPAN} --reread 0"


@pytest.fixture
def fake():
    with TriggeredAlpaca(clock=Clock(EVENING)) as made:
        for symbol in SYMBOLS:
            made.truth.walk(symbol, "1d", date(2024, 1, 2), UNTIL)
        yield made


@pytest.fixture
def cli(fake, store_url, tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    return Cli(folder, alpaca_variables(fake, store_url))


@pytest.fixture
def qfund(cli, monkeypatch, capsys):
    """Runs a command line in this process."""
    return lambda line: cli.here(line, monkeypatch, capsys)


@pytest.fixture
def in_pieces(qfund, fake):
    """Two sessions in the middle are covered, so that the rest are five chunks."""
    for one, day in (("IBM", "2024-03-06"), ("MSFT", "2024-03-08")):
        done = qfund(f"ingest --vendor alpaca --symbols {one} --since {day} --until {day} --reread 0")
        assert done.code == 0, done.err
    fake.log.clear()


def contents(store) -> dict[str, list[str]]:
    """Every row of every table, as text, but for what says when one looked."""
    found = {}
    with store.sql.connect() as connection:
        tables = connection.exec_driver_sql(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('sec', 'ops', 'public') ORDER BY 1, 2"
        ).all()
        for schema, table in tables:
            rows = connection.exec_driver_sql(f'SELECT t::text FROM "{schema}"."{table}" t ORDER BY 1')
            found[f"{schema}.{table}"] = list(rows.scalars())
    return found


def document(ran, command="ingest"):
    found = json.loads(ran.out)
    assert found["schema"] == f"qfund.{command}/1"
    return found


def printed(ran) -> str:
    """The command that the program says mends it."""
    fix = re.search(r"^ *Fix: qfund (.*)$", ran.err, re.MULTILINE)
    assert fix, ran.err
    return shlex.join(shlex.split(fix[1]))


# ---------------------------------------------------------------- as it should be


def test_bars_land_and_a_table_says_so(cli, store, fake):
    ran = cli(LINE)
    assert ran.code == 0, ran.err
    assert re.search(r"^IBM +1d +6 +0 +0 +0 +0\b", ran.out, re.MULTILINE)
    assert re.search(rf"^all +1d +18 +0 +0 +0 +0 +{len(fake.log)} +0$", ran.out, re.MULTILINE)
    assert_whole(store, fake)


def test_the_document_says_the_same(qfund, fake):
    data = document(qfund(f"{LINE} --json"))["data"]
    assert (data["vendor"], data["feed"], data["since"], data["until"]) == (
        "alpaca",
        "sip",
        str(SINCE),
        str(UNTIL),
    )
    assert data["total"]["rows_new"] == 18
    assert data["total"]["requests"] == len(fake.log)
    assert data["symbols"]["IBM"] == {"new": 6, "changed": 0, "same": 0, "rejected": 0, "holes": 0}


def test_a_second_time_nothing_is_asked(qfund, fake):
    qfund(LINE)
    fake.log.clear()
    ran = qfund(LINE)
    assert (ran.code, len(fake.log)) == (0, 0)
    assert ran.out == "Nothing to fetch: AAPL, IBM, MSFT are complete from 2024-03-04 to 2024-03-11.\n"


def test_a_small_limit_of_requests_gets_there_in_several_runs(qfund, in_pieces):
    """Chunks side by side would spend it before any of them is whole."""
    codes = []
    while 0 not in codes and len(codes) < 8:
        codes.append(qfund(f"{LINE} --max-requests 6").code)
    assert codes[-1] == 0
    assert 9 in codes


@pytest.mark.parametrize("span", ["--since 2024-03-09 --until 2024-03-10", "--since 2024-03-12"])
@pytest.mark.parametrize("timeframe", ["1d", "1m"])
def test_a_closed_day_is_no_fault(qfund, fake, span, timeframe):
    """Cron asks on weekends and holidays too."""
    done = qfund(f"ingest {NAMES} {span} --timeframe {timeframe}")
    assert done.code == 0, done.err
    assert "no session from 2024-03-" in done.out
    assert not [one for one in fake.log.entries if one.path.endswith("/bars")]
    assert qfund(f"ingest {NAMES} {span} --timeframe {timeframe} -q").out == ""


def test_sessions_that_are_empty_at_the_vendor_are_told_when_there_is_nothing_to_fetch(qfund, fake):
    for day in (date(2024, 3, 6), date(2024, 3, 7)):
        fake.truth.withdraw("IBM", "1d", day)
    assert qfund(LINE).code == 0
    fake.log.clear()
    ran = qfund(LINE)
    assert (ran.code, len(fake.log)) == (0, 0)
    assert "complete" not in ran.out
    assert "2 sessions are empty at alpaca (IBM 2)" in ran.out
    assert "Next: qfund data gaps --vendor alpaca --since 2024-03-04 --until 2024-03-11" in ran.err
    assert document(qfund(f"{LINE} --json"))["data"]["empty"] == {"IBM": 2}
    gaps = qfund("data gaps --vendor alpaca")
    again = "ingest --vendor alpaca --symbols IBM --since 2024-03-06 --until 2024-03-07 --full-refresh"
    assert f"Next: qfund {again}" in gaps.err
    assert qfund(again).code == 0
    assert fake.log.asked("/bars").keys() == wanted_pairs(("IBM",), date(2024, 3, 6), date(2024, 3, 7))


def test_gaps_name_the_feed_that_lacks_them(qfund, fake):
    fake.truth.withdraw("IBM", "1d", date(2024, 3, 6))
    assert qfund(f"{LINE} --feed iex").code == 0
    assert "qfund ingest --vendor alpaca --feed iex --symbols IBM" in qfund("data gaps").err


def test_a_killed_run_is_told_as_interrupted_and_not_as_running(cli, qfund, fake, store, in_pieces):
    fake.trigger = Trigger(kill, path="/bars", number=3)
    with cli.start(f"{LINE} --jobs 1") as process:
        fake.trigger.victim = process
        process.communicate(timeout=60)
    fake.trigger = None
    wait_for_the_dead(store)
    ran = qfund("data status")
    assert re.search(
        r"Warning: Run \d+ \(alpaca, bars 1d, begun .* was interrupted; what it had committed", ran.err
    )
    (run,) = document(qfund("data status --json"), "data.status")["data"]["runs"]
    assert (run["vendor"], run["state"]) == ("alpaca", "interrupted")
    assert qfund(LINE).code == 0
    assert document(qfund("data status --json"), "data.status")["data"]["runs"] == []


def test_cron_gets_few_lines_and_no_control_characters(cli, in_pieces):
    ran = cli(LINE)
    assert ran.code == 0
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\x1b]", ran.out + ran.err)
    assert len(ran.err.splitlines()) <= 10
    quiet = cli(f"{LINE} --full-refresh --quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_quiet_is_silent_when_all_is_well_and_tells_what_is_not(qfund, fake):
    assert qfund(f"{LINE} -q") == Ran(0, "", "")
    assert qfund(f"{LINE} -q") == Ran(0, "", "")  # nothing to do
    assert "18" in qfund(f"{LINE} --full-refresh --estimate -q").out  # a question has its answer
    fake.script.add(faults.HighBelowLow(), path="/bars")
    ran = qfund(f"{LINE} --full-refresh -q")
    assert ran.code == 5
    assert "BARS_REJECTED" in ran.err
    assert "Fetching" not in ran.err


def test_a_run_of_today_reads_only_the_last_sessions_again(cli, qfund, store, store_url, tmp_path):
    """By the real clock: --since 5d, the same again, and --since last."""
    now = datetime.now(UTC)
    span = (now - timedelta(days=20)).date(), now.date()
    days = [day.date() for day in sessions("XNYS", *span)]
    closes = opens_and_closes("XNYS", *span)[1]
    over = [day for day, close in zip(days, closes, strict=True) if close < now - timedelta(minutes=21)]
    with TriggeredAlpaca() as fake:
        fake.truth.walk("IBM", "1d", days[0], over[-1])
        cli.variables.update(alpaca_variables(fake, store_url))
        line = "ingest --vendor alpaca --symbols IBM"
        ran = qfund(f"{line} --since 5d --json")
        assert ran.code == 0, ran.err
        since = date.fromisoformat(document(ran)["data"]["since"])
        wanted = [day for day in over if day >= since]
        assert since == now.date() - timedelta(days=5)
        assert document(ran)["data"]["total"]["rows_new"] == len(wanted)
        fake.log.clear()
        ran = qfund(f"{line} --since 5d --json")
        assert document(ran)["data"]["total"]["rows_same"] == len(wanted)
        assert len(fake.log.of("/bars")) == 1
        assert {day for _, day in fake.log.asked("/bars")} <= {*over[-5:], *days[len(over) :]}
        assert len(fake.log) <= 3
        ran = qfund(f"{line} --since last --json")
        assert document(ran)["data"]["since"] == str(over[-1])
        assert ran.code == 0


def test_an_earlier_since_fetches_the_difference_and_a_later_one_deletes_nothing(qfund, fake, store):
    qfund(LINE)
    fake.log.clear()
    assert qfund(LINE.replace("2024-03-04", "2024-02-28")).code == 0
    assert set(fake.log.asked("/bars")) == wanted_pairs(SYMBOLS, date(2024, 2, 28), date(2024, 3, 1))
    fake.log.clear()
    assert qfund(LINE.replace("2024-03-04", "2024-03-08")).code == 0
    assert len(fake.log) == 0
    assert_whole(store, fake, since=date(2024, 2, 28))


@pytest.mark.parametrize("word", ["--dry-run", "--estimate"])
def test_to_look_changes_nothing_and_asks_for_listings_at_most(qfund, fake, store, word):
    before = contents(store)
    ran = qfund(f"{LINE} {word}")
    assert ran.code == 0, ran.err
    assert {entry.path.rpartition("/")[0] for entry in fake.log.of()} == {"/v2/assets"}
    after = contents(store)
    told = {"ops.request_ledger", "ops.pace"}  # what was sent is always told
    assert {name for name in after if after[name] != before[name]} <= told
    fake.log.clear()
    assert qfund(f"{LINE} {word} --json").code == 0
    assert fake.log.of("/bars") == []


def test_the_estimate_is_what_the_run_then_needs(qfund, fake):
    cost = document(qfund(f"{LINE} --estimate --json"))["data"]["estimate"]
    assert cost["rows"] == 18
    fake.log.clear()
    qfund(LINE)
    assert len([entry for entry in fake.log.of() if "/assets" not in entry.path]) <= cost["requests"]


def test_a_full_refresh_asks_for_everything_again_and_keeps_the_old_values(qfund, fake, store):
    qfund(LINE)
    old = stored(store).set_index(["symbol", "time"]).loc[("IBM", "2024-03-05")]
    fake.truth.correct("IBM", "1d", date(2024, 3, 5), close=old.close + 0.01, high=old.high + 0.02)
    fake.log.clear()
    total = document(qfund(f"{LINE} --full-refresh --json"))["data"]["total"]
    assert (total["rows_new"], total["rows_changed"], total["rows_same"]) == (0, 1, 17)
    assert set(fake.log.asked("/bars")) == wanted_pairs(SYMBOLS, SINCE, UNTIL)
    assert revisions(store) == [(date(2024, 3, 5), old.close, old.volume)]
    assert_whole(store, fake)


def test_crypto_needs_no_key(cli, qfund, fake, store, store_url):
    fake.truth.add(Instrument("BTC/USD", kind="crypto", calendar="24/7"))
    fake.truth.walk("BTC/USD", "1d", date(2024, 2, 1), date(2024, 3, 10))
    cli.variables = alpaca_variables(fake, store_url, key=False)
    ran = qfund("ingest --vendor alpaca --symbols BTC/USD --since 2024-02-28 --until 2024-03-10 --json")
    assert ran.code == 0, ran.err
    assert document(ran)["data"]["total"]["rows_new"] == 12
    span = {"since": date(2024, 2, 28), "until": date(2024, 3, 10)}
    assert_whole(store, fake, ("BTC/USD",), **span)
    assert {entry.account for entry in fake.log.of()} == {"address data"}


def test_the_members_of_a_universe(cli, qfund, fake, store):
    (cli.folder / "mine.csv").write_text(
        "symbol,since,until\nAAPL,2000-01-03,\nMSFT,2000-01-03,\nIBM,2000-01-03,2010-12-31\n"
    )
    assert qfund("universe create mine --file mine.csv").code == 0
    ran = qfund(f"ingest --vendor alpaca --universe mine {SPAN} --json")
    assert ran.code == 0, ran.err
    assert list(document(ran)["data"]["symbols"]) == ["AAPL", "MSFT"]
    assert_whole(store, fake, ("AAPL", "MSFT"))


# ---------------------------------------------------------------- what goes wrong


def test_no_key_names_the_setting_and_where_it_was_looked_for(cli, qfund, fake, store_url):
    cli.variables = alpaca_variables(fake, store_url, key=False)
    ran = qfund(LINE)
    assert ran.code == 3
    for word in ("vendors.alpaca.key_id", "APCA_API_KEY_ID", "qfund.toml", "export APCA_API_KEY_ID="):
        assert word in ran.err.replace("\n", " "), word
    (error,) = document(qfund(f"{LINE} --json"))["errors"]
    assert error["code"] == "SECRET_MISSING"
    assert len(fake.log) == 0


def test_a_wrong_key_is_told_in_the_vendors_words(cli, qfund, fake):
    cli.variables["APCA_API_SECRET_KEY"] = "canary-wrong-key-9d1f"
    ran = qfund(LINE)
    assert ran.code == 3
    assert "request is not authorized" in ran.err
    assert "canary-wrong-key-9d1f" not in ran.out + ran.err


def test_an_unknown_symbol_among_good_ones_costs_itself(qfund, fake, store):
    ran = qfund(LINE.replace("MSFT", "NOPE"))
    assert ran.code == 4
    assert "NOPE is unknown to alpaca" in ran.err
    assert_whole(store, fake, ("AAPL", "IBM"))
    again = qfund(printed(ran))
    assert again.code == 0, again.err
    fake.truth.walk("NOPE", "1d", SINCE, UNTIL)  # it is listed meanwhile
    assert qfund(LINE.replace("MSFT", "NOPE")).code == 0
    assert_whole(store, fake, ("AAPL", "IBM", "NOPE"))


def test_the_command_that_is_printed_is_the_whole_job_without_unknown_symbols(cli, qfund, fake):
    (cli.folder / "mine.txt").write_text("AAPL\nNOPE\nIBM\n")
    fake.script.add(faults.Status(400, "invalid symbol: IBM"), path="/bars", symbol="IBM", times=None)
    options = "--feed iex --hours regular --full-refresh --reread 0 --jobs 2 --max-requests 100 --timeout 60"
    ran = qfund(f"ingest --vendor alpaca --symbols @mine.txt {SPAN} {options}")
    assert ran.code == 4
    assert printed(ran) == (
        "ingest --vendor alpaca --since 2024-03-04 --until 2024-03-11 --symbols AAPL,IBM --feed iex --hours regular"
        " --full-refresh --reread 0 --jobs 2 --max-requests 100 --timeout 60"
    )


def test_the_vendors_clock_and_not_this_machines_says_how_much_there_is_to_do(qfund, fake, store):
    """The vendor's clock is years behind; the symbols are known, so that nothing told it before the plan."""
    for line in (LINE, f"ingest {NAMES} --since 2024-03-04"):
        ran = qfund(line)
        assert ran.code == 0, ran.err
        assert "Another run" not in ran.err
        assert "100% 18/18" in ran.err if line == LINE else "100% 15/15" in ran.err
    assert_whole(store, fake)


def test_a_symbol_that_is_refused_is_asked_for_again_by_the_command_that_is_printed(qfund, fake, store):
    fake.script.add(faults.Status(400, "invalid symbol: IBM"), path="/bars", symbol="IBM", times=None)
    ran = qfund(LINE)
    assert ran.code == 4
    assert "invalid symbol: IBM" in ran.err
    assert_whole(store, fake, ("AAPL", "MSFT"))
    fake.script.clear()
    assert qfund(printed(ran)).code == 0
    assert_whole(store, fake)


def test_a_vendor_that_is_down_leaves_what_came_before(qfund, fake, store, in_pieces):
    fake.script.add(
        faults.Status(429, "come tomorrow", retry_after=80_000), path="/bars", number=3, times=None
    )
    ran = qfund(f"{LINE} --jobs 1")
    assert ran.code == 13
    assert "Kept 2 of 5 spans" in ran.err
    assert "come tomorrow" in ran.err
    assert statuses(store)[-1] == "partial"
    kept = covered_pairs(store)
    fake.script.clear()
    fake.log.clear()
    assert qfund(LINE).code == 0
    assert not kept & set(fake.log.asked("/bars"))
    assert_whole(store, fake)


def test_bad_bars_are_kept_apart_and_told(qfund, fake, store):
    fake.script.add(faults.HighBelowLow(), path="/bars")
    ran = qfund(LINE)
    assert ran.code == 5
    assert "BARS_REJECTED" in ran.err
    assert len(stored(store)) == 17
    assert qfund(LINE).code == 0
    assert_whole(store, fake)


def test_a_limit_of_requests_keeps_what_came_and_the_next_run_goes_on(qfund, fake, store, in_pieces):
    ran = qfund(f"{LINE} --max-requests 7 --jobs 1")
    assert ran.code == 9
    assert len(fake.log) == 7
    assert "kept 2 of 5 spans" in ran.err.lower()
    kept = covered_pairs(store)
    assert len(kept) > 2
    fake.log.clear()
    assert qfund(LINE).code == 0
    assert not kept & set(fake.log.asked("/bars"))
    assert_whole(store, fake)


def test_time_that_is_over_keeps_what_came(qfund, fake, store, in_pieces):
    fake.script.add(faults.Delay(4.0), path="/bars", number=3)
    ran = qfund(f"{LINE} --timeout 2 --jobs 1")
    assert ran.code == 124
    assert "kept 2 of 5 spans" in ran.err.lower()
    fake.script.clear()
    assert qfund(LINE).code == 0
    assert_whole(store, fake)


# ---------------------------------------------------------------- Ctrl-C


def interrupt(process):
    process.send_signal(signal.SIGINT)


@pytest.mark.parametrize(
    "moment",
    [
        ("/v2/assets", 1, "Stopped"),
        ("/v1/corporate-actions", 1, "Stopped: kept 0 of 5 spans"),
        ("/bars", 1, "Stopped: kept 0 of 5 spans"),
        (
            "/bars",
            4,
            "Stopped: kept 3 of 5 spans",
        ),  # half a second after it was asked: the third is committed
    ],
)
@pytest.mark.usefixtures("in_pieces")
def test_ctrl_c_says_what_was_kept_and_the_next_run_goes_on(cli, qfund, fake, store, moment):
    path, number, said = moment
    fake.trigger = Trigger(interrupt, number=number, path=path, delay=0.5)
    fake.script.add(faults.Delay(20.0), path=path, number=number)
    with cli.start(f"{LINE} --jobs 1") as process:
        fake.trigger.victim = process
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert said in err
    fake.trigger = None
    kept = covered_pairs(store)
    assert "running" not in statuses(store)
    fake.script.clear()
    fake.log.clear()
    assert qfund(LINE).code == 0
    assert not kept & set(fake.log.asked("/bars"))
    assert_whole(store, fake)


def test_ctrl_c_on_a_terminal(cli, fake, store, in_pieces):
    fake.script.add(faults.Delay(20.0), path="/bars", number=3)
    ran = run_on_terminal(
        f"{LINE} --jobs 1".split(),
        cwd=cli.folder,
        env=cli.variables,
        reply_to="2024-03-04 … 2024-03-11 AAPL: asking",
        keys="\x03",
    )
    assert ran.code == 130, ran.out
    assert re.search(r"Stopped: kept \d of 5 spans", ran.out)
    assert "running" not in statuses(store)


# ---------------------------------------------------------------- the key


def test_the_key_is_nowhere(cli, fake, store, pg_server, in_pieces):
    """Not in what is printed or logged, not in the project, the database, or the arguments of any process."""
    canaries = (fake.key, fake.secret)
    arguments: list[bytes] = []
    fake.trigger = Trigger(lambda _: arguments.extend(command_lines()), path="/bars", number=2)
    echo = f"key {fake.key} with secret {fake.secret} has no right to this"
    texts = []
    for status, line in ((400, LINE), (403, f"{LINE} --json --verbose")):
        fake.script.clear()
        fake.script.add(faults.Status(status, echo), path="/bars", symbol="AAPL", times=None)
        ran = cli(line)
        assert ran.code in (3, 4, 13), ran.err
        assert "has no right to this" in ran.out + ran.err
        texts += [ran.out, ran.err]
    fake.script.clear()
    fake.script.add(faults.BadValue("close", fake.secret), path="/bars", times=None)
    ran = cli(LINE)
    texts += [ran.out, ran.err]
    rows = [row for rows in contents(store).values() for row in rows]
    assert len(arguments) > 3
    assert any(b"ingest" in one for one in arguments)
    files = [path.read_bytes() for path in cli.folder.rglob("*") if path.is_file()]
    for canary in canaries:
        assert not [text for text in texts if canary in text]
        assert not [row for row in rows if canary in row]
        assert not [one for one in (*arguments, *files) if canary.encode() in one]


def command_lines() -> list[bytes]:
    """The arguments of all processes of this user that may be read."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.stat().st_uid == os.getuid():
                found.append((entry / "cmdline").read_bytes())
        except OSError:
            continue  # it has ended
    return found

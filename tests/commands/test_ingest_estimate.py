"""`qfund ingest --estimate`: never below what the run then sends, and not far above it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from qfund.market.actions import CorporateAction
from qfund.testing import Clock, Instrument, Truth
from tests.ingest.rig import EVENING, SINCE, SYMBOLS, UNTIL
from tests.support.alpaca import FakeAlpaca
from tests.support.ingesting import Cli, alpaca_variables, oanda_variables
from tests.support.oanda import FakeOanda

FIRST = date(2024, 2, 1)
TWELVE = tuple(f"S{number:02d}" for number in range(12))
SHARES = "ingest --vendor alpaca --since 2024-03-04 --until 2024-03-11 --reread 0"
PAIRS = "ingest --vendor oanda --since 2024-03-04 --until 2024-03-11 --reread 0"


@pytest.fixture(scope="module")
def world():
    made = Truth()
    for symbol in (*SYMBOLS, *TWELVE):
        made.walk(symbol, "1d", FIRST, UNTIL)
    for symbol in SYMBOLS:
        made.walk(symbol, "1m", SINCE, UNTIL, extended=True)
    for coin in ("BTC/USD", "ETH/USD"):
        made.add(Instrument(coin, kind="crypto", calendar="24/7"))
        made.walk(coin, "1d", FIRST, date(2024, 3, 10))
        made.walk(coin, "1m", date(2024, 3, 1), date(2024, 3, 10))
    for name in ("EUR_USD", "USD_JPY"):
        made.add(Instrument(name, kind="fx", calendar="FX"))
        made.walk(name, "1d", FIRST, UNTIL)
        made.walk(name, "1m", FIRST, UNTIL, silent=0.05)
    return made


@pytest.fixture
def alpaca(world):
    with FakeAlpaca(world, clock=Clock(EVENING)) as made:
        yield made


@pytest.fixture
def oanda(world):
    with FakeOanda(world, clock=Clock(datetime(2024, 3, 12, 3, 0, 30, tzinfo=UTC))) as made:
        yield made


@pytest.fixture
def cli(alpaca, oanda, store_url, tmp_path):
    return Cli(tmp_path, alpaca_variables(alpaca, store_url) | oanda_variables(oanda, store_url))


@pytest.fixture
def qfund(cli, monkeypatch, capsys):
    return lambda line: cli.here(line, monkeypatch, capsys)


@pytest.fixture
def compared(qfund, alpaca, oanda):
    """Estimates a line and then runs it; what was estimated and what came: requests."""

    def compare(line: str) -> tuple[int, int]:
        found = json.loads(qfund(f"{line} --estimate --json").out)["data"]
        assert found["asked"] == len(alpaca.log) + len(oanda.log)
        alpaca.log.clear()
        oanda.log.clear()
        ran = qfund(line)
        assert ran.code in (0, 4), ran.err
        sent = len(alpaca.log) + len(oanda.log)
        alpaca.log.clear()
        oanda.log.clear()
        return found["estimate"]["requests"], sent

    return compare


@pytest.mark.parametrize(
    ("line", "earlier", "more"),
    [
        (f"{SHARES} --symbols AAPL,IBM,MSFT", "2024-02-26", "S00,S01"),
        (f"{SHARES} --symbols {','.join(TWELVE)}", "2024-02-26", "AAPL"),
        (f"{SHARES} --symbols AAPL,IBM,NOPE", "2024-02-26", "S00,NADA"),
        (f"{SHARES} --symbols AAPL,IBM,MSFT --timeframe 1m", "2024-03-01", "S00"),
        (f"{SHARES} --symbols AAPL,IBM --timeframe 1m --hours extended", "2024-03-01", "MSFT"),
        (f"{SHARES} --symbols BTC/USD", "2024-02-26", "ETH/USD"),
        (f"{SHARES} --symbols BTC/USD --timeframe 1m", "2024-03-02", "ETH/USD"),
        (f"{PAIRS} --symbols EUR_USD", "2024-02-26", "USD_JPY"),
        (f"{PAIRS} --symbols EUR_USD,USD_JPY --timeframe 1m", "2024-02-05", "USD_JPY"),
    ],
    ids=["days", "twelve", "unknown", "minutes", "evenings", "coins", "coins-1m", "fx", "fx-1m"],
)
def test_a_run_never_sends_more_than_was_estimated_nor_far_less(compared, line, earlier, more):
    """First, once more, with earlier sessions, with another symbol, and everything again."""
    wider = line.replace("2024-03-04", earlier)
    for words in (
        line,
        line,
        wider,
        wider.replace("--symbols ", f"--symbols {more},"),
        f"{wider} --full-refresh",
    ):
        estimated, sent = compared(words)
        assert sent <= estimated <= 2 * sent + 5, words


def test_many_corporate_actions_are_several_pages(compared, alpaca):
    for symbol in TWELVE:
        for number in range(96):
            day = date(2016, 2, 1) + timedelta(days=30 * number)
            alpaca.truth.act(
                CorporateAction(symbol, "dividend", day, cash_amount=Decimal("0.01"), currency="USD")
            )
    estimated, sent = compared(f"{SHARES.replace('2024-03-04', '2016-01-04')} --symbols {','.join(TWELVE)}")
    assert sent <= estimated <= 2 * sent + 5


def test_what_was_asked_to_estimate_is_said(qfund, alpaca):
    line = f"{SHARES} --symbols AAPL,IBM"
    ran = qfund(f"{line} --estimate")
    assert "2 of the requests were sent, to look up symbols that are not stored yet" in ran.out
    assert "2 requests" in ran.out  # this month
    assert "nothing was asked" not in ran.out
    assert qfund(line).code == 0
    alpaca.log.clear()
    assert "nothing was asked and nothing was changed" in qfund(f"{line} --estimate").out
    assert len(alpaca.log) == 0


def test_an_estimate_and_a_dry_run_are_two_questions(qfund):
    ran = qfund(f"{SHARES} --symbols AAPL --estimate --dry-run")
    assert ran.code == 2
    assert "--estimate and --dry-run exclude each other" in ran.err

"""``qfund ingest`` as a process of its own, pointed at a fake on loopback and at a database of the test's."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from qfund.cli import main
from qfund.market.sessions import sessions
from qfund.store import Store, coverage
from qfund.testing import Answer, FakeVendor, Request
from qfund.testing.log import Entry
from qfund.vendors.contract import Rate
from tests.support.alpaca import FakeAlpaca
from tests.support.oanda import FakeOanda
from tests.support.program import PROGRAM, Ran, environment, run

Pair = tuple[str, date]


def alpaca_variables(fake: FakeAlpaca, url: str, *, key: bool = True) -> dict[str, str]:
    """The variables that lead to a fake Alpaca and a database; with the right key, or with none."""
    keys = {"APCA_API_KEY_ID": fake.key, "APCA_API_SECRET_KEY": fake.secret} if key else {}
    hosts = {f"QFUND__VENDORS__ALPACA__{name}": fake.url for name in ("DATA_URL", "TRADING_URL")}
    return {"QFUND__STORE__URL": url, **hosts, **keys}


def oanda_variables(fake: FakeOanda, url: str) -> dict[str, str]:
    """The same for a fake OANDA."""
    return {
        "QFUND__STORE__URL": url,
        "QFUND__VENDORS__OANDA__API_URL": fake.url,
        "QFUND__VENDORS__OANDA__ACCOUNT_ID": fake.account_id,
        "OANDA_TOKEN": fake.key,
    }


@dataclass
class Cli:
    """The program in an empty project.

    Attributes:
        folder: the project.
        variables: that it finds.
    """

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __call__(self, line: str, **more: str) -> Ran:
        """Run it to its end, with pipes."""
        return run(*line.split(), cwd=self.folder, env={**self.variables, **more})

    def start(self, line: str, **more: str) -> subprocess.Popen[str]:
        """Start it, with pipes."""
        return subprocess.Popen(
            [*PROGRAM, *line.split()],
            cwd=self.folder,
            env=environment(**{**self.variables, **more}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def here(self, line: str, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ran:
        """Run it in this process, which is quicker."""
        with patch.context() as within:
            for name in [name for name in os.environ if name.startswith(("QFUND", "APCA", "OANDA"))]:
                within.delenv(name)
            for name, value in self.variables.items():
                within.setenv(name, value)
            within.chdir(self.folder)
            capsys.readouterr()
            code = main(line.split())
        return Ran(code, *capsys.readouterr())


# ---------------------------------------------------------------- fakes that do something at a request


@dataclass
class Trigger:
    """What happens once, at a request.

    Attributes:
        act: what happens, to the victim.
        number: at which request, counted from the moment this was set, from 1.
        path: only requests whose path has this part count.
        symbol: only requests that name it count; None counts all.
        when: before the answer leaves, or once it is out.
        delay: seconds that pass before it happens, without holding up the fake.
        victim: a process.
        done: whether it happened.
    """

    act: Callable[[Any], object]
    number: int = 1
    path: str = ""
    when: str = "before the answer"
    delay: float = 0.0
    symbol: str | None = None
    victim: subprocess.Popen[str] | None = None
    done: threading.Event = field(default_factory=threading.Event)
    _count: int = 0

    def happens(self, path: str, symbols: tuple[str, ...], when: str) -> None:
        """Count a request."""
        if when != self.when or self.path not in path or self.symbol not in (None, *symbols):
            return
        self._count += 1
        if self._count != self.number:
            return
        if self.delay:
            threading.Timer(self.delay, self._go).start()
        else:
            self._go()

    def _go(self) -> None:
        self.act(self.victim)
        self.done.set()


class Triggered(FakeVendor):
    """A fake at whose requests something happens."""

    trigger: Trigger | None = None

    def seen(self, request: Request, answer: Answer) -> None:
        super().seen(request, answer)
        if self.trigger is not None:
            self.trigger.happens(request.path, self.symbols(request), "before the answer")

    def done(self, entry: Entry, size: int, *, dropped: bool) -> None:
        super().done(entry, size, dropped=dropped)
        if self.trigger is not None:
            self.trigger.happens(entry.path, entry.symbols, "after the answer")


class TriggeredAlpaca(Triggered, FakeAlpaca):
    """Alpaca's."""


class TriggeredOanda(Triggered, FakeOanda):
    """OANDA's."""


class BriskAlpaca(TriggeredAlpaca):
    """Says its rate as so many a minute, as Alpaca does, and refuses what exceeds a second's share of it.

    The pace lets ``⌊(1 + slack) / every⌋ + 1`` requests into a second (see ``qfund.store.pacing``): 26 of 1,200 a
    minute. A few more are allowed for the way from the sender to the log.
    """

    minute = Rate(1200, 60.0)
    second = Rate(30, 1.0)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, rate=self.second, **options)

    def rate_headers(self, rate: Rate, left: int, wait: float) -> dict[str, str]:
        del rate
        return super().rate_headers(self.minute, left, wait)


# ---------------------------------------------------------------- what the database says


def covered_pairs(store: Store, timeframe: str = "1d", calendar: str = "XNYS") -> set[Pair]:
    """The pairs of symbol and session that were asked and are final."""
    with store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT x.symbol, lower(r), upper(r) - 1 FROM ops.coverage c, unnest(c.sessions) r,"
            " sec.instrument_symbol x WHERE x.instrument_id = c.instrument_id AND c.timeframe = %s",
            (timeframe,),
        ).all()
    return {(symbol, day.date()) for symbol, first, last in rows for day in sessions(calendar, first, last)}


def wanted_pairs(symbols: tuple[str, ...], since: date, until: date, calendar: str = "XNYS") -> set[Pair]:
    """What the calendar expects."""
    return {(symbol, day.date()) for symbol in symbols for day in sessions(calendar, since, until)}


def statuses(store: Store) -> list[str]:
    """How the runs ended, oldest first."""
    return [one.status for one in reversed(coverage.recent_runs(store, 100))]


def wait_for_the_dead(store: Store) -> None:
    """Until PostgreSQL has noticed that whoever was killed is gone."""
    deadline = time.monotonic() + 20
    while True:
        with store.sql.connect() as connection:
            living = connection.exec_driver_sql(
                "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
                " WHERE l.locktype = 'advisory' AND l.classid = 1902537846 AND d.datname = current_database()"
            ).scalar_one()
        if not living:
            return
        assert time.monotonic() < deadline, "a dead run still counts as living"
        time.sleep(0.02)


def kill(process: subprocess.Popen[str] | None) -> None:
    """SIGKILL, if it still runs."""
    if process is not None and process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)

"""When a request may leave: one row for each vendor account, shared by all processes on all machines.

Promises: no window of the rate's length ever holds more requests than the rate allows, whoever sends them; in
the long run at least 95 % of the rate is used; an idle account earns a
small burst only. Time is the database's alone: no clock of a machine has a say. A slot is reserved by one
statement, so that nobody waits in a transaction; it is given up when its owner comes too late. A lost
database is an error, never a hang.

The reservation is the generic cell rate algorithm (GCRA, ATM Forum UNI 3.1, 1994): a request may leave at
``next_at − slack`` and moves ``next_at`` on by ``every``. Of ``requests`` in ``seconds`` a burst of ``b`` is
kept apart: ``every = (seconds + margin) / (requests − b + 1)``, ``slack = (b − 1) · every``; then any closed
window of ``seconds`` holds at most ``⌊(seconds + slack) / every⌋ + 1 ≤ requests``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qfund.errors import TimeoutExpiredError, UpstreamError
from qfund.store.faults import translated

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from qfund.store.database import Store

CONNECTIONS = 4
MOST_LATE = 20

_OPEN = """
INSERT INTO ops.pace AS p (account, requests, seconds, every, slack)
VALUES (%(account)s, %(requests)s, %(seconds)s, %(every)s, %(slack)s)
ON CONFLICT (account) DO UPDATE
   SET requests = excluded.requests, seconds = excluded.seconds, every = excluded.every,
       slack = excluded.slack, told_at = NULL, updated_at = now()
 WHERE (p.told_at IS NULL OR p.told_at < now() - interval '1 day')
   AND (p.requests, p.seconds, p.every, p.slack)
       IS DISTINCT FROM (excluded.requests, excluded.seconds, excluded.every, excluded.slack)
"""
_ALLOW = """
UPDATE ops.pace
   SET requests = %(requests)s, seconds = %(seconds)s, every = %(every)s, slack = %(slack)s,
       told_at = now(), updated_at = now()
 WHERE account = %(account)s
   AND ((requests, seconds) IS DISTINCT FROM (%(requests)s, %(seconds)s::double precision)
        OR told_at IS NULL OR told_at < now() - interval '1 hour')
"""
_BLOCK = """
UPDATE ops.pace
   SET blocked_until = greatest(blocked_until, clock_timestamp() + %(span)s * interval '1 second')
 WHERE account = %(account)s
"""
# Slot and present, seconds since 1970 by the database's clock. Nothing is farther ahead than an hour or a
# window, so that a database whose clock was wrong and is set back goes on.
_RESERVE = """
UPDATE ops.pace
   SET next_at = least(greatest(next_at, blocked_until, clock_timestamp()),
                       clock_timestamp() + greatest(3600, seconds) * interval '1 second')
                 + every * interval '1 second',
       blocked_until = least(blocked_until, clock_timestamp() + interval '1 hour')
 WHERE account = %(account)s
RETURNING extract(epoch FROM greatest(next_at - (every + slack) * interval '1 second', blocked_until,
                                      clock_timestamp()))::double precision,
          extract(epoch FROM clock_timestamp())::double precision, seconds
"""
_LOOK = """
SELECT extract(epoch FROM clock_timestamp())::double precision, blocked_until > clock_timestamp()
  FROM ops.pace WHERE account = %(account)s
"""


@dataclass(frozen=True)
class Spacing:
    """How far requests are apart.

    Attributes:
        every: seconds between two requests in the long run.
        slack: seconds that an idle account may catch up at once.
        margin: seconds by which requests may differ in how long they take to the vendor, or start late.
    """

    every: float
    slack: float
    margin: float

    @classmethod
    def of(cls, requests: int, seconds: float) -> Spacing:
        """The widest that keeps the rate whole: 1.5 % apart, more where windows are short.

        Args:
            requests: most in any window.
            seconds: length of the window.
        """
        margin = min(max(0.015 * seconds, 0.2), 0.05 * seconds)
        burst = 1 + requests // 200
        every = (seconds + margin) / (requests - burst + 1)
        return cls(every, (burst - 1) * every, margin)


class Paces:
    """The paces of one database, with a few connections of their own; close it at the end.

    Args:
        store: where the rows are.
        sleep: waits so many seconds.
        left: seconds until the run must end.
    """

    def __init__(
        self, store: Store, *, sleep: Callable[[float], None] = time.sleep, left: Callable[[], float]
    ) -> None:
        self._engine = _engine(store)
        self._sleep = sleep
        self._left = left

    def pace(self, account: str, requests: int, seconds: float) -> SharedPace:
        """The pace of an account, with the declared rate unless the vendor told another within a day.

        Raises:
            UpstreamError: the database does not answer.
        """
        found = SharedPace(self._engine, account, self._sleep, self._left)
        found.declare(requests, seconds)
        return found

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


class SharedPace:
    """The pace of one account; used by many threads at once.

    Every method raises UpstreamError when the database is lost, and LockedError when somebody keeps the row.
    """

    def __init__(
        self, engine: Engine, account: str, sleep: Callable[[float], None], left: Callable[[], float]
    ) -> None:
        self._engine = engine
        self._account = account
        self._sleep = sleep
        self._left = left
        self._quickest = math.inf  # seconds that a statement took at its best: the way to the database

    def wait(self) -> float:
        """Block until a request may leave, and return the seconds slept; send it at once then.

        Raises:
            TimeoutExpiredError: the run ends before.
            UpstreamError: so late again and again that the rate could not be kept.
        """
        slept = 0.0
        for _ in range(MOST_LATE):
            began = time.monotonic()
            slot, now, seconds = self._ask(_RESERVE)
            late = Spacing.of(1, seconds).margin / 2
            in_time, waited = self._await(slot, now, began, late)
            slept += waited
            if in_time:
                return slept
        raise UpstreamError(
            "The database or this computer is too slow to send requests at their time.",
            fix="run the command again with less going on beside it",
            code="PACE_TOO_SLOW",
        )

    def declare(self, requests: int, seconds: float) -> None:
        """Make the account known; its rate stays what the vendor told within a day."""
        self._do(_OPEN, **self._rate(requests, seconds))

    def allow(self, requests: int, seconds: float) -> None:
        """The vendor told the rate: so many requests in any window of so many seconds."""
        self._do(_ALLOW, **self._rate(requests, seconds))

    def block(self, seconds: float) -> None:
        """The vendor said that nothing may leave for so long; a longer block that is there stays."""
        self._do(_BLOCK, span=seconds)

    def _await(self, slot: float, now: float, began: float, late: float) -> tuple[bool, float]:
        """Sleep until the slot: whether it came in time and unblocked, and the seconds slept.

        Args:
            slot: when the request may leave, on the database's clock.
            now: what that clock said.
            began: before it was asked, on the monotonic clock.
            late: seconds after the slot at which it is still good.
        """
        slept = 0.0
        while True:
            took = time.monotonic() - began
            self._quickest = min(self._quickest, took)
            rest = slot - now
            if rest <= took:  # too short to look again
                slept += self._pause(rest)
                over = time.monotonic() - began - max(rest, 0.0)
                return over <= max(late, 2 * self._quickest), slept
            slept += self._pause(rest - took)
            began = time.monotonic()
            now, blocked = self._ask(_LOOK)
            if blocked or now > slot + late:
                return False, slept

    def _pause(self, seconds: float) -> float:
        if seconds <= 0:
            return 0.0
        if seconds >= self._left():
            raise TimeoutExpiredError(
                f"The next request may leave in {seconds:.3g} s, and the time of this run is over before.",
                fix="run the command again, with more time",
            )
        began = time.monotonic()
        self._sleep(seconds)
        return time.monotonic() - began

    def _rate(self, requests: int, seconds: float) -> dict[str, float]:
        spacing = Spacing.of(requests, seconds)
        return {"requests": requests, "seconds": seconds, "every": spacing.every, "slack": spacing.slack}

    def _ask(self, statement: str) -> Any:
        """The one row that a statement returns."""
        return self._run(statement, {}, answers=True)

    def _do(self, statement: str, **values: float) -> None:
        self._run(statement, values, answers=False)

    def _run(self, statement: str, values: Mapping[str, float], *, answers: bool) -> Any:
        """Do it, once more on a new connection when the old one was lost in the meantime."""
        import psycopg2

        password = self._engine.url.password
        with translated(secret=None if password is None else str(password)):
            try:
                return self._once(statement, values, answers=answers)
            except psycopg2.Error as error:
                if not self._engine.dialect.is_disconnect(error, None, None):
                    raise
            return self._once(statement, values, answers=answers)

    def _once(self, statement: str, values: Mapping[str, float], *, answers: bool) -> Any:
        """One statement, past the layers of SQLAlchemy, which take longer than the database itself."""
        connection = self._engine.raw_connection()
        try:
            with closing(connection.cursor()) as cursor:
                cursor.execute(statement, {"account": self._account, **values})
                return cursor.fetchone() if answers else None
        except BaseException:
            connection.invalidate()  # whatever happened to it, nobody gets it again
            raise
        finally:
            connection.close()


def _engine(store: Store) -> Engine:
    """Few connections that commit each statement by itself, and notice when nobody answers.

    A crash of the database may forget the slots of its last half second, which is less than it needs to start
    again; so no statement waits for the disk.
    """
    from sqlalchemy import create_engine, event

    engine = create_engine(
        store.sql.url,
        isolation_level="AUTOCOMMIT",
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_reset_on_return=None,
        connect_args={
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
        },
    )

    def prepare(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET synchronous_commit = off; SET lock_timeout = '10s'")
        connection.commit()

    event.listen(engine, "connect", prepare)
    return engine

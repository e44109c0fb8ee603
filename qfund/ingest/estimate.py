"""What a plan will cost, before anything is asked: requests, time, rows, bytes, credits.

Promises: pure but for one look at the sizes of tables. Rows are the most there can be: every session and
every minute of it traded; requests and time follow from them and from the vendor's declared limits, so that
the real cost is below, unless the vendor has to be asked twice for the same or tells a change of name. Bytes
on disk are measured on the bars stored already, once there are enough of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from qfund.ingest.actions import window
from qfund.ingest.plan import FetchSpan, Plan
from qfund.market import sessions
from qfund.vendors.contract import Capabilities, Offer

if TYPE_CHECKING:
    from qfund.store import Store

DISK_BYTES = {"1d": 141.0, "1m": 30.0}
"""Bytes on disk of a bar with its share of the indexes: measured on cent prices, see docs/benchmarks.md."""

ROWS_PER_SECOND = 250_000
"""What fetching, checking and storing manage on two cores when the vendor does not slow them."""

ACTIONS_A_YEAR = 13
"""Corporate actions of a share in a year: a dividend each month and one thing more. Those that pay each week
are few, and the page that is counted on top holds them."""

_ENOUGH = 100_000  # stored bars from which on their size is believed


@dataclass(frozen=True)
class Estimate:
    """The most that a plan can cost.

    Attributes:
        requests: to the vendor, with those that the look before the plan has sent already; without retries.
        seconds: at the vendor's rate, or as long as the rows take to be stored, whichever is longer.
        rows: bars.
        wire_bytes: of the answers, before compression.
        disk_bytes: with indexes.
        credits: the vendor's own, 0 when it does not charge by request.
        measured: whether ``disk_bytes`` comes from bars that are stored.
    """

    requests: int
    seconds: float
    rows: int
    wire_bytes: int
    disk_bytes: int
    credits: float
    measured: bool


def estimate(plan: Plan, offer: Offer, limits: Capabilities, *, bar_bytes: float | None) -> Estimate:
    """The most that the steps of a plan can cost.

    Args:
        plan: the steps.
        offer: the series they ask for.
        limits: of the vendor.
        bar_bytes: measured bytes on disk of a bar, see `stored_bar_bytes`; None: not known yet.
    """
    rows = answered = requests = 0
    for step in plan.steps:
        kept = _bars(offer, step.since, step.until, step.sessions) * len(step.symbols)
        sent = step.sessions * plan.seen.bars_per_session * len(step.symbols) if offer.answers_more else kept
        rows += kept
        answered += sent
        requests += _pages(offer, step, sent)
    paced = 0.0
    if limits.rate is None:
        requests = 0
    else:
        requests += _lookups(plan, offer, limits) + _facts(plan, offer, limits)
        paced = max(0, requests - 1) * limits.rate.seconds / limits.rate.requests
    return Estimate(
        requests=requests,
        seconds=max(paced, rows / ROWS_PER_SECOND),
        rows=rows,
        wire_bytes=answered * offer.bar_bytes if requests else 0,
        disk_bytes=round(rows * (bar_bytes or DISK_BYTES[offer.timeframe])),
        credits=requests * limits.credits_per_request,
        measured=bar_bytes is not None,
    )


def _pages(offer: Offer, step: FetchSpan, bars: int) -> int:
    """Requests for the bars of a step."""
    if offer.rows_per_page is None:
        return 1
    if not offer.pages_are_windows:
        return 1 + bars // offer.rows_per_page
    # Windows of time: nights and weekends fill them like any other hour.
    length = step.until - step.since + timedelta(days=1)
    if offer.timeframe == "1d":
        could = length // timedelta(days=1)
    else:  # an hour more in the autumn
        could = (length + timedelta(hours=1)) // timedelta(minutes=1)
    return -(-could // offer.rows_per_page) * len(step.symbols)


def _lookups(plan: Plan, offer: Offer, limits: Capabilities) -> int:
    """Requests for listings: of symbols that the store does not know, and of all before something new."""
    facts = plan.seen
    known = {one.symbol for one in facts.symbols if one.instrument is not None}
    fresh = {one.symbol for one in facts.symbols} - known
    renewed = known if fresh or plan.missing else ()
    whole = 1 if limits.small else 0
    # Changes of name tell what became of an unknown symbol, and who bore a new one on a past day.
    past = len(facts.unknown) + (len(fresh) if facts.asked[1] < facts.offered[1] else 0)
    told = offer.market == "us_equity" and not limits.small
    changes = -(-past // limits.symbols_per_request) if told else 0
    return whole + changes + offer.lookups(len(fresh) + len(facts.unknown)) + offer.lookups(len(renewed))


def _facts(plan: Plan, offer: Offer, limits: Capabilities) -> int:
    """Requests for corporate actions, and for the broker's own calendar where it tells one."""
    if not plan.steps or offer.market != "us_equity":
        return 0
    symbols = len({symbol for step in plan.steps for symbol in step.symbols})
    requests = -(-symbols // limits.symbols_per_request)
    if limits.actions_per_page is not None:
        since, until = window(offer, plan.steps)
        until = max(until, plan.seen.offered[1])  # changes of name are asked for until today
        years = (until - since + limits.actions_around) / timedelta(days=365)
        requests += int(symbols * years * ACTIONS_A_YEAR) // limits.actions_per_page
    return requests + (1 if plan.missing else 0)


def _bars(offer: Offer, since: date, until: date, length: int) -> int:
    """The most bars of a symbol over a step's sessions."""
    if offer.timeframe == "1d":
        return length
    if offer.hours == "extended":
        return length * 960
    return int(sessions.minutes_in_session(offer.calendar, since, until).sum())


def stored_bar_bytes(store: Store, timeframe: str) -> float | None:
    """Bytes on disk of a stored bar with its share of the indexes; None while too few are stored.

    Raises:
        UpstreamError: the database does not answer.
    """
    from qfund.store.sizes import bar_bytes

    return bar_bytes(store, timeframe, enough=_ENOUGH)

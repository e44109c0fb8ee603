"""All rules over what is stored: what the check of an answer would say of it today.

Promises: reads only, a part at a time, so that memory stays small; the same rules as for bars that arrive.
Bars that a person has accepted are not named again. Repairs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from qfund.errors import NotFoundError
from qfund.ingest import ledger
from qfund.ingest.adjusted import adjusted, ratio_in_words, unexplained_jumps
from qfund.ingest.check import REASONS, Checked, check, pardoned
from qfund.ingest.doubts import doubtful
from qfund.ingest.neighbours import line
from qfund.market.actions import CorporateAction
from qfund.market.bars import Timeframe
from qfund.store import Store, nearby, quarantine
from qfund.store.accounts import Holder, holders
from qfund.store.actions import read_actions
from qfund.store.sources import Series
from qfund.vendors.contract import BarRequest, Offer

if TYPE_CHECKING:
    from collections.abc import Callable

RULES = {
    **REASONS,
    "jump": "a lasting jump by a split's ratio, and no corporate action",
    "no_bars": "asked, and there is no bar",
}
"""What can be found: code → words."""

HINTS = frozenset({"jump", "no_bars"})
"""Rules that only tell: what they find may be right; a session that the vendor has not is a known hole."""

_DAYS_AT_ONCE: Mapping[Timeframe, int] = {"1d": 3660, "1m": 92}
_INSTRUMENTS_AT_ONCE: Mapping[Timeframe, int] = {"1d": 40, "1m": 4}


@dataclass(frozen=True)
class Finding:
    """Something that a rule says of stored bars.

    Attributes:
        rule: a key of :data:`RULES`.
        vendor: whose bars; likewise ``feed``.
        timeframe: length of the bars.
        symbol: whose.
        session: the session, the first one of several.
        at: start of a minute bar, timezone-aware UTC; None where it is about sessions.
        count: of how many sessions or bars.
        words: what is found, where the rule does not say it all.
        is_bar: whether it is about one stored bar.
    """

    rule: str
    vendor: str
    feed: str
    timeframe: Timeframe
    symbol: str
    session: date
    at: datetime | None = None
    count: int = 1
    words: str = ""
    is_bar: bool = False

    @property
    def name(self) -> str:
        """The bar as ``data check --accept`` takes it."""
        return f"{self.symbol}@{self.session if self.at is None else f'{self.at:%Y-%m-%dT%H:%MZ}'}"


def offer_of(series: Series, known: Iterable[Offer] = ()) -> Offer:
    """The offer that a series was asked of; a lenient one where its vendor is not installed.

    Args:
        series: a stored series.
        known: the offers of its vendor.
    """
    names = ("timeframe", "feed", "basis", "hours", "price_kind")
    for offer in known:
        if all(getattr(offer, name) == getattr(series, name) for name in names):
            return replace(offer, calendar=series.calendar, answers_more=False, settle=timedelta(0))
    return Offer(
        series.timeframe,
        series.feed,
        first=date(1900, 1, 1),
        last=None,
        sessions_per_request=1,
        basis=series.basis,
        hours=series.hours,
        price_kind=series.price_kind,
        market="us_equity" if series.calendar == "XNYS" else series.calendar,
        calendar=series.calendar,
        quiet_bars=True,
    )


def audit(
    store: Store,
    series: Series,
    offer: Offer,
    *,
    symbols: Sequence[str] | None = None,
    since: date | None = None,
    until: date | None = None,
    now: datetime | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Finding]:
    """What the rules find in a series, part by part.

    Args:
        store: where the bars are.
        series: which series.
        offer: what it was asked of, see :func:`offer_of`.
        symbols: only these; None for all.
        since: first session; None for the first stored.
        until: last session; None for the last stored.
        now: the present, timezone-aware UTC; None: of this machine.
        tell: told each part before it is looked at.
    """
    moment = now or datetime.now(UTC)
    span = _stored_span(store, series)
    everyone = holders(store, series, symbols)
    if span is not None and everyone:
        first, last = max(since or span[0], span[0]), min(until or span[1], span[1])
        size = _INSTRUMENTS_AT_ONCE[series.timeframe]
        for place in range(0, len(everyone), size):
            some = everyone[place : place + size]
            actions = _actions(store, series, some)
            tell(", ".join(one.symbol for one in some))
            with closing(store.dbapi()) as connection:
                for part in _parts(first, last, series.timeframe):
                    request = BarRequest(tuple(one.symbol for one in some), series.timeframe, *part, offer)
                    yield from _audited(connection, series, request, some, actions=actions, now=moment)
    for gap in ledger.gaps(store, series, symbols=symbols, since=since, until=until, thin=0):
        if gap.kind == "empty":
            yield _finding("no_bars", series, gap.symbol, gap.since, count=gap.sessions)


def _stored_span(store: Store, series: Series) -> tuple[date, date] | None:
    tables = ("bar_1d",) if series.timeframe == "1d" else ("bar_1m_day", "bar_1m_hot")
    inner = " UNION ALL ".join(
        f"SELECT min(session) AS first, max(session) AS last FROM sec.{table}"  # noqa: S608 - our own names
        f" WHERE source_id = {series.source_id}"
        for table in tables
    )
    with closing(store.dbapi()) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT min(first), max(last) FROM ({inner}) s")  # noqa: S608 - our own names
        first, last = cursor.fetchone()
    return None if first is None else (first, last)


def _parts(first: date, last: date, timeframe: Timeframe) -> Iterator[tuple[date, date]]:
    step = timedelta(days=_DAYS_AT_ONCE[timeframe])
    while first <= last:
        yield first, min(last, first + step - timedelta(days=1))
        first += step


def _actions(store: Store, series: Series, some: Sequence[Holder]) -> list[CorporateAction]:
    try:
        return read_actions(
            store,
            [one.symbol for one in some],
            since=date(1900, 1, 1),
            until=date(2200, 1, 1),
            vendor=series.vendor,
        )
    except NotFoundError:
        return []


def _audited(
    connection: Any,
    series: Series,
    request: BarRequest,
    some: Sequence[Holder],
    *,
    actions: Sequence[CorporateAction],
    now: datetime,
) -> Iterator[Finding]:
    """The findings in one part: some instruments over some sessions."""
    ids = {one.symbol: one.instrument_id for one in some}
    span = (request.since, request.until)
    bars = nearby.within(connection, series, ids, *span)
    if not len(bars):
        return
    around = nearby.around(connection, series, ids, *span)
    checked = check(bars, request, now=now)
    accepted = quarantine.accepted(connection, series, ids, *span)
    checked = pardoned(checked, accepted)
    yield from _rejections(checked, series)
    good = checked.good
    for reason, mask in doubtful(good, request, around=around, actions=actions).items():
        doubted = good.filter(pa.array(mask))
        doubted = doubted.append_column("reason", pa.array([reason] * len(doubted), pa.string()))
        fresh = pardoned(Checked(good.slice(0, 0), doubted, 0), accepted)
        yield from _rejections(fresh, series)
    bars_in_line = line(good, around, series.timeframe)
    for jump in unexplained_jumps(bars_in_line, actions):
        if span[0] <= jump.session <= span[1]:
            words = f"prices are {ratio_in_words(jump.ratio)} of those before"
            yield _finding("jump", series, jump.symbol, jump.session, words=words)
    if series.basis == "raw":
        for one in adjusted(good, series.timeframe, around=around, actions=actions):
            yield _finding("adjusted", series, one.symbol, one.on, words=one.said(series.vendor))


def _rejections(checked: Checked, series: Series) -> Iterator[Finding]:
    """A finding for each row that would be rejected today, or would not be wanted."""
    for row in checked.rejected.to_pylist():
        found = _finding(row["reason"], series, row["symbol"], row["session"], at=row.get("ts"))
        yield replace(found, is_bar=True)


def _finding(
    rule: str,
    series: Series,
    symbol: str,
    session: date,
    *,
    at: datetime | None = None,
    count: int = 1,
    words: str = "",
) -> Finding:
    return Finding(
        rule, series.vendor, series.feed, series.timeframe, symbol, session, at=at, count=count, words=words
    )

"""What an answer looks like beside what is stored: spikes, stale bars, prices that are adjusted after all.

Promises: a bar that a person accepted out of the quarantine is never doubted again; every other row can only
move from fit to rejected, with its reason. Reads in the caller's transaction, writes nothing. Cheap where
there is nothing to judge by: a look around the span for each answer, the stored bars of the span only where
it was read before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from qfund.ingest.adjusted import Adjusted, adjusted, rows_of
from qfund.ingest.check import Checked, pardoned, rejected_too
from qfund.ingest.doubts import AROUND_IS_ENOUGH, doubtful
from qfund.ingest.plan import FetchSpan
from qfund.market.actions import CorporateAction
from qfund.store import nearby, quarantine
from qfund.store.sources import Series
from qfund.vendors.contract import BarRequest, Offer


@dataclass(frozen=True)
class Judged:
    """A checked answer after it was compared with what is stored.

    Attributes:
        checked: the answer; what its neighbours contradict is rejected.
        said: a sentence for each symbol whose prices are adjusted although raw ones were asked for; all rows
            of the symbol are rejected.
    """

    checked: Checked
    said: tuple[str, ...] = ()


def judged(
    conn: Any,
    series: Series,
    step: FetchSpan,
    offer: Offer,
    checked: Checked,
    *,
    ids: Mapping[str, int],
    actions: Sequence[CorporateAction],
    again: bool,
) -> Judged:
    """Compare an answer with the bars stored around it, and where it was read again with those stored.

    Args:
        conn: an ADBC connection, in the transaction that will store the answer.
        series: of which series.
        step: what was asked.
        offer: of which offer.
        checked: the answer, each row judged by itself.
        ids: symbol → instrument number.
        actions: corporate actions of the symbols.
        again: whether some of these sessions were answered before.
    """
    found: list[Adjusted] = []
    span = (step.since, step.until)
    if len(checked.good):
        reach = timedelta(days=nearby.LONGEST_SILENCE)
        near = [one for one in actions if step.since - reach <= one.ex_date <= step.until + reach]
        around = nearby.around(conn, series, ids, *span, count=AROUND_IS_ENOUGH)
        if offer.basis == "raw":
            stored = nearby.within(conn, series, ids, *span) if again else None
            found = adjusted(checked.good, offer.timeframe, around=around, stored=stored, actions=near)
        request = BarRequest(step.symbols, offer.timeframe, *span, offer)
        doubts = doubtful(checked.good, request, around=around, actions=near)
        if found:
            doubts = {"adjusted": rows_of(checked.good, found), **doubts}
        checked = rejected_too(checked, doubts)
    if len(checked.rejected):
        checked = pardoned(checked, quarantine.accepted(conn, series, ids, *span))
    return Judged(checked, tuple(one.said(series.vendor) for one in found))

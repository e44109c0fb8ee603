"""An answer judged together with what is stored: neighbours, earlier reads, and what a person has accepted.

Promises: reads only, in the transaction that will store the answer. Cheap where there is nothing to judge by:
a look around the span for each answer, the stored bars of the span only where it was read before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qfund.ingest.adjusted import Adjusted, adjusted, rows_of
from qfund.ingest.check import Checked, pardoned, rejected_too
from qfund.ingest.doubts import AROUND_IS_ENOUGH, doubtful
from qfund.market.actions import CorporateAction
from qfund.store import nearby, quarantine
from qfund.store.sources import Series
from qfund.vendors.contract import BarRequest


@dataclass(frozen=True, eq=False)
class Judged:
    """An answer, ready to be stored.

    Attributes:
        checked: its rows; what their neighbours contradict is rejected.
        adjusted: symbols whose prices are adjusted although raw ones were asked for; all their rows are
            rejected. ``said(vendor)`` of each names vendor, symbol, ratio and date.
    """

    checked: Checked
    adjusted: tuple[Adjusted, ...] = ()


def judged(
    conn: Any,
    series: Series,
    request: BarRequest,
    checked: Checked,
    ids: Mapping[str, int],
    *,
    actions: Sequence[CorporateAction] = (),
    read_before: bool = True,
) -> Judged:
    """Reject what only its neighbours, or an earlier read, can tell.

    Args:
        conn: an ADBC connection, see ``Store.transaction``.
        series: where the answer goes.
        request: what was asked.
        checked: the answer, see ``check.check``.
        ids: symbol → instrument number.
        actions: corporate actions of the symbols, at least those with an ex-date from a month before the span
            up to the session after it.
        read_before: whether any of the sessions may be stored already; if not, they are not looked at.
    """
    span = (request.since, request.until)
    if len(checked.good):
        around = nearby.around(conn, series, ids, *span, count=AROUND_IS_ENOUGH)
        found: list[Adjusted] = []
        if request.offer.basis == "raw":
            stored = nearby.within(conn, series, ids, *span) if read_before else None
            found = adjusted(checked.good, request.timeframe, around=around, stored=stored, actions=actions)
        doubts = doubtful(checked.good, request, around=around, actions=actions)
        if found:
            doubts = {"adjusted": rows_of(checked.good, found), **doubts}
        checked = rejected_too(checked, doubts)
    else:
        found = []
    if len(checked.rejected):
        checked = pardoned(checked, quarantine.accepted(conn, series, ids, *span))
    return Judged(checked, tuple(found))

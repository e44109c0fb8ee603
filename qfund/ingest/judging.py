"""What an answer looks like beside what is stored: spikes, stale bars, prices that are adjusted after all.

Promises: only ever moves rows from fit to rejected, each with its reason; a bar that a person accepted out of
the quarantine is not doubted again. Reads in the caller's transaction, writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from qfund.ingest import adjusted, doubts
from qfund.ingest.check import Checked
from qfund.ingest.plan import FetchSpan
from qfund.market.actions import CorporateAction
from qfund.store import nearby, quarantine
from qfund.store.sources import Series
from qfund.vendors.contract import BarRequest, Offer


@dataclass(frozen=True)
class Judged:
    """A checked answer after it was compared with its neighbours.

    Attributes:
        checked: the answer, with more rows rejected perhaps.
        said: a sentence for each symbol whose prices are adjusted although raw ones were asked for.
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
    if not len(checked.good):
        return Judged(checked)
    request = BarRequest(step.symbols, offer.timeframe, step.since, step.until, offer)
    around = nearby.around(conn, series, ids, step.since, step.until)
    near = [
        one
        for one in actions
        if step.since - timedelta(days=nearby.LONGEST_SILENCE) <= one.ex_date
        and one.ex_date <= step.until + timedelta(days=nearby.LONGEST_SILENCE)
    ]
    reasons = np.full(len(checked.good), "", dtype=object)
    for reason, mask in doubts.doubtful(checked.good, request, around=around, actions=near).items():
        reasons[mask & (reasons == "")] = reason
    found: list[adjusted.Adjusted] = []
    if offer.basis == "raw":
        stored = nearby.within(conn, series, ids, step.since, step.until) if again else None
        found = adjusted.adjusted(checked.good, offer.timeframe, around=around, stored=stored, actions=near)
        reasons[adjusted.rows_of(checked.good, found)] = "adjusted"
    if not (reasons != "").any():
        return Judged(checked)
    accepted = quarantine.accepted(conn, series, ids, step.since, step.until)
    reasons[_among(checked.good, accepted)] = ""
    return Judged(_moved(checked, reasons), tuple(one.said(series.vendor) for one in found))


def _among(good: pa.Table, accepted: pa.Table) -> np.ndarray:
    """Which rows a person has accepted just as they are."""
    if not len(accepted):
        return np.zeros(len(good), dtype=bool)
    known = {tuple(row.values()) for row in accepted.select(good.column_names).to_pylist()}
    return np.array([tuple(row.values()) in known for row in good.to_pylist()])


def _moved(checked: Checked, reasons: np.ndarray) -> Checked:
    """The answer with the doubtful rows among the rejected ones."""
    bad = reasons != ""
    more = checked.good.filter(pa.array(bad))
    more = more.append_column("reason", pa.array(reasons[bad], pa.string()))
    return replace(
        checked,
        good=checked.good.filter(pa.array(~bad)),
        rejected=pa.concat_tables([checked.rejected, more.select(checked.rejected.column_names)]),
    )

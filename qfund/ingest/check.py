"""The check that every answer passes before it is stored.

Promises: pure and vectorised; every row that came in goes out once, either as good or as rejected with one
reason, except exact repeats, which are counted. Nothing is repaired: a price is taken as it is or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa

from qfund.errors import UpstreamError
from qfund.market import sessions
from qfund.market.bars import Timeframe
from qfund.vendors.contract import BarRequest, Offer, schema

REASONS = {
    "symbol": "a symbol that was not asked for",
    "time": "no time or no session",
    "outside_span": "a day that was not asked for",
    "not_a_session": "a day on which the exchange was closed",
    "outside_hours": "a minute outside the session, or not a whole minute",
    "not_final": "a bar that is not over yet",
    "not_a_number": "a value that is missing or infinite",
    "not_positive": "a price of zero or less",
    "order": "high below or low above another price of the bar",
    "negative_volume": "a volume below zero",
    "conflict": "two different bars for the same time",
}
"""Why a row can be rejected: code → words. The first that applies, in this order, is given."""


@dataclass(frozen=True, eq=False)
class Checked:
    """An answer, sorted into what is fit to be stored and what is not.

    Attributes:
        good: rows in the columns of the vendor contract, ordered by symbol and time, one for each time.
        rejected: the other rows, in the same columns plus ``reason`` (a key of :data:`REASONS`).
        repeated: how many exact repeats of good or rejected rows were left out.
    """

    good: pa.Table
    rejected: pa.Table
    repeated: int


def check(bars: pa.Table, request: BarRequest, offer: Offer, *, calendar: str, now: datetime) -> Checked:
    """Sort the rows of an answer.

    Args:
        bars: all pages of the answer to ``request``, one after the other.
        request: what was asked.
        offer: the series it was asked of (for the time a bar needs to settle).
        calendar: ``exchange_calendars`` name of the sessions.
        now: the present, timezone-aware UTC; bars that end later are rejected.

    Raises:
        UpstreamError: columns are missing or cannot be read as the contract's types.
    """
    wanted = schema(request.timeframe)
    table = conformed(bars, request.timeframe)
    keys = wanted.names[:-5]
    distinct, repeated = _without_repeats(table, keys)
    frame = distinct.to_pandas(date_as_object=False)
    reason = np.full(len(frame), "", dtype=object)
    for code, faulty in _faults(frame, request, calendar, now - offer.settle):
        reason[(reason == "") & faulty] = code
    conflict = (reason == "") & frame.duplicated(keys, keep=False).to_numpy()
    # A bar that differs from another of its time makes that other one doubtful too.
    reason[conflict] = "conflict"
    bad = reason != ""
    rejected = distinct.filter(pa.array(bad)).append_column("reason", pa.array(reason[bad], pa.string()))
    return Checked(distinct.filter(pa.array(~bad)), rejected, repeated)


def conformed(bars: pa.Table, timeframe: Timeframe) -> pa.Table:
    """A page in the contract's columns and types; further columns are left out.

    Raises:
        UpstreamError: a column is missing or cannot be read as its type.
    """
    wanted = schema(timeframe)
    absent = [name for name in wanted.names if name not in bars.column_names]
    if absent:
        raise UpstreamError(f"The vendor's answer has no column {', '.join(absent)}.", code="BAD_ANSWER")
    try:
        return bars.select(wanted.names).cast(wanted).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UpstreamError(
            f"The vendor's answer cannot be read as bars: {error}.", code="BAD_ANSWER"
        ) from error


def _without_repeats(table: pa.Table, keys: list[str]) -> tuple[pa.Table, int]:
    """The rows by symbol and time, without exact repeats, and how many there were."""
    ordered = table.sort_by([(name, "ascending") for name in keys])
    repeats = ordered.to_pandas(date_as_object=False).duplicated().to_numpy()
    return ordered.filter(pa.array(~repeats)), int(repeats.sum())


def _faults(
    frame: pd.DataFrame, request: BarRequest, calendar: str, settled: datetime
) -> list[tuple[str, np.ndarray]]:
    """For each reason which rows it applies to, in the order of :data:`REASONS`."""
    prices = frame[["open", "high", "low", "close"]].to_numpy()
    volume = frame["volume"].to_numpy()
    with np.errstate(invalid="ignore"):
        values = [
            ("not_a_number", ~(np.isfinite(prices).all(axis=1) & np.isfinite(volume))),
            ("not_positive", (prices <= 0).any(axis=1)),
            (
                "order",
                (prices[:, 1] < prices.max(axis=1)) | (prices[:, 2] > prices.min(axis=1)),
            ),
            ("negative_volume", volume < 0),
        ]
    foreign = ~frame["symbol"].isin(request.symbols).to_numpy()
    return [("symbol", foreign), *_time_faults(frame, request, calendar, settled), *values]


def _time_faults(
    frame: pd.DataFrame, request: BarRequest, calendar: str, settled: datetime
) -> list[tuple[str, np.ndarray]]:
    """Faults of time; the request spans at least one session, as every step of a plan does."""
    known = sessions.sessions(calendar, request.since, request.until)
    opens, closes = sessions.opens_and_closes(calendar, request.since, request.until)
    session = pd.DatetimeIndex(frame["session"]).as_unit("us")
    place = known.get_indexer(session)
    outside = (session < pd.Timestamp(request.since)) | (session > pd.Timestamp(request.until))
    row = np.where(place < 0, 0, place)  # rows of no session have their own, earlier reason
    timeless = np.asarray(session.isna())
    end = closes.take(row)
    astray = np.zeros(len(frame), dtype=bool)
    if request.timeframe == "1m":
        begin = pd.DatetimeIndex(frame["ts"]).as_unit("us")
        end = begin + pd.Timedelta(minutes=1)
        timeless |= np.asarray(begin.isna())
        astray |= np.asarray(begin < opens.take(row)) | np.asarray(end > closes.take(row))
        astray |= np.asarray(begin != begin.floor("min"))
    return [
        ("time", timeless),
        ("outside_span", np.asarray(outside)),
        ("not_a_session", place < 0),
        ("outside_hours", astray),
        ("not_final", np.asarray(end > pd.Timestamp(settled))),
    ]

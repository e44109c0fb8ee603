"""The check that every answer passes before it is stored.

Promises: pure and vectorised; every row that came in goes out once: as good, as rejected with one reason, as
an exact repeat, or counted among what is normal but not wanted. The order of the rows, and of the pages, does
not matter. Nothing is repaired: a price is taken as it is or not at all; of two bars that differ neither is
taken. What only its neighbours can tell (spikes, stale bars) is for ``doubts``, adjusted prices are for
``adjusted``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
from pyarrow import compute

from qfund.errors import UpstreamError
from qfund.ingest.bartable import BarTable, bar_table
from qfund.ingest.wrongzone import shifted
from qfund.market.bars import Timeframe
from qfund.market.hours import MINUTE, Windows, windows
from qfund.market.sessions import FIRST_SESSION
from qfund.vendors.contract import BarRequest, schema

REASONS = {
    "torn": "a row with too few or too many fields, or with a quote that is not closed",
    "bad_time": "a date or time that cannot be read, or that its zone's clocks show twice or never",
    "no_symbol": "no symbol",
    "symbol": "a symbol that was not asked for",
    "time": "no time",
    "wrong_zone": "a time in another zone than the exchange's",
    "outside_span": "a day that was not asked for",
    "future": "a time that has not come yet",
    "before_calendar": f"a day before {FIRST_SESSION[:4]}, where the calendars of exchanges begin",
    "not_a_session": "a day on which the exchange was closed",
    "not_a_minute": "a time that is not a whole minute",
    "outside_hours": "a minute outside its session's hours",
    "not_a_number": "a value that is missing or infinite",
    "not_positive": "a price of zero or less",
    "order": "high below or low above another price of the bar",
    "negative_volume": "a volume below zero",
    "impossible_volume": "a volume that no exchange has ever seen",
    "zero_volume": "no volume, though this vendor sends a bar only when there was a trade",
    "conflict": "two different bars for the same time",
    "stale": "the same bar again and again",
    "spike": "prices far off the bars before and after, and no corporate action",
    "adjusted": "adjusted prices, though raw ones were asked for",
}
"""Why a row can be rejected: code → words. The first that applies, in this order, is given. The first three
are given by vendors, of rows that are no bars (``Page.unfit``)."""

LEFT_OUT = {
    "outside_hours": "minutes outside the hours that are kept",
    "not_final": "bars that are not over yet",
    "given_up": "bars of a time for which a person accepted another",
}
"""Why a row can be left out although nothing is wrong with it: code → words."""

MOST_VOLUME = 1e12
"""Units in one bar. The busiest days of a penny stock see some 1e10 shares."""

MOST_VOLUME_OF_COINS = 1e16
"""Some coins trade for millionths of a cent."""

_CODES = ("", *REASONS)
_NUMBER = {code: number for number, code in enumerate(_CODES)}


@dataclass(frozen=True, eq=False)
class Checked:
    """An answer, sorted into what is fit to be stored and what is not.

    Attributes:
        good: rows in the columns of the vendor contract, ordered by symbol and time, one for each time.
            ``session`` is never null: minute bars without one got the session whose hours hold them.
        rejected: the other rows, in the same columns plus ``reason`` (a key of :data:`REASONS`), in the same
            order, null symbols and times last. ``session`` is the local date where no session holds the
            time, and null only where the row has no time.
        repeated: how many exact repeats of good or rejected rows were left out.
        left_out: how many rows were normal and not wanted, repeats included: key of :data:`LEFT_OUT` → rows.
    """

    good: pa.Table
    rejected: pa.Table
    repeated: int
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows came in."""
        return len(self.good) + len(self.rejected) + self.repeated + sum(self.left_out.values())


def check(bars: pa.Table, request: BarRequest, *, now: datetime) -> Checked:
    """Sort the rows of an answer.

    Args:
        bars: all pages of the answer to ``request``, one after the other, in the columns of the vendor
            contract, in any order; further columns are ignored.
        request: what was asked; its offer says which calendar and hours hold, how long a bar needs to settle
            and whether minutes outside the hours are normal.
        now: the present by the vendor's clock, timezone-aware UTC. A bar that starts later is rejected; one
            that is not over, or not settled, is left out.

    Raises:
        UpstreamError: columns are missing or cannot be read as the contract's types.
        NotFoundError: the offer's calendar does not exist.
    """
    hours = windows(request.offer.calendar, request.offer.hours, request.since, request.until)
    rows = bar_table(conformed(bars, request.timeframe), request.timeframe, hours)
    reason, left = _judged(rows, request, hours, now)
    left_out: dict[str, int] = {}
    if left.any():
        counts = np.bincount(left, minlength=1 + len(LEFT_OUT))[1:]
        left_out = {name: int(n) for name, n in zip(LEFT_OUT, counts, strict=True) if n}
        kept = left == 0
        rows, reason = rows.taken(kept), reason[kept]
    return _told_apart(rows, reason, left_out)


def conformed(bars: pa.Table, timeframe: Timeframe) -> pa.Table:
    """A page in the contract's columns and types, each column in one piece; further columns are left out.

    Raises:
        UpstreamError: a column is missing or cannot be read as its type.
    """
    wanted = schema(timeframe)
    if bars.schema.equals(wanted):
        return bars.combine_chunks()
    absent = [name for name in wanted.names if name not in bars.column_names]
    if absent:
        raise UpstreamError(f"The vendor's answer has no column {', '.join(absent)}.", code="BAD_ANSWER")
    try:
        return bars.select(wanted.names).cast(wanted).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UpstreamError(
            f"The vendor's answer cannot be read as bars: {error}.", code="BAD_ANSWER"
        ) from error


def rejected_too(checked: Checked, reasons: Mapping[str, np.ndarray]) -> Checked:
    """The same answer with more of its good rows rejected, for what only neighbours can tell.

    Args:
        checked: an answer.
        reasons: key of :data:`REASONS` → mask over the good rows; the first that applies is given.
    """
    code = np.zeros(len(checked.good), dtype=np.uint8)
    for name, faulty in reasons.items():
        code[faulty & (code == 0)] = _NUMBER[name]
    bad = code != 0
    if not bad.any():
        return checked
    more = checked.good.filter(pa.array(bad)).append_column("reason", _words(code[bad]))
    keys = [(name, "ascending") for name in checked.good.column_names[:-5]]
    rejected = pa.concat_tables([checked.rejected, more]).sort_by(keys).combine_chunks()
    good = checked.good.filter(pa.array(~bad)).combine_chunks()
    return Checked(good, rejected, checked.repeated, checked.left_out)


def pardoned(checked: Checked, accepted: pa.Table) -> Checked:
    """The same answer with those rejected rows good that a person accepted before, just as they are.

    Args:
        checked: an answer.
        accepted: bars in the columns of the vendor contract. What else came for their times is given up.
    """
    if not len(accepted) or not len(checked.rejected):
        return checked
    names = checked.good.column_names
    known = {tuple(row[name] for name in names) for row in accepted.to_pylist()}
    times = {row[: len(names) - 5] for row in known}
    rows = [tuple(row[name] for name in names) for row in checked.rejected.to_pylist()]
    fit = np.array([row in known for row in rows], dtype=bool)
    given_up = np.array([row[: len(names) - 5] in times for row in rows], dtype=bool) & ~fit
    if not fit.any() and not given_up.any():
        return checked
    more = checked.rejected.filter(pa.array(fit)).select(names)
    keys = [(name, "ascending") for name in names[:-5]]
    good = pa.concat_tables([checked.good, more]).sort_by(keys).combine_chunks()
    rejected = checked.rejected.filter(pa.array(~(fit | given_up))).combine_chunks()
    left_out = dict(checked.left_out)
    if given_up.any():
        left_out["given_up"] = left_out.get("given_up", 0) + int(given_up.sum())
    return Checked(good, rejected, checked.repeated, left_out)


# ---------------------------------------------------------------- each row for itself


def _judged(
    rows: BarTable, request: BarRequest, hours: Windows, now: datetime
) -> tuple[np.ndarray, np.ndarray]:
    """For each row the number of its reason (0: none), and of why it is left out (0: it is not); uint8."""
    reason = np.zeros(len(rows), dtype=np.uint8)
    left = np.zeros(len(rows), dtype=np.uint8)

    def reject(code: str, faulty: np.ndarray) -> None:
        if faulty.any():
            reason[faulty & (reason == 0) & (left == 0)] = _NUMBER[code]

    asked = set(request.symbols)
    reject("symbol", ~np.array([*(name in asked for name in rows.names), False])[rows.symbols])
    if request.timeframe == "1d":
        reject("wrong_zone", rows.no_session)
    else:
        reject("time", rows.no_time)
    if (rows.place < 0).any():
        nowhere = rows.place < 0
        nowhere[nowhere] = hours.place_of_days(rows.days[nowhere]) < 0
        for code, faulty in _day_faults(rows.days, request, now):
            reject(code, nowhere & faulty)
    begin, end = _begins_and_ends(rows, hours)
    reject("future", begin > _microseconds(now))
    if request.timeframe == "1m":
        reject("not_a_minute", begin % MINUTE != 0)
        if rows.astray.any():
            _judge_hours(rows, reason, left, request, hours, now=_microseconds(now))
    unsettled = end > _microseconds(now - request.offer.settle)
    if unsettled.any():
        left[unsettled & (reason == 0) & (left == 0)] = 2
    for code, faulty in _value_faults(rows, request):
        reject(code, faulty)
    return reason, left


def _day_faults(days: np.ndarray, request: BarRequest, now: datetime) -> list[tuple[str, np.ndarray]]:
    """For each reason that a day without a session can have which days it applies to."""
    first, last = (_day_number(one) for one in request.dates)
    return [
        ("outside_span", (days < first) | (days > last)),
        ("future", days > _day_number(now.date()) + 1),  # nowhere on earth it has begun
        ("before_calendar", days < _day_number(date.fromisoformat(FIRST_SESSION))),
        ("not_a_session", np.ones(len(days), dtype=bool)),
    ]


def _day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - date(1970, 1, 1)).days


def _judge_hours(
    rows: BarTable, reason: np.ndarray, left: np.ndarray, request: BarRequest, hours: Windows, *, now: int
) -> None:
    """Minutes outside their session: in another zone, not wanted, or not fit; changes the two arrays."""
    if not hours.round_the_clock:
        more = request.offer.answers_more or request.offer.hours == "extended"
        zone = shifted(rows, hours, whole_days=more, now=now)
        reason[zone & ((reason == 0) | (reason == _NUMBER["not_a_minute"]))] = _NUMBER["wrong_zone"]
    astray = rows.astray & (reason == 0)
    if request.offer.answers_more:
        left[astray & rows.homeless] = 1
        astray &= ~rows.homeless
    reason[astray] = _NUMBER["outside_hours"]


def _begins_and_ends(rows: BarTable, hours: Windows) -> tuple[np.ndarray, np.ndarray]:
    """When each bar begins and ends, int64 microseconds UTC; daily bars of no session get the past."""
    if rows.timeframe == "1m":
        return rows.times, rows.times + MINUTE
    if not len(hours.days):
        return np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    at, held = np.maximum(rows.place, 0), rows.place >= 0
    return np.where(held, hours.begins[at], 0), np.where(held, hours.ends[at], 0)


def _value_faults(rows: BarTable, request: BarRequest) -> list[tuple[str, np.ndarray]]:
    """For each reason that lies in a bar's own numbers which rows it applies to."""
    opened, high, low, close, volume = rows.values
    most = MOST_VOLUME_OF_COINS if request.offer.calendar == "24/7" else MOST_VOLUME
    with np.errstate(invalid="ignore"):
        top, bottom = np.maximum(opened, close), np.minimum(opened, close)
        total = top + bottom + high + low + volume  # NaN or infinite when any of them is
        return [
            ("not_a_number", ~np.isfinite(total) & ~_finite(rows.values)),
            ("not_positive", (bottom <= 0) | (low <= 0) | (high <= 0)),
            ("order", (high < top) | (low > bottom) | (high < low)),
            ("negative_volume", volume < 0),
            ("impossible_volume", volume > most),
            ("zero_volume", (volume == 0) & (not request.offer.quiet_bars)),
        ]


def _finite(values: tuple[np.ndarray, ...]) -> np.ndarray:
    return np.asarray(np.logical_and.reduce([np.isfinite(one) for one in values]))


def _microseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


# ---------------------------------------------------------------- rows of the same time


def _words(codes: np.ndarray) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(_CODES)).cast(pa.string())


def _no_rejected(timeframe: Timeframe) -> pa.Table:
    return schema(timeframe).append(pa.field("reason", pa.string())).empty_table()


def _told_apart(rows: BarTable, reason: np.ndarray, left_out: Mapping[str, int]) -> Checked:
    """Rows in order, exact repeats counted, different bars of one time rejected."""
    order = rows.order()
    if order is not None:
        rows, reason = rows.taken(order), reason[order]
    repeated, conflict = rows.repeats_and_conflicts()
    count = 0
    if repeated is not None:
        # A good bar beside another of its time is doubtful, whatever is wrong with that other one.
        reason = np.where(conflict & (reason == 0), np.uint8(_NUMBER["conflict"]), reason)
        count = int(repeated.sum())
        if count:
            rows, reason = rows.taken(~repeated), reason[~repeated]
    bad = reason != 0
    table = rows.table()
    if not bad.any():
        return Checked(table, _no_rejected(rows.timeframe), count, left_out)
    rejected = table.filter(pa.array(bad)).combine_chunks().append_column("reason", _words(reason[bad]))
    return Checked(table.filter(compute.invert(pa.array(bad))).combine_chunks(), rejected, count, left_out)

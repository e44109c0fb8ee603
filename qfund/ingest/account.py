"""What became of each row of a vendor that holds a known number of them, such as a file.

Promises: pure; every row is counted once: as stored, rejected, repeated, left out, or as one that was not
read, with why. When rows that were read are in none of these counts it says so, as a fault of qfund's own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from qfund.errors import QfundError
from qfund.ingest.plan import Facts, FetchSpan, dates_of, expected, within
from qfund.ingest.report import Report

UNREAD = {
    "other_symbols": "of symbols that were not asked for",
    "other_dates": "of days that were not asked for",
    "answered": "of sessions that were answered before (--full-refresh reads them again)",
    "not_listed": "of days on which the symbol was not listed",
    "to_do": "still to be read",
}
"""Why a row was not read: code → words. The first that applies, in this order, is given."""


@dataclass(frozen=True)
class Account:
    """The rows of a vendor after an ingest, or before it.

    Attributes:
        rows: all that it holds.
        stored: bars that agree with the store now, whether they were new, changed or the same.
        rejected: rows that were not fit, each in quarantine with its reason.
        repeated: exact repeats of other rows that were read.
        left_out: rows that are normal and not wanted, such as minutes outside the hours that are kept.
        unread: key of :data:`UNREAD` → rows.
        lost: rows that were read and are in no other count; never anything but zero.
    """

    rows: int
    stored: int = 0
    rejected: int = 0
    repeated: int = 0
    left_out: int = 0
    unread: Mapping[str, int] = field(default_factory=dict)
    lost: int = 0

    @property
    def sentence(self) -> str:
        """Such as ``Rows: 12 in all; 8 stored, 1 rejected, 3 of symbols that were not asked for``."""
        counts = [(self.stored, "stored"), (self.rejected, "rejected"), (self.repeated, "repeated exactly")]
        counts += [(self.left_out, "left out"), *((n, UNREAD[why]) for why, n in self.unread.items())]
        told = [f"{n:,} {words}" for n, words in counts if n]
        return f"Rows: {self.rows:,} in all; {', '.join(told)}."

    @property
    def error(self) -> QfundError | None:
        """That rows are lost, which no run may keep to itself; None, unless qfund has a fault."""
        if not self.lost:
            return None
        return QfundError(
            f"{abs(self.lost):,} rows were read and are neither stored nor rejected: a fault of qfund.",
            fix="report it, with the command and the file",
            code="ROWS_LOST",
            details={"rows": self.lost},
        )


def account(census: pa.Table, facts: Facts, report: Report | None = None) -> Account:
    """Account for each row.

    Args:
        census: see ``contract.CountsRows.census``.
        facts: what the run found before it did anything.
        report: what it did; None when it did nothing.
    """
    kept = [] if report is None else [one.step for one in report.kept]
    read, unread = _placed(census, facts, kept)
    rows = sum(census["rows"].to_pylist())
    if report is None:
        return Account(rows, unread=unread)
    total = report.total
    repeated, left_out = sum(one.repeated for one in report.kept), sum(report.left_out.values())
    lost = read - total.stored - total.rejected - repeated - left_out
    return Account(rows, total.stored, total.rejected, repeated, left_out, unread, lost)


def _placed(census: pa.Table, facts: Facts, kept: Sequence[FetchSpan]) -> tuple[int, dict[str, int]]:
    """How many rows came with the steps that were kept, and the others by why they did not."""
    steps: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
    for step in kept:
        dates = dates_of(facts, step)
        for symbol in step.symbols:
            steps[symbol].append(dates)
    asked = defaultdict(list)
    for one in facts.symbols:
        asked[one.symbol].append(one)
    read, unread = 0, Counter[str]()
    days, rows = (census[name].to_numpy() for name in ("day", "rows"))
    days = days.astype("datetime64[D]")
    for symbol, (start, stop) in _runs(census["symbol"]).items():
        day, count = days[start:stop], rows[start:stop]
        done = _in_any(day, steps[symbol])
        read += int(count[done].sum())
        for why, chosen in _whys(day, facts, asked.get(symbol, [])):
            unread[why] += int(count[chosen & ~done].sum())
            done |= chosen
    return read, {why: unread[why] for why in UNREAD if unread[why]}


def _runs(symbols: pa.ChunkedArray) -> dict[str, tuple[int, int]]:
    """Symbol → the half-open run of its rows; a census is sorted by symbol."""
    found: dict[str, tuple[int, int]] = {}
    start = 0
    for one in symbols.combine_chunks().value_counts().to_pylist():
        found[one["values"]] = (start, start + one["counts"])
        start += one["counts"]
    return found


def _whys(days: np.ndarray, facts: Facts, symbols: Sequence[Any]) -> list[tuple[str, np.ndarray]]:
    """For each reason not to read a row which days of one symbol it applies to, the first that does wins."""
    every = np.ones(len(days), dtype=bool)
    if not symbols:
        return [("other_symbols", every)]
    since, until = (np.datetime64(one) for one in facts.asked)
    covered, listed = np.zeros(len(days), dtype=bool), np.zeros(len(days), dtype=bool)
    if facts.sessions:
        sessions = np.array(facts.sessions, dtype="datetime64[D]")
        at = np.maximum(np.searchsorted(sessions, days, "right") - 1, 0)
        for one in symbols:
            covered |= within(facts.sessions, one.covered)[at] & expected(facts, one)[at]
            listed |= expected(facts, one)[at]
    return [
        ("other_dates", (days < since) | (days > until)),
        ("answered", covered & (not facts.refresh)),
        ("not_listed", ~listed),
        ("to_do", every),
    ]


def _in_any(days: np.ndarray, spans: Sequence[tuple[Any, Any]]) -> np.ndarray:
    found = np.zeros(len(days), dtype=bool)
    for first, last in spans:
        found |= (days >= np.datetime64(first)) & (days <= np.datetime64(last))
    return found

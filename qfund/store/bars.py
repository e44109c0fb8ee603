"""Bars in and out: Arrow to Postgres through COPY, Postgres to time × symbol frames.

Promises: bars are stored raw and adjusted when read. A write counts what was new, changed and the same,
keeps the old values of what changed, renews the adjustment factors that come from these bars, and is part of
the caller's transaction. Writers of one series wait for each other.

As of a moment, a read shows what this store could have answered then: bars stored later are left out, bars
changed later show their old values, corporate actions learned later are not applied. For a moment before
the store knew the series at all, that would be nothing; there it shows the sessions that were over by then,
in the oldest values stored, adjusted by the actions that were known.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from qfund.errors import UsageError
from qfund.market.bars import Adjust, Bars

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from qfund.store.database import Store
    from qfund.store.sources import Series

_WITHIN: Mapping[str, int] = {"raw": 0, "split": 1, "all": 2}


@dataclass(frozen=True)
class Written:
    """What a write did, in bars.

    Attributes:
        new: had not been stored.
        changed: had other values, which are kept as a revision.
        same: were stored just so; nothing was written.
        by_instrument: instrument number → the same counts of its bars alone.
    """

    new: int = 0
    changed: int = 0
    same: int = 0
    by_instrument: Mapping[int, Written] = field(default_factory=dict, compare=False, repr=False)

    def __add__(self, other: Written) -> Written:
        """The sum of two writes."""
        return Written(self.new + other.new, self.changed + other.changed, self.same + other.same)


def write_bars(
    conn: Any,
    series: Series,
    table: pa.Table,
    ids: Mapping[str, int],
    *,
    ingest_run_id: int,
    unfinished: Container[date] = (),
) -> Written:
    """Store bars in the caller's transaction; does not commit.

    Args:
        conn: an ADBC connection, see ``Store.transaction``.
        series: which series they belong to.
        table: daily: ``symbol`` (string), ``session`` (date32), ``open high low close volume`` (float64, raw,
            currency of the venue), optionally ``vwap`` (float64) and ``trades`` (int32). Minutes: also ``ts``
            (timestamp[us, UTC]), the *start* of the bar; no ``vwap``, no ``trades``. Any order.
        ids: symbol → instrument number.
        ingest_run_id: the run that brought them.
        unfinished: sessions of minute bars that are not over: their bars stay one row each until
            ``qfund.store.packing.pack``, or until a write in which the session is finished. Give a finished
            session whole, or it is rewritten by each part of it.

    Raises:
        DataQualityError: a missing or impossible value, two different rows for one bar, or a close that is
            not worth more than the dividend that follows it.
        NotFoundError: a symbol that is not in ``ids``.
    """
    from qfund.store import daily, minutes
    from qfund.store.actions import renew_factors
    from qfund.store.arriving import arriving
    from qfund.store.faults import translated

    if table.num_rows == 0:
        return Written()
    rows = arriving(table, ids, series.timeframe)
    with translated(), conn.cursor() as cursor:
        if series.timeframe == "1d":
            new, changed = daily.write(cursor, series, rows, ingest_run_id)
        else:
            new, changed = minutes.write(cursor, series, rows, ingest_run_id, unfinished)
    renew_factors(conn, series, {*new.tolist(), *changed.tolist()}, *rows.span)
    return _counted(rows.ids, new, changed)


def _counted(came: np.ndarray, new: np.ndarray, changed: np.ndarray) -> Written:
    """The counts of a write, from the instruments of the bars that came, were new, and changed."""
    import numpy as np

    ids = np.unique(came)
    total, fresh, other = (
        np.bincount(np.searchsorted(ids, one), minlength=len(ids)) for one in (came, new, changed)
    )
    each = zip(ids.tolist(), fresh.tolist(), other.tolist(), (total - fresh - other).tolist(), strict=True)
    return Written(
        len(new),
        len(changed),
        len(came) - len(new) - len(changed),
        {one: Written(*counts) for one, *counts in each},
    )


def read_bars(
    store: Store,
    symbols: Sequence[str],
    *,
    series: Series,
    since: date,
    until: date,
    adjust: Adjust = "raw",
    as_of: datetime | None = None,
) -> Bars:
    """Stored bars of some symbols, time × symbol, adjusted as asked.

    Args:
        store: where from.
        symbols: columns, in this order; a repeated one counts once. Each means who bore it by ``until``.
        series: which series.
        since: first session, inclusive.
        until: last session, inclusive.
        adjust: ``raw``, ``split`` (prices and volumes carried across splits) or ``all`` (prices across
            dividends too).
        as_of: UTC instant, see the module; None for all that is stored.

    Returns:
        One row for each session (minute bars: bar end) at which any of the symbols has a bar, increasing; NaN
        where a symbol has none. Possibly no row.

    Raises:
        NotFoundError: a symbol is not stored.
        UsageError: the series is already adjusted and raw prices were asked for; ``as_of`` has no time zone.
    """
    from qfund.store import adjustment, reading, securities
    from qfund.store.faults import translated

    if as_of is not None and as_of.tzinfo is None:
        raise UsageError("The moment of an as-of read needs a time zone.", code="AS_OF")
    if _WITHIN[adjust] < _WITHIN[series.basis]:
        raise UsageError(
            f"The bars of {series.vendor} {series.feed} are stored adjusted ('{series.basis}'); "
            f"'{adjust}' prices cannot be had from them.",
            fix=f"--adjust {series.basis}",
            code="BASIS",
        )
    ids = securities.instruments(store, list(dict.fromkeys(symbols)), vendor=series.vendor, by=until)
    with translated():
        block = reading.read(store, series, list(ids.values()), since, until, as_of=as_of)
        kinds = adjustment.kinds(series.basis, adjust)
        if kinds and block.rows:
            adjustment.apply(store, series, block, kinds, as_of)
    return Bars.from_arrays(
        block.index,
        list(ids),
        block.frames(),
        timeframe=series.timeframe,
        adjust=adjust,
        as_of=as_of,
        calendar=block.calendar,
        session_of_row=block.session_of_row,
    )

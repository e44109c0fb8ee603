"""Symbols that a vendor was asked for and never answered: no bar, no empty session, nothing rejected.

Promises: reads only. Nothing else in the store knows of them but the runs that asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from qfund.market.bars import Timeframe
from qfund.store.accounts import holders
from qfund.store.faults import translated
from qfund.store.sources import Series
from qfund.store.symbols import bearers

if TYPE_CHECKING:
    from qfund.store.database import Store


@dataclass(frozen=True)
class Unanswered:
    """A symbol without any answer.

    Attributes:
        symbol: as it was asked for.
        vendor: who was asked, None when nobody was; likewise ``feed`` and ``timeframe``.
        feed: of which feed.
        timeframe: for bars of which length.
        since: the first session that was asked.
        until: the last session that was asked.
    """

    symbol: str
    vendor: str | None = None
    feed: str | None = None
    timeframe: Timeframe | None = None
    since: date | None = None
    until: date | None = None


_ASKED = """
SELECT a.symbol, v.name, a.feed, a.timeframe, a.since, a.until
  FROM (SELECT r.vendor_id, coalesce(r.params->>'feed', '') AS feed,
               split_part(r.dataset, ' ', 2) AS timeframe, x.symbol,
               min((r.params->>'since')::date) AS since, max((r.params->>'until')::date) AS until
          FROM ops.ingest_run r, jsonb_array_elements_text(r.params->'symbols') AS x (symbol)
         WHERE r.dataset IN ('bars 1d', 'bars 1m') AND r.status IN ('partial', 'failed', 'abandoned')
           AND jsonb_typeof(r.params->'symbols') = 'array'
           AND (%(symbols)s::text[] IS NULL OR x.symbol = ANY (%(symbols)s))
         GROUP BY 1, 2, 3, 4) a
  JOIN sec.vendor v USING (vendor_id)
 WHERE (%(vendor)s::text IS NULL OR v.name = %(vendor)s)
   AND (%(timeframe)s::text IS NULL OR a.timeframe = %(timeframe)s)
   AND (%(since)s::date IS NULL OR a.until >= %(since)s) AND (%(until)s::date IS NULL OR a.since <= %(until)s)
 ORDER BY v.name, a.feed, a.timeframe, a.symbol
"""


def unanswered(
    store: Store,
    among: Sequence[Series],
    *,
    vendor: str | None = None,
    timeframe: Timeframe | None = None,
    symbols: Sequence[str] | None = None,
    since: date | None = None,
    until: date | None = None,
) -> list[Unanswered]:
    """Symbols that a run asked for and that have no answer, and those that are named and nobody has.

    Args:
        store: where to look.
        among: the series that count, those of this vendor and timeframe.
        vendor: only this vendor.
        timeframe: only bars of this length.
        symbols: only these; each that no series knows is told, also when no run asked for it.
        since: only runs that asked for a session from here on.
        until: only runs that asked for a session up to here.
    """
    wanted = None if symbols is None else list(symbols)
    values = {"vendor": vendor, "timeframe": timeframe, "symbols": wanted, "since": since, "until": until}
    with translated(), store.sql.connect() as connection:
        asked = [Unanswered(*row) for row in connection.exec_driver_sql(_ASKED, values)]
    names = sorted({one.symbol for one in asked} | set(wanted or ()))
    if not names:
        return []
    known = {
        (one.vendor, one.feed, one.timeframe, name) for one in among for name in _answered(store, one, names)
    }
    found = [one for one in asked if (one.vendor, one.feed, one.timeframe, one.symbol) not in known]
    told = {one.symbol for one in found} | {key[-1] for key in known}
    return found + [Unanswered(name) for name in wanted or () if name not in told]


def _answered(store: Store, series: Series, names: Sequence[str]) -> set[str]:
    """Those of the symbols that the series knows something of, by whatever name."""
    numbers = {one.instrument_id for one in holders(store, series)}
    borne = bearers(store, series.vendor, names)
    return {name for name, some in borne.items() if any(number in numbers for number, _ in some)}

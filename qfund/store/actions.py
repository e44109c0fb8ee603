"""Corporate actions in and out, and the adjustment factors that follow from them.

Promises: what a vendor takes back or corrects is marked withdrawn, never deleted, so that a read as of an
earlier moment still sees it. A dividend's factor comes from the raw close before its ex-date and is made
anew when that close changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from qfund.errors import DataQualityError
from qfund.market.actions import CorporateAction, factors
from qfund.store.faults import translated

if TYPE_CHECKING:
    from qfund.store.database import Store
    from qfund.store.sources import Series

_STAGE = "qfund_actions"
LONGEST_CLOSURE = 15  # days: an older close is the far side of a hole, not the close before an ex-date
_INSTANT = pa.timestamp("us", tz="UTC")

_SAME = (
    "c.vendor_id = {vendor} AND c.withdrawn_at IS NULL AND c.instrument_id = s.instrument_id"
    " AND c.kind = s.kind AND c.ex_date = s.ex_date"
)
_EQUAL = (
    "(c.new_rate, c.old_rate, c.cash_amount, c.currency, c.price_factor) IS NOT DISTINCT FROM"
    " (s.new_rate::numeric, s.old_rate::numeric, s.cash_amount::numeric, s.currency, s.price_factor)"
)


def write_actions(
    conn: Any,
    vendor: str,
    actions: Sequence[CorporateAction],
    ids: Mapping[str, int],
    series: Series,
) -> int:
    """Store a vendor's actions and renew the adjustment factors of the instruments; does not commit.

    What comes for an instrument, a kind and an ex-date is the whole truth about them: stored actions there
    that did not come again are withdrawn. Other dates are left alone, since a download may cover a part.

    Args:
        conn: an ADBC connection, see ``Store.transaction``.
        vendor: whose actions; known to the store.
        actions: what came.
        ids: symbol → instrument number; the factors of all of them are looked at, also without new actions.
        series: where the closes for dividend factors are; other raw series of the vendor serve where it has
            none.

    Returns:
        How many actions were new.

    Raises:
        DataQualityError: a dividend as large as the price before it.
    """
    with translated(), conn.cursor() as cursor:
        cursor.execute("SELECT vendor_id, clock_timestamp() FROM sec.vendor WHERE name = $1", (vendor,))
        vendor_id, moment = cursor.fetchone()
        cursor.execute(f"SELECT pg_advisory_xact_lock({vendor_id}, 2) IS NULL")
        cursor.fetchall()
        new = _store(cursor, int(vendor_id), actions, ids, moment) if actions else 0
        if ids:
            _refresh(cursor, int(vendor_id), sorted(set(ids.values())), series, moment)
        return new


def _store(
    cursor: Any,
    vendor_id: int,
    actions: Sequence[CorporateAction],
    ids: Mapping[str, int],
    moment: datetime,
) -> int:
    cursor.adbc_ingest(_STAGE, _table(actions, ids, moment), mode="create", temporary=True)
    same, at = _SAME.format(vendor=vendor_id), moment.isoformat()
    gone = (
        "SELECT c.ca_id FROM sec.corporate_action c"  # noqa: S608 - our own names and numbers
        f" WHERE EXISTS (SELECT 1 FROM pg_temp.{_STAGE} s WHERE {same})"
        f" AND NOT EXISTS (SELECT 1 FROM pg_temp.{_STAGE} s WHERE {same} AND {_EQUAL})"
    )
    cursor.execute(
        f"WITH gone AS ({gone}), dropped AS (UPDATE sec.corporate_action SET withdrawn_at = '{at}'"  # noqa: S608
        " WHERE ca_id IN (SELECT ca_id FROM gone))"
        f" UPDATE sec.adjustment SET withdrawn_at = '{at}'"
        " WHERE withdrawn_at IS NULL AND ca_id IN (SELECT ca_id FROM gone)"
    )
    cursor.execute(
        "WITH added AS (INSERT INTO sec.corporate_action"  # noqa: S608 - our own names and numbers
        " (vendor_id, instrument_id, kind, ex_date, new_rate, old_rate, cash_amount, currency, price_factor,"
        " vendor_ref, known_at)"
        " SELECT DISTINCT ON (s.instrument_id, s.kind, s.ex_date, s.new_rate, s.old_rate, s.cash_amount)"
        f" {vendor_id}, s.instrument_id, s.kind, s.ex_date, s.new_rate::numeric, s.old_rate::numeric,"
        f" s.cash_amount::numeric, s.currency, s.price_factor, s.vendor_ref, s.known_at"
        f" FROM pg_temp.{_STAGE} s"
        f" WHERE NOT EXISTS (SELECT 1 FROM sec.corporate_action c WHERE {same} AND {_EQUAL})"
        " RETURNING 1) SELECT count(*) FROM added"
    )
    (new,) = cursor.fetchone()
    cursor.execute(f"DROP TABLE pg_temp.{_STAGE}")
    return int(new)


def _table(actions: Sequence[CorporateAction], ids: Mapping[str, int], moment: datetime) -> pa.Table:
    """The actions as Arrow; exact numbers travel as text."""

    def text(name: str) -> pa.Array:
        values = [getattr(action, name) for action in actions]
        return pa.array([None if value is None else str(value) for value in values], pa.string())

    return pa.table(
        {
            "instrument_id": pa.array([ids[action.symbol] for action in actions], pa.int32()),
            "kind": text("kind"),
            "ex_date": pa.array([action.ex_date for action in actions], pa.date32()),
            "new_rate": text("new_rate"),
            "old_rate": text("old_rate"),
            "cash_amount": text("cash_amount"),
            "currency": text("currency"),
            "price_factor": pa.array([action.price_factor for action in actions], pa.float64()),
            "vendor_ref": text("vendor_ref"),
            "known_at": pa.array([action.known_at or moment for action in actions], _INSTANT),
        }
    )


# ---------------------------------------------------------------- factors


@dataclass(frozen=True)
class _Standing:
    """An action that stands, the close before it, and the factors stored for it."""

    ca_id: int
    instrument_id: int
    action: CorporateAction
    previous_close: float | None
    stored: tuple[float, float] | None


_STANDING = """
SELECT c.ca_id, c.instrument_id, c.kind, c.ex_date, c.new_rate::text, c.old_rate::text, c.cash_amount::text,
       c.currency, c.price_factor, c.known_at, p.close, a.price_factor, a.volume_factor
  FROM sec.corporate_action c
  LEFT JOIN sec.adjustment a ON a.ca_id = c.ca_id AND a.withdrawn_at IS NULL
  LEFT JOIN LATERAL (
         SELECT x.close
           FROM (SELECT s.source_id FROM sec.source s WHERE s.vendor_id = c.vendor_id AND s.basis = 'raw'
                    AND s.price_kind = 'trade') s
          CROSS JOIN LATERAL (
                 (SELECT b.session, b.close, 0 AS packed FROM sec.bar_1d b
                   WHERE b.instrument_id = c.instrument_id AND b.source_id = s.source_id
                     AND b.session < c.ex_date AND b.session >= c.ex_date - {longest_closure}
                   ORDER BY b.session DESC LIMIT 1)
                 UNION ALL
                 (SELECT d.session, coalesce(d.close[cardinality(d.close)],
                         d.close_ticks[cardinality(d.close_ticks)] / power(10::float8, d.decimals)), 1
                    FROM sec.bar_1m_day d
                   WHERE d.instrument_id = c.instrument_id AND d.source_id = s.source_id
                     AND d.session < c.ex_date AND d.session >= c.ex_date - {longest_closure}
                   ORDER BY d.session DESC LIMIT 1)) x
          WHERE c.kind = 'dividend'
          ORDER BY x.packed, x.session DESC, s.source_id <> {source} LIMIT 1) p ON true
 WHERE c.vendor_id = {vendor} AND c.withdrawn_at IS NULL AND c.instrument_id = ANY ('{{{ids}}}'::integer[])
"""


def _refresh(cursor: Any, vendor_id: int, ids: list[int], series: Series, moment: datetime) -> None:
    """Make the factors that are missing, and replace those whose close was restated."""
    found = _standing(cursor, vendor_id, ids, series)
    replaced, rows = [], []
    for one in found:
        formula = one.action.kind == "dividend" and one.action.price_factor is None
        if formula and one.previous_close is None:
            continue  # nothing before it is stored that it could carry
        try:
            fresh = factors(one.action, one.previous_close)
        except ValueError as error:
            raise DataQualityError(str(error), code="ACTION_MISFIT") from error
        if one.stored == (fresh.price, fresh.volume):
            continue
        if one.stored is not None:
            replaced.append(one.ca_id)
        known = one.action.known_at if one.stored is None else moment
        rows.append((one.instrument_id, one.action.ex_date, one.action.kind, fresh, known, one.ca_id))
    if replaced:
        listed = ",".join(map(str, replaced))
        cursor.execute(
            f"UPDATE sec.adjustment SET withdrawn_at = '{moment.isoformat()}'"  # noqa: S608 - numbers only
            f" WHERE withdrawn_at IS NULL AND ca_id = ANY ('{{{listed}}}'::bigint[])"
        )
    if rows:
        cursor.adbc_ingest("adjustment", _factor_table(rows, vendor_id), mode="append", db_schema_name="sec")


def _standing(cursor: Any, vendor_id: int, ids: list[int], series: Series) -> list[_Standing]:
    listed = ",".join(map(str, ids))
    cursor.execute(
        _STANDING.format(
            source=series.source_id, vendor=vendor_id, ids=listed, longest_closure=LONGEST_CLOSURE
        )
    )
    return [
        _Standing(
            ca_id=row[0],
            instrument_id=row[1],
            action=_action(str(row[1]), row[2:10]),
            previous_close=row[10],
            stored=None if row[11] is None else (row[11], row[12]),
        )
        for row in cursor.fetchall()
    ]


def _factor_table(rows: list[tuple[Any, ...]], vendor_id: int) -> pa.Table:
    return pa.table(
        {
            "instrument_id": pa.array([row[0] for row in rows], pa.int32()),
            "vendor_id": pa.array([vendor_id] * len(rows), pa.int16()),
            "ex_date": pa.array([row[1] for row in rows], pa.date32()),
            "kind": pa.array([row[2] for row in rows], pa.string()),
            "price_factor": pa.array([row[3].price for row in rows], pa.float64()),
            "volume_factor": pa.array([row[3].volume for row in rows], pa.float64()),
            "known_at": pa.array([row[4] for row in rows], _INSTANT),
            "ca_id": pa.array([row[5] for row in rows], pa.int64()),
        }
    )


def _action(symbol: str, row: Sequence[Any], vendor_ref: str = "") -> CorporateAction:
    """From kind, ex_date, new_rate, old_rate, cash_amount (as text), currency, price_factor, known_at."""

    def exact(value: str | None) -> Decimal | None:
        return None if value is None else Decimal(value)

    return CorporateAction(
        symbol=symbol,
        kind=row[0],
        ex_date=row[1],
        new_rate=exact(row[2]),
        old_rate=exact(row[3]),
        cash_amount=exact(row[4]),
        currency=row[5],
        price_factor=row[6],
        vendor_ref=vendor_ref,
        known_at=row[7].astimezone(UTC),
    )


# ---------------------------------------------------------------- reading


def read_actions(
    store: Store,
    symbols: Sequence[str],
    *,
    since: date,
    until: date,
    as_of: datetime | None = None,
    vendor: str | None = None,
) -> list[CorporateAction]:
    """The actions with ex-dates in ``[since, until]``, by ex-date, then symbol, then kind.

    Args:
        store: where from.
        symbols: whose.
        since: first ex-date.
        until: last ex-date.
        as_of: timezone-aware moment: only what was known and not withdrawn then; None for what stands now.
            See ``bars`` for moments before the store knew the vendor.
        vendor: whose symbols and actions; None: of the vendor that was stored first.

    Raises:
        NotFoundError: a symbol is not stored.
    """
    from qfund.store.securities import instruments

    names = {number: symbol for symbol, number in instruments(store, symbols, vendor=vendor).items()}
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT c.instrument_id, c.vendor_ref, c.kind, c.ex_date, c.new_rate::text, c.old_rate::text,"
            "       c.cash_amount::text, c.currency, c.price_factor, c.known_at"
            "  FROM sec.corporate_action c JOIN sec.vendor v USING (vendor_id)"
            " WHERE c.instrument_id = ANY (%(ids)s) AND c.ex_date BETWEEN %(since)s AND %(until)s"
            "   AND (%(at)s::timestamptz IS NULL OR (c.known_at <= %(at)s"
            "        AND (c.stored_at <= %(at)s OR v.created_at > %(at)s)))"
            "   AND (c.withdrawn_at IS NULL OR c.withdrawn_at > %(at)s)",
            {"ids": list(names), "since": since, "until": until, "at": as_of},
        ).all()
    found = [_action(names[row[0]], row[2:], row[1]) for row in rows]
    return sorted(found, key=lambda one: (one.ex_date, one.symbol, one.kind))

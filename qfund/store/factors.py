"""Adjustment factors of stored corporate actions: made, made anew, and why some cannot be made.

Promises: a factor is the formula of ``qfund.market.actions.factors`` on raw closes of the vendor's own
series; when a close is restated the factor is replaced, and a read as of before still sees the old one. A
factor is never guessed: without its closes there is none, and `unapplied` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from qfund.errors import DataQualityError
from qfund.market.actions import PRICED, CorporateAction, Factors, factors
from qfund.store.faults import translated
from qfund.store.symbols import refused_renames

if TYPE_CHECKING:
    from qfund.store.database import Store
    from qfund.store.sources import Series

LONGEST_CLOSURE = 15  # days: a close further away is the far side of a hole, not the one next to an ex-date
INSTANT = pa.timestamp("us", tz="UTC")
ALL_DATES = (date.min, date.max)


@dataclass(frozen=True)
class Unapplied:
    """A stored action that should change prices or symbols, and does not.

    Attributes:
        action: what it is.
        reason: why it is not applied, as the end of a sentence.
        fix: the command that brings what is missing; None where there is none.
    """

    action: CorporateAction
    reason: str
    fix: str | None = None

    @property
    def sentence(self) -> str:
        """The whole of it, for people."""
        one = self.action
        what = {
            "spinoff": f"spin-off of {one.other_symbol} from {one.symbol}",
            "name_change": f"change of name from {one.symbol} to {one.other_symbol}",
        }.get(one.kind, f"{one.kind} of {one.symbol}")
        return f"The {what} on {one.ex_date} is not applied: {self.reason}."


@dataclass(frozen=True)
class _Standing:
    """An action that stands, the closes around it, and the factors stored for it."""

    ca_id: int
    instrument_id: int
    action: CorporateAction
    previous: float | None
    received: float | None
    received_on: date | None
    stored: tuple[float, float] | None
    matters: bool  # bars before it are stored; only looked up on demand

    def fresh(self) -> Factors | None:
        """Its factors, or None when a close is missing.

        Raises:
            ValueError: the closes are there and what is handed out is worth as much as the price.
        """
        by_formula = self.action.kind != "split" and self.action.price_factor is None
        missing = self.previous is None or (self.action.kind == "spinoff" and self.received is None)
        if by_formula and missing:
            return None
        return factors(self.action, self.previous, self.received)

    @property
    def known_at(self) -> datetime:
        """When its factor could be known: what is received has to have closed once."""
        said = self.action.known_at or datetime.max.replace(tzinfo=UTC)
        if self.received_on is None or self.action.price_factor is not None:
            return said
        return max(said, datetime.combine(self.received_on + timedelta(days=1), time.min, UTC))


# The nearest close before, or from a day on, in any raw series of trades of the vendor: of one session daily
# bars before minutes, regular hours before extended ones, the given series before others. Minutes that are
# not packed yet count like all others.
_CLOSES = """
  SELECT x.session, x.close
    FROM (SELECT s.source_id, s.hours FROM sec.source s WHERE s.vendor_id = c.vendor_id AND s.basis = 'raw'
             AND s.price_kind = 'trade') s
   CROSS JOIN LATERAL (
          (SELECT b.session, b.close, 0 AS minutes FROM sec.bar_1d b
            WHERE b.instrument_id = {whose} AND b.source_id = s.source_id AND b.session {within}
            ORDER BY b.session {order} LIMIT 1)
          UNION ALL
          (SELECT d.session, coalesce(d.close[cardinality(d.close)],
                  d.close_ticks[cardinality(d.close_ticks)] / power(10::float8, d.decimals)), 1
             FROM sec.bar_1m_day d
            WHERE d.instrument_id = {whose} AND d.source_id = s.source_id AND d.session {within}
            ORDER BY d.session {order} LIMIT 1)
          UNION ALL
          (SELECT h.session, h.close, 1 FROM sec.bar_1m_hot h
            WHERE h.instrument_id = {whose} AND h.source_id = s.source_id AND h.session {within}
            ORDER BY h.session {order}, h.ts DESC LIMIT 1)) x
   WHERE {when}
   ORDER BY x.session {order}, x.minutes, s.hours = 'extended', s.source_id <> {{source}} LIMIT 1
"""
_BEFORE = _CLOSES.format(
    whose="c.instrument_id",
    within=f"BETWEEN c.ex_date - {LONGEST_CLOSURE} AND c.ex_date - 1",
    order="DESC",
    when="c.kind IN ('dividend', 'spinoff')",
)
_RECEIVED = _CLOSES.format(
    whose="y.instrument_id",
    within=f"BETWEEN c.ex_date AND c.ex_date + {LONGEST_CLOSURE}",
    order="ASC",
    when="c.kind = 'spinoff'",
)
_MATTERS = """
       EXISTS (SELECT 1 FROM sec.source s
                WHERE s.vendor_id = c.vendor_id AND (
                      EXISTS (SELECT 1 FROM sec.bar_1d b WHERE b.instrument_id = c.instrument_id
                                 AND b.source_id = s.source_id AND b.session < c.ex_date)
                   OR EXISTS (SELECT 1 FROM sec.bar_1m_day d WHERE d.instrument_id = c.instrument_id
                                 AND d.source_id = s.source_id AND d.session < c.ex_date)
                   OR EXISTS (SELECT 1 FROM sec.bar_1m_hot h WHERE h.instrument_id = c.instrument_id
                                 AND h.source_id = s.source_id AND h.session < c.ex_date)))
"""
_COLUMNS = """c.kind, c.ex_date, c.new_rate::text, c.old_rate::text, c.cash_amount::text, c.currency,
       c.price_factor, c.other_symbol, c.payload::text, c.vendor_ref, c.known_at"""
_STANDING = (
    f"""
SELECT c.ca_id, c.instrument_id, p.close, q.close, q.session, a.price_factor, a.volume_factor, {{matters}},
       coalesce(c.symbol, c.instrument_id::text), {_COLUMNS}
  FROM sec.corporate_action c
  LEFT JOIN sec.adjustment a ON a.ca_id = c.ca_id AND a.withdrawn_at IS NULL
  LEFT JOIN LATERAL ({_BEFORE}) p ON true
  LEFT JOIN LATERAL (SELECT y.instrument_id FROM sec.instrument_symbol y
                      WHERE c.kind = 'spinoff' AND y.vendor_id = c.vendor_id AND y.symbol = c.other_symbol
                        AND y.valid && daterange(c.ex_date, c.ex_date + {LONGEST_CLOSURE}, '[]')
                      ORDER BY y.valid @> c.ex_date DESC, lower(y.valid) NULLS FIRST LIMIT 1) y ON true
  LEFT JOIN LATERAL ({_RECEIVED}) q ON true
 WHERE c.vendor_id = {{vendor}} AND c.withdrawn_at IS NULL AND c.kind = ANY ('{{{{{{kinds}}}}}}'::text[])
   AND c.ex_date BETWEEN '{{first}}' AND '{{last}}'
   AND (c.instrument_id = ANY ('{{{{{{ids}}}}}}'::integer[])
"""  # noqa: S608 - our own names
    """        OR (c.kind = 'spinoff' AND c.other_symbol IN (
              SELECT z.symbol FROM sec.instrument_symbol z
               WHERE z.vendor_id = c.vendor_id AND z.instrument_id = ANY ('{{{ids}}}'::integer[]))))
 ORDER BY c.ex_date, c.ca_id
"""
)


def refresh(
    cursor: Any,
    vendor_id: int,
    ids: Sequence[int],
    series: Series,
    moment: datetime,
    *,
    span: tuple[date, date] = ALL_DATES,
) -> None:
    """Make the factors that are missing, and replace those whose closes were restated; does not commit.

    The factors of spin-offs in which one of the instruments was received are looked at, too.

    Args:
        cursor: of an ADBC connection.
        vendor_id: whose actions.
        ids: instruments.
        series: where closes are looked for first.
        moment: the present, of the database's clock.
        span: first and last ex-date that are looked at.

    Raises:
        DataQualityError: a dividend as large as the price before it.
    """
    replaced, rows = [], []
    for one in _standing(cursor, vendor_id, ids, source_id=series.source_id, span=span):
        try:
            fresh = one.fresh()
        except ValueError as error:
            if one.action.kind != "spinoff":
                raise DataQualityError(str(error), code="ACTION_MISFIT") from error
            fresh = None
        if one.stored == (None if fresh is None else (fresh.price, fresh.volume)):
            continue
        if one.stored is not None:
            replaced.append(one.ca_id)
        if fresh is not None:
            rows.append((one, fresh, one.known_at if one.stored is None else moment))
    if replaced:
        listed = ",".join(map(str, replaced))
        cursor.execute(
            f"UPDATE sec.adjustment SET withdrawn_at = '{moment.isoformat()}'"  # noqa: S608 - numbers only
            f" WHERE withdrawn_at IS NULL AND ca_id = ANY ('{{{listed}}}'::bigint[])"
        )
    if rows:
        cursor.adbc_ingest("adjustment", _table(rows, vendor_id, moment), mode="append", db_schema_name="sec")


def _standing(
    cursor: Any,
    vendor_id: int,
    ids: Sequence[int],
    *,
    source_id: int = 0,
    span: tuple[date, date] = ALL_DATES,
    kinds: Sequence[str] = PRICED,
    matters: str = "true",
) -> list[_Standing]:
    cursor.execute(
        _STANDING.format(
            source=source_id,
            vendor=vendor_id,
            ids=",".join(map(str, ids)),
            kinds=",".join(kinds),
            first=span[0],
            last=span[1],
            matters=matters,
        )
    )
    return [
        _Standing(
            ca_id=row[0],
            instrument_id=row[1],
            action=action_of(row[8], row[9:]),
            previous=row[2],
            received=row[3],
            received_on=row[4],
            stored=None if row[5] is None else (row[5], row[6]),
            matters=row[7],
        )
        for row in cursor.fetchall()
    ]


def _table(rows: list[tuple[_Standing, Factors, datetime]], vendor_id: int, moment: datetime) -> pa.Table:
    count = len(rows)
    return pa.table(
        {
            "instrument_id": pa.array([one.instrument_id for one, _, _ in rows], pa.int32()),
            "vendor_id": pa.array([vendor_id] * count, pa.int16()),
            "ex_date": pa.array([one.action.ex_date for one, _, _ in rows], pa.date32()),
            "kind": pa.array([one.action.kind for one, _, _ in rows], pa.string()),
            "price_factor": pa.array([fresh.price for _, fresh, _ in rows], pa.float64()),
            "volume_factor": pa.array([fresh.volume for _, fresh, _ in rows], pa.float64()),
            "known_at": pa.array([known for _, _, known in rows], INSTANT),
            "stored_at": pa.array([moment] * count, INSTANT),
            "ca_id": pa.array([one.ca_id for one, _, _ in rows], pa.int64()),
        }
    )


def action_of(symbol: str, row: Sequence[Any]) -> CorporateAction:
    """From kind, ex_date, new_rate, old_rate, cash_amount (numbers as text), currency, price_factor,
    other_symbol, payload, vendor_ref, known_at.
    """  # noqa: D205 - one list

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
        other_symbol=row[7],
        payload=row[8],
        vendor_ref=row[9],
        known_at=row[10].astimezone(UTC),
    )


# ---------------------------------------------------------------- what is not applied


def unapplied(
    store: Store, vendor: str, instruments: Sequence[int] | None = None, *, today: date
) -> list[Unapplied]:
    """The vendor's actions that change prices or symbols and could not be applied, by ex-date.

    Left out are those that lie ahead, and those before which no bar is stored that they could change.

    Args:
        store: where to look.
        vendor: whose actions.
        instruments: only of these; None for all.
        today: actions with later ex-dates lie ahead.
    """
    with translated(), store.dbapi() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT vendor_id FROM sec.vendor WHERE name = $1", (vendor,))
        found = cursor.fetchone()
        if found is None:
            return []
        vendor_id = int(found[0])
        ids = instruments if instruments is not None else _all_with_actions(cursor, vendor_id)
        kinds = (*PRICED, "name_change")
        standing = _standing(cursor, vendor_id, ids, kinds=kinds, matters=_MATTERS)
        refused = refused_renames(cursor, vendor_id, ids)
    told = []
    for one in standing:
        due = one.action.ex_date <= today and one.stored is None
        if one.action.kind == "name_change":
            if one.instrument_id in refused:
                told.append(
                    Unapplied(one.action, "another instrument bore one of these symbols on those days")
                )
        elif due and one.matters and (why := _why(one)):
            told.append(Unapplied(one.action, why, _mending(one, vendor)))
    return told


def _all_with_actions(cursor: Any, vendor_id: int) -> list[int]:
    cursor.execute(
        f"SELECT DISTINCT instrument_id FROM sec.corporate_action WHERE vendor_id = {vendor_id}"  # noqa: S608
    )
    return [row[0] for row in cursor.fetchall()]


def _why(one: _Standing) -> str | None:
    """What is missing; None when the next ingest of the symbol will make the factor."""
    action = one.action
    if one.previous is None:
        return f"no close of {action.symbol} in the {LONGEST_CLOSURE} days before is stored"
    if action.kind == "spinoff" and one.received is None:
        return f"no close of {action.other_symbol} in the {LONGEST_CLOSURE} days from then on is stored"
    try:
        one.fresh()
    except ValueError as error:
        return str(error).partition(": ")[2]
    return None


def _mending(one: _Standing, vendor: str) -> str:
    action = one.action
    whose, since = (
        (action.symbol, action.ex_date - timedelta(days=LONGEST_CLOSURE))
        if one.previous is None
        else (action.other_symbol, action.ex_date)
    )
    return f"qfund ingest --vendor {vendor} --symbols {whose} --since {since}"

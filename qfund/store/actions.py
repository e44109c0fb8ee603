"""Corporate actions in and out, of every kind.

Promises: what a vendor takes back or corrects is marked withdrawn, never deleted, so that a read as of an
earlier moment still sees it. Every kind is stored as the vendor told it; splits, dividends and spin-offs get
adjustment factors (see ``qfund.store.factors``), changes of name date the symbols (``qfund.store.symbols``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from qfund.market.actions import ActionKind, CorporateAction, Factors
from qfund.store.factors import INSTANT, LONGEST_CLOSURE, Unapplied, action_of, refresh, unapplied
from qfund.store.faults import translated
from qfund.store.symbols import apply_renames, literal

if TYPE_CHECKING:
    from qfund.store.database import Store
    from qfund.store.sources import Series

__all__ = [
    "LONGEST_CLOSURE",
    "Applied",
    "Unapplied",
    "read_actions",
    "read_applied",
    "read_known",
    "renew_factors",
    "unapplied",
    "write_actions",
]

_STAGE = "qfund_actions"

_SAME = (
    "c.vendor_id = {vendor} AND c.withdrawn_at IS NULL AND c.instrument_id = s.instrument_id"
    " AND c.kind = s.kind AND c.ex_date = s.ex_date"
)
_EQUAL = (
    "(c.new_rate, c.old_rate, c.cash_amount, c.currency, c.price_factor, c.other_symbol) IS NOT DISTINCT FROM"
    " (s.new_rate::numeric, s.old_rate::numeric, s.cash_amount::numeric, s.currency, s.price_factor,"
    " s.other_symbol)"
)


def write_actions(
    conn: Any,
    vendor: str,
    actions: Sequence[CorporateAction],
    ids: Mapping[str, int],
    series: Series,
    *,
    whole: tuple[date, date] | None = None,
) -> int:
    """Store a vendor's actions and renew the adjustment factors of the instruments; does not commit.

    What comes for an instrument, a kind and an ex-date is the whole truth about them, and so is what comes
    under a vendor's reference: what was stored there and did not come again is withdrawn. Other dates are
    left alone unless ``whole`` covers them, since a download may be a part.

    An action's symbol is looked for among ``ids``, then among the symbols the vendor used on that day (a
    change of name also under its new symbol); an action of a symbol that is not known at all is left out, as
    the vendor tells it again when that symbol is asked for.

    Args:
        conn: an ADBC connection, see ``Store.transaction``.
        vendor: whose actions; known to the store.
        actions: what came, of every kind.
        ids: symbol → instrument number; the factors of all of them are looked at, also without new actions.
        series: where the closes for factors are; other raw series of the vendor serve where it has none.
        whole: first and last ex-date between which ``actions`` is all there is for all of ``ids``: what is
            missing there was taken back.

    Returns:
        How many actions were new.

    Raises:
        DataQualityError: a dividend as large as the price before it.
    """
    with translated(), conn.cursor() as cursor:
        vendor_id, moment = _begin(cursor, vendor)
        known = [
            (action, instrument)
            for action, instrument in zip(actions, _bearers(cursor, vendor_id, actions, ids), strict=True)
            if instrument is not None
        ]
        covered = _covered(ids, whole)
        new = _store(cursor, vendor_id, known, moment, covered) if known or covered else 0
        touched = sorted({*ids.values(), *(instrument for _, instrument in known)})
        if touched:
            apply_renames(cursor, vendor_id, touched)
            refresh(cursor, vendor_id, touched, series, moment)
        return new


def renew_factors(conn: Any, series: Series, ids: Collection[int], since: date, until: date) -> None:
    """Renew the adjustment factors that bars of these sessions decide; does not commit.

    Those of the instruments' own actions, which need a close before them, and those of the spin-offs in which
    one of them was received, whoever paid it.

    Args:
        conn: an ADBC connection, in the transaction that stored the bars.
        series: of the bars.
        ids: whose bars they are.
        since: first session.
        until: last session.

    Raises:
        DataQualityError: a dividend as large as the price before it.
    """
    if not ids:
        return
    reach = timedelta(days=LONGEST_CLOSURE)
    with translated(), conn.cursor() as cursor:
        vendor_id, moment = _begin(cursor, series.vendor)
        refresh(cursor, vendor_id, sorted(ids), series, moment, span=(since - reach, until + reach))


def _begin(cursor: Any, vendor: str) -> tuple[int, datetime]:
    """The vendor's number and the database's time, once no other writer of its actions is left."""
    cursor.execute("SELECT vendor_id, clock_timestamp() FROM sec.vendor WHERE name = $1", (vendor,))
    number, moment = cursor.fetchone()
    cursor.execute(f"SELECT pg_advisory_xact_lock({int(number)}, 2) IS NULL")
    cursor.fetchall()
    return int(number), moment


def _bearers(
    cursor: Any, vendor_id: int, actions: Sequence[CorporateAction], ids: Mapping[str, int]
) -> list[int | None]:
    """The instrument of each action, None where its symbol is not known."""
    strange = sorted({one.symbol for one in actions if one.symbol not in ids})
    rows = []
    if strange:
        cursor.execute(
            "SELECT symbol, instrument_id, lower(valid), upper(valid) FROM sec.instrument_symbol"  # noqa: S608
            f" WHERE vendor_id = {vendor_id} AND symbol IN ({', '.join(map(literal, strange))})"
        )
        rows = cursor.fetchall()

    def bearer(one: CorporateAction) -> int | None:
        if one.symbol in ids:
            return ids[one.symbol]
        if one.kind == "name_change" and one.other_symbol is not None and one.other_symbol in ids:
            return ids[one.other_symbol]
        on_the_day = (
            instrument
            for symbol, instrument, since, until in rows
            if symbol == one.symbol
            and (since is None or since <= one.ex_date)
            and (until is None or until >= one.ex_date)  # also a symbol whose last day was the one before
        )
        return next(on_the_day, None)

    return [bearer(one) for one in actions]


def _covered(ids: Mapping[str, int], whole: tuple[date, date] | None) -> str | None:
    """The condition on a stored action that the download would have told it again; None: no such promise."""
    if whole is None or not ids:
        return None
    listed = ",".join(map(str, sorted(set(ids.values()))))
    return (
        f"c.ex_date BETWEEN '{whole[0]}' AND '{whole[1]}'"
        f" AND c.instrument_id = ANY ('{{{listed}}}'::integer[])"
    )


def _store(
    cursor: Any,
    vendor_id: int,
    known: Sequence[tuple[CorporateAction, int]],
    moment: datetime,
    covered: str | None,
) -> int:
    cursor.adbc_ingest(_STAGE, _table(known, moment), mode="create", temporary=True)
    same, at = _SAME.format(vendor=vendor_id), moment.isoformat()
    touched = [
        f"EXISTS (SELECT 1 FROM pg_temp.{_STAGE} s WHERE {same})",  # noqa: S608 - our own names and numbers
        f"c.vendor_ref IN (SELECT s.vendor_ref FROM pg_temp.{_STAGE} s WHERE s.vendor_ref <> '')",  # noqa: S608
    ]
    if covered is not None:
        touched.append(covered)
    gone = (
        "SELECT c.ca_id FROM sec.corporate_action c"  # noqa: S608
        f" WHERE c.vendor_id = {vendor_id} AND c.withdrawn_at IS NULL AND ({' OR '.join(touched)})"
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
        " (vendor_id, instrument_id, symbol, kind, ex_date, new_rate, old_rate, cash_amount, currency,"
        " price_factor, other_symbol, payload, vendor_ref, known_at)"
        " SELECT DISTINCT ON (s.instrument_id, s.kind, s.ex_date, s.new_rate, s.old_rate, s.cash_amount,"
        " s.other_symbol)"
        f" {vendor_id}, s.instrument_id, s.symbol, s.kind, s.ex_date, s.new_rate::numeric,"
        " s.old_rate::numeric, s.cash_amount::numeric, s.currency, s.price_factor, s.other_symbol,"
        " s.payload::json, s.vendor_ref, s.known_at"
        f" FROM pg_temp.{_STAGE} s"
        f" WHERE NOT EXISTS (SELECT 1 FROM sec.corporate_action c WHERE {same} AND {_EQUAL})"
        " RETURNING 1) SELECT count(*) FROM added"
    )
    (new,) = cursor.fetchone()
    cursor.execute(f"DROP TABLE pg_temp.{_STAGE}")
    return int(new)


def _table(known: Sequence[tuple[CorporateAction, int]], moment: datetime) -> pa.Table:
    """The actions as Arrow; exact numbers travel as text."""
    actions = [action for action, _ in known]

    def text(name: str) -> pa.Array:
        values = [getattr(action, name) for action in actions]
        return pa.array([None if value is None else str(value) for value in values], pa.string())

    names = ("kind", "new_rate", "old_rate", "cash_amount", "currency", "other_symbol", "payload")
    return pa.table(
        {
            "instrument_id": pa.array([instrument for _, instrument in known], pa.int32()),
            "ex_date": pa.array([action.ex_date for action in actions], pa.date32()),
            "price_factor": pa.array([action.price_factor for action in actions], pa.float64()),
            "symbol": pa.array([action.former_symbol or action.symbol for action in actions], pa.string()),
            "vendor_ref": text("vendor_ref"),
            "known_at": pa.array([action.known_at or moment for action in actions], INSTANT),
            **{name: text(name) for name in names},
        }
    )


# ---------------------------------------------------------------- reading


@dataclass(frozen=True)
class Applied:
    """A stored action and what it does to prices.

    Attributes:
        action: what happened.
        instrument_id: to which instrument.
        vendor: who says so.
        factors: its adjustment factors; None when it changes no price, or cannot be applied.
    """

    action: CorporateAction
    instrument_id: int
    vendor: str
    factors: Factors | None


_READ = """
SELECT c.instrument_id, v.name, a.price_factor, a.volume_factor, coalesce(c.symbol, y.symbol),
       c.kind, c.ex_date, c.new_rate::text, c.old_rate::text, c.cash_amount::text, c.currency, c.price_factor,
       c.other_symbol, c.payload::text, c.vendor_ref, c.known_at
  FROM sec.corporate_action c
  JOIN sec.vendor v USING (vendor_id)
  LEFT JOIN LATERAL (
         SELECT x.price_factor, x.volume_factor FROM sec.adjustment x
          WHERE x.ca_id = c.ca_id
            AND (%(at)s::timestamptz IS NULL OR (x.known_at <= %(at)s
                 AND (x.stored_at <= %(at)s OR v.created_at > %(at)s)))
            AND (x.withdrawn_at IS NULL OR x.withdrawn_at > %(at)s)
          ORDER BY x.known_at DESC LIMIT 1) a ON true
  LEFT JOIN LATERAL (
         SELECT x.symbol FROM sec.instrument_symbol x
          WHERE x.instrument_id = c.instrument_id AND x.vendor_id = c.vendor_id
          ORDER BY upper(x.valid) DESC NULLS FIRST LIMIT 1) y ON true
 WHERE (%(ids)s::integer[] IS NULL OR c.instrument_id = ANY (%(ids)s::integer[]))
   AND (%(kinds)s::text[] IS NULL OR c.kind = ANY (%(kinds)s::text[]))
   AND (%(vendor)s::text IS NULL OR v.name = %(vendor)s)
   AND c.ex_date BETWEEN %(since)s AND %(until)s
   AND (%(at)s::timestamptz IS NULL OR (c.known_at <= %(at)s
        AND (c.stored_at <= %(at)s OR v.created_at > %(at)s)))
   AND (c.withdrawn_at IS NULL OR c.withdrawn_at > %(at)s)
 ORDER BY c.ca_id
"""


def read_applied(
    store: Store,
    symbols: Sequence[str] | None = None,
    *,
    since: date,
    until: date,
    as_of: datetime | None = None,
    vendor: str | None = None,
    kinds: Sequence[ActionKind] | None = None,
    by: date | None = None,
) -> list[Applied]:
    """The actions with ex-dates in ``[since, until]`` and their factors, by ex-date, then symbol, then kind.

    Args:
        store: where from.
        symbols: whose; each action then bears the symbol that was asked for. None for all.
        since: first ex-date.
        until: last ex-date.
        as_of: timezone-aware moment: only what was known and not withdrawn then; None for what stands now.
            See ``bars`` for moments before the store knew the vendor.
        vendor: whose symbols and actions; None: with symbols of the vendor that was stored first, else all.
        kinds: only these; None for every kind.
        by: the symbols mean who bore them by this day; None for ``until``.

    Raises:
        NotFoundError: a symbol is not stored.
    """
    from dataclasses import replace

    from qfund.store.securities import instruments

    names = None
    if symbols is not None:
        found_by = instruments(store, symbols, vendor=vendor, by=by or until)
        names = {number: symbol for symbol, number in found_by.items()}
    values = {
        "ids": None if names is None else list(names),
        "kinds": None if kinds is None else list(kinds),
        "vendor": vendor,
        "since": since,
        "until": until,
        "at": as_of,
    }
    found = []
    for row in _rows(store, values):
        action = action_of(row[4], row[5:])
        if names is not None:
            action = replace(action, symbol=names[row[0]])
        applied = None if row[2] is None else Factors(row[2], row[3])
        found.append(Applied(action, row[0], row[1], applied))
    return sorted(found, key=lambda one: (one.action.ex_date, one.action.symbol, one.action.kind))


def read_known(
    store: Store, vendor: str, instruments: Sequence[int], as_of: datetime
) -> list[tuple[int, CorporateAction]]:
    """All actions of some instruments that stood at a moment, with the instrument; in the order of storing.

    Args:
        store: where from.
        vendor: whose actions.
        instruments: their numbers.
        as_of: timezone-aware moment.
    """
    values = {
        "ids": list(instruments),
        "kinds": None,
        "vendor": vendor,
        "since": date.min,
        "until": date.max,
        "at": as_of,
    }
    return [(int(row[0]), action_of(row[4], row[5:])) for row in _rows(store, values)]


def _rows(store: Store, values: Mapping[str, Any]) -> Sequence[Any]:
    with translated(), store.sql.connect() as connection:
        return connection.exec_driver_sql(_READ, dict(values)).all()


def read_actions(
    store: Store,
    symbols: Sequence[str],
    *,
    since: date,
    until: date,
    as_of: datetime | None = None,
    vendor: str | None = None,
    kinds: Sequence[ActionKind] | None = None,
) -> list[CorporateAction]:
    """The actions of `read_applied` alone."""
    found = read_applied(store, symbols, since=since, until=until, as_of=as_of, vendor=vendor, kinds=kinds)
    return [one.action for one in found]

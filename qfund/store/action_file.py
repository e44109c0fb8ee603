"""Corporate actions of an export as one Parquet file: written out of a store, and read back.

Promises: every kind comes back as the vendor told it, exact numbers included, with the moment from which it
could be known; equal actions give equal bytes. Each row names the instrument by its symbol in the manifest
and keeps the symbol that the action bore, so that changes of name date the symbols again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qfund.errors import DataQualityError
from qfund.market.actions import CorporateAction
from qfund.store.actions import read_known

if TYPE_CHECKING:
    import pyarrow as pa

    from qfund.store.database import Store

NAME = "actions.parquet"
_EXACT = ("new_rate", "old_rate", "cash_amount")
_TEXTS = ("kind", *_EXACT, "currency", "other_symbol", "payload", "vendor_ref")


def table_of(store: Store, vendor: str, ids: Mapping[str, int], as_of: datetime) -> pa.Table:
    """The actions of some instruments that stood at a moment, of all ex-dates.

    Args:
        store: where they are.
        vendor: who tells them.
        ids: the manifest's symbol → instrument number.
        as_of: timezone-aware moment.
    """
    import pyarrow as pa

    names = {number: symbol for symbol, number in ids.items()}
    known = read_known(store, vendor, sorted(names), as_of)
    rows = sorted(((names[number], one) for number, one in known), key=_place)
    actions = [one for _, one in rows]
    return pa.table(
        {
            "instrument": pa.array([name for name, _ in rows], pa.string()),
            "symbol": pa.array([one.symbol for one in actions], pa.string()),
            "ex_date": pa.array([one.ex_date for one in actions], pa.date32()),
            **{name: pa.array([_text(one, name) for one in actions], pa.string()) for name in _TEXTS},
            "price_factor": pa.array([one.price_factor for one in actions], pa.float64()),
            "known_at": pa.array([one.known_at for one in actions], pa.timestamp("us", tz="UTC")),
        }
    )


def read(path: Path) -> list[CorporateAction]:
    """The actions of a file, each under its instrument's symbol in the manifest.

    Raises:
        DataQualityError: the file does not hold corporate actions.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            rows = pq.read_table(file).to_pylist()
        return [_action(row) for row in rows]
    except (pa.ArrowInvalid, ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise DataQualityError(
            f"{path} does not hold corporate actions: {error}.", code="EXPORT_FILE"
        ) from error


def _place(row: tuple[str, CorporateAction]) -> tuple[str, ...]:
    """Where a row lies in the file: by instrument, ex-date, kind, and what tells two of a kind apart."""
    name, one = row
    return (name, str(one.ex_date), one.kind, one.vendor_ref, *(_text(one, field) or "" for field in _TEXTS))


def _text(action: CorporateAction, field: str) -> str | None:
    value = getattr(action, field)
    return None if value is None else str(value)


def _action(row: dict[str, Any]) -> CorporateAction:
    exact = {name: None if row[name] is None else Decimal(row[name]) for name in _EXACT}
    return CorporateAction(
        symbol=row["instrument"],
        kind=row["kind"],
        ex_date=row["ex_date"],
        currency=row["currency"],
        price_factor=row["price_factor"],
        other_symbol=row["other_symbol"],
        former_symbol=None if row["symbol"] == row["instrument"] else row["symbol"],
        payload=row["payload"],
        vendor_ref=row["vendor_ref"],
        known_at=row["known_at"].astimezone(UTC),
        **exact,
    )

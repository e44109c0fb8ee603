"""Alpaca's corporate actions.

Promises: every action of a page becomes one action of every kind, with the vendor's own words as payload;
what has numbers that cannot be applied is kept as ``other``, never dropped and never guessed. Asked by
processing date, which is what the vendor filters on, and returned by ex-date, which is what a price series
needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from qfund.errors import UpstreamError
from qfund.market.actions import ActionKind, CorporateAction

if TYPE_CHECKING:
    from qfund.vendors.wire import Wire

KINDS: dict[str, ActionKind] = {
    "forward_splits": "split",
    "reverse_splits": "split",
    "stock_dividends": "split",
    "cash_dividends": "dividend",
    "spin_offs": "spinoff",
    "unit_splits": "unit_split",
    "name_changes": "name_change",
    "cash_mergers": "cash_merger",
    "stock_mergers": "stock_merger",
    "stock_and_cash_mergers": "stock_and_cash_merger",
    "worthless_removals": "worthless_removal",
    "redemptions": "redemption",
    "rights_distributions": "rights_distribution",
    "partial_calls": "partial_call",
    "reorganizations": "reorganization",
}
"""Alpaca's group → kind; a group that is not here is ``other``."""

# Dividends are processed when they are paid: weeks after the ex-date, for foreign ones months; a large
# special one is paid the day before its ex-date.
_BEFORE = timedelta(days=45)
_AFTER = timedelta(days=400)
AROUND = _BEFORE + _AFTER

PAGE = 1000
_SYMBOLS = 200
_SUBJECT = ("symbol", "source_symbol", "old_symbol", "acquiree_symbol")
_DATES = ("ex_date", "effective_date", "process_date")


class _Answer(msgspec.Struct, gc=False):
    corporate_actions: dict[str, list[msgspec.Raw] | None] | None
    next_page_token: str | None


# Numbers as Decimal of what was written, never through a binary float.
_words = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)
_answer = msgspec.json.Decoder(_Answer)


def actions(wire: Wire, symbols: Sequence[str], since: date, until: date) -> list[CorporateAction]:
    """All actions of these symbols with an ex-date in ``[since, until]``, by ex-date, symbol and identity.

    Kinds without an ex-date take effect on their effective date, or else on the day they are processed. A
    merger or a spin-off belongs to the share that ends or pays; a change of name to the new symbol, or to the
    old one where the new one is not asked for.

    Raises:
        UpstreamError: an answer is no page of actions.
    """
    wanted = sorted(set(symbols))
    found = {}
    for at in range(0, len(wanted), _SYMBOLS):
        for action in _asked(wire, wanted[at : at + _SYMBOLS], since, until):
            if since <= action.ex_date <= until:
                found[action.symbol, action.vendor_ref] = action
    return sorted(found.values(), key=lambda one: (one.ex_date, one.symbol, one.vendor_ref))


def _asked(wire: Wire, symbols: Sequence[str], since: date, until: date) -> Iterator[CorporateAction]:
    params = {
        "symbols": ",".join(symbols),
        "start": (since - _BEFORE).isoformat(),
        "end": (until + _AFTER).isoformat(),
        "limit": str(PAGE),
        "sort": "asc",
    }
    tokens = set()
    while True:
        page = wire.read("/v1/corporate-actions", params, lambda answer: _decoded(answer.body))
        for group, items in (page.corporate_actions or {}).items():
            for raw in items or ():
                if (action := parsed(group, bytes(raw), symbols)) is not None:
                    yield action
        token = page.next_page_token
        if not token:
            return
        if token in tokens:
            raise UpstreamError(
                "Alpaca's corporate actions do not end: a page token came twice.", code="ENDLESS_PAGES"
            )
        tokens.add(token)
        params = params | {"page_token": token}


def _decoded(body: bytes) -> _Answer:
    try:
        return _answer.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UpstreamError(
            f"Alpaca's answer is not a page of corporate actions: {error}.", code="BAD_ANSWER"
        ) from error


def parsed(group: str, raw: bytes, symbols: Sequence[str]) -> CorporateAction | None:
    """One action as the vendor told it; None when it is about a symbol that was not asked for.

    Raises:
        UpstreamError: it has no symbol, no date or no identity.
    """
    try:
        told = _words.decode(raw)
        subject = next(str(told[name]) for name in _SUBJECT if told.get(name))
        day = date.fromisoformat(next(told[name] for name in _DATES if told.get(name)))
        identity = str(told["id"])
    except (msgspec.DecodeError, UnicodeDecodeError, StopIteration, KeyError, TypeError, ValueError) as error:
        raise UpstreamError(
            f"Alpaca told an action ({group}) without symbol, date or id.", code="BAD_ANSWER"
        ) from error
    kind = KINDS.get(group, "other")
    if kind == "name_change" and told.get("new_symbol") in symbols:  # not who has the old one now
        subject = str(told["new_symbol"])
    if subject not in symbols:
        return None
    try:
        fields = _fields(group, kind, told)
        return CorporateAction(subject, kind, day, **fields, payload=raw.decode(), vendor_ref=identity)
    except (ValueError, TypeError, KeyError, ArithmeticError):
        return CorporateAction(subject, "other", day, payload=raw.decode(), vendor_ref=identity)


def _fields(group: str, kind: ActionKind, told: dict[str, Any]) -> dict[str, Any]:
    """The numbers and the other symbol of an action."""
    if group == "stock_dividends":
        return {"new_rate": 1 + _positive(told["rate"]), "old_rate": Decimal(1)}
    if kind == "split":
        return {"new_rate": _positive(told["new_rate"]), "old_rate": _positive(told["old_rate"])}
    if kind == "dividend":
        return {
            "cash_amount": _positive(told["rate"]),
            "currency": str(told.get("currency") or "USD").upper(),
        }
    if kind == "spinoff":
        return {
            "new_rate": _positive(told["new_rate"]),
            "old_rate": _positive(told["source_rate"]),
            "other_symbol": str(told["new_symbol"]),
        }
    if kind == "name_change":
        return {
            "other_symbol": told.get("new_symbol") or None,
            "former_symbol": told.get("old_symbol") or None,
        }
    return {"other_symbol": (told.get("acquirer_symbol") or None) if "merger" in kind else None}


def _positive(number: object) -> Decimal:
    """A positive number as written.

    Raises:
        ValueError: it is none.
    """
    if (
        isinstance(number, bool)
        or not isinstance(number, (int, Decimal))
        or not 0 < number < Decimal("Infinity")
    ):
        raise ValueError(f"{number!r} is no positive number")
    return Decimal(number)

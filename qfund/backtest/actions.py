"""Corporate actions as the money takes them: what it can apply, and what it is told to be without.

Promises: splits and dividends as they are, spin-offs with the factor that the store made for them; every
other action is named in a sentence instead. Nothing here reads a store or holds money.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from qfund.market.actions import CorporateAction
from qfund.store.actions import Applied

NAMED = 5  # actions named one by one in a sentence


def in_money(known: Sequence[Applied], after: date | None) -> tuple[CorporateAction, ...]:
    """The actions that the money applies.

    Args:
        known: what is stored.
        after: the first session, None when there is none; nothing was held before it.
    """
    return tuple(found for one in known if _later(one, after) and (found := _applicable(one)) is not None)


def untold(known: Sequence[Applied], after: date | None) -> tuple[str, ...]:
    """A sentence for each kind of action that the money is without; arguments as for `in_money`."""
    by_kind: dict[str, list[CorporateAction]] = {}
    for one in known:
        if _later(one, after) and _applicable(one) is None:
            by_kind.setdefault(one.action.kind, []).append(one.action)
    return tuple(_sentence(kind, some) for kind, some in sorted(by_kind.items()))


def _later(one: Applied, after: date | None) -> bool:
    return after is None or one.action.ex_date > after


def _applicable(one: Applied) -> CorporateAction | None:
    action = one.action
    if action.kind in ("split", "dividend"):
        return action
    if action.kind == "spinoff" and one.factors is not None:
        return replace(action, price_factor=one.factors.price)
    return None


def _sentence(kind: str, some: Sequence[CorporateAction]) -> str:
    named = ", ".join(
        f"{one.symbol} {one.ex_date}" + (f" ({one.other_symbol})" if one.other_symbol else "")
        for one in some[:NAMED]
    )
    more = f" and {len(some) - NAMED} more" if len(some) > NAMED else ""
    why = {
        "spinoff": "what was received has no stored price (qfund data actions says which)",
        "name_change": "the position goes on under the new name",
    }.get(kind, "no cash and no shares were booked for it")
    return f"Not in the money: {kind.replace('_', ' ')} of {named}{more}; {why}."

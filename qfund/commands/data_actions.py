"""`qfund data actions`: the corporate actions that are stored, their factors, and what could not be applied.

Promises: what is shown is what a read as of that moment applies. Only reads.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from qfund.commands.completion import complete_symbols
from qfund.commands.options import (
    AsOfOption,
    SinceOption,
    UntilOption,
    VendorOption,
    instant,
    period,
    symbols,
)
from qfund.commands.session import Session
from qfund.console import Column, Outcome, Table, Text
from qfund.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from qfund.market.actions import ActionKind, CorporateAction
    from qfund.store import Store
    from qfund.store.actions import Applied, Unapplied

_FIRST, _LAST = date(1900, 1, 1), date(9999, 12, 31)
NAMED = 5  # actions that are not applied, told one by one


def register(data: typer.Typer) -> None:
    """Add ``actions`` to ``qfund data``."""
    data.command(name="actions")(actions)


def actions(
    ctx: typer.Context,
    symbol: Annotated[
        str | None,
        typer.Argument(metavar="[SYMBOLS]", help="Whose: A,B or @FILE.", autocompletion=complete_symbols),
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    as_of: AsOfOption = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="KIND", help="Only split, dividend, spinoff, …; may be repeated."),
    ] = None,
    vendor: VendorOption = None,
) -> None:
    """Show corporate actions by ex-date, with the factors that carry prices across them.

    Example: qfund data actions IBM --since 2012-01-01 --kind dividend
    """
    from qfund.store import actions as stored

    session = Session.of(ctx)
    today = datetime.now(UTC).date()
    first, last = period(since, until, today=today)
    wanted, chosen, moment = symbols(symbol), _kinds(kind), instant(as_of)
    with session.open_store() as store:
        found = stored.read_applied(
            store,
            wanted,
            since=first or _FIRST,
            until=last or _LAST,
            as_of=moment,
            vendor=vendor,
            kinds=chosen,
        )
        waiting = _waiting(store, found, today) if moment is None else []
    columns = ("ex-date", "symbol", "kind", "what", Column("price ×", "right"), "known at", "vendor")
    rows = [_row(one) for one in found]
    caption = f"{len(found):,} action{'' if len(found) == 1 else 's'}"
    blocks = (Table(columns, rows, caption=caption),) if found else (Text("No such action is stored."),)
    session.console.show(
        Outcome(
            "data.actions",
            {
                "actions": [_described(one) for one in found],
                "unapplied": [{"reason": one.sentence, "fix": one.fix} for one in waiting],
            },
            blocks,
            warnings=_told(waiting),
            next=tuple(dict.fromkeys(one.fix for one in waiting[:NAMED] if one.fix)),
        )
    )


def _kinds(texts: list[str] | None) -> tuple[ActionKind, ...] | None:
    """The kinds, ``spin-off`` and ``cash merger`` read as they are meant.

    Raises:
        UsageError: there is no such kind.
    """
    from qfund.market.actions import KINDS

    if not texts:
        return None
    found = []
    for text in texts:
        plain = text.strip().casefold().replace("-", "_").replace(" ", "_")
        name = {"spin_off": "spinoff"}.get(plain, plain)
        if name not in KINDS:
            raise UsageError(
                f"--kind '{text}' is no kind of action.{did_you_mean(name, KINDS)}", code="BAD_CHOICE"
            )
        found.append(name)
    return tuple(found)


def _waiting(store: Store, found: list[Applied], today: date) -> list[Unapplied]:
    """Of the actions shown, those that should change prices or symbols and do not."""
    from qfund.store.actions import unapplied

    shown = {(one.instrument_id, one.action.kind, one.action.ex_date) for one in found}
    by_vendor: dict[str, set[int]] = {}
    for one in found:
        by_vendor.setdefault(one.vendor, set()).add(one.instrument_id)
    return [
        one
        for name, numbers in sorted(by_vendor.items())
        for one in unapplied(store, name, sorted(numbers), today=today)
        if any((number, one.action.kind, one.action.ex_date) in shown for number in numbers)
    ]


def _told(waiting: list[Unapplied]) -> list[str]:
    more = [f"{len(waiting) - NAMED} more are not applied."] if len(waiting) > NAMED else []
    return [one.sentence for one in waiting[:NAMED]] + more


def _row(one: Applied) -> tuple[object, ...]:
    action = one.action
    factor = None if one.factors is None else f"{one.factors.price:.6f}"
    return (
        action.ex_date, action.symbol, action.kind.replace("_", " "), _what(action), factor, action.known_at,
        one.vendor,
    )  # fmt: skip


def _what(action: CorporateAction) -> str:
    """The terms of an action, in a few words."""
    rates = ""
    if action.new_rate is not None and action.old_rate is not None:
        rates = f"{action.new_rate.normalize():f} for {action.old_rate.normalize():f}"
    if action.kind == "spinoff":
        return f"{rates} of {action.other_symbol}"
    if action.cash_amount is not None:
        return f"{action.cash_amount.normalize():f} {action.currency}"
    if action.other_symbol is not None:
        return f"to {action.other_symbol}"
    return rates


def _described(one: Applied) -> dict[str, object]:
    """An action, JSON-ready; exact numbers as text, what the vendor said as it said it."""
    import json
    from dataclasses import asdict

    action = asdict(one.action)
    for name in ("new_rate", "old_rate", "cash_amount"):
        action[name] = None if action[name] is None else str(action[name])
    action["payload"] = None if one.action.payload is None else json.loads(one.action.payload)
    factors = None if one.factors is None else asdict(one.factors)
    return {**action, "vendor": one.vendor, "factors": factors}

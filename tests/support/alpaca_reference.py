"""What the fake Alpaca tells beside bars: corporate actions, assets, the calendar and the clock."""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from qfund.testing import Answer, Filed, Instrument, Request, Truth

NEW_YORK = ZoneInfo("America/New_York")
CUSIP = "000000000"

KINDS = {
    "split": "forward_splits",
    "dividend": "cash_dividends",
    "spinoff": "spin_offs",
    "stock_dividend": "stock_dividends",
    "unit_split": "unit_splits",
    "name_change": "name_changes",
    "cash_merger": "cash_mergers",
    "stock_merger": "stock_mergers",
    "stock_and_cash_merger": "stock_and_cash_mergers",
    "worthless_removal": "worthless_removals",
    "redemption": "redemptions",
    "rights_distribution": "rights_distributions",
    "partial_call": "partial_calls",
    "reorganization": "reorganizations",
    "other": "capital_gains_distributions",
}
"""What qfund calls an action → Alpaca's group of it; a split with fewer shares after is a reverse one."""

SYMBOLS = ("symbol", "source_symbol", "old_symbol", "new_symbol", "acquiree_symbol", "acquirer_symbol")
ACTION_PARAMS = {
    "symbols", "cusips", "types", "region", "start", "end", "ids", "limit", "data_quality", "page_token", "sort",
}  # fmt: skip


@dataclass(frozen=True)
class Refusal:
    """What is refused, and why."""

    status: int
    message: str


def answer(truth: Truth, request: Request) -> Answer | Refusal:
    """The answer to one of the paths below, or 404."""
    found: Callable[[Truth, Request], Answer | Refusal] | None = {
        "/v1/corporate-actions": _actions,
        "/v2/assets": _assets,
        "/v2/calendar": _calendar,
        "/v2/clock": _clock,
    }.get(request.path)
    if found is not None:
        return found(truth, request)
    if match := re.fullmatch(r"/v2/assets/(.+)", request.path):
        return _asset(truth, match[1])
    return Refusal(404, "endpoint not found.")


def _json(document: Any, rows: int = 0) -> Answer:
    return Answer(json.dumps(document, separators=(",", ":")).encode(), rows=rows)


# --- corporate actions


def _actions(truth: Truth, request: Request) -> Answer | Refusal:
    said = request.params
    if unexpected := sorted(set(said) - ACTION_PARAMS):
        return Refusal(400, f"unexpected query parameter(s): {', '.join(unexpected)}")
    today = request.moment.now.astimezone(NEW_YORK).date()
    try:
        start = date.fromisoformat(said.get("start") or today.isoformat())
        end = date.fromisoformat(said.get("end") or today.isoformat())
    except ValueError as wrong:
        return Refusal(400, f"invalid date: {wrong}")
    limit = said.get("limit", "100")
    if not limit.isdigit() or not 1 <= int(limit) <= 1000:
        return Refusal(400, f"invalid limit: {limit}")
    types = {kind for kind in said.get("types", "").split(",") if kind}
    singular = {group.removesuffix("s"): group for group in [*KINDS.values(), "reverse_splits"]}
    if unknown := sorted(types - set(singular)):
        return Refusal(400, f"invalid types: {', '.join(unknown)}")
    groups = {singular[kind] for kind in types}
    names = {name for name in said.get("symbols", "").split(",") if name}
    found = [
        (group, told)
        for group, told in map(_told, truth.actions(request.moment))
        if start.isoformat() <= told["process_date"] <= end.isoformat()
        and (not groups or group in groups)
        and (not names or names & {told.get(field) for field in SYMBOLS})
    ]
    found.sort(key=lambda pair: (pair[1]["process_date"], pair[1]["id"]))
    token = said.get("page_token")
    if token is not None:
        try:
            last = tuple(base64.b64decode(token, validate=True).decode().split("|"))
        except ValueError:
            return Refusal(400, "invalid page_token")
        found = [pair for pair in found if (pair[1]["process_date"], pair[1]["id"]) > last]
    page, rest = found[: int(limit)], found[int(limit) :]
    more = None
    if rest:
        last_told = page[-1][1]
        more = base64.b64encode(f"{last_told['process_date']}|{last_told['id']}".encode()).decode()
    grouped: dict[str, list[dict[str, Any]]] = {}
    for group, told in page:
        grouped.setdefault(group, []).append(told)
    return _json({"corporate_actions": grouped, "next_page_token": more}, len(page))


def _told(filed: Filed) -> tuple[str, dict[str, Any]]:
    """One action in Alpaca's words, under its group."""
    action = filed.action
    group = KINDS[action.kind]
    new, old = float(action.new_rate or 1), float(action.old_rate or 1)
    cash = float(action.cash_amount or 0)
    day = action.ex_date.isoformat()
    other = action.other_symbol or "OTHER"
    plain = {"symbol": action.symbol, "cusip": CUSIP}
    if group == "forward_splits" and new < old:
        group = "reverse_splits"
    fields: dict[str, dict[str, Any]] = {
        "forward_splits": {**plain, "new_rate": new, "old_rate": old, "ex_date": day},
        "reverse_splits": {
            "symbol": action.symbol, "old_cusip": CUSIP, "new_cusip": CUSIP,
            "new_rate": new, "old_rate": old, "ex_date": day,
        },
        "cash_dividends": {**plain, "rate": cash, "special": False, "foreign": False, "ex_date": day},
        "spin_offs": {
            "source_symbol": action.symbol, "source_cusip": CUSIP, "source_rate": old,
            "new_symbol": other, "new_cusip": CUSIP, "new_rate": new, "ex_date": day,
        },
        "stock_dividends": {**plain, "rate": round(new / old - 1, 9), "ex_date": day},
        "unit_splits": {
            "old_symbol": action.symbol, "old_cusip": CUSIP, "old_rate": old,
            "new_symbol": other, "new_cusip": CUSIP, "new_rate": new,
            "alternate_symbol": f"{other}.WS", "alternate_cusip": CUSIP, "alternate_rate": 0.5,
            "effective_date": day,
        },
        "name_changes": {
            "old_symbol": action.symbol, "old_cusip": CUSIP, "new_symbol": other, "new_cusip": CUSIP,
        },
        "cash_mergers": {
            "acquiree_symbol": action.symbol, "acquiree_cusip": CUSIP, "rate": cash, "effective_date": day,
        },
        "worthless_removals": plain,
        "redemptions": {**plain, "rate": cash},
        "rights_distributions": {
            "source_symbol": action.symbol, "source_cusip": CUSIP, "new_symbol": other, "new_cusip": CUSIP,
            "rate": new / old, "ex_date": day, "payable_date": day,
        },
        "partial_calls": {"symbol": action.symbol, "price": cash},
        "reorganizations": {**plain, "effective_date": day},
        "capital_gains_distributions": {**plain, "ex_date": day},
    }  # fmt: skip
    merger = {
        "acquiree_symbol": action.symbol, "acquiree_cusip": CUSIP, "acquiree_rate": old,
        "acquirer_symbol": other, "acquirer_cusip": CUSIP, "acquirer_rate": new, "effective_date": day,
    }  # fmt: skip
    fields["stock_mergers"] = merger
    fields["stock_and_cash_mergers"] = {**merger, "cash_rate": cash}
    told = {"id": filed.identity, "process_date": filed.process_date.isoformat(), **fields[group]}
    return group, {**told, **filed.facts}


# --- assets


def identity(key: str) -> str:
    """The id that the fake's asset of a key has."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, key))


def _assets(truth: Truth, request: Request) -> Answer | Refusal:
    said = request.params
    if unexpected := sorted(set(said) - {"status", "asset_class", "exchange", "attributes"}):
        return Refusal(400, f"unexpected query parameter(s): {', '.join(unexpected)}")
    told = [
        asset
        for asset in map(_asset_of, truth.instruments)
        if asset["class"] == said.get("asset_class", "us_equity")
        and said.get("status", asset["status"]) in (asset["status"], "all")
        and said.get("exchange", asset["exchange"]) == asset["exchange"]
    ]
    told.sort(key=lambda asset: (asset["class"], asset["exchange"], asset["symbol"]))
    return _json(told, len(told))


def _asset(truth: Truth, wanted: str) -> Answer | Refusal:
    found = [one for one in map(_asset_of, truth.instruments) if wanted in (one["symbol"], one["id"])]
    if not found:
        return Refusal(404, f"asset not found for {wanted}")
    return _json(min(found, key=lambda one: one["status"]), 1)


def _asset_of(who: Instrument) -> dict[str, Any]:
    crypto, listed = who.kind == "crypto", who.delisted_on is None
    told: dict[str, Any] = {
        "id": identity(who.key),
        "class": "crypto" if crypto else "us_equity",
        "exchange": "CRYPTO" if crypto else who.venue,
        "symbol": who.last_name,
        "name": who.title or f"{who.last_name} Common Stock",
        "status": "active" if listed else "inactive",
        "tradable": listed,
        "marginable": listed and not crypto,
        "shortable": listed and not crypto,
        "fractionable": listed,
        "easy_to_borrow": listed and not crypto,  # left the description, yet the client wants it
    }
    if crypto:
        return {
            **told,
            "min_order_size": "0.0001",
            "min_trade_increment": "0.0001",
            "price_increment": "0.01",
        }
    return {
        **told,
        "borrow_status": "easy_to_borrow" if listed else "hard_to_borrow",
        "maintenance_margin_requirement": 30,
        "margin_requirement_long": "30",
        "margin_requirement_short": "30",
        "attributes": [],
    }


# --- calendar and clock


def _calendar(truth: Truth, request: Request) -> Answer | Refusal:
    said = request.params
    if unexpected := sorted(set(said) - {"start", "end", "date_type"}):
        return Refusal(400, f"unexpected query parameter(s): {', '.join(unexpected)}")
    try:
        start = date.fromisoformat((said.get("start") or "2000-01-03")[:10])
        end = date.fromisoformat((said.get("end") or "2029-12-31")[:10])
    except ValueError as wrong:
        return Refusal(400, f"invalid date: {wrong}")
    days = truth.sessions("XNYS", start, end + timedelta(days=7))
    told = []
    for place, session in enumerate(days):
        if session.day > end:
            break
        settles = days[place + 1].day if place + 1 < len(days) else session.day + timedelta(days=1)
        closes = session.closes.astimezone(NEW_YORK)
        told.append(
            {
                "date": session.day.isoformat(),
                "open": session.opens.astimezone(NEW_YORK).strftime("%H:%M"),
                "close": closes.strftime("%H:%M"),
                "session_open": "0400",
                "session_close": "2000" if closes.time() >= time(16) else "1700",
                "settlement_date": settles.isoformat(),
            }
        )
    return _json(told, len(told))


def _clock(truth: Truth, request: Request) -> Answer:
    now = request.moment.now.astimezone(NEW_YORK)
    days = truth.sessions("XNYS", now.date(), now.date() + timedelta(days=10))
    is_open = any(session.opens <= now < session.closes for session in days)
    return _json(
        {
            "timestamp": now.isoformat(),
            "is_open": is_open,
            "next_open": _local(min(one.opens for one in days if one.opens > now)),
            "next_close": _local(min(one.closes for one in days if one.closes > now)),
        }
    )


def _local(moment: datetime) -> str:
    return moment.astimezone(NEW_YORK).isoformat()

"""What `qfund ingest` shows: a plan, its cost, what was done and what is left.

Promises: every count of the report reaches the reader; a table too long for a screen begins with the symbols
that need attention, and ``--json`` has them all. Asks the store alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from qfund.console import Block, Column, Facts, Outcome, Table, Text

if TYPE_CHECKING:
    from qfund.ingest.account import Account
    from qfund.ingest.estimate import Estimate
    from qfund.ingest.plan import Plan
    from qfund.ingest.report import Report
    from qfund.store import Store
    from qfund.store.requests import Sent
    from qfund.vendors.contract import Vendor

_COUNTS = ("new", "changed", "same", "rejected", "holes")
_MOST_ROWS = 40  # symbols shown on a terminal


def month(store: Store, vendor: str) -> Sent:
    """What was sent to a vendor this month, over all its accounts."""
    from qfund.store import requests

    return requests.this_month(store).get(vendor, requests.Sent())


def after(store: Store, report: Report, vendor: Vendor) -> tuple[str, ...]:
    """What there is to say beyond the counts: actions that were not applied, where rejects were written."""
    from qfund.store import actions

    numbers = [one.instrument for one in report.plan.seen.symbols if one.instrument is not None]
    today = datetime.now(UTC).date()
    waiting = actions.unapplied(store, report.plan.seen.vendor, numbers, today=today)
    said = [*report.notes, *(one.sentence for one in waiting)]
    rejected = report.rejects
    keep = getattr(vendor, "write_rejects", None)
    if rejected is not None and keep is not None:
        said.append(f"The rejected rows are in {keep(rejected)}, each with its reason.")
    return tuple(said)


def rows(vendor: Vendor, plan: Plan, report: Report | None = None) -> Account | None:
    """What became of each row of a vendor that has a known number of them; None for every other vendor."""
    from qfund.ingest.account import account
    from qfund.vendors.contract import CountsRows

    return account(vendor.census(), plan.seen, report) if isinstance(vendor, CountsRows) else None


def _head(plan: Plan) -> dict[str, object]:
    """What every document of an ingest begins with."""
    return {
        "plan": plan.id,
        "vendor": plan.seen.vendor,
        "feed": plan.seen.feed,
        "timeframe": plan.seen.timeframe,
        "since": plan.seen.asked[0],
        "until": plan.seen.asked[1],
        "notes": list(plan.notes),
        "unknown": list(plan.seen.unknown),
    }


def planned(plan: Plan, rows: Account | None = None) -> Outcome:
    """A plan with its steps."""
    account = (Text(rows.sentence),) if rows else ()
    data = {
        **_head(plan),
        "steps": [
            {
                "symbols": list(s.symbols),
                "since": s.since,
                "until": s.until,
                "sessions": s.sessions,
                "unfinished": s.unfinished,
            }
            for s in plan.steps
        ],
        "rows": asdict(rows) if rows else None,
    }
    columns = (Column("sessions", "right"), "since", "until", "symbols")
    lines = [(s.sessions, s.since, s.until, _names(s.symbols)) for s in plan.steps[:_MOST_ROWS]]
    chunks = "1 chunk" if len(plan.steps) == 1 else f"{len(plan.steps):,} chunks"
    again = plan.wanted - plan.missing
    caption = f"plan {plan.id}: {chunks}, {plan.missing:,} sessions missing, {again:,} read again"
    table = Table(columns, lines, caption=f"{caption}; nothing was changed")
    return Outcome("ingest", data, (table, *account))


def nothing(plan: Plan, empty: Mapping[str, int], rows: Account | None = None) -> Outcome:
    """That there is nothing to do.

    Args:
        plan: one without steps.
        empty: symbol → sessions that were answered and have no bar at the vendor.
        rows: what becomes of the rows of a file.
    """
    account = (Text(rows.sentence),) if rows else ()
    names = [one.symbol for one in plan.seen.symbols]
    since, until = plan.seen.asked
    told = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    verb = "is" if len(names) == 1 else "are"
    hint = "qfund data status"
    said = f"Nothing to fetch: {told} {verb} complete from {since} to {until}."
    if not plan.seen.sessions:
        said = f"Nothing to fetch: no session from {since} to {until} is over."
    if empty:
        count = sum(empty.values())
        are = "session is" if count == 1 else "sessions are"
        each = ", ".join(f"{symbol} {n:,}" for symbol, n in list(empty.items())[:10])
        said = (
            f"Nothing to fetch: {told} {verb} answered from {since} to {until}, and {count:,} {are} empty at"
            f" {plan.seen.vendor} ({each}{', …' if len(empty) > 10 else ''})."
        )
        hint = f"qfund data gaps --vendor {plan.seen.vendor} --since {since} --until {until}"
    data = {
        **_head(plan),
        "steps": [],
        "empty": dict(empty),
        "rows": asdict(rows) if rows else None,
    }
    return Outcome("ingest", data, (Text(said), *account), next=(hint,), deed=True)


def _names(symbols: tuple[str, ...]) -> str:
    more = f" and {len(symbols) - 8} more" if len(symbols) > 8 else ""
    return ", ".join(symbols[:8]) + more


def estimated(plan: Plan, cost: Estimate, asked: Sent, used: Sent) -> Outcome:
    """What a plan costs at most.

    Args:
        plan: the plan.
        cost: what it costs.
        asked: what was sent to make the plan, which is part of the cost.
        used: what was sent to the vendor this month.
    """
    minutes = cost.seconds / 60
    pairs = (
        ("requests", cost.requests),
        ("minutes", "less than 1" if minutes < 1 else f"{minutes:,.0f}"),
        ("bars", cost.rows),
        ("on the wire", _bytes(cost.wire_bytes)),
        ("on disk", f"{_bytes(cost.disk_bytes)}{'' if cost.measured else ' (not measured here yet)'}"),
        ("vendor credits", f"{cost.credits:g}" if cost.credits else "none"),
        ("sent this month", _month(used)),
    )
    said = f"At most, for plan {plan.id}; {_asked(asked)} and nothing was changed."
    data = {
        **_head(plan),
        "estimate": asdict(cost),
        "asked": asked.requests,
        "this_month": asdict(used),
    }
    return Outcome("ingest", data, (Facts(pairs), Text(said)))


def _month(used: Sent) -> str:
    charged = f", {used.credits:g} credits" if used.credits else ""
    return f"{used.requests:,} requests{charged}"


def _asked(sent: Sent) -> str:
    """What was asked to make a plan: the listings of symbols that the store does not know."""
    if not sent.requests:
        return "nothing was asked"
    if sent.requests == 1:
        return "1 of the requests was sent, to look up symbols that are not stored yet,"
    return f"{sent.requests:,} of the requests were sent, to look up symbols that are not stored yet,"


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:,.0f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def done(
    report: Report, retry: str, then: str, notes: Sequence[str] = (), rows: Account | None = None
) -> Outcome:
    """What an ingest did: a line for each symbol, totals, and what is left or worth doing now."""
    plan = report.plan
    shown = list(report.by_symbol.items())
    if len(shown) > _MOST_ROWS:  # what needs attention first
        shown = sorted(shown, key=lambda one: (-one[1].rejected, -one[1].changed, -one[1].holes))[:_MOST_ROWS]
    sent = report.sent()
    wire = (sent.requests, sent.throttled) if sent.requests else ()
    lines = [
        (symbol, plan.seen.timeframe, *(getattr(tally, name) for name in _COUNTS), *("" for _ in wire))
        for symbol, tally in shown
    ]
    lines.append(("all", plan.seen.timeframe, *(getattr(report.total, name) for name in _COUNTS), *wire))
    names = (*_COUNTS, *(("requests", "throttled") if wire else ()))
    columns: list[Column | str] = ["symbol", "bars of", *(Column(name, "right") for name in names)]
    hidden = len(report.by_symbol) - len(shown)
    data = {
        **_head(plan),
        "ingest_run": report.run_id,
        "symbols": {
            symbol: {name: getattr(tally, name) for name in _COUNTS}
            for symbol, tally in report.by_symbol.items()
        },
        "total": report.counters,
        "left_out": report.left_out,
        "rows": asdict(rows) if rows else None,
    }
    lost = (rows.error,) if rows and rows.error else ()
    errors = (*lost, *report.errors(retry))
    hints = () if errors else ("qfund data status", then)
    caption = f"and {hidden:,} more symbols" if hidden > 0 else None
    blocks: tuple[Block, ...] = (Table(columns, lines, caption=caption), Text(_sentence(report)))
    if rows:
        blocks = (*blocks, Text(rows.sentence))
    return Outcome("ingest", data, blocks, warnings=notes, errors=errors, next=hints, deed=True)


def _sentence(report: Report) -> str:
    """What the table has no column for."""
    words = [f"Corporate actions: {report.actions:,} new."]
    retried = report.sent().retried
    if retried:
        words.append(f"Sent again for want of an answer: {retried:,}.")
    left = sum(report.left_out.values())
    if left:
        from qfund.ingest.check import LEFT_OUT

        told = ", ".join(f"{n:,} {LEFT_OUT[reason]}" for reason, n in report.left_out.items())
        words.append(f"Left out: {told}.")
    return " ".join(words)

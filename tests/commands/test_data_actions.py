"""`qfund data actions` shows what happened to shares, what it does to prices, and what is not applied."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from qfund.market.actions import CorporateAction
from tests.commands.lines import command, document
from tests.support.stored import Shelf, flat, soon

__all__ = ["command"]

D = [date(2024, 1, day) for day in (2, 3, 4, 5, 8)]


def shown(command, line: str = "") -> dict:
    code, out, err = command(f"data actions {line} --json")
    assert code == 0, err
    return document(out, "data.actions")["data"]


@pytest.fixture
def filled(command, store):
    """A: 2:1 on the 4th, 1.02 on the 8th, a merger and a spin-off of an unknown B; I: a dividend of 0.50."""
    shelf = Shelf(store)
    shelf.write([flat("A", one, 50.0) for one in D] + [flat("I", one, 25.0) for one in D])
    shelf.before = soon()
    shelf.act(
        CorporateAction("A", "split", D[2], new_rate=Decimal("2.0"), old_rate=Decimal(1)),
        CorporateAction("A", "dividend", D[4], cash_amount=Decimal("1.00")),
        CorporateAction("A", "cash_merger", D[3], other_symbol="Z", payload='{"rate": 12.5}'),
        CorporateAction("A", "spinoff", D[3], new_rate=Decimal(1), old_rate=Decimal(4), other_symbol="B"),
        CorporateAction("I", "dividend", D[4], cash_amount=Decimal("0.50")),
    )
    return command, shelf


def test_actions_are_told_with_their_terms_and_factors(filled):
    command, _ = filled
    code, out, err = command("data actions")
    assert code == 0
    lines = [line.split() for line in out.splitlines() if line.startswith("2024")]
    assert [line[:6] for line in lines] == [
        ["2024-01-04", "A", "split", "2", "for", "1"],
        ["2024-01-05", "A", "cash", "merger", "to", "Z"],
        ["2024-01-05", "A", "spinoff", "1", "for", "4"],
        ["2024-01-08", "A", "dividend", "1", "USD", "0.980000"],
        ["2024-01-08", "I", "dividend", "0.5", "USD", "0.980000"],
    ]
    assert "5 actions" in out
    assert "spin-off of B from A on 2024-01-05 is not applied: no close of B" in " ".join(err.split())
    assert "Next: qfund ingest --vendor acme --symbols B --since 2024-01-05" in err


def test_the_document_keeps_exact_numbers_and_the_vendors_words(filled):
    command, _ = filled
    data = shown(command, "A --kind cash_merger --kind split")
    split, merger = data["actions"]
    assert (split["new_rate"], split["old_rate"], split["factors"]) == (
        "2.0",
        "1",
        {"price": 0.5, "volume": 2.0},
    )
    assert (merger["payload"], merger["factors"], merger["other_symbol"]) == ({"rate": 12.5}, None, "Z")
    assert data["unapplied"] == []


def test_actions_of_some_symbols_days_and_kinds(filled):
    command, _ = filled
    assert [one["symbol"] for one in shown(command, "I")["actions"]] == ["I"]
    assert len(shown(command, "--since 2024-01-05 --until 2024-01-05")["actions"]) == 2
    assert [one["kind"] for one in shown(command, "--kind spin-off")["actions"]] == ["spinoff"]
    assert shown(command, "--vendor other")["actions"] == []


def test_as_of_a_moment_only_what_was_known_then(filled):
    command, shelf = filled
    assert shown(command, f"--as-of {shelf.before.isoformat()}")["actions"] == []
    assert len(shown(command, f"--as-of {soon().isoformat()}")["actions"]) == 5


def test_nothing_stored_is_no_fault(command):
    assert command("data actions")[:2] == (0, "No such action is stored.\n")


@pytest.mark.parametrize(
    ("line", "code", "name", "says"),
    [
        ("ZZZ", 11, "UNKNOWN_SYMBOL", "'ZZZ' is not stored"),
        ("--kind splits", 2, "BAD_CHOICE", "Did you mean"),
        ("--since soon", 2, "BAD_DATE", "ISO date"),
    ],
)
def test_wrong_words_are_explained(command, line, code, name, says):
    found = command(f"data actions {line} --json")
    (error,) = document(found[1], "data.actions")["errors"]
    assert (found[0], error["code"]) == (code, name)
    assert says in error["message"]

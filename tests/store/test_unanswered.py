"""A symbol that was asked for and never answered is told, until anything of it is known."""

from __future__ import annotations

from datetime import date

from qfund.store import coverage
from qfund.store.unanswered import Unanswered, unanswered
from tests.support.stored import Shelf, flat

MON, TUE = date(2024, 3, 4), date(2024, 3, 5)


def asked(store, status, *symbols):
    params = {"symbols": list(symbols), "feed": "", "since": str(MON), "until": str(TUE)}
    coverage.finish_run(store, coverage.start_run(store, "acme", "bars 1d", params), status, {})


def test_a_symbol_is_told_until_anything_of_it_is_known(store):
    shelf = Shelf(store)
    asked(store, "partial", "A", "B")
    silent = [Unanswered(name, "acme", "", "1d", MON, TUE) for name in "AB"]
    assert unanswered(store, [shelf.series]) == silent
    shelf.write([flat("A", MON, 10.0)])
    assert unanswered(store, [shelf.series]) == silent[1:]


def test_one_that_is_named_and_that_no_run_asked_for_is_told(store):
    asked(store, "ok", "A")
    assert unanswered(store, []) == []
    assert unanswered(store, [], symbols=["Z"]) == [Unanswered("Z")]

"""Alpaca's corporate actions, by examples in the form of its published description."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from qfund.errors import UpstreamError
from qfund.market.actions import factors
from qfund.vendors.alpaca import Alpaca
from tests.vendors.canned import network, served, setup

NOW = datetime(2025, 3, 7, 18, 0, tzinfo=UTC)
PATH = "/v1/corporate-actions"


@pytest.fixture
def host():
    with served(NOW) as canned:
        yield canned


@pytest.fixture
def vendor(host):
    with network(NOW) as wires:
        yield Alpaca(
            setup({"data_url": host.url}, wires, {"key_id": "k" * 20, "secret_key": "s" * 40}, "alpaca")
        )


def told(kind, **fields):
    return {"corporate_actions": {kind: [{"id": f"{kind}-1", "process_date": "2024-06-10"} | fields]}}


def answered(host, *pages):
    tokens = [f"token{number}" for number in range(1, len(pages))]
    found = dict(zip([None, *tokens], zip(pages, [*tokens, None], strict=True), strict=True))

    def answer(query):
        one, token = found[query.get("page_token")]
        return one | {"next_page_token": token}

    host.answers[PATH] = answer


def one(host, vendor, symbol, kind, /, **fields):
    answered(host, told(kind, **fields))
    (action,) = vendor.actions([symbol], date(2024, 1, 1), date(2024, 12, 31))
    assert json.loads(action.payload)["id"] == action.vendor_ref == f"{kind}-1"
    return action


def test_a_forward_split_is_a_split(host, vendor):
    action = one(
        host, vendor, "NVDA", "forward_splits", symbol="NVDA", new_rate=10, old_rate=1, ex_date="2024-06-10"
    )
    assert (action.kind, action.new_rate, action.old_rate) == ("split", 10, 1)
    assert action.ex_date == date(2024, 6, 10)
    assert factors(action, None).price == 0.1


def test_a_reverse_split_is_a_split_with_the_numbers_as_written(host, vendor):
    action = one(
        host, vendor, "X", "reverse_splits", symbol="X", new_rate=1, old_rate=7.3, ex_date="2024-06-10"
    )
    assert (action.new_rate, action.old_rate) == (Decimal(1), Decimal("7.3"))


def test_a_stock_dividend_is_a_split_of_one_and_its_rate_for_one(host, vendor):
    action = one(host, vendor, "X", "stock_dividends", symbol="X", rate=0.05, ex_date="2024-06-10")
    assert (action.kind, action.new_rate, action.old_rate) == ("split", Decimal("1.05"), 1)


def test_a_cash_dividend_keeps_amount_and_currency(host, vendor):
    fields = {"symbol": "AAPL", "rate": 0.25, "special": False, "foreign": False, "ex_date": "2024-05-10"}
    action = one(host, vendor, "AAPL", "cash_dividends", **fields)
    assert (action.kind, action.cash_amount, action.currency) == ("dividend", Decimal("0.25"), "USD")
    assert one(host, vendor, "AAPL", "cash_dividends", **fields, currency="CAD").currency == "CAD"


def test_a_spin_off_belongs_to_the_share_that_pays(host, vendor):
    action = one(
        host,
        vendor,
        "GE",
        "spin_offs",
        source_symbol="GE",
        source_rate=4,
        new_symbol="GEV",
        new_rate=1,
        ex_date="2024-04-02",
    )
    assert (action.kind, action.symbol, action.other_symbol) == ("spinoff", "GE", "GEV")
    assert (action.new_rate, action.old_rate) == (1, 4)


def test_a_change_of_name_is_told_of_both_symbols(host, vendor):
    fields = {"old_symbol": "FB", "new_symbol": "META", "process_date": "2024-06-09"}
    old = one(host, vendor, "FB", "name_changes", **fields)
    new = one(host, vendor, "META", "name_changes", **fields)
    assert (old.kind, old.symbol, old.other_symbol, old.ex_date) == (
        "name_change",
        "FB",
        "META",
        date(2024, 6, 9),
    )
    assert (new.symbol, new.other_symbol) == ("META", "META")
    assert (old.former_symbol, new.former_symbol) == ("FB", "FB")


@pytest.mark.parametrize(
    ("group", "kind", "fields", "other"),
    [
        ("cash_mergers", "cash_merger", {"acquiree_symbol": "X", "rate": 20, "acquirer_symbol": "Y"}, "Y"),
        (
            "stock_mergers",
            "stock_merger",
            {"acquiree_symbol": "X", "acquirer_symbol": "Y", "acquirer_rate": 1, "acquiree_rate": 2},
            "Y",
        ),
        (
            "stock_and_cash_mergers",
            "stock_and_cash_merger",
            {"acquiree_symbol": "X", "acquirer_symbol": "Y", "cash_rate": 3},
            "Y",
        ),
        ("unit_splits", "unit_split", {"old_symbol": "X", "new_symbol": "Y", "alternate_symbol": "Z"}, None),
        ("redemptions", "redemption", {"symbol": "X", "rate": 10.5}, None),
        ("worthless_removals", "worthless_removal", {"symbol": "X"}, None),
        ("rights_distributions", "rights_distribution", {"source_symbol": "X", "new_symbol": "XR"}, None),
        ("partial_calls", "partial_call", {"symbol": "X"}, None),
        ("reorganizations", "reorganization", {"symbol": "X", "stock_movements": []}, None),
        ("something_new", "other", {"symbol": "X"}, None),
    ],
)
def test_every_other_type_is_kept_by_its_kind_and_changes_no_price(
    *, host, vendor, group, kind, fields, other
):
    action = one(host, vendor, "X", group, **fields)
    assert (action.kind, action.symbol, action.other_symbol) == (kind, "X", other)
    assert (action.new_rate, action.old_rate, action.cash_amount) == (None, None, None)
    assert action.ex_date == date(2024, 6, 10)


def test_a_merger_takes_effect_on_its_effective_date(host, vendor):
    action = one(host, vendor, "X", "cash_mergers", acquiree_symbol="X", rate=1, effective_date="2024-06-07")
    assert action.ex_date == date(2024, 6, 7)


@pytest.mark.parametrize("rate", [0, -1, None, "0.25", True])
def test_what_cannot_be_applied_is_kept_and_applied_to_nothing(host, vendor, rate):
    action = one(host, vendor, "X", "cash_dividends", symbol="X", rate=rate, ex_date="2024-06-10")
    assert (action.kind, action.cash_amount) == ("other", None)


def test_dividends_paid_after_the_span_are_found_and_those_of_other_days_left_out(host, vendor):
    dividend = {"symbol": "X", "rate": 1.0}
    answered(
        host,
        {
            "corporate_actions": {
                "cash_dividends": [
                    dividend | {"id": "a", "ex_date": "2024-02-29", "process_date": "2024-06-28"},
                    dividend | {"id": "b", "ex_date": "2024-03-01", "process_date": "2024-03-01"},
                    dividend | {"id": "c", "ex_date": "2024-02-28", "process_date": "2024-02-28"},
                ]
            }
        },
    )
    (action,) = vendor.actions(["X"], date(2024, 2, 29), date(2024, 2, 29))
    assert action.vendor_ref == "a"
    query = host.asked[0].query
    assert query["start"] <= "2024-02-28"
    assert query["end"] >= "2024-06-28"
    assert query | {"start": "", "end": ""} == {
        "symbols": "X",
        "start": "",
        "end": "",
        "limit": "1000",
        "sort": "asc",
    }


def test_all_pages_are_read_pairs_are_not_asked_and_an_action_comes_once(host, vendor):
    split = {
        "symbol": "X",
        "new_rate": 2,
        "old_rate": 1,
        "process_date": "2024-06-10",
        "ex_date": "2024-06-10",
    }
    first = {"corporate_actions": {"forward_splits": [split | {"id": "a"}]}}
    again = {"corporate_actions": {"forward_splits": [split | {"id": "a"}], "cash_dividends": None}}
    answered(host, first, {"corporate_actions": {}}, again)
    found = vendor.actions(["X", "BTC/USD"], date(2024, 6, 10), date(2024, 6, 10))
    assert [action.vendor_ref for action in found] == ["a"]
    assert [asked.query.get("page_token") for asked in host.asked] == [None, "token1", "token2"]
    assert {asked.query["symbols"] for asked in host.asked} == {"X"}
    assert vendor.actions(["BTC/USD"], date(2024, 6, 10), date(2024, 6, 10)) == []
    assert len(host.asked) == 3


def test_pages_that_repeat_and_answers_that_are_none_are_errors(host, vendor):
    host.answers[PATH] = {"corporate_actions": {}, "next_page_token": "again"}
    with pytest.raises(UpstreamError, match="do not end"):
        vendor.actions(["X"], date(2024, 6, 10), date(2024, 6, 10))
    for body in ({"corporate_actions": {}}, told("redemptions") | {"next_page_token": None}):
        host.answers[PATH] = body
        with pytest.raises(UpstreamError):
            vendor.actions(["X"], date(2024, 6, 10), date(2024, 6, 10))

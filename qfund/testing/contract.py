"""What every vendor owes the core, as tests that a plug-in's own test class inherits.

    class TestMine(VendorContract):
        def server(self):
            return FakeMine(self.world())

        def vendor(self, server, network):
            return Mine(Setup({"url": server.url}, {"key": Given(server.key)}, network))

A vendor without a network leaves ``server`` as it is. See ``docs/guides/vendor.md``.

Promises: nothing is patched: the vendor speaks over the real wire to a real server. What is checked is what
``qfund.vendors.contract`` demands, and no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import ClassVar

import pyarrow as pa
import pytest

from qfund.errors import ConfigError, QfundError, UpstreamError
from qfund.market import sessions
from qfund.market.actions import CorporateAction
from qfund.market.bars import FIELDS, TIMEFRAMES
from qfund.testing import faults
from qfund.testing.clock import Clock
from qfund.testing.instruments import Instrument
from qfund.testing.network import single
from qfund.testing.truth import Moment, Truth, When
from qfund.testing.vendor import FakeVendor
from qfund.vendors.contract import BarRequest, Offer, Page, Vendor, schema
from qfund.vendors.wire import Network

_ALIEN = "NO.SUCH.THING"
_REFUSALS = (
    *(faults.Status(code) for code in (400, 401, 403, 404, 429, 500)),
    faults.Status(503, body="<html>down</html>"),
    faults.Drop(),
    faults.Drop("in the body"),
    faults.CutJson(),
    faults.CutGzip(),
    faults.Text(),
    faults.Text(body="[]", content_type="application/json"),
    faults.NullBars(),
    faults.BadValue("close", "n/a"),
    faults.BadValue("close", None),
    faults.BadValue("volume", float("nan")),
    faults.HighBelowLow(),
    faults.Shifted(),
)


def _named(fault: faults.Fault) -> str:
    """A short id: the kind of fault, and what is said of it."""
    said = [
        str(value) for value in vars(fault).values() if value not in (None, False, "text/html", "scripted")
    ]
    return " ".join([type(fault).__name__, *said])[:40]


class VendorContract:
    """Inherit it; say which vendor, and which server it talks to.

    Attributes:
        symbols: of the world, in each of the vendor's markets at least one.
        since: the first session of the world; by default a span over the change of US summer time.
        until: its last.
        has_actions: whether the vendor tells corporate actions at all.
    """

    symbols: ClassVar[tuple[str, ...]] = ("AAPL", "IBM", "MSFT")
    since: ClassVar[date] = date(2024, 3, 4)
    until: ClassVar[date] = date(2024, 3, 15)
    has_actions: ClassVar[bool] = True

    # --- what a plug-in's test says

    def server(self) -> FakeVendor | None:
        """The fake that the vendor talks to, not started yet; None for a vendor without a network."""
        return None

    def vendor(self, server: FakeVendor | None, network: Network) -> Vendor:
        """The vendor, set up to talk to the running fake over this network."""
        raise NotImplementedError

    def world(self) -> Truth:
        """The fake's truth: bars of each symbol and timeframe, a split, a dividend, and one told late."""
        truth = Truth()
        for instrument in self.instruments():
            truth.add(instrument)
            truth.walk(instrument.key, "1d", self.since, self.until)
            truth.walk(instrument.key, "1m", self.since, self.until, silent=0.02)
        first = self.symbols[0]
        ex_date = self.since + timedelta(days=4)
        late = When(now=datetime.combine(self.until + timedelta(days=30), time(), UTC))
        split = CorporateAction(first, "split", ex_date, new_rate=Decimal(2), old_rate=Decimal(1))
        truth.act(split)
        truth.act(CorporateAction(first, "dividend", ex_date, cash_amount=Decimal("0.25")))
        truth.act(CorporateAction(first, "dividend", self.until, cash_amount=Decimal("0.5")), when=late)
        truth.act(CorporateAction(first, "dividend", self.until + timedelta(days=4), cash_amount=Decimal(1)))
        return truth

    def instruments(self) -> list[Instrument]:
        """Who is in the world; US shares unless this is overridden. Keys are the vendor's symbols."""
        return [Instrument(symbol, title=f"{symbol} Incorporated") for symbol in self.symbols]

    # --- made for each test

    @pytest.fixture
    def fake(self) -> Iterator[FakeVendor | None]:
        """The running fake, its clock a week after the world's end."""
        made = self.server()
        if made is not None:
            made.clock = Clock(datetime.combine(self.until + timedelta(days=7), time(12), UTC))
        with made if made is not None else nullcontext():
            yield made

    @pytest.fixture
    def made(self, fake: FakeVendor | None) -> Iterator[Vendor]:
        """The vendor."""
        with single() as network:
            yield self.vendor(fake, network)

    def request_of(self, made: Vendor, offer: Offer, most: int = 5) -> BarRequest:
        """Some sessions of an offer's own symbols, within its limits."""
        first, last = self.since, self.until
        if self.server() is None:
            last = offer.last or last
            first = max(offer.first, last - timedelta(days=14))
        days = sessions.sessions(offer.calendar, first, last)[: min(most, offer.sessions_per_request)]
        named = tuple(symbol for symbol in self.symbols if made.market(symbol) == offer.market)
        symbols = named[: made.capabilities.symbols_per_request]
        assert symbols, f"no symbol of the world is of the market {offer.market}"
        return BarRequest(symbols, offer.timeframe, days[0].date(), days[-1].date(), offer)

    # --- the vendor's word about itself

    def test_its_offers_are_whole_and_differ(self, made: Vendor) -> None:
        """One series, one offer; limits are positive; a calendar is known."""
        offers = made.capabilities.offers
        assert offers, "a vendor offers something"
        identities = [(o.timeframe, o.market, o.feed, o.basis, o.price_kind, o.hours) for o in offers]
        assert len(set(identities)) == len(identities), "two offers are the same series"
        for offer in offers:
            assert offer.timeframe in TIMEFRAMES
            assert offer.sessions_per_request >= 1
            assert offer.rows_per_page is None or offer.rows_per_page >= 1
            assert offer.last is None or offer.first <= offer.last
            assert offer.settle >= timedelta(0)
            assert offer.reread >= 0
            assert len(sessions.sessions(offer.calendar, self.since, self.until)) > 0

    def test_its_settings_and_limits_are_whole(self, made: Vendor) -> None:
        """Secrets have no default; a vendor that needs a key has a setting for it."""
        has = made.capabilities
        assert re.fullmatch(r"[a-z][a-z0-9-]*", made.name), "a name is lower case, for the command line"
        assert has.title
        assert has.terms
        assert has.symbols_per_request >= 1
        assert has.concurrency >= 1
        names = [setting.name for setting in (*has.settings, *has.options)]
        assert len(set(names)) == len(names)
        for setting in (*has.settings, *has.options):
            assert setting.meaning
            assert not (setting.secret and setting.default), f"{setting.name}: a secret has no default"
        assert not has.needs_key or any(setting.secret for setting in has.settings)

    def test_a_symbols_market_is_told_by_its_form(self, made: Vendor, fake: FakeVendor | None) -> None:
        """No request is needed, and each market has an offer."""
        markets = {offer.market for offer in made.capabilities.offers}
        assert {made.market(symbol) for symbol in self.symbols} <= markets
        assert isinstance(made.market(_ALIEN), str)
        assert fake is None or not len(fake.log)

    # --- listings

    def test_known_symbols_come_once_and_unknown_ones_not(self, made: Vendor) -> None:
        """Whether asked by name or for all."""
        found = [listing.symbol for listing in made.listings([*self.symbols, _ALIEN])]
        assert sorted(found) == sorted(self.symbols)
        everything = [listing.symbol for listing in made.listings()]
        assert set(self.symbols) <= set(everything)

    # --- bars

    def test_pages_have_the_columns_and_only_the_last_has_no_cursor(self, made: Vendor) -> None:
        """Types are exact; cursors differ; rows are of the symbols and sessions asked."""
        for offer in made.capabilities.offers:
            request = self.request_of(made, offer)
            pages = list(made.bars(request))
            assert pages, "an answer is at least one page"
            cursors = [page.next_cursor for page in pages]
            assert cursors[-1] is None, "the last page has no cursor"
            assert None not in cursors[:-1], "only the last page has no cursor"
            assert len(set(cursors)) == len(cursors), "two pages have one cursor"
            bars = _bars(pages)
            assert bars.schema == schema(offer.timeframe)
            assert bars.num_rows, f"the world has bars for {request}"
            assert set(bars["symbol"].to_pylist()) <= set(request.symbols)
            days = {day for day in bars["session"].to_pylist() if day is not None}
            assert all(request.since <= day <= request.until for day in days)

    def test_bars_are_the_truth(self, made: Vendor, fake: FakeVendor | None) -> None:
        """Each bar of the fake's world within the hours, once, and with its values."""
        if fake is None:
            return
        for offer in made.capabilities.offers:
            if offer.basis != "raw" or offer.price_kind not in ("trade", "mid"):
                continue
            request = self.request_of(made, offer)
            at = Moment(fake.clock.now())
            wanted = fake.truth.table(
                offer.timeframe, request.since, request.until, keys=request.symbols, at=at
            )
            time_column = "session" if offer.timeframe == "1d" else "ts"
            told = _within(_bars(list(made.bars(request))), fake.truth, offer)
            assert _values(told, time_column) == _values(wanted, time_column)

    def test_symbols_without_bars_are_an_answer(self, made: Vendor, fake: FakeVendor | None) -> None:
        """A vendor that has no bars in a span says so with one empty page."""
        if fake is None:
            return
        offer = made.capabilities.offers[0]
        request = self.request_of(made, offer)
        before = sessions.sessions(
            offer.calendar, self.since - timedelta(days=30), self.since - timedelta(20)
        )
        early = BarRequest(request.symbols, offer.timeframe, before[0].date(), before[-1].date(), offer)
        if early.since < offer.first or len(before) > offer.sessions_per_request:
            return
        pages = list(made.bars(early))
        assert [page.next_cursor for page in pages] == [None]
        assert pages[0].bars.num_rows == 0
        assert pages[0].bars.schema == schema(offer.timeframe)

    # --- the network

    def test_requests_keep_to_the_limits_that_it_declares(
        self, made: Vendor, fake: FakeVendor | None
    ) -> None:
        """Only GET; no more symbols or sessions than declared; the credentials are right."""
        if fake is None:
            return
        for offer in made.capabilities.offers:
            list(made.bars(self.request_of(made, offer)))
        made.listings(self.symbols)
        made.actions(self.symbols, self.since, self.until)
        assert not fake.log.writes()
        assert not fake.log.crowded(made.capabilities.concurrency)
        most = max(offer.sessions_per_request for offer in made.capabilities.offers)
        for entry in fake.log.of():
            assert entry.authorized is not False, f"{entry.path} was sent without the right credentials"
            assert entry.status == 200, f"{entry.path} was answered with {entry.status}"
            assert len(entry.symbols) <= made.capabilities.symbols_per_request
            if entry.span is not None:
                calendar = made.capabilities.offers[0].calendar
                assert len(sessions.sessions(calendar, *entry.span)) <= most

    def test_it_does_not_ask_again_by_itself(self, made: Vendor, fake: FakeVendor | None) -> None:
        """Trying again is the wire's business: one failure on a wire of one attempt is one request."""
        if fake is None:
            return
        fake.script.add(faults.Status(503), times=None)
        with pytest.raises(UpstreamError):
            list(made.bars(self.request_of(made, made.capabilities.offers[0])))
        assert len(fake.log) == 1

    @pytest.mark.parametrize("fault", _REFUSALS, ids=_named)
    def test_what_goes_wrong_is_told_in_qfunds_errors(
        self, made: Vendor, fake: FakeVendor | None, fault: faults.Fault
    ) -> None:
        """Bars, listings and actions raise nothing else, or answer in the columns of a page."""
        if fake is None:
            return
        offer = made.capabilities.offers[0]
        request = self.request_of(made, offer)
        fake.script.add(fault, times=None)
        try:
            pages = list(made.bars(request))
        except QfundError as error:
            _has_no_secret(error, fake)
        else:
            assert _bars(pages).schema == schema(offer.timeframe)
            assert pages[-1].next_cursor is None
        for ask in (
            lambda: made.listings(self.symbols),
            lambda: made.actions(self.symbols, self.since, self.until),
        ):
            try:
                ask()
            except QfundError as error:
                _has_no_secret(error, fake)

    def test_credentials_that_are_refused_are_a_setting_to_mend(
        self, made: Vendor, fake: FakeVendor | None
    ) -> None:
        """401 is ConfigError (exit 3), also when the vendor repeats the secret, which nothing does then."""
        if fake is None:
            return
        echo = " ".join(fake.secrets())
        fake.script.add(faults.Status(401, f"who is {echo}?"), times=None)
        with pytest.raises(ConfigError) as caught:
            list(made.bars(self.request_of(made, made.capabilities.offers[0])))
        _has_no_secret(caught.value, fake)

    def test_secrets_are_in_headers_alone(self, made: Vendor, fake: FakeVendor | None) -> None:
        """Neither in an address nor in what the vendor shows of itself."""
        if fake is None:
            return
        list(made.bars(self.request_of(made, made.capabilities.offers[0])))
        shown = repr(made) + repr([(entry.path, dict(entry.params)) for entry in fake.log.of()])
        assert not [secret for secret in fake.secrets() if secret in shown]

    # --- corporate actions

    def test_actions_lie_in_the_span_that_was_asked(self, made: Vendor) -> None:
        """By ex-date, of the symbols asked."""
        for action in made.actions(self.symbols, self.since, self.until):
            assert action.symbol in self.symbols
            assert self.since <= action.ex_date <= self.until

    def test_actions_are_the_truth_as_far_as_it_is_told(self, made: Vendor, fake: FakeVendor | None) -> None:
        """Splits and dividends, with their numbers; one that is announced late is not there before."""
        if fake is None:
            return
        told = made.actions(self.symbols, self.since, self.until)
        filed = [one.action for one in fake.truth.actions(Moment(fake.clock.now()))]
        wanted = [one for one in filed if self.since <= one.ex_date <= self.until and self.has_actions]
        assert sorted(map(_numbers, told)) == sorted(map(_numbers, wanted))
        refs = [one.vendor_ref for one in told if one.vendor_ref]
        assert len(set(refs)) == len(refs)


def _numbers(action: CorporateAction) -> tuple[object, ...]:
    rates = (action.new_rate or 0, action.old_rate or 0, action.cash_amount or 0)
    return (action.symbol, action.kind, action.ex_date, *rates)


def _bars(pages: list[Page]) -> pa.Table:
    return pa.concat_tables([page.bars for page in pages])


def _within(bars: pa.Table, truth: Truth, offer: Offer) -> pa.Table:
    """The bars without the minutes outside the hours, where the vendor declares that it tells more."""
    if offer.timeframe == "1d" or not offer.answers_more or not bars.num_rows:
        return bars
    times = bars["ts"].to_pylist()
    first, last = min(times).date(), max(times).date() + timedelta(days=1)
    days = truth.sessions(offer.calendar, first, last)
    return bars.filter(pa.array([any(day.opens <= one < day.closes for day in days) for one in times]))


def _values(bars: pa.Table, column: str) -> list[tuple[object, ...]]:
    rows = bars.sort_by([("symbol", "ascending"), (column, "ascending")]).to_pylist()
    return [(row["symbol"], row[column], *(row[name] for name in FIELDS)) for row in rows]


def _has_no_secret(error: QfundError, fake: FakeVendor) -> None:
    said = f"{error.message} {error.fix} {error.details} {error!r} {error.__cause__!r}"
    assert not [secret for secret in fake.secrets() if secret in said], "a secret is in an error"

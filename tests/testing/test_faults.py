"""Each fault really happens on the wire, as seen by a plain HTTP client."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import time
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime

import pytest

from qfund.testing import Clock, Instrument, Truth, faults
from qfund.testing.plain import FakePlain

NOW = datetime(2024, 2, 1, 12, tzinfo=UTC)
SPAN = "since=2024-01-02&until=2024-01-31"


class SmallPages(FakePlain):
    page_rows = 10


@pytest.fixture(scope="module")
def truth() -> Truth:
    made = Truth()
    for symbol in ("AAPL", "MSFT"):
        made.walk(symbol, "1d", date(2024, 1, 2), date(2024, 1, 31))
    return made


@pytest.fixture
def fake(truth):
    with SmallPages(truth, clock=Clock(NOW)) as running:
        yield running


@contextlib.contextmanager
def connection(fake):
    made = http.client.HTTPConnection(fake.url.removeprefix("http://"), timeout=10)
    try:
        yield made
    finally:
        made.close()


def raw(fake, query=f"/bars?symbols=AAPL&timeframe=1d&{SPAN}", **headers):
    """Status, headers (lower case) and undecoded body of one GET."""
    with connection(fake) as made:
        made.request("GET", query, headers={"Authorization": f"Bearer {fake.key}", **headers})
        answer = made.getresponse()
        body = answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


def page(fake, token=None, symbols="AAPL,MSFT"):
    query = f"/bars?symbols={symbols}&timeframe=1d&{SPAN}" + (f"&page_token={token}" if token else "")
    status, _, body = raw(fake, query)
    assert status == 200, body
    return json.loads(body)


def times(document):
    return [(bar["symbol"], bar["time"]) for bar in document["bars"]]


# --- statuses


@pytest.mark.parametrize("code", [400, 429, 500, 502, 503, 504])
def test_a_status_comes_once_with_the_vendors_own_words(fake, code):
    fake.script.add(faults.Status(code, "busy"))
    status, _, body = raw(fake)
    assert (status, json.loads(body)) == (code, {"error": "busy"})
    assert raw(fake)[0] == 200
    assert [entry.status for entry in fake.log.of()] == [code, 200]


def test_retry_after_in_seconds_and_as_a_date(fake):
    fake.script.add(faults.Status(429, retry_after=7))
    fake.script.add(faults.Status(429, retry_after=7, as_date=True), number=2)
    assert raw(fake)[1]["retry-after"] == "7"
    said = raw(fake)[1]["retry-after"]
    assert parsedate_to_datetime(said) == datetime(2024, 2, 1, 12, 0, 7, tzinfo=UTC)


@pytest.mark.parametrize("seconds", [-40_000_000, 600])
def test_a_reset_lies_in_the_past_or_ahead(fake, seconds):
    fake.script.add(faults.Status(429, reset_in=seconds))
    assert int(raw(fake)[1]["x-ratelimit-reset"]) == int(NOW.timestamp()) + seconds


def test_a_proxys_html_comes_as_it_is(fake):
    fake.script.add(faults.Status(502, body="<h1>Bad Gateway</h1>"))
    status, headers, body = raw(fake)
    assert (status, headers["content-type"], body) == (502, "text/html", b"<h1>Bad Gateway</h1>")


# --- connections and bodies


def test_a_connection_ends_before_the_headers(fake):
    fake.script.add(faults.Drop())
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        raw(fake)
    assert fake.log.entries[0].status == 0
    assert raw(fake)[0] == 200


@pytest.mark.parametrize(("when", "some"), [("after headers", False), ("in the body", True)])
def test_a_connection_ends_in_the_middle(fake, when, some):
    fake.script.add(faults.Drop(when))
    with pytest.raises(http.client.IncompleteRead) as caught:
        raw(fake)
    assert bool(caught.value.partial) == some


def test_gzip_is_cut_under_a_length_that_fits(fake):
    fake.script.add(faults.CutGzip())
    status, headers, body = raw(fake, **{"Accept-Encoding": "gzip"})
    assert status == 200
    assert headers["content-encoding"] == "gzip"
    assert int(headers["content-length"]) == len(body)
    with pytest.raises(EOFError):
        gzip.decompress(body)


def test_bodies_are_compressed_for_who_accepts_it(fake):
    plain = raw(fake)
    packed = raw(fake, **{"Accept-Encoding": "gzip"})
    assert gzip.decompress(packed[2]) == plain[2]
    assert len(packed[2]) < len(plain[2])


def test_json_is_cut_in_half(fake):
    whole = raw(fake)[2]
    fake.script.add(faults.CutJson())
    assert raw(fake)[2] == whole[: len(whole) // 2]


def test_text_stands_in_a_good_answer(fake):
    fake.script.add(faults.Text("Exceeded the daily hits limit", "text/plain"))
    status, headers, body = raw(fake)
    assert (status, headers["content-type"], body) == (200, "text/plain", b"Exceeded the daily hits limit")


def test_the_content_type_is_another(fake):
    whole = raw(fake)[2]
    fake.script.add(faults.ContentType("text/plain"))
    _, headers, body = raw(fake)
    assert (headers["content-type"], body) == ("text/plain", whole)


def test_an_answer_comes_late(fake):
    fake.script.add(faults.Delay(0.2))
    began = time.monotonic()
    raw(fake)
    assert time.monotonic() - began >= 0.2


def test_a_body_drips(fake):
    fake.script.add(faults.SlowBody(pause=0.02, piece=400))
    began = time.monotonic()
    body = raw(fake)[2]
    assert time.monotonic() - began >= 0.02 * (len(body) // 400)
    json.loads(body)


def test_a_fake_ends_while_an_answer_drips(truth):
    with SmallPages(truth, clock=Clock(NOW)) as fake:
        fake.script.add(faults.SlowBody(pause=60, piece=1))
        with connection(fake) as made:
            made.request(
                "GET",
                f"/bars?symbols=AAPL&timeframe=1d&{SPAN}",
                headers={"Authorization": f"Bearer {fake.key}"},
            )
            assert made.getresponse().status == 200
            began = time.monotonic()
            fake.stop()
            assert time.monotonic() - began < 30


# --- pages


def test_without_a_fault_the_pages_are_all_bars_each_once_by_symbol_then_time(fake):
    document = page(fake)
    found = times(document)
    while document["next"]:
        document = page(fake, document["next"])
        found += times(document)
    assert len(found) == 42
    assert found == sorted(set(found))


def test_a_page_token_is_repeated(fake):
    fake.script.add(faults.RepeatToken(), with_token=True, times=None)
    token = page(fake)["next"]
    assert [page(fake, token)["next"] for _ in range(3)] == [token] * 3


def test_an_empty_page_leads_on(fake):
    fake.script.add(faults.EmptyPage(), number=2)
    first = page(fake)
    empty = page(fake, first["next"])
    assert empty["bars"] == []
    assert empty["next"] not in (None, first["next"])
    assert times(page(fake, empty["next"]))[0] > times(first)[-1]


def test_empty_pages_never_end_and_never_repeat(fake):
    fake.script.add(faults.EmptyPage(), times=None)
    tokens = [page(fake)["next"]]
    tokens += [page(fake, tokens[-1])["next"] for _ in range(4)]
    assert len(set(tokens)) == 5


def test_a_page_is_short_although_there_is_more(fake):
    fake.script.add(faults.ShortPage(3))
    document = page(fake)
    assert len(document["bars"]) == 3
    assert document["next"]
    assert times(page(fake, document["next"]))[0] > times(document)[-1]


def test_pages_overlap(fake):
    fake.script.add(faults.Overlap(2), with_token=True)
    first = page(fake)
    second = page(fake, first["next"])
    assert times(second)[:2] == times(first)[-2:]
    assert len(second["bars"]) == 12


def test_one_time_has_two_bars(fake):
    fake.script.add(faults.TwoBars(2.0))
    one, two = page(fake)["bars"][-2:]
    assert (one["symbol"], one["time"]) == (two["symbol"], two["time"])
    assert two["close"] == pytest.approx(one["close"] * 2)


def test_a_token_expires(fake):
    fake.script.add(faults.ExpiredToken(), times=None)
    token = page(fake)["next"]
    status, _, body = raw(fake, f"/bars?symbols=AAPL,MSFT&timeframe=1d&{SPAN}&page_token={token}")
    assert (status, json.loads(body)) == (400, {"error": "invalid page token"})


def test_a_symbol_is_left_out(fake):
    fake.script.add(faults.Missing("AAPL"), symbol="AAPL")
    assert page(fake, symbols="AAPL")["bars"] == []


def test_bars_are_null(fake):
    fake.script.add(faults.NullBars())
    assert page(fake)["bars"] is None


@pytest.mark.parametrize(("value", "text"), [
    (float("nan"), b"NaN"), (-1.0, b"-1.0"), ("n/a", b'"n/a"'), (None, b"null"), (1e18, b"1e+18"),
    (float("inf"), b"Infinity"),
])  # fmt: skip
def test_a_value_is_bad(fake, value, text):
    fake.script.add(faults.BadValue("close", value, row=2))
    body = raw(fake)[2]
    assert b'"close": ' + text in body


def test_high_lies_below_low(fake):
    fake.script.add(faults.HighBelowLow())
    bar = page(fake)["bars"][0]
    assert bar["high"] < bar["low"]


def test_the_last_bar_is_forming(fake):
    whole = page(fake)["bars"]
    fake.script.add(faults.Forming())
    told = page(fake)["bars"]
    assert told[:-1] == whole[:-1]
    assert told[-1]["time"] == whole[-1]["time"]
    assert told[-1]["volume"] < whole[-1]["volume"]


def test_prices_are_adjusted(fake):
    whole = page(fake)["bars"]
    fake.script.add(faults.Adjusted(0.25))
    told = page(fake)["bars"]
    assert told[0]["close"] == pytest.approx(whole[0]["close"] / 4)
    assert told[0]["volume"] == pytest.approx(whole[0]["volume"] * 4)


def test_times_are_in_a_wrong_zone(fake):
    fake.script.add(faults.Shifted(-5))
    assert page(fake)["bars"][0]["time"] == "2024-01-01T19:00:00+00:00"


def test_a_bar_lies_in_the_future(fake):
    fake.script.add(faults.Future(3))
    assert page(fake)["bars"][-1]["time"] == "2024-02-04"


def test_values_are_stale(fake):
    fake.script.add(faults.Stale())
    assert len({bar["close"] for bar in page(fake)["bars"]}) == 1


def test_a_bar_forms_while_the_clock_is_inside_its_session():
    truth = Truth()
    truth.add(Instrument("AAPL"))
    truth.walk("AAPL", "1d", date(2024, 1, 2), date(2024, 1, 4))
    with FakePlain(truth, clock=Clock(datetime(2024, 1, 3, 14, 0, tzinfo=UTC))) as fake:
        assert times(page(fake))[-1] == ("AAPL", "2024-01-02")  # before the open
        fake.clock.set(datetime(2024, 1, 3, 18, 0, tzinfo=UTC))
        forming = page(fake)["bars"][-1]
        fake.clock.set(datetime(2024, 1, 3, 21, 0, tzinfo=UTC))
        final = page(fake)["bars"][-1]
    assert (forming["time"], final["time"]) == ("2024-01-03", "2024-01-03")
    assert forming["volume"] < final["volume"]


# --- the script


def test_a_line_plays_at_the_requests_it_names(fake):
    fake.script.add(faults.Status(500), symbol="MSFT", number=2, times=2)
    asked = ("MSFT", "AAPL", "MSFT", "AAPL", "MSFT", "MSFT")
    found = [raw(fake, f"/bars?symbols={symbol}&timeframe=1d&{SPAN}")[0] for symbol in asked]
    assert found == [200, 200, 500, 200, 500, 200]


def test_a_line_that_never_played_is_known(fake):
    fake.script.add(faults.Status(500), path="/actions")
    raw(fake)
    assert [line.path for line in fake.script.unplayed()] == ["/actions"]
    fake.script.clear()
    assert not fake.script.unplayed()

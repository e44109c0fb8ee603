"""The wire: whatever the network and a vendor do, a whole and believable body or an error that says what helps."""

from __future__ import annotations

import gzip
import logging
import math
import threading
import traceback
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import msgspec
import pytest

from qfund.errors import (
    BadRequestError,
    BudgetError,
    ConfigError,
    NotFoundError,
    QfundError,
    TimeoutExpiredError,
    UpstreamError,
)
from qfund.vendors.contract import Rate
from qfund.vendors.wire import Network, Patience
from tests.support.loopback import (
    closed_port,
    drips,
    gz,
    hangs_up,
    head,
    loopback,
    packed,
    raw,
    resets,
    says,
    silent,
)

BARS = {"bars": {"AAPL": [{"c": 1.5}]}}
NOON = datetime(2024, 3, 8, 12, 0, tzinfo=UTC)
CANARY = "cAnArY+key/77=="
SECOND = "PKCANARYCANARY"


class Time:
    """A present that moves only when somebody sleeps."""

    def __init__(self, now: datetime = NOON) -> None:
        self.start, self.passed, self.slept = now, 0.0, []

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return 1000.0 + self.passed

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.passed += seconds


class Steady:
    """A pace that lets everything leave and remembers what it was told."""

    def __init__(self) -> None:
        self.waits, self.allowed, self.blocked = 0, [], []

    def wait(self) -> float:
        self.waits += 1
        return 0.0

    def allow(self, rate: Rate) -> None:
        self.allowed.append(rate)

    def block(self, seconds: float) -> None:
        self.blocked.append(seconds)


class Counter:
    """A meter that ends after so many."""

    def __init__(self, most: float = math.inf) -> None:
        self.most, self.sent, self.received_ = most, 0, []

    def sending(self) -> None:
        if self.sent >= self.most:
            raise BudgetError("used up")
        self.sent += 1

    def received(self, *, size, throttled, retried) -> None:
        self.received_.append((size, throttled, retried))


class Rig:
    """A network of doubles, and a wire to a server."""

    def __init__(
        self, url, *, jitter=0.5, left=math.inf, most=math.inf, headers=None, secrets=(), **more
    ) -> None:
        self.time, self.pace, self.meter = Time(), Steady(), Counter(most)
        self.network = Network(
            pace=lambda _account, _rate: self.pace,
            meter=lambda _account: self.meter,
            clock=self.time.now,
            monotonic=self.time.monotonic,
            sleep=self.time.sleep,
            jitter=lambda: jitter,
            left=lambda: left - self.time.passed,
            **more,
        )
        self.wire = self.network.wire(
            url, account="fake data 1f3a", rate=Rate(200), headers=headers, secrets=secrets
        )

    def get(self, **more):
        return self.wire.get("/v2/bars", {"symbols": "AAPL,MSFT"}, **more)


@contextmanager
def rigged(*acts, **more):
    with loopback(*acts) as server:
        rig = Rig(server.url, **more)
        with rig.network:
            yield server, rig


def dated(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


# ---------------------------------------------------------------- a whole answer


def test_a_whole_answer_is_returned_and_only_get_was_sent():
    with rigged(says(200, BARS, date=dated(NOON), x_custom="1"), headers={"X-Key": CANARY}) as (server, rig):
        answer = rig.get()
        assert msgspec.json.decode(answer.body) == BARS
        assert answer.status == 200
        assert answer.headers["x-custom"] == "1"
        assert answer.dated == NOON
    (asked,) = server.asked
    assert asked.method == "GET"
    assert asked.target == "/v2/bars?symbols=AAPL%2CMSFT"
    assert asked.headers["x-key"] == CANARY
    assert asked.headers["accept-encoding"] == "gzip"
    assert (rig.pace.waits, rig.meter.sent) == (1, 1)
    assert rig.meter.received_ == [(len(answer.body), False, False)]


def test_a_packed_answer_is_unpacked_and_counted_as_it_came():
    content = gz(BARS)
    with rigged(packed(content)) as (_, rig):
        assert msgspec.json.decode(rig.get().body) == BARS
    assert rig.meter.received_ == [(len(content), False, False)]


def test_a_packed_answer_may_have_several_members():
    with rigged(packed(gzip.compress(b"[1,") + gzip.compress(b"2]"))) as (_, rig):
        assert rig.get().body == b"[1,2]"


def test_one_connection_is_kept_for_many_requests():
    with rigged(says(200, BARS)) as (server, rig):
        for _ in range(5):
            rig.get()
        assert {asked.connection for asked in server.asked} == {0}


def test_threads_share_a_wire_and_each_gets_its_own_answer():
    def echo(connection):
        target = server.asked[-1].target  # one at a time is enough to see a mix-up
        return says(200, {"target": target})(connection)

    with rigged(echo) as (server, rig):
        lock = threading.Lock()

        def ask(number):
            with lock:
                answer = rig.wire.get(f"/{number}")
            return msgspec.json.decode(answer.body)["target"] == f"/{number}"

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(ask, range(40)))
    with rigged(says(200, BARS)) as (server, rig), ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: rig.get().body, range(64)))
        assert {msgspec.json.decode(body)["bars"]["AAPL"][0]["c"] for body in answers} == {1.5}
        assert len(server.asked) == 64


# ---------------------------------------------------------------- faults that another try mends

WHOLE = msgspec.json.encode(BARS)
HEAD = head(200, {"content-type": "application/json", "content-length": str(len(WHOLE))})
LONG = head(200, {"content-type": "application/json", "content-length": "100000"})
CHUNKED = head(200, {"content-type": "application/json", "transfer-encoding": "chunked"})

FAULTS = {
    "500": says(500, b"oops"),
    "502 with a page": says(502, b"<html><title>Bad Gateway</title></html>", content_type="text/html"),
    "503": says(503, {"message": "busy"}),
    "504": says(504, b""),
    "408": says(408),
    "hangs up": hangs_up,
    "reset at once": resets(),
    "reset in the head": resets(HEAD[:30]),
    "reset in the body": resets(HEAD + WHOLE[:9]),
    "half a body": raw(HEAD + WHOLE[:-7]),
    "shorter than its length": says(200, WHOLE, length=len(WHOLE) + 20),
    "longer than its length": says(200, WHOLE, length=len(WHOLE) - 2),
    "chunks cut off": raw(CHUNKED + b"5\r\n" + WHOLE[:5] + b"\r\n5\r\nab"),
    "chunks without an end": raw(CHUNKED + f"{len(WHOLE):x}\r\n".encode() + WHOLE + b"\r\n"),
    "gzip that is none": packed(WHOLE),
    "gzip cut off": packed(gz(BARS)[:-9]),
    "gzip with a broken middle": packed(gz(BARS)[:14] + b"\xff\xff\xff" + gz(BARS)[17:]),
    "gzip and more": packed(gz(BARS) + b"junk"),
    "an unknown packing": says(200, WHOLE, content_encoding="br"),
    "a page in a 200": says(200, b"<html><title>Login</title></html>", content_type="text/html"),
    "a page that says it is JSON": says(200, b"<!doctype html><p>sorry"),
    "text in a 200": says(200, b"Exceeded the daily hits limit", content_type="text/plain"),
    "text that says it is JSON": says(200, b"Exceeded the daily hits limit"),
    "JSON that says it is a page": says(200, WHOLE, content_type="text/html; charset=utf-8"),
    "an empty body": says(200, b""),
    "blanks": says(200, b" \r\n "),
    "JSON cut in half": says(200, WHOLE[: len(WHOLE) // 2]),
    "an array cut in half": says(200, b'[{"a": 1}, {"a": 2}'),
    "no HTTP at all": raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_mended_by_asking_again_after_a_full_jitter_wait(fault):
    with rigged(fault, fault, says(200, BARS), jitter=0.25) as (server, rig):
        assert msgspec.json.decode(rig.get().body) == BARS
    assert len(server.asked) == 3
    assert rig.time.slept == [0.25 * 1.0, 0.25 * 2.0]
    assert rig.pace.waits == rig.meter.sent == 3
    assert [retried for _, _, retried in rig.meter.received_] == [False, True, True]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_for_ever_ends_after_all_attempts(fault):
    with rigged(fault, attempts=3) as (server, rig):
        with pytest.raises(UpstreamError, match=r"tried 3 times") as told:
            rig.get()
        assert told.value.code == "VENDOR_UNAVAILABLE"
        assert told.value.exit_code == 13
        assert not isinstance(told.value, BadRequestError)
    assert len(server.asked) == 3


def test_the_vendors_words_are_in_the_error():
    for fault, words in (
        (FAULTS["text in a 200"], "Exceeded the daily hits limit"),
        (FAULTS["a page in a 200"], "a page of HTML: Login"),
        (FAULTS["503"], "HTTP 503.*busy"),
        (FAULTS["502 with a page"], "HTTP 502.*Bad Gateway"),
    ):
        with rigged(fault, attempts=1) as (_, rig), pytest.raises(UpstreamError, match=words):
            rig.get()


def test_the_wait_doubles_up_to_a_bound():
    with rigged(says(500), attempts=9, jitter=1.0) as (_, rig), pytest.raises(UpstreamError):
        rig.get()
    assert rig.time.slept == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_server_error_that_says_when_to_come_again_is_obeyed():
    with rigged(says(503, retry_after="7"), says(200, BARS)) as (_, rig):
        rig.get()
    assert rig.time.slept == [7.0]


def test_while_a_busy_vendor_says_wait_nothing_leaves_for_anybody_also_after_the_last_try():
    with rigged(says(503, retry_after="7"), attempts=1) as (_, rig):
        with pytest.raises(UpstreamError):
            rig.get()
        assert rig.pace.blocked == [7.0]


def test_nobody_at_the_address():
    rig = Rig(closed_port(), attempts=2)
    with rig.network, pytest.raises(UpstreamError, match=r"cannot be reached: .*refused"):
        rig.get()
    assert rig.meter.received_ == [(0, False, False), (0, False, True)]


def test_a_silent_server_is_given_up():
    with (
        rigged(silent(20), attempts=2, patience=Patience(silence=0.1)) as (server, rig),
        pytest.raises(UpstreamError, match=r"was silent for 0\.1 s"),
    ):
        rig.get()
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "slow",
    [
        drips(LONG + b" " * 100_000),
        drips(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000),
        drips(LONG + b" " * 100_000, every=0.0005),
    ],
    ids=["body", "head", "fast drops"],
)
def test_a_dripping_answer_ends_by_the_total_limit_although_it_is_never_silent(slow):
    with (
        rigged(slow, attempts=1, patience=Patience(silence=5, total=0.3)) as (_, rig),
        pytest.raises(UpstreamError, match=r"did not answer in full within 0\.3 s"),
    ):
        rig.get()


def test_no_exchange_outlasts_the_run():
    with rigged(silent(20), left=0.2, jitter=1.0) as (server, rig):
        with pytest.raises(TimeoutExpiredError, match="over before it can be asked again"):
            rig.get()
        assert len(server.asked) == 1


def test_the_run_ends_rather_than_wait_beyond_its_time():
    with rigged(says(503), left=1.5, jitter=1.0) as (server, rig):
        with pytest.raises(TimeoutExpiredError) as told:
            rig.get()
        assert told.value.exit_code == 124
    assert len(server.asked) == 2
    assert rig.time.slept == [1.0]


def test_the_budget_ends_retries_too():
    with rigged(says(500), most=2) as (server, rig), pytest.raises(BudgetError):
        rig.get()
    assert len(server.asked) == 2


# ---------------------------------------------------------------- decoding


class Bars(msgspec.Struct):
    bars: dict[str, list[dict[str, float]]]


def test_a_body_that_cannot_be_decoded_is_asked_for_again():
    decoder = msgspec.json.Decoder(Bars)
    broken = b'{"bars": {"AAPL": [{"c": }]}}'  # begins and ends as it should
    with rigged(says(200, broken), says(200, {"bars": 7}), says(200, BARS, date=dated(LATER))) as (
        server,
        rig,
    ):
        found = rig.wire.read("/", None, lambda answer: (decoder.decode(answer.body), answer.dated))
    assert found == (Bars(BARS["bars"]), LATER)
    assert len(server.asked) == 3
    with (
        rigged(says(200, broken), attempts=2) as (server, rig),
        pytest.raises(UpstreamError, match="decoded"),
    ):
        rig.wire.read("/", None, lambda answer: decoder.decode(answer.body))
    assert len(server.asked) == 2


def test_a_decoders_own_words_are_kept_and_its_own_faults_are_not_hidden():
    def refuse(error):
        def decode(_answer):
            raise error

        return decode

    with rigged(says(200, BARS), attempts=2) as (server, rig):
        with pytest.raises(UpstreamError, match=r"^the page has no bars$"):
            rig.wire.read("/", None, refuse(UpstreamError("the page has no bars")))
        assert len(server.asked) == 2
        with pytest.raises(BadRequestError):
            rig.wire.read("/", None, refuse(BadRequestError("that symbol")))
        assert len(server.asked) == 3
        with pytest.raises(KeyError):
            rig.wire.read("/", None, refuse(KeyError("bug")))
        assert len(server.asked) == 4


def test_what_is_not_expected_to_be_json_need_only_be_whole():
    with rigged(says(200, b"a,b\n1,2\n", content_type="text/csv")) as (_, rig):
        assert rig.get(expect="any").body == b"a,b\n1,2\n"
    with rigged(says(200, b""), attempts=1) as (_, rig), pytest.raises(UpstreamError, match="empty"):
        rig.get(expect="any")


# ---------------------------------------------------------------- throttling

LATER = NOON + timedelta(hours=5, seconds=17)  # the vendor's clock; ours is five hours behind


def throttled(**headers):
    return says(429, {"message": "too many requests."}, date=dated(LATER), **headers)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "30"}, 30),
        ({"retry_after": "2.5"}, 2.5),
        ({"retry_after": dated(LATER + timedelta(seconds=42))}, 42),
        ({"x_ratelimit_reset": str(int(LATER.timestamp()) + 20)}, 20),
        ({"x_ratelimit_reset": str(int(LATER.timestamp()) + 600)}, 600),
        ({"retry_after": "3", "x_ratelimit_reset": str(int(LATER.timestamp()) + 20)}, 20),
        ({"retry_after": "50", "x_ratelimit_reset": str(int(LATER.timestamp()) + 20)}, 50),
        ({"retry_after": "5", "x_ratelimit_reset": "1674044551"}, 5),
        ({"x_ratelimit_reset": "1674044551"}, 1),  # past: as if it were not there
        ({"x_ratelimit_reset": str(int(LATER.timestamp() * 1000))}, 1),  # milliseconds
        ({"x_ratelimit_reset": str(int(LATER.timestamp()) + 90_000)}, 1),  # tomorrow
        ({"x_ratelimit_reset": "soon", "retry_after": "-4"}, 1),
        ({"retry_after": dated(LATER - timedelta(hours=1))}, 1),
        ({"retry_after": "nan", "x_ratelimit_reset": "inf"}, 1),
        ({}, 1),
    ],
)
def test_429_waits_as_long_as_the_vendor_says_by_its_own_clock(headers, seconds):
    with rigged(throttled(**headers), says(200, BARS), attempts=1, jitter=0.25) as (server, rig):
        rig.get()
    assert rig.pace.blocked == [seconds + 0.25]
    assert rig.time.slept == pytest.approx([seconds + 0.25])
    assert [throttled for _, throttled, _ in rig.meter.received_] == [True, False]
    assert [retried for _, _, retried in rig.meter.received_] == [False, False]
    assert len(server.asked) == 2


def test_429_is_no_attempt_but_not_for_ever_either():
    with rigged(*[throttled()] * 12, says(200, BARS), attempts=1) as (server, rig):
        rig.get()
    assert len(server.asked) == 13
    assert [round(seconds - 0.5) for seconds in rig.pace.blocked[:8]] == [1, 2, 4, 8, 16, 32, 60, 60]
    with rigged(throttled(retry_after="1")) as (server, rig):
        with pytest.raises(UpstreamError, match=r"throttles without end .*too many requests") as told:
            rig.get()
        assert told.value.code == "VENDOR_THROTTLES"
    assert len(server.asked) == 13


def test_a_wait_beyond_the_end_of_the_run_ends_it_at_once():
    with (
        rigged(throttled(retry_after="600"), left=500) as (server, rig),
        pytest.raises(TimeoutExpiredError, match="asks to wait"),
    ):
        rig.get()
    assert (len(server.asked), rig.time.slept) == (1, [])


def test_a_vendor_that_asks_to_come_tomorrow_is_believed():
    with (
        rigged(throttled(retry_after="86400")) as (server, rig),
        pytest.raises(UpstreamError, match="86400 s"),
    ):
        rig.get()
    assert (len(server.asked), rig.time.slept) == (1, [])


def test_the_rate_is_learnt_from_the_headers_once():
    told = {"x_ratelimit_limit": "10000", "x_ratelimit_remaining": "9999"}
    with rigged(says(200, BARS, **told)) as (_, rig):
        rig.get()
        rig.get()
    assert rig.pace.allowed == [Rate(10000)]
    assert rig.pace.blocked == []


@pytest.mark.parametrize("limit", ["0", "-5", "many", "1e99", "nan", ""])
def test_a_limit_that_makes_no_sense_changes_nothing(limit):
    with rigged(says(200, BARS, x_ratelimit_limit=limit)) as (_, rig):
        rig.get()
    assert rig.pace.allowed == []


def test_nothing_leaves_when_none_are_left_until_the_reset():
    told = {"x_ratelimit_remaining": "0", "x_ratelimit_reset": str(int(LATER.timestamp()) + 9)}
    with rigged(says(200, BARS, date=dated(LATER), **told), says(200, BARS)) as (_, rig):
        rig.get()
        assert rig.pace.blocked == [9.0]
        rig.get()
    assert rig.time.slept == [9.0]


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("status", "kind", "exit_code"),
    [
        (400, BadRequestError, 13),
        (414, BadRequestError, 13),
        (416, BadRequestError, 13),
        (422, BadRequestError, 13),
        (401, ConfigError, 3),
        (403, ConfigError, 3),
        (404, NotFoundError, 11),
        (409, UpstreamError, 13),
    ],
)
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"message": "subscription does not permit"}, "subscription does not permit"),
        (
            {"errorMessage": "Maximum value exceeded", "errorCode": "E7"},
            r"Maximum value exceeded \(code E7\)",
        ),
        ({"code": 40010001, "message": "invalid symbol(s)"}, r"invalid symbol\(s\) \(code 40010001\)"),
        ({"error": {"message": "no such thing"}}, "no such thing"),
        (b"plain words", "plain words"),
        (b"<html><title>Forbidden</title>", "a page of HTML: Forbidden"),
        (b"", r"\(HTTP \d+\)\.$"),
    ],
)
def test_a_refusal_is_told_in_the_vendors_words_and_not_tried_again(status, kind, exit_code, body, words):
    with rigged(says(status, body)) as (server, rig):
        with pytest.raises(kind, match=words) as told:
            rig.get()
        assert type(told.value) is kind
        assert told.value.exit_code == exit_code
        assert told.value.details["status"] == status
    assert len(server.asked) == 1
    assert rig.time.slept == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_credentials_never_follow_a_redirect(status):
    with (
        loopback(says(200, BARS)) as other,
        rigged(says(status, b"", location=f"{other.url}/v2/bars"), headers={"X-Key": CANARY}) as (
            server,
            rig,
        ),
    ):
        with pytest.raises(UpstreamError, match="sends elsewhere"):
            rig.get()
        assert other.asked == []
    assert len(server.asked) == 1


# ---------------------------------------------------------------- secrets


def telling(secret):
    """Bodies that repeat a secret in the ways that servers do."""
    from urllib.parse import quote

    return [
        {"message": f"no such key: {secret}", "code": secret},
        {"error": {"message": [secret]}},
        {"whatever": {"deep": secret}},
        f"key {secret} is not known".encode(),
        f"<title>{quote(secret, safe='')}</title>".encode(),
        b"<title>" + quote(secret).encode() + b"</title>",
    ]


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 409, 429, 500])
def test_a_secret_is_in_no_word_that_is_said(status, caplog):
    caplog.set_level(logging.DEBUG)
    headers = {"Authorization": f"Bearer {CANARY}", "APCA-API-KEY-ID": SECOND}
    for secret in (CANARY, SECOND):
        for body in telling(secret):
            kind = "text/plain" if status == 200 else "application/json"
            act = says(status, body, content_type=kind, location=f"/?k={secret}")
            with rigged(act, headers=headers, attempts=2) as (server, rig):
                with pytest.raises(QfundError) as told:
                    rig.get()
                assert server.asked[0].headers["authorization"].endswith(CANARY)
            error = told.value
            said = "".join(
                [
                    *traceback.format_exception(error),
                    repr(error),
                    repr(error.details),
                    str(error.fix),
                    repr(rig.wire),
                    repr(rig.network),
                    repr(error.__context__),
                    caplog.text,
                ]
            )
            assert CANARY not in said
            assert SECOND not in said
            assert CANARY.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D") not in said


def test_a_key_in_the_address_is_refused_before_anything_is_sent():
    with rigged(says(200, BARS), secrets=(SECOND,)) as (server, rig):
        for path, query in (("/", {"apikey": SECOND}), (f"/{SECOND}/bars", None)):
            with pytest.raises(ValueError, match="never into the address") as told:
                rig.wire.get(path, query)
            assert SECOND not in str(told.value)
    assert server.asked == []


@pytest.mark.parametrize(
    "value", [f"{CANARY}\n", f" {CANARY}", f"{CANARY}\r\nX-Evil: 1", f"{CANARY}é", "a\0b"]
)
def test_a_key_with_impossible_characters_is_named_by_its_header_only(value):
    with pytest.raises(ConfigError, match="X-Key") as told:
        Rig("http://127.0.0.1:1", headers={"X-Key": value})
    assert CANARY not in str(told.value)


@pytest.mark.parametrize(
    "url",
    ["", "example.com", "ftp://example.com", "https://", "https://u:p4ss@example.com", "http://h:99999"],
)
def test_an_address_that_cannot_be_is_a_matter_of_configuration(url):
    with pytest.raises(ConfigError) as told:
        Rig(url)
    assert "p4ss" not in str(told.value)


def test_basic_credentials_are_secrets_too():
    word = b64encode(b"user:pass-word").decode()
    with rigged(says(400, {"message": f"bad {word}"}), headers={"Authorization": f"Basic {word}"}) as (
        _,
        rig,
    ):
        with pytest.raises(BadRequestError) as told:
            rig.get()
        assert word not in str(told.value)


# ---------------------------------------------------------------- the vendor's clock


def test_the_vendors_clock_counts_not_ours():
    with rigged(says(200, BARS, date=dated(LATER))) as (_, rig):
        assert rig.wire.server_now() is None
        assert rig.network.now() == NOON
        assert rig.get().dated == LATER
        rig.time.sleep(90)
        assert rig.network.now() == rig.wire.server_now() == LATER + timedelta(seconds=90)


def test_an_answer_without_a_date_is_dated_by_the_local_clock():
    with rigged(says(200, BARS, date="yesterday")) as (_, rig):
        assert rig.get().dated == NOON
        assert rig.wire.server_now() is None


def test_a_date_that_was_long_on_the_way_does_not_set_the_clock_back():
    acts = [says(200, BARS, date=dated(moment)) for moment in (LATER, LATER - timedelta(minutes=3))]
    with rigged(*acts) as (_, rig):
        rig.get()
        rig.get()
        assert rig.network.now() == LATER


def test_of_two_hosts_the_earlier_clock_counts():
    early = NOON - timedelta(seconds=30)
    with (
        loopback(says(200, BARS, date=dated(early))) as other,
        rigged(says(200, BARS, date=dated(NOON))) as (_, rig),
    ):
        rig.get()
        rig.network.wire(other.url, account="b", rate=Rate(10)).get("/")
        assert rig.network.now() == early

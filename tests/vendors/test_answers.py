"""Headers and bodies of any kind: never an exception of their own making, never a secret in a word."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfund.errors import QfundError
from qfund.vendors import answers
from qfund.vendors.answers import Answer, Failed, Hearing
from qfund.vendors.transport import Raw

NOW = datetime(2024, 3, 8, 12, 0, tzinfo=UTC)
SECRET = "pk-CANARY/1+1="

letters = st.text('aZ09 -+.:,;/=<>{}[]"\\é\x00\n', max_size=20)
texts = letters | st.floats().map(str) | st.integers().map(str) | st.datetimes().map(str)
names = st.sampled_from(
    ["retry-after", "x-ratelimit-reset", "x-ratelimit-limit", "x-ratelimit-remaining", "date", "content-type"]
)
headers = st.dictionaries(names, texts)


@given(headers)
def test_headers_of_any_kind_give_sane_waits_or_none(found):
    wait = answers.retry_after(found, NOW)
    assert wait is None or wait >= 0
    ahead = answers.reset(found, NOW)
    assert ahead is None or 0 < ahead <= answers.FAR
    allowed = answers.limit(found)
    assert allowed is None or 1 <= allowed <= 1_000_000
    answers.exhausted(found, NOW)
    moment = answers.moment(found.get("date"))
    assert moment is None or moment.utcoffset() == timedelta(0)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | letters | st.just(SECRET),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["message", "error", "code", "errorMessage", SECRET]), inner, max_size=3
        )
    ),
    max_leaves=8,
)
bodies = (
    st.binary(max_size=60)
    | json_values.map(lambda value: json.dumps(value).encode())
    | letters.map(lambda text: f"<title>{text}{SECRET}</title>".encode("utf-8", "replace"))
)


@given(st.integers(200, 599), headers, bodies, st.sampled_from(["", "gzip", "br"]))
def test_a_body_of_any_kind_is_believed_or_told_without_the_secret(status, found, body, packing):
    raw = Raw(status, {**found, "content-encoding": packing}, body)
    try:
        if status < 300:
            told = answers.judged(raw, "json", dated=NOW, secrets=(SECRET,))
        else:
            told = answers.refused(raw, "h", now=NOW, secrets=(SECRET,))
    except QfundError as error:
        said = repr((error, error.details))
    else:
        said = "" if isinstance(told, Answer) else repr(told)
        if isinstance(told, Answer):
            assert told.body.strip()[:1] + told.body.strip()[-1:] in {b"{}", b"[]"}
    assert SECRET not in said


@given(json_values.map(lambda value: json.dumps([value]).encode()), st.integers(1, 40))
def test_gzip_that_is_cut_anywhere_is_never_believed(body, cut):
    content = gzip.compress(body)
    told = answers.judged(
        Raw(200, {"content-encoding": "gzip"}, content[:-cut]), "json", dated=NOW, secrets=()
    )
    assert isinstance(told, Failed)
    whole = answers.judged(Raw(200, {"content-encoding": "gzip"}, content), "json", dated=NOW, secrets=())
    assert whole.body == body


def test_long_words_are_shortened_and_control_characters_taken_out():
    said = answers.cleaned("\x1b[31mred\nline\t" + "x" * 1000, ())
    assert len(said) == 300
    assert said.startswith("[31mred line xxx")


@given(
    skew=st.floats(-1e6, 1e6),
    answered=st.lists(st.tuples(st.floats(0, 30), st.floats(0, 5)), min_size=1, max_size=80),
)
def test_the_vendors_clock_is_never_ahead_of_itself(skew, answered):
    """Each answer is made after a pause, cut to its second, and heard after some time on the way."""
    hearing, passed = Hearing(), 1000.0
    for pause, way in answered:
        passed += pause
        true = NOW + timedelta(seconds=passed + skew)
        passed += way
        hearing.hear(true.replace(microsecond=0), passed)
        heard, truth = hearing.now(passed), NOW + timedelta(seconds=passed + skew)
        assert heard <= truth + timedelta(microseconds=1000)
        assert truth - heard <= timedelta(seconds=6.001)


def test_one_wrong_clock_is_forgotten():
    hearing = Hearing(answers=3)
    hearing.hear(NOW + timedelta(days=1), 0.0)
    for second in (1.0, 2.0, 3.0):
        hearing.hear(NOW + timedelta(seconds=second), second)
    assert hearing.now(3.0) == NOW + timedelta(seconds=3)


@pytest.mark.parametrize("text", [None, "", "yesterday", "Fri, 32 Mar 2024 99:00:00 GMT", "0"])
def test_what_is_no_date_is_none(text):
    assert answers.moment(text) is None

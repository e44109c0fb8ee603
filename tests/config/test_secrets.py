"""A secret is opened by name and shown by nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfund.config import Secret
from qfund.config.secrets import starred
from qfund.errors import ConfigError


def secret(written: str, folder: Path = Path(), **environ: str) -> Secret:
    return Secret(written, "store.url", folder, environ)


def test_a_variable_is_read_when_it_is_revealed():
    assert secret("env:DB", DB="postgresql://a/b").reveal() == "postgresql://a/b"


@pytest.mark.parametrize("environ", [{}, {"DB": ""}])
def test_a_variable_that_is_not_set_is_named(environ):
    with pytest.raises(ConfigError, match="variable DB, which is not set") as caught:
        secret("env:DB", **environ).reveal()
    assert caught.value.fix == "export DB=…"


def test_a_private_file_is_read_without_its_last_newline(tmp_path):
    file = tmp_path / "db"
    file.write_text("postgresql://a/b\n")
    file.chmod(0o600)
    assert secret("file:db", tmp_path).reveal() == "postgresql://a/b"
    assert secret(f"file:{file}").reveal() == "postgresql://a/b"
    assert secret(f"file://{file}").reveal() == "postgresql://a/b"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_may_read_is_refused(tmp_path, mode):
    file = tmp_path / "db"
    file.write_text("x")
    file.chmod(mode)
    with pytest.raises(ConfigError, match=f"others may read \\(mode {mode:04o}\\)") as caught:
        secret("file:db", tmp_path).reveal()
    assert caught.value.fix == f"chmod 600 {file}"


def test_files_that_hold_nothing_are_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file") as caught:
        secret("file:none", tmp_path).reveal()
    assert f"write the value into {tmp_path / 'none'}" in (caught.value.fix or "")
    (tmp_path / "empty").touch(mode=0o600)
    with pytest.raises(ConfigError, match="which is empty"):
        secret("file:empty", tmp_path).reveal()
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "binary").chmod(0o600)
    with pytest.raises(ConfigError, match="it is not text"):
        secret("file:binary", tmp_path).reveal()
    (tmp_path / "folder").mkdir(0o700)
    with pytest.raises(ConfigError, match="cannot be read"):
        secret("file:folder", tmp_path).reveal()


@pytest.mark.parametrize("scheme", ["gcp-sm", "keyring"])
def test_a_scheme_of_a_later_version_is_refused_by_name(scheme):
    with pytest.raises(ConfigError, match=f"refers to '{scheme}:'.* it reads env: and file:"):
        secret(f"{scheme}:name").reveal()


def test_a_literal_is_the_value_itself():
    assert secret("postgresql://u:p@h/d").reveal() == "postgresql://u:p@h/d"


def test_no_way_of_printing_shows_the_password():
    hidden = secret("postgresql://user:geheim@host/db")
    for text in (str(hidden), repr(hidden), f"{hidden}", f"{[hidden]}", f"{vars(hidden).keys()}"):
        assert "geheim" not in text
    assert str(hidden) == "postgresql://user:•••@host/db"


def test_a_reference_may_be_shown():
    assert str(secret("env:DB", DB="geheim")) == "env:DB"
    assert "geheim" not in repr(secret("env:DB", DB="geheim"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:p%40ss@h:5/d?x=1", "postgresql://u:•••@h:5/d?x=1"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql:///d?host=/tmp", "postgresql:///d?host=/tmp"),
        ("postgresql://h/d?user=u&password=geheim&x=1", "postgresql://h/d?user=u&password=•••&x=1"),
        ("host=h password=geheim dbname=d", "host=h password=••• dbname=d"),
        ("a postgresql://u:p@h/d and b://x:y@z", "a postgresql://u:•••@h/d and b://x:•••@z"),
        ("postgresql://:p@h/d", "postgresql://:•••@h/d"),
    ],
)
def test_passwords_are_starred_wherever_a_url_stands(text, shown):
    assert starred(text) == shown


@given(
    st.text(alphabet=st.characters(blacklist_characters="@•", blacklist_categories=("Z", "C")), min_size=1)
)
def test_whatever_the_password_it_is_not_shown(password):
    assert starred(f"postgresql://user:{password}@host/db") == "postgresql://user:•••@host/db"

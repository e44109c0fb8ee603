"""A manifest says what its folder must hold; what it does not say is never believed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qfund.errors import ConfigError, DataQualityError, NotFoundError
from qfund.store import manifest
from qfund.store.manifest import BarFile, Manifest

ONE = Manifest(
    series={"vendor": "acme"},
    adjust="raw",
    as_of="2024-01-02T21:00:00+00:00",
    since="2024-01-02",
    until="2024-01-02",
    symbols={"A": {"coverage": [["2024-01-02", "2024-01-02"]]}},
    files=(
        BarFile(
            "a/bars.parquet",
            "A",
            2024,
            3,
            5,
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        ),
    ),
)  # SHA-256 of the five bytes "hello", as FIPS 180-2's implementations print it


def test_it_is_read_as_it_was_written(tmp_path):
    ONE.write(tmp_path)
    assert manifest.read(tmp_path) == ONE


def test_its_fingerprint_changes_with_any_file():
    (file,) = ONE.files
    assert ONE.fingerprint != replace(ONE, files=(replace(file, sha256="0" * 64),)).fingerprint
    assert ONE.fingerprint == replace(ONE, as_of="2025-01-01T00:00:00+00:00").fingerprint


def test_a_file_is_believed_when_its_bytes_are_those_that_were_exported(tmp_path):
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "bars.parquet"
    path.write_bytes(b"hello")
    manifest.check(tmp_path, ONE.files)
    path.write_bytes(b"hellO")
    with pytest.raises(DataQualityError, match="is not the file"):
        manifest.check(tmp_path, ONE.files)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": "qfund bars", "version": 2}', '{"format": "qfund bars", "version": 1}'],
)
def test_what_is_no_manifest_is_told_as_such(tmp_path, text):
    (tmp_path / manifest.NAME).write_text(text)
    with pytest.raises(DataQualityError):
        manifest.read(tmp_path)


def test_a_folder_without_one_is_not_found(tmp_path):
    with pytest.raises(NotFoundError):
        manifest.read(tmp_path / "nowhere")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        manifest.write_whole(tmp_path / "file" / "below", b"")

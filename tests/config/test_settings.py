"""Every setting is documented, and written the way TOML writes it."""

from __future__ import annotations

from qfund.config.settings import as_text, keys


def test_every_setting_says_what_it_means():
    for key, declared in keys():
        assert declared.description, key
        assert declared.default is not None or "unset" in declared.json_schema_extra, key


def test_values_read_as_in_toml():
    assert [as_text(v) for v in (None, True, 100_000.0, 0.5, "x")] == [
        "(not set)",
        "true",
        "100000",
        "0.5",
        "x",
    ]

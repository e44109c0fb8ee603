"""Plug-ins are found by name, and a broken one says which package is at fault."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from qfund import plugins
from qfund.errors import ConfigError, NotFoundError


def test_the_sample_vendor_is_installed_like_any_other() -> None:
    assert "sample" in plugins.names("qfund.vendors")
    assert plugins.load("qfund.vendors", "sample").__name__ == "Sample"


def test_a_misspelt_vendor_names_the_nearest() -> None:
    with pytest.raises(NotFoundError, match="Did you mean sample") as caught:
        plugins.load("qfund.vendors", "sampel")
    assert caught.value.code == "UNKNOWN_VENDOR"


def test_a_plug_in_that_does_not_import_is_named_with_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "broken_vendor-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-vendor\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[qfund.vendors]\nbroken = no_such_module_anywhere:Vendor\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert str(tmp_path) in sys.path
    with pytest.raises(ConfigError, match="no_such_module_anywhere") as caught:
        plugins.load("qfund.vendors", "broken")
    assert "reinstall" in (caught.value.fix or "")

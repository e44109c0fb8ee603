"""Each template, under any name, is a file that loads and passes its own check."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qfund
from qfund.errors import NotFoundError, UsageError
from qfund.strategy import templates
from qfund.strategy.causality import check
from qfund.strategy.loading import load
from qfund.strategy.synthetic import synthetic_bars
from qfund.strategy.targets import checked_targets, remarks
from qfund.vendors.sample import Sample
from tests.strategy.prices import sample_bars

NAMES = ("buy_and_hold", "mean_reversion", "momentum", "sma_cross")


@pytest.fixture(scope="module")
def real():
    return sample_bars(Sample())


def test_the_templates_are_these():
    assert templates.names() == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_passes_its_own_check_on_real_prices_and_trades(name, real):
    loaded = load(templates.folder() / f"{name}.py")
    verdict = check(loaded.make, real, samples=24, seed=0)
    targets = checked_targets(loaded.make(), real)

    assert verdict.ok
    assert verdict.findings == ()
    assert remarks(targets) == ()
    assert targets.to_numpy()[targets.notna().to_numpy()].max() > 0


@pytest.mark.parametrize("name", NAMES)
def test_each_is_documented_for_a_learner(name):
    described = load(templates.folder() / f"{name}.py").cls.describe()

    assert described["name"] == templates.class_name(name)
    assert described["summary"].endswith(".")
    if name != "sma_cross":
        assert all(parameter["help"] for parameter in described["parameters"])


def test_the_example_is_the_one_of_the_design():
    source = (templates.folder() / "sma_cross.py").read_text()

    assert "fast: int = param(10, grid=range(5, 30, 5))" in source
    assert "slow: int = param(30, grid=range(20, 120, 20))" in source
    assert "return (fast > slow).astype(float) / bars.close.shape[1]" in source


words = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)


@pytest.mark.parametrize("template", NAMES)
@given(parts=st.lists(words, min_size=1, max_size=3))
@settings(max_examples=10, deadline=None)
def test_any_name_gives_a_file_that_loads_and_passes_its_check(template, parts, tmp_path_factory):
    try:
        name = templates.checked_name("_".join(parts))
    except UsageError:
        return
    path = tmp_path_factory.mktemp("new") / f"{name}.py"
    path.write_text(templates.rendered(template, name))
    loaded = load(path)

    assert loaded.name == templates.class_name(name)
    assert check(loaded.make, synthetic_bars(rows=400), samples=4, seed=0).ok


def test_only_the_name_and_the_first_line_of_the_docstring_change():
    before = (templates.folder() / "momentum.py").read_text()
    after = templates.rendered("momentum", "my_first_one")

    assert "class MyFirstOne(Strategy):" in after
    assert '"""My first one, begun from momentum.\n\n    Each month, hold' in after
    plain = ast.parse(before)
    renamed = ast.parse(after)
    assert ast.dump(plain.body[-1].body[-1]) == ast.dump(renamed.body[-1].body[-1])
    assert max(map(len, after.splitlines())) <= 110


def test_a_templates_own_name_gives_it_as_it_is():
    assert templates.rendered("sma_cross", "sma_cross") == (templates.folder() / "sma_cross.py").read_text()


@pytest.mark.parametrize(
    ("given", "name"),
    [("sma", "sma"), ("SmaCross", "sma_cross"), ("my-first", "my_first"), ("x2.py", "x2"), ("RSI", "rsi")],
)
def test_names_become_snake_case(given, name):
    assert templates.checked_name(given) == name


@pytest.mark.parametrize(
    "name", ["", "1st", "a b", "../up", "a/b", "__x", "x_", "a__b", "class", "match", "json", "pandas", "qfund", "é", "."]
)  # fmt: skip
def test_names_that_no_file_can_have_are_refused(name):
    with pytest.raises(UsageError) as caught:
        templates.checked_name(name)
    assert caught.value.code == "STRATEGY_NAME"


def test_an_unknown_template_names_the_nearest():
    with pytest.raises(NotFoundError, match=r"Did you mean sma_cross\?") as caught:
        templates.rendered("sma_cros", "x")
    assert caught.value.fix == "--template sma_cross"


def test_the_packaged_copy_is_found_without_a_source_tree(tmp_path):
    """A wheel holds the templates inside the package; the same code must find them there."""
    package = tmp_path / "site" / "qfund"
    unneeded = shutil.ignore_patterns("__pycache__", "sample_data", "store", "backtest", "console")
    shutil.copytree(Path(qfund.__file__).parent, package, ignore=unneeded)
    shutil.copytree(templates.folder(), package / "templates" / "strategies", dirs_exist_ok=True)
    script = "from qfund.strategy import templates as t; print(t.folder(), *t.names())"
    told = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(package.parent)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stdout.split() == [str(package / "templates" / "strategies"), *NAMES]

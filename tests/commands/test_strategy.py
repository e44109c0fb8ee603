"""Strategy files are begun, listed, read and checked from the command line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.program import environment

LEAKY = """
from qfund import Strategy

class Leaky(Strategy):
    '''Knows tomorrow.'''

    def targets(self, bars):
        return (bars.close.shift(-1) > bars.close) / 6
"""
TEMPLATES = ("buy_and_hold", "mean_reversion", "momentum", "sma_cross")


@pytest.fixture
def leaky(project):
    path = project / "strategies" / "leaky.py"
    path.parent.mkdir()
    path.write_text(LEAKY)
    return "strategies/leaky.py"


@pytest.mark.parametrize("template", TEMPLATES)
def test_new_writes_a_file_that_passes_its_own_check(qfund, project, template):
    made = qfund("strategy", "new", "my_own", "--template", template)

    assert made.code == 0
    assert "strategies/my_own.py" in made.out
    assert "Next: qfund strategy check strategies/my_own.py" in made.err
    assert "qfund backtest strategies/my_own.py" in made.err
    checked = qfund("strategy", "check", "strategies/my_own.py", "--json")
    assert checked.code == 0
    assert checked.document["data"]["ok"] is True
    assert checked.document["data"]["findings"] == []


def test_new_overwrites_nothing_unless_forced(qfund, project):
    qfund("strategy", "new", "mine")
    (project / "strategies" / "mine.py").write_text("# my work")

    kept = qfund("strategy", "new", "mine")
    assert kept.code == 6
    assert "strategies/mine.py is there already" in kept.err
    assert (project / "strategies" / "mine.py").read_text() == "# my work"
    assert qfund("strategy", "new", "mine", "--force").code == 0


def test_new_writes_into_the_projects_folder_from_anywhere_in_it(qfund, project, monkeypatch):
    (project / "qfund.toml").write_text("")
    (project / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(project / "deep" / "er")

    assert "../../strategies/mine.py" in qfund("strategy", "new", "mine").out
    assert (project / "strategies" / "mine.py").is_file()


@pytest.mark.parametrize("name", ["1st", "a b", "../up", "pandas", "class"])
def test_a_name_that_no_file_can_have_is_a_usage_error(qfund, project, name):
    assert qfund("strategy", "new", name).code == 2
    assert not (project / "strategies").exists()


def test_an_unknown_template_names_the_nearest(qfund):
    ran = qfund("strategy", "new", "x", "--template", "momentun", "--json")

    assert ran.code == 11
    assert ran.document["errors"][0]["code"] == "UNKNOWN_TEMPLATE"
    assert "Did you mean momentum" in ran.document["errors"][0]["message"]


def test_list_names_every_file_and_what_is_wrong_with_broken_ones(qfund, leaky, project):
    (project / "strategies" / "broken.py").write_text("def f(:\n")
    qfund("strategy", "new", "mine")
    ran = qfund("strategy", "list")

    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[1].startswith("strategies/broken.py  broken")
    assert "does not parse at broken.py:1" in lines[1]
    assert lines[2].split(maxsplit=2) == ["strategies/leaky.py", "Leaky", "Knows tomorrow."]
    assert "Mine" in lines[3]
    assert "fast=10 slow=30" in lines[3]
    assert "Warning: strategies/broken.py cannot be used" in ran.err


def test_list_as_json_has_the_parameters_and_the_errors(qfund, leaky, project):
    (project / "strategies" / "broken.py").write_text("def f(:\n")
    rows = qfund("strategy", "list", "--json").document["data"]["strategies"]

    assert [row["path"] for row in rows] == ["strategies/broken.py", "strategies/leaky.py"]
    assert rows[0]["error"]["code"] == "STRATEGY_SYNTAX"
    assert (rows[1]["error"], rows[1]["name"], rows[1]["parameters"]) == (None, "Leaky", [])


def test_an_empty_project_is_told_how_to_begin(qfund):
    ran = qfund("strategy", "list")

    assert (ran.code, "There are no strategies in strategies yet." in ran.out) == (0, True)
    assert "qfund strategy new" in ran.err


def test_show_prints_parameters_with_limits_and_meaning(qfund):
    qfund("strategy", "new", "mine", "--template", "momentum")
    ran = qfund("strategy", "show", "strategies/mine.py")

    assert ran.code == 0
    assert "253 bars with the defaults" in ran.out
    line = next(line for line in ran.out.splitlines() if line.startswith("lookback"))
    assert "int" in line
    assert "63, 126, 252" in line
    assert "bars over which the rise is measured" in line
    data = qfund("strategy", "show", "strategies/mine.py", "--json").document["data"]
    assert data["warmup"] == 253
    assert data["parameters"][0]["grid"] == [63, 126, 252]


def test_show_of_a_strategy_without_parameters_says_so(qfund, leaky):
    assert "It has no parameters." in qfund("strategy", "show", leaky).out


def test_a_leak_is_told_with_symbol_time_and_line_and_ends_with_5(qfund, leaky):
    ran = qfund("strategy", "check", leaky)

    assert ran.code == 5
    assert "LOOKAHEAD" in ran.err
    assert "Leaky sees the future" in ran.err
    assert "Fix: mend line 8 of strategies/leaky.py" in ran.err
    line = next(line for line in ran.out.splitlines() if line.startswith("without the bars after"))
    assert "differs" in line
    assert "SYN" in line
    assert "moves later rows to earlier ones" in ran.out


def test_a_leak_as_json_names_kind_column_and_time(qfund, leaky):
    document = qfund("strategy", "check", leaky, "--json").document

    assert (document["ok"], document["exit_code"]) == (False, 5)
    finding = document["data"]["findings"][0]
    assert finding["kind"] == "truncated"
    assert finding["column"].startswith("SYN")
    assert finding["time"].startswith("201")
    assert document["errors"][0]["code"] == "LOOKAHEAD"
    assert document["errors"][0]["column"] == finding["column"]
    assert document["data"]["hints"][0]["line"] == 8


def test_made_up_bars_are_said_to_be_so_and_take_the_symbols_given(qfund):
    qfund("strategy", "new", "mine")
    ran = qfund("strategy", "check", "strategies/mine.py", "--symbols", "AAPL,MSFT", "--since", "2020-01-01")

    assert ran.code == 0
    assert "made-up ones are used (--since and --until do not count)" in ran.err
    assert "Bars: made up, 1,000 × 2 (sessions × symbols)" in ran.out


def test_parameters_samples_and_seed_count(qfund):
    qfund("strategy", "new", "mine")
    words = (
        "strategy",
        "check",
        "strategies/mine.py",
        "-p",
        "slow=20",
        "--samples",
        "3",
        "--seed",
        "5",
        "--json",
    )
    data = qfund(*words).document["data"]

    assert data["params"] == {"fast": 10, "slow": 20}
    assert data["moments"] == 3
    assert qfund(*words).document["data"] == data


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("-p", "slowe=20"), 2),
        (("-p", "slow=x"), 2),
        (("-p", "slow"), 2),
        (("--since", "2020-01-01", "--until", "2019-01-01"), 2),
        (("--samples", "0"), 2),
    ],
)
def test_wrong_words_are_usage_errors(qfund, words, code):
    qfund("strategy", "new", "mine")

    assert qfund("strategy", "check", "strategies/mine.py", *words).code == code


def test_a_missing_file_names_the_nearest(qfund, leaky):
    ran = qfund("strategy", "check", "strategies/leak.py")

    assert ran.code == 11
    assert "Did you mean strategies/leaky.py?" in ran.err


def test_a_warmup_that_is_too_short_is_a_warning(qfund, project):
    qfund("strategy", "new", "mine")
    path = project / "strategies" / "mine.py"
    path.write_text(path.read_text().replace("return self.slow\n", "return 3\n"))
    ran = qfund("strategy", "check", "strategies/mine.py")

    assert ran.code == 0
    assert "no look-ahead found, with a warning" in ran.out
    assert "its warm-up is 3: return 30." in ran.err


def test_several_strategies_can_be_chosen_from(qfund, project, leaky):
    path = project / "strategies" / "leaky.py"
    path.write_text(LEAKY + "\nclass Second(Leaky):\n    pass\n")

    assert qfund("strategy", "check", leaky).code == 2
    assert qfund("strategy", "check", f"{leaky}:Second").code == 5
    assert "strategies/leaky.py:Second" in qfund("strategy", "list").out


def test_stored_bars_are_used_when_there_are_any(qfund, store_url):
    qfund("strategy", "new", "mine")
    ingested = qfund("ingest", "--vendor", "sample", "--since", "2010-01-01", QFUND__STORE__URL=store_url)
    assert ingested.code == 0, ingested.err
    words = (
        "strategy",
        "check",
        "strategies/mine.py",
        "--symbols",
        "AAPL,IBM",
        "--since",
        "2011-01-01",
        "--json",
    )
    ran = qfund(*words, QFUND__STORE__URL=store_url)

    assert ran.code == 0, ran.err
    data = ran.document["data"]
    assert data["source"].startswith("sample")
    assert data["symbols"] == ["AAPL", "IBM"]
    assert data["until"] == "2013-03-01"
    assert "2010-11-01" <= data["since"] <= "2010-12-01"  # thirty bars of warm-up before


def test_an_unknown_symbol_of_the_store_names_the_nearest(qfund, store_url):
    qfund("strategy", "new", "mine")
    qfund("ingest", "--vendor", "sample", "--since", "2013-01-01", QFUND__STORE__URL=store_url)
    ran = qfund("strategy", "check", "strategies/mine.py", "--symbols", "APPL", QFUND__STORE__URL=store_url)

    assert ran.code == 11
    assert "AAPL" in ran.err


def test_an_empty_store_falls_back_on_made_up_bars_unless_a_vendor_is_named(qfund, store_url):
    qfund("strategy", "new", "mine")

    assert "made-up" in qfund("strategy", "check", "strategies/mine.py", QFUND__STORE__URL=store_url).err
    ran = qfund("strategy", "check", "strategies/mine.py", "--vendor", "sample", QFUND__STORE__URL=store_url)
    assert ran.code == 11


def test_the_help_names_every_template(qfund):
    words = qfund("strategy", "new", "--help").out

    assert all(template in words for template in TEMPLATES)


def test_help_loads_nothing_heavy():
    """The whole of `qfund strategy check --help` needs no pandas, numpy or database."""
    script = (
        "import sys; from qfund.cli import main; main(['strategy', 'check', '--help']); "
        "print(sorted({'pandas', 'numpy', 'sqlalchemy', 'vectorbt', 'plotly'} & set(sys.modules)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=True
    )

    assert told.stdout.splitlines()[-1] == "[]"


def test_what_a_strategy_prints_goes_beside_the_result_and_json_stays_one_document(qfund, project, store_url):
    """A strategy prints while it is imported, made, asked for its warm-up and asked for its targets."""
    (project / "strategies").mkdir()
    (project / "strategies" / "loud.py").write_text(
        "from qfund import Strategy\n"
        "print('imported')\n"
        "class Loud(Strategy):\n"
        "    def __init__(self, **params):\n"
        "        super().__init__(**params)\n"
        "        print('made')\n"
        "    @property\n"
        "    def warmup(self):\n"
        "        print('warming')\n"
        "        return 2\n"
        "    def targets(self, bars):\n"
        "        print('deciding')\n"
        "        return bars.close * 0 + 0.1\n"
    )
    told = qfund("strategy", "check", "strategies/loud.py", "--json", QFUND__STORE__URL=store_url)
    assert told.document["ok"] is True
    assert {"imported", "made", "warming", "deciding"} <= set(told.err.splitlines())
    assert qfund("strategy", "show", "strategies/loud.py", "--json").document["ok"] is True

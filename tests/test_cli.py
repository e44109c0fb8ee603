"""Whatever happens, the exit code is documented, stdout is the result alone, and nobody sees a traceback."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from qfund import cli
from qfund.commands import data
from qfund.commands.everywhere import FLAGS, VALUED
from tests.support.program import PROGRAM, environment, run, run_on_terminal


@pytest.fixture
def broken(tmp_path: Path) -> dict[str, str]:
    """Variables with which every import of pydantic raises: a fault of qfund's own, in the real program."""
    (tmp_path / "faulty").mkdir()
    (tmp_path / "faulty" / "pydantic.py").write_text(
        "raise ZeroDivisionError('bad luck at postgresql://u:geheim@h/d')\n"
    )
    return {"PYTHONPATH": str(tmp_path / "faulty")}


@pytest.fixture
def waiting(tmp_path: Path) -> dict[str, str]:
    """Variables with which the program waits for a minute while it loads its configuration."""
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "pydantic.py").write_text(
        "import sys, time\nprint('waiting', file=sys.stderr, flush=True)\ntime.sleep(60)\n"
    )
    return {"PYTHONPATH": str(tmp_path / "slow")}


def said(value: object) -> str:
    """A command line as a test's name."""
    return " ".join(value) if isinstance(value, tuple) else ""


def commands(node=None, path=()):
    """Every command as its words, nouns too."""
    for name, child in (node or cli.build()).commands.items():
        yield (*path, name), child
        if hasattr(child, "commands"):
            yield from commands(child, (*path, name))


def test_without_a_word_the_help_is_the_answer(tmp_path):
    bare, asked = run(cwd=tmp_path), run("--help", cwd=tmp_path)
    assert bare == asked
    assert bare.code == 0
    assert bare.err == ""
    assert list(tmp_path.iterdir()) == []


def test_the_root_help_shows_the_way_of_work_and_every_exit_code(tmp_path):
    text = run("--help", cwd=tmp_path).out
    for words in (
        "qfund init",
        "qfund ingest --vendor sample",
        "qfund backtest strategies/sma_cross.py",
        "--json",
    ):
        assert words in text
    codes = {int(code) for code in re.findall(r"(?:^|\s)(\d{1,3}) [a-z]", text.partition("Exit codes:")[2])}
    assert codes == {*range(15), 75, 124, 130, 143}


def test_the_groups_of_the_help_follow_the_way_of_work():
    text = run("--help", cwd=Path.cwd()).out
    places = [text.index(f"\n{title}:\n") for title in ("Start", "Data", "Research", "Upkeep")]
    assert places == sorted(places)


def test_a_noun_alone_is_answered_with_its_help_and_2(tmp_path):
    ran = run("config", cwd=tmp_path)
    assert (ran.code, ran.out) == (2, "")
    assert "Commands:" in ran.err


def test_a_noun_alone_in_json_is_an_error_in_the_envelope(tmp_path):
    ran = run("config", "--json", cwd=tmp_path)
    assert ran.code == ran.document["exit_code"] == 2
    assert ran.document["errors"][0]["message"] == "qfund config needs a command."


def test_json_without_a_command_is_an_error_in_the_envelope(tmp_path):
    ran = run("--json", cwd=tmp_path)
    assert ran.code == ran.document["exit_code"] == 2
    assert ran.document["errors"][0]["message"] == "qfund needs a command."


@pytest.mark.parametrize("word", ["--version", "-V"])
def test_who_asks_for_the_version_as_elsewhere_is_told_the_command(tmp_path, word):
    ran = run(word, cwd=tmp_path)
    assert ran.code == 2
    assert "Fix: qfund version" in ran.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("confg",), "qfund has no command 'confg'. Did you mean config?"),
        (("config", "shwo"), "qfund config has no command 'shwo'. Did you mean show?"),
        (("config", "show", "--orgin"), "qfund config show has no option --orgin. Did you mean --origin?"),
        (("config", "get"), "Missing argument 'KEY'."),
        (("config", "show", "extra"), "Got unexpected extra argument(s) (extra)"),
        (("version", "--json=yes"), "Option '--json' does not take a value."),
        (("version", "--profile"), "--profile needs a value: --profile NAME."),
    ],
    ids=said,
)
def test_a_wrong_word_is_2_with_the_nearest_right_one_in_text_and_in_json(tmp_path, words, message):
    ran = run(*words, cwd=tmp_path)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert "Traceback" not in ran.err
    told = run(*words, "--json", cwd=tmp_path)
    assert told.code == 2
    assert told.err == ""
    assert told.document["ok"] is False
    assert told.document["errors"][0]["message"] == message
    assert set(told.document) == {"schema", "ok", "exit_code", "data", "warnings", "errors"}


def test_json_is_taken_before_and_after_the_command(tmp_path):
    ways = [("--json", "config", "path"), ("config", "--json", "path"), ("config", "path", "--json")]
    documents = [run(*way, cwd=tmp_path).document for way in ways]
    assert documents[0] == documents[1] == documents[2]
    assert documents[0]["schema"] == "qfund.config.path/1"


def test_a_failure_names_its_command_in_the_schema(tmp_path):
    ran = run("config", "show", "--profile", "none", "--json", cwd=tmp_path)
    assert ran.document["schema"] == "qfund.config.show/1"
    assert ran.code == ran.document["exit_code"] == 3


def test_a_fault_of_our_own_is_one_line_with_an_id_and_a_log(tmp_path, broken):
    ran = run("config", "show", cwd=tmp_path, env=broken)
    assert (ran.code, ran.out) == (1, "")
    assert "Traceback" not in ran.err
    assert "geheim" not in ran.err
    line, fix = ran.err.splitlines()
    found = re.search(r"ZeroDivisionError: bad luck .* \(id ([0-9a-f]{6}), log (\S+)\)", line)
    assert found, ran.err
    text = Path(found[2]).read_text()
    assert "Traceback" in text
    assert "geheim" not in text
    assert "--verbose" in fix


def test_verbose_shows_the_traceback_of_a_fault(tmp_path, broken):
    ran = run("config", "show", "-v", cwd=tmp_path, env=broken)
    assert "Traceback" in ran.err
    assert "geheim" not in ran.err


def test_a_fault_in_json_is_in_the_envelope(tmp_path, broken):
    ran = run("config", "show", "--json", cwd=tmp_path, env=broken)
    (error,) = ran.document["errors"]
    assert (ran.code, error["code"]) == (1, "UNEXPECTED")
    assert Path(error["log"]).is_file()
    assert error["error_id"] in error["log"]


@pytest.mark.parametrize(
    ("number", "code", "name"), [(signal.SIGINT, 130, "INTERRUPTED"), (signal.SIGTERM, 143, "TERMINATED")]
)
def test_a_signal_ends_the_program_with_its_code_and_without_a_traceback(
    tmp_path, waiting, number, code, name
):
    process = subprocess.Popen(
        [*PROGRAM, "config", "show", "--json"],
        cwd=tmp_path,
        env=environment(**waiting),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "waiting\n"
    time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert f'"code": "{name}"' in out
    assert f'"exit_code": {code}' in out
    assert err == ""


def test_ctrl_c_while_the_program_loads_is_130_without_a_traceback(tmp_path):
    """A Typer that takes a minute to load stands in for a slow disk."""
    (tmp_path / "typer.py").write_text(
        "import sys, time\nprint('loading', file=sys.stderr, flush=True)\ntime.sleep(60)\n"
    )
    process = subprocess.Popen(
        [*PROGRAM, "config", "show"],
        cwd=tmp_path,
        env=environment(PYTHONPATH=os.pathsep.join([str(tmp_path), str(Path(cli.__file__).parent.parent)])),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "loading\n"
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert err == "Error: Stopped before anything was done. [INTERRUPTED, exit 130]\n"


def test_a_reader_that_leaves_is_no_error(tmp_path):
    done = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$@" | true', "-", *PROGRAM, "config", "show"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode in (0, 128 + signal.SIGPIPE)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_told(tmp_path):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PROGRAM, "version"],
            cwd=tmp_path,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 13
    assert "cannot be written to stdout: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_closed_streams_are_no_fault(tmp_path):
    line = ["bash", "-c", '"$@" >&- 2>&- <&-', "-", *PROGRAM, "version"]
    assert subprocess.run(line, cwd=tmp_path, env=environment(), timeout=60, check=False).returncode == 0


def test_a_folder_that_is_gone_is_told(tmp_path):
    line = ["bash", "-c", 'mkdir gone; cd gone; rmdir ../gone; "$@"', "-", *PROGRAM, "config", "show"]
    env = environment(PYTHONPATH=str(Path(cli.__file__).parent.parent))
    done = subprocess.run(
        line, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 3
    assert "The current folder does not exist any more" in done.stderr


def test_a_terminal_that_cannot_write_our_letters_gets_others(tmp_path):
    ran = run(
        "config", "get", "backtest.csh", cwd=tmp_path, env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    )
    assert ran.code == 11


def test_colour_is_for_terminals(tmp_path):
    assert "\x1b[" in run_on_terminal(("config", "show"), cwd=tmp_path).out
    assert "\x1b" not in run_on_terminal(("config", "show", "--no-color"), cwd=tmp_path).out
    assert "\x1b" not in run_on_terminal(("config", "show"), cwd=tmp_path, env={"NO_COLOR": "1"}).out
    assert "\x1b" not in run_on_terminal(("config", "show"), cwd=tmp_path, piped=("stdout",)).out
    assert "\x1b" not in run("config", "show", cwd=tmp_path, env={"FORCE_COLOR": "1"}).out


def test_python_m_is_the_same_program(tmp_path):
    script = Path(PROGRAM[0]).with_name("qfund")
    done = subprocess.run(
        [script, "version"], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout == run("version", cwd=tmp_path).out


@pytest.mark.parametrize(("words", "command"), list(commands()), ids=said)
def test_every_command_explains_itself(words, command, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert cli.main([*words, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: qfund {' '.join(words)} ")
    assert command.help
    assert [param.name for param in command.params if not param.help] == []


def test_no_command_declares_an_option_that_holds_everywhere():
    own = {*FLAGS, *VALUED}
    shared = {id(param) for param in cli.everywhere.declarations()}
    for words, command in commands():
        for param in command.params:
            assert id(param) in shared or not own & {*param.opts, *param.secondary_opts}, words


def test_a_command_line_that_is_built_again_registers_nothing_again():
    """A program that runs many command lines would get slower with each."""
    cli.build()
    before = len(data.app.registered_commands)
    cli.build()
    assert len(data.app.registered_commands) == before


def test_words_of_the_line_name_the_command():
    root = cli.build()
    for line, name in [
        ("", ""),
        ("nonsense", ""),
        ("config", "config"),
        ("config show", "config.show"),
        ("config --x show", "config.show"),
        ("version config", "version"),
    ]:
        assert cli._name(root, line.split()) == name


def test_what_sigterm_does_is_put_back(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    assert cli.main(["version"]) == 0
    assert signal.getsignal(signal.SIGTERM) is before

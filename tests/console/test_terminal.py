"""The console speaks to pipes and to terminals, each as it should."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace

import pytest

from qfund.console import Column, Console, Facts, Heading, Outcome, Streams, Table, Text
from qfund.errors import NotFoundError, PartialError, RefusedError
from tests.support.program import run_on_terminal

OUTCOME = Outcome(
    "data.status",
    data={"rows": [{"symbol": "AAPL", "close": float("nan")}]},
    blocks=(Heading("Stored"), Table(("symbol", Column("close", "right")), (("AAPL", 1.5),))),
    warnings=("MSFT is stale.",),
    next=("qfund backtest a.py", "qfund runs list"),
)


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def spoken(*, tty: bool = False, typed: str = "", environ: dict[str, str] | None = None, **settings):
    kind = Screen if tty else io.StringIO
    streams = Streams(kind(typed), kind(), kind(), environ or {"TERM": "xterm-256color"})
    return Console(streams, **settings), streams


def test_stdout_is_the_result_and_stderr_is_everything_else():
    console, streams = spoken()
    console.show(OUTCOME)
    assert streams.stdout.getvalue() == "Stored\nSYMBOL  CLOSE\nAAPL     1.50\n"
    assert streams.stderr.getvalue() == (
        "Warning: MSFT is stale.\nNext: qfund backtest a.py\n      qfund runs list\n"
    )
    assert console.exit_code == 0


def test_quiet_keeps_the_result_and_the_warnings():
    console, streams = spoken(quiet=True)
    console.note("on the way")
    with console.status("Working"), console.progress(4, "Fetching") as progress:
        progress.advance(4)
    console.show(OUTCOME)
    assert streams.stdout.getvalue().startswith("Stored")
    assert streams.stderr.getvalue() == "Warning: MSFT is stale.\n"


def test_quiet_leaves_out_what_was_done_and_went_well():
    console, streams = spoken(quiet=True)
    console.show(replace(OUTCOME, deed=True))
    assert streams.stdout.getvalue() == ""
    assert streams.stderr.getvalue() == "Warning: MSFT is stale.\n"
    console.show(replace(OUTCOME, deed=True, exit_code=4))
    assert streams.stdout.getvalue().startswith("Stored")


def test_details_are_for_verbose():
    console, streams = spoken()
    console.detail("x")
    assert streams.stderr.getvalue() == ""
    console, streams = spoken(verbose=True)
    console.detail("x")
    assert streams.stderr.getvalue() == "x\n"


def test_json_is_one_document_with_the_warnings_in_it_and_no_hints():
    console, streams = spoken(json=True)
    console.warn("slow disk")
    console.show(OUTCOME)
    document = json.loads(streams.stdout.getvalue())
    assert document["data"] == {"rows": [{"symbol": "AAPL", "close": None}]}
    assert document["warnings"] == ["slow disk", "MSFT is stale."]
    assert streams.stderr.getvalue() == ""


def test_a_second_document_is_a_fault():
    console, _ = spoken(json=True)
    console.show(OUTCOME)
    with pytest.raises(RuntimeError, match=r"two outcomes"):
        console.show(OUTCOME)


def test_an_error_after_the_document_goes_to_stderr():
    console, streams = spoken(json=True)
    console.show(OUTCOME)
    console.error(NotFoundError("No run."))
    json.loads(streams.stdout.getvalue())
    assert "No run." in streams.stderr.getvalue()
    assert console.exit_code == 11


def test_an_error_says_what_the_code_and_the_fix():
    console, streams = spoken()
    console.error(NotFoundError("No run 'abc'.", fix="qfund runs list", code="UNKNOWN_RUN"))
    assert streams.stderr.getvalue() == "Error: No run 'abc'. [UNKNOWN_RUN, exit 11]\nFix: qfund runs list\n"
    assert streams.stdout.getvalue() == ""
    assert console.exit_code == 11


def test_partial_results_are_shown_with_their_errors():
    console, streams = spoken()
    console.show(
        Outcome("ingest", blocks=(Text("AAPL ok"),), errors=(PartialError("MSFT failed.", fix="again"),))
    )
    assert streams.stdout.getvalue() == "AAPL ok\n"
    assert "Error: MSFT failed. [PARTIAL, exit 4]\nFix: again\n" in streams.stderr.getvalue()
    assert console.exit_code == 4


def test_a_terminal_gets_a_drawn_table_with_the_same_cells():
    console, streams = spoken(tty=True)
    console.show(OUTCOME)
    assert "AAPL" in streams.stdout.getvalue()
    assert "\x1b[" in streams.stdout.getvalue()
    assert "─" in streams.stdout.getvalue()


@pytest.mark.parametrize(
    ("environ", "settings"),
    [({"NO_COLOR": "1", "TERM": "xterm"}, {}), ({"TERM": "dumb"}, {}), ({"TERM": "xterm"}, {"color": False})],
    ids=["NO_COLOR", "dumb", "--no-color"],
)
def test_colour_can_be_refused(environ, settings):
    console, streams = spoken(tty=True, environ=environ, **settings)
    console.show(OUTCOME)
    console.error(NotFoundError("No run."))
    assert "AAPL" in streams.stdout.getvalue()
    assert "\x1b" not in streams.stdout.getvalue() + streams.stderr.getvalue()


def test_markup_in_data_is_only_text():
    console, streams = spoken(tty=True)
    console.show(Outcome("x", blocks=(Facts({"[bold]a[/]": "[red]b[/]"}),)))
    assert "[bold]a[/]" in streams.stdout.getvalue()
    assert "[red]b[/]" in streams.stdout.getvalue()


def test_an_escape_sequence_in_an_error_is_not_obeyed():
    console, streams = spoken()
    console.error(NotFoundError("No symbol '\x1b[2J'."))
    assert "\x1b" not in streams.stderr.getvalue()


def test_without_a_terminal_nothing_is_asked():
    console, _ = spoken(typed="y\n")
    with pytest.raises(RefusedError, match=r"^Aborted: no terminal to confirm.$") as caught:
        console.confirm("Delete?", yes=False)
    assert caught.value.fix == "Rerun with --yes."
    assert caught.value.exit_code == 6


def test_json_never_asks():
    console, _ = spoken(tty=True, typed="y\n", json=True)
    with pytest.raises(RefusedError):
        console.confirm("Delete?", yes=False)


@pytest.mark.parametrize("answer", ["y\n", "Y\n", " yes \n"])
def test_yes_goes_on(answer):
    console, streams = spoken(tty=True, typed=answer)
    console.confirm("Delete 3 runs?", yes=False)
    assert streams.stderr.getvalue() == "Delete 3 runs? [y/N] "


@pytest.mark.parametrize("answer", ["\n", "n\n", "yess\n", ""])
def test_anything_else_is_no(answer):
    console, _ = spoken(tty=True, typed=answer)
    with pytest.raises(RefusedError, match=r"not confirmed"):
        console.confirm("Delete?", yes=False)


def test_the_yes_option_asks_nothing():
    console, streams = spoken()
    console.confirm("Delete?", yes=True)
    assert streams.stderr.getvalue() == ""


ASKING = (
    "import os, sys; from qfund.console import Console, Streams;"
    "console = Console(Streams(sys.stdin, sys.stdout, sys.stderr, os.environ));"
)


def test_progress_moves_on_the_terminal_while_the_result_goes_down_the_pipe(tmp_path):
    program = (
        ASKING + "from qfund.console import Outcome, Text\n"
        "with console.status('Looking'), console.progress(3, 'Fetching') as progress:\n"
        "    [progress.advance(1, note=str(n)) for n in range(3)]\n"
        "console.show(Outcome('x', blocks=(Text('done'),)))"
    )
    ran = run_on_terminal((), cwd=tmp_path, piped=("stdout",), program=(sys.executable, "-c", program))
    assert ran.out == "done\n"
    assert "Fetching" in ran.err
    assert "\x1b[" in ran.err


def test_ctrl_c_at_a_prompt_is_an_interruption(tmp_path):
    program = ASKING + "console.confirm('Sure?', yes=False)"
    ran = run_on_terminal(
        (), cwd=tmp_path, reply_to="[y/N]", keys="\x03", program=(sys.executable, "-c", program)
    )
    assert "KeyboardInterrupt" in ran.out

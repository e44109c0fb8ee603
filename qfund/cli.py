"""The command line: the root of the tree of commands, and the one place where failures end.

Promises: whatever happens, the exit code is one of the documented ones, stdout holds the result alone (with
``--json`` one document, also on failure), and nobody sees a traceback who did not ask for it. ``qfund
--help`` loads no heavy library.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

try:
    import typer
    from typer.core import TyperGroup

    from qfund.commands import (
        backtest,
        config,
        data,
        db,
        demo,
        doctor,
        everywhere,
        failures,
        ingest,
        init,
        runs,
        strategy,
        universe,
        version,
    )
    from qfund.commands.everywhere import GlobalOptions
    from qfund.commands.session import Session
    from qfund.config.project import locate
    from qfund.console import Console, ReaderGone, Streams
    from qfund.errors import ConfigError, InterruptedRunError, QfundError, UsageError
except KeyboardInterrupt:  # Ctrl-C while the program is still loading
    sys.stderr.write("Error: Stopped before anything was done. [INTERRUPTED, exit 130]\n")
    raise SystemExit(130) from None

COMPLETING = "_QFUND_COMPLETE"
HELP_NAMES = ["-h", "--help"]
WHOLE_SENTENCE = 500  # letters; Typer would cut a command's line in the help at the screen's edge

HELP = """\
Run a one-person quant fund: prices in, strategies tested, reports out.

\b
  qfund init                                            start a project here
  qfund ingest --vendor sample --since 2005-01-01       fetch prices
  qfund data status                                     see what is stored
  qfund backtest strategies/sma_cross.py -p fast=10     test a strategy
  qfund runs list                                       compare what was tested

No account and no server are needed: `qfund demo` does all of it on real prices.
"""

EPILOG = """\
Exit codes:

\b
    0 ok               6 refused                12 not running
    1 unexpected       7 halted                 13 unavailable
    2 usage            8 divergence             14 plan has changes
    3 configuration    9 budget                 75 locked by another run
    4 partial         10 backup not verified   124 timeout
    5 data quality    11 not found             130 interrupted, 143 terminated
"""

# The order of the help: the way of work.
NOUNS = (init, demo, ingest, data, universe, strategy, backtest, runs, config, db, doctor, version)
ORDER = [noun.__name__.rpartition(".")[2] for noun in NOUNS]


class TerminatedError(InterruptedRunError):
    """SIGTERM; what was committed is kept."""

    exit_code = 143
    default_code = "TERMINATED"


class Root(TyperGroup):
    """The root command: help grouped by the way of work, and options that may stand anywhere."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The root's own options; while completing also those that hold everywhere."""
        params = super().get_params(ctx)
        return [*params, *everywhere.declarations()] if ctx.resilient_parsing else params

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Commands in their groups first, then the options."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for name, command in sorted(self.commands.items(), key=lambda item: ORDER.index(item[0])):
            title = str(getattr(command, "rich_help_panel", None) or "Commands")
            line = command.get_short_help_str(WHOLE_SENTENCE)
            groups.setdefault(title, []).append((name.ljust(max(map(len, ORDER))), line))
        for title, rows in groups.items():
            with formatter.section(title):
                formatter.write_dl(rows)
        for title, params in (
            ("Options of every command", everywhere.declarations()),
            ("Options", super().get_params(ctx)),
        ):
            with formatter.section(title):
                formatter.write_dl([found for p in params if (found := p.get_help_record(ctx))])


def main(argv: Sequence[str] | None = None) -> int:
    """Run qfund.

    Args:
        argv: the words after the program's name; None takes those of the process.

    Returns:
        The exit code.
    """
    streams = _streams()
    words = list(sys.argv[1:] if argv is None else argv)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # libraries' notes are for developers, not for operators
    try:
        return _run(words, streams)
    except ReaderGone:
        _silence(streams.stdout, streams.stderr)
        return 128 + signal.SIGPIPE


def _silence(*outputs: TextIO) -> None:
    """Lead the outputs nowhere: Python would complain of the broken pipe again when it flushes at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for output in outputs:
        os.dup2(nowhere, output.fileno())


def _run(words: list[str], streams: Streams) -> int:
    console = Console(streams, json=everywhere.wants_json(words))
    command = ""
    received: list[int] = []
    try:
        options, rest = everywhere.take(words)
        console = _console(streams, options)
        session = Session(console, _current_folder(), streams.environ, options)
        root = build()
        command = _name(root, rest)
        with _terminable(received):
            _dispatch(root, rest, session)
    except ReaderGone:
        raise
    except QfundError as error:
        console.error(_as_terminated(error) if received else error, command=command)
    except typer.TyperException as error:
        _complain(error, console, command)
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        kind = TerminatedError if received else InterruptedRunError
        console.error(kind("Stopped before it was done; what was committed is kept."), command=command)
    except Exception as error:  # noqa: BLE001 - the last stop: whatever it is, the operator gets one line
        _crashed(error, console, command, streams)
    return console.exit_code


def _dispatch(root: Any, words: list[str], session: Session) -> None:
    if COMPLETING in session.environ:
        root.main(args=words, prog_name="qfund", complete_var=COMPLETING)
    if session.console.json and not words:
        raise UsageError("qfund needs a command.", fix="qfund --help")
    with root.make_context("qfund", words or ["--help"], obj=session) as ctx:
        root.invoke(ctx)


def _complain(error: typer.TyperException, console: Console, command: str) -> None:
    """A wrong command line; a noun alone is answered with its help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        if not console.json:
            console.exit_code = UsageError.exit_code
            console.aside(error.format_message())
            return
        path = error.ctx.command_path  # type: ignore[attr-defined]
        console.error(UsageError(f"{path} needs a command.", fix=f"{path} --help"), command=command)
        return
    console.error(failures.usage_error(error), command=command)


def _crashed(error: Exception, console: Console, command: str, streams: Streams) -> None:
    logs = locate(Path.cwd(), streams.environ).home / "logs"
    if console.verbose:
        console.aside(failures.scrubbed(failures.trace(error), streams.environ))
    console.error(failures.crash(error, logs, streams.environ), command=command)


def _as_terminated(error: QfundError) -> QfundError:
    """What a command said about its interruption, with the exit code of SIGTERM."""
    if not isinstance(error, InterruptedRunError):
        return error
    return TerminatedError(error.message, fix=error.fix, details=error.details)


@contextmanager
def _terminable(received: list[int]) -> Iterator[None]:
    """SIGTERM ends the body as Ctrl-C does, so that the same clean-up runs; ``received`` remembers it."""

    def stop(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _name(root: Any, words: Sequence[str]) -> str:
    """``data.status`` for a line that begins with these words: as far as they name commands."""
    names: list[str] = []
    node = root
    for word in words:
        if word.startswith("-"):
            continue
        node = getattr(node, "commands", {}).get(word)
        if node is None:
            break
        names.append(word)
    return ".".join(names)


def _current_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise ConfigError(
            "The current folder does not exist any more.", fix="cd to another folder"
        ) from error


def _console(streams: Streams, options: GlobalOptions) -> Console:
    return Console(
        streams,
        json=options.json,
        quiet=options.quiet,
        verbose=options.verbose,
        color=not options.no_color,
    )


def _streams() -> Streams:
    """The process's streams; one that is closed becomes the null device, and no character can break one."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    return Streams(
        stdin=sys.stdin or open(os.devnull, encoding="utf-8"),  # noqa: PTH123 - lives as long as we do
        stdout=sys.stdout or open(os.devnull, "w", encoding="utf-8"),  # noqa: PTH123
        stderr=sys.stderr or open(os.devnull, "w", encoding="utf-8"),  # noqa: PTH123
        environ=dict(os.environ),
    )


def build() -> Any:
    """The tree of commands, in the order of the help."""
    app = typer.Typer(
        cls=Root,
        help=HELP,
        epilog=EPILOG,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": HELP_NAMES},
    )
    app.callback()(_root)
    for noun in NOUNS:
        noun.register(app)
    root = typer.main.get_command(app)
    _finish(root, typer.Context(root, help_option_names=HELP_NAMES))
    return root


def _finish(node: Any, ctx: typer.Context) -> None:
    """Give every command that does something the options of `everywhere`, and every flag a default.

    Typer leaves ``--help`` and its completion flags at None, and then loads pydantic (0.16 s) to convert it.
    """
    for param in (*node.params, node.get_help_option(ctx)):
        if param.default is None and getattr(param, "is_bool_flag", False):
            param.default = False
    children = getattr(node, "commands", None)
    if children is None:
        node.params.extend(everywhere.declarations())
    else:
        for child in children.values():
            _finish(child, typer.Context(child, parent=ctx))


def _root() -> None:
    """Nothing happens before a command."""

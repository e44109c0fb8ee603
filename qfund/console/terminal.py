"""The console: one object, made once by ``cli.main``, through which a command speaks.

Promises: the result goes to stdout, everything else (progress, warnings, errors, prompts, ``Next:`` hints) to
stderr, so that a pipe receives the result alone. A terminal gets colour unless ``NO_COLOR`` or ``TERM=dumb``
or ``--no-color`` says otherwise; a pipe never does. Rich is imported only when something is drawn on a
terminal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO

from qfund.console.envelope import document
from qfund.console.layout import harmless, plain_lines, rich_blocks
from qfund.console.outcome import Outcome
from qfund.console.progress import Lines, Live, Progress, Silent
from qfund.errors import QfundError, RefusedError, UpstreamError


class ReaderGone(Exception):  # noqa: N818 - no fault: whoever read our stdout has seen enough
    """The other end of stdout is closed (``| head``); ``cli.main`` ends the program without a word."""


@dataclass(frozen=True)
class Streams:
    """The three streams and the environment that says how to use them."""

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    environ: Mapping[str, str]


class Console:
    """Speaks to one operator, on a terminal or through pipes.

    Args:
        streams: where to read and write.
        json: stdout carries exactly one document.
        quiet: no progress, no notes, no hints, no account of what was done and went well; answers to
            questions, warnings and errors stay.
        verbose: `detail` lines are shown too.
        color: False for none at all.

    Attributes:
        exit_code: what the process will return, set by what was shown last.
    """

    def __init__(
        self,
        streams: Streams,
        *,
        json: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        color: bool = True,
    ) -> None:
        self.json = json
        self.quiet = quiet
        self.verbose = verbose
        self.exit_code = 0
        self._streams = streams
        self._color = color and not _wants_no_color(streams.environ)
        self._warnings: list[str] = []
        self._document_written = False

    def show(self, outcome: Outcome) -> None:
        """Print a command's result: a document with ``--json``, else blocks, warnings, errors and hints."""
        self.exit_code = outcome.code
        if self.json:
            self._write_document(
                outcome.command, outcome.code, outcome.data, outcome.warnings, outcome.errors
            )
            return
        if not (self.quiet and outcome.deed and outcome.code == 0):
            self._print(outcome.blocks)
        for warning in outcome.warnings:
            self.warn(warning)
        for error in outcome.errors:
            self._say_error(error)
        if not self.quiet:
            self._hints(outcome.next)

    def error(self, error: QfundError, *, command: str = "") -> None:
        """Print why a command failed: what and why, the fix, the exit code."""
        self.exit_code = error.exit_code
        if self.json and not self._document_written:
            self._write_document(command, error.exit_code, {}, (), (error,))
        else:
            self._say_error(error)

    def warn(self, text: str) -> None:
        """A sentence that a reader must not miss; with ``--json`` it waits for the document."""
        if self.json:
            self._warnings.append(text)
        else:
            self._say("Warning:", text, style="yellow")

    def note(self, text: str) -> None:
        """A line about what is going on, on stderr; ``--quiet`` silences it."""
        if not self.quiet:
            self._say("", text)

    def detail(self, text: str) -> None:
        """A line only for ``--verbose``, on stderr."""
        if self.verbose:
            self._say("", text, style="dim")

    def aside(self, text: str) -> None:
        """Text as it is, on stderr, also with ``--quiet``: a help, a traceback that was asked for."""
        with self._beside() as out:
            out.write(text.rstrip("\n") + "\n")

    def progress(self, total: int | None, label: str) -> Progress:
        """A context manager whose ``advance(n, note)`` counts up to ``total`` (None: unknown)."""
        if self.quiet:
            return Silent()
        if self._is_live(self._streams.stderr):
            return Live(self._rich(self._streams.stderr), label, total)
        return Lines(self.note, label, total)

    @contextmanager
    def status(self, message: str) -> Iterator[None]:
        """While the body runs: a spinner on a terminal, one plain line elsewhere."""
        if self.quiet or not self._is_live(self._streams.stderr):
            self.note(f"{message} ...")
            yield
            return
        with self._rich(self._streams.stderr).status(harmless(message)):
            yield

    def confirm(self, question: str, *, yes: bool) -> None:
        """Go on only if the operator agrees.

        Args:
            question: what will happen, ending in a question mark.
            yes: the ``--yes`` option; nothing is asked then.

        Raises:
            RefusedError: the answer is not yes, or there is no terminal to ask on.
            KeyboardInterrupt: Ctrl-C at the prompt.
        """
        if yes:
            return
        if self.json or not (self._streams.stdin.isatty() and self._streams.stderr.isatty()):
            raise RefusedError(
                "Aborted: no terminal to confirm.", fix="Rerun with --yes.", code="NOT_CONFIRMED"
            )
        with self._beside() as out:
            out.write(f"{harmless(question)} [y/N] ")
        answer = self._streams.stdin.readline()
        if not answer.endswith("\n"):
            self._streams.stderr.write("\n")
        if answer.strip().casefold() not in {"y", "yes"}:
            raise RefusedError(
                "Aborted: not confirmed; nothing was changed.",
                fix="Answer y, or rerun with --yes.",
                code="NOT_CONFIRMED",
            )

    def _write_document(
        self,
        command: str,
        exit_code: int,
        data: Mapping[str, object],
        warnings: Sequence[str],
        errors: Sequence[QfundError],
    ) -> None:
        if self._document_written:
            raise RuntimeError(f"the command {command!r} showed two outcomes with --json")
        told = (*self._warnings, *warnings)
        text = document(command, exit_code=exit_code, data=data, warnings=told, errors=errors)
        self._document_written = True
        with self._result() as out:
            out.write(text + "\n")

    @contextmanager
    def _result(self) -> Iterator[TextIO]:
        """Stdout, flushed at the end.

        Raises:
            ReaderGone: nobody reads it any more.
            UpstreamError: it leads to a disk that is full.
        """
        out = self._streams.stdout
        try:
            yield out
            out.flush()
        except BrokenPipeError as error:
            raise ReaderGone from error
        except OSError as error:
            raise UpstreamError(
                f"The result cannot be written to stdout: {error.strerror}.", code="STDOUT"
            ) from error

    @contextmanager
    def _beside(self) -> Iterator[TextIO]:
        """Stderr, flushed at the end.

        Raises:
            ReaderGone: nobody reads it any more.
        """
        try:
            yield self._streams.stderr
            self._streams.stderr.flush()
        except BrokenPipeError as error:
            raise ReaderGone from error

    def _print(self, blocks: Sequence[Any]) -> None:
        with self._result() as out:
            if self._is_live(out):
                console = self._rich(out)
                for renderable in rich_blocks(blocks, console.width):
                    console.print(renderable)
            else:
                out.writelines(f"{line}\n" for line in plain_lines(blocks))

    def _say(self, lead: str, text: str, *, style: str = "") -> None:
        lines = "\n".join(harmless(line) for line in text.splitlines())
        with self._beside() as out:
            if style and self._color and self._is_live(out):
                from rich.text import Text as RichText

                parts = [(lead, f"bold {style}"), " ", lines] if lead else [(lines, style)]
                self._rich(out).print(RichText.assemble(*parts), soft_wrap=True)
            else:
                out.write(f"{lead} {lines}\n" if lead else f"{lines}\n")

    def _say_error(self, error: QfundError) -> None:
        self._say("Error:", f"{error.message} [{error.code}, exit {error.exit_code}]", style="red")
        if error.fix:
            self._say("Fix:", error.fix, style="green")

    def _hints(self, commands: Sequence[str]) -> None:
        for number, command in enumerate(commands):
            lead = "Next:" if number == 0 else "     "
            self._say(lead, command, style="cyan")

    def _is_live(self, stream: TextIO) -> bool:
        """Whether a person watches this stream on a terminal that can draw."""
        return stream.isatty() and self._streams.environ.get("TERM") != "dumb"

    def _rich(self, stream: TextIO) -> Any:
        from rich.console import Console as RichConsole

        return RichConsole(
            file=stream,
            color_system="auto" if self._color else None,
            markup=False,
            highlight=False,
            emoji=False,
        )


def _wants_no_color(environ: Mapping[str, str]) -> bool:
    """NO_COLOR present and not empty (no-color.org), or a dumb terminal."""
    return bool(environ.get("NO_COLOR")) or environ.get("TERM") == "dumb"

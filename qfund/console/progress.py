"""Progress on stderr: a live bar and what is running on a terminal, a few plain lines elsewhere.

Promises: never writes to stdout; away from a terminal it prints one line at every quarter and at the end,
however many steps there are, so that a log stays readable. Never sleeps and never starts a thread away from a
terminal.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from types import TracebackType
from typing import Any, Self

from qfund.console.outcome import shown

MILESTONES = 4


class Progress(ABC):
    """How far a piece of work is; a context manager given out by ``Console.progress``.

    Example:
        ::

            with console.progress(len(days), "Fetching bars") as progress:
                for day in days:
                    progress.advance(1, note=f"{day}")
    """

    @abstractmethod
    def advance(self, n: int = 1, note: str | None = None) -> None:
        """``n`` more steps are done; ``note`` says in a few words what the last one was."""

    def busy(self, key: Hashable, text: str) -> None:  # noqa: B027 - only a terminal shows it
        """Something runs beside the whole: a line of its own on a terminal, its text renewed by each call."""

    def free(self, key: Hashable) -> None:  # noqa: B027
        """What runs under this key has ended: its line goes."""

    def expect(self, n: int) -> None:  # noqa: B027 - who says nothing need not know the end
        """``n`` more steps are to be done than was said at first; fewer when it is negative."""

    def measure(self, n: int, unit: str) -> None:  # noqa: B027
        """``n`` more of something (bars, bytes) have come; a terminal shows how many a second."""

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put away what is on the screen."""


class Silent(Progress):
    """``--quiet``: no word."""

    def advance(self, n: int = 1, note: str | None = None) -> None:
        """Count nothing."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing was on the screen."""


class Lines(Progress):
    """Plain lines: the start, every quarter, and the end, also an early one."""

    def __init__(self, write: Callable[[str], None], label: str, total: int | None) -> None:
        self._write = write
        self._label = label
        self._total = total
        self._done = 0
        self._told = 0
        self._note: str | None = None

    def __enter__(self) -> Self:
        of = "" if self._total is None else f" ({shown(self._total)})"
        self._write(f"{self._label}{of} ...")
        return self

    def expect(self, n: int) -> None:
        """Move the quarters and the end."""
        if self._total is not None:
            self._total += n

    def advance(self, n: int = 1, note: str | None = None) -> None:
        """Count, and write when another quarter is full."""
        self._done += n
        self._note = note
        if self._total and self._done * MILESTONES // self._total > self._told * MILESTONES // self._total:
            self._tell()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Say where it ended, if the last milestone did not."""
        if self._told < self._done:
            self._tell()

    def _tell(self) -> None:
        share = f"{100 * self._done // self._total}% " if self._total else ""
        of = f"/{shown(self._total)}" if self._total else ""
        note = f" {self._note}" if self._note else ""
        self._write(f"{self._label}: {share}{shown(self._done)}{of}{note}")
        self._told = self._done


class Live(Progress):
    """A bar that moves, drawn by rich, wiped away when the work is done."""

    def __init__(self, rich_console: Any, label: str, total: int | None) -> None:
        from rich.console import Group
        from rich.live import Live as LiveDisplay
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            SpinnerColumn,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.progress import (
            Progress as RichProgress,
        )

        columns: list[Any] = [SpinnerColumn(), TextColumn("{task.description}", markup=False)]
        if total is not None:
            columns += [BarColumn(bar_width=30), MofNCompleteColumn(), TimeRemainingColumn()]
        columns.append(TextColumn("{task.fields[rate]}", markup=False))
        columns.append(TextColumn("{task.fields[note]}", style="dim", markup=False))
        self._rich = RichProgress(*columns, console=rich_console)
        self._task = self._rich.add_task(label, total=total, note="", rate="")
        running = (TextColumn("  "), SpinnerColumn("line"), TextColumn("{task.description}", markup=False))
        self._running = RichProgress(*running, console=rich_console)
        self._lines: dict[Hashable, Any] = {}
        self._measured = 0
        self._total = total
        self._begun = time.monotonic()
        picture = Group(self._rich, self._running)  # the lines of what is running stand under the bar
        self._live = LiveDisplay(picture, console=rich_console, transient=True, refresh_per_second=10)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def expect(self, n: int) -> None:
        """Move the bar's end."""
        if self._total is not None:
            self._total += n
            self._rich.update(self._task, total=self._total)

    def advance(self, n: int = 1, note: str | None = None) -> None:
        """Move the bar."""
        self._rich.update(self._task, advance=n, note=note or "")

    def busy(self, key: Hashable, text: str) -> None:
        """Show or renew the line of what runs."""
        if key in self._lines:
            self._running.update(self._lines[key], description=text)
        else:
            self._lines[key] = self._running.add_task(text, total=None)

    def free(self, key: Hashable) -> None:
        """Take the line away."""
        if key in self._lines:
            self._running.remove_task(self._lines.pop(key))

    def measure(self, n: int, unit: str) -> None:
        """Renew the rate beside the bar."""
        self._measured += n
        elapsed = max(time.monotonic() - self._begun, 0.001)
        self._rich.update(self._task, rate=f"{self._measured / elapsed:,.0f} {unit}/s")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the line back."""
        self._live.stop()

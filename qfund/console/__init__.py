"""The only room that writes to a terminal: results, progress, warnings, errors, prompts, JSON.

Promises: stdout is the result, stderr is everything else; with ``--json`` stdout is exactly one document,
also on failure; away from a terminal there is no colour, no spinner and no prompt. Never decides what
happens: a command does, and hands an `Outcome` here.
"""

from __future__ import annotations

from qfund.console.outcome import Block, Column, Facts, Heading, Outcome, Table, Text
from qfund.console.progress import Progress
from qfund.console.terminal import Console, ReaderGone, Streams

__all__ = [
    "Block",
    "Column",
    "Console",
    "Facts",
    "Heading",
    "Outcome",
    "Progress",
    "ReaderGone",
    "Streams",
    "Table",
    "Text",
]

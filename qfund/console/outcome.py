"""What a command hands back: data for machines, blocks for people, hints for what comes next.

Promises: frozen values only. Cells may be any plain value; `shown` writes each the same way everywhere.
Never touches a stream.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Literal

from qfund.errors import QfundError

Cell = object


@dataclass(frozen=True)
class Column:
    """A table's column: its heading, which side its cells lean on, and a rich style for terminals.

    A heading that is a name of its own (an id) is ``verbatim``: plain text does not put it in capitals.
    """

    name: str
    align: Literal["left", "right"] = "left"
    style: str | None = None
    verbatim: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under columns; a plain ``str`` in ``columns`` is a left-aligned column of that name."""

    columns: Sequence[Column | str]
    rows: Sequence[Sequence[Cell]]
    caption: str | None = None

    @property
    def headed(self) -> tuple[Column, ...]:
        """The columns, each as a `Column`."""
        return tuple(Column(c) if isinstance(c, str) else c for c in self.columns)


@dataclass(frozen=True)
class Heading:
    """A line that names what follows."""

    text: str


@dataclass(frozen=True)
class Facts:
    """Names with their values, one a line, values aligned; a mapping or a sequence of pairs."""

    pairs: Sequence[tuple[str, Cell]] | Mapping[str, Cell]

    @property
    def items(self) -> tuple[tuple[str, Cell], ...]:
        """The pairs in order."""
        pairs = self.pairs
        return tuple(pairs.items() if isinstance(pairs, Mapping) else pairs)


@dataclass(frozen=True)
class Text:
    """Lines as they are: one string with newlines, or a sequence of lines."""

    lines: str | Sequence[str]

    @property
    def each(self) -> tuple[str, ...]:
        """The lines in order."""
        return tuple(self.lines.splitlines() if isinstance(self.lines, str) else self.lines)


Block = Heading | Table | Facts | Text


@dataclass(frozen=True)
class Outcome:
    """The result of one command.

    Args:
        command: the words of the command joined by a dot, ``data.status``; names the JSON schema.
        data: what ``--json`` prints under ``data``; dates, Decimals, paths, NaN and numpy scalars are
        converted.
        blocks: what people read, in order.
        warnings: sentences that a reader must not miss; to stderr, or into the document.
        errors: what failed while the rest went well.
        next: commands worth running now; shown as ``Next:`` lines on stderr, never in JSON.
        exit_code: the process's exit code; left at 0 with errors, the first error's code counts.
        deed: whether the blocks only tell of something that was done, or that all is well, instead of
            answering a question; ``--quiet`` leaves them out when all went well.
    """

    command: str
    data: Mapping[str, object] = field(default_factory=dict)
    blocks: Sequence[Block] = ()
    warnings: Sequence[str] = ()
    errors: Sequence[QfundError] = ()
    next: Sequence[str] = ()
    exit_code: int = 0
    deed: bool = False

    @property
    def code(self) -> int:
        """The exit code that counts."""
        if self.exit_code or not self.errors:
            return self.exit_code
        return self.errors[0].exit_code


def shown(value: Cell) -> str:  # noqa: PLR0911 - one return a kind of value
    """A cell as people read it.

    ``None`` and NaN are ``–``, booleans ``yes`` and ``no``, integers grouped by thousands, floats with two
    decimals, instants UTC to the second with ``Z``; a string stays as it is, so format what wants another
    form.
    """
    match value:
        case None:
            return "–"
        case str():
            return value
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return "–" if math.isnan(value) else f"{value:,.2f}"
        case datetime():
            instant = value.astimezone(UTC) if value.tzinfo else value
            return f"{instant:%Y-%m-%d %H:%M:%S}{'Z' if value.tzinfo else ''}"
        case date():
            return value.isoformat()
        case _:
            return str(value)

"""Blocks as plain text and as rich renderables: the same content, once for pipes and once for people.

Promises: plain text has no escape sequence, no box and no truncation, and does not depend on any width, so
that ``grep``, ``cut`` and ``awk`` work; columns are parted by two spaces at the least. Control characters in
data never reach a terminal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, assert_never

from qfund.console.outcome import Block, Facts, Heading, Table, Text, shown

GAP = "  "
NARROWEST = 16  # letters; a text folded into less is a ladder
CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), "�")
CONTROLS_IN_LINES = {code: shown for code, shown in CONTROLS.items() if code != ord("\t")}


def harmless(text: str) -> str:
    """One line of text without anything that a terminal would obey."""
    return text.translate(CONTROLS)


def plain_lines(blocks: Sequence[Block]) -> Iterator[str]:
    """The blocks as lines of plain text, an empty line between two of them but not after a heading."""
    previous: Block | None = None
    for block in blocks:
        if previous is not None and not isinstance(previous, Heading):
            yield ""
        yield from _plain(block)
        previous = block


def _plain(block: Block) -> Iterator[str]:
    match block:
        case Heading(text):
            yield harmless(text)
        case Text():
            for line in block.each:
                yield line.translate(CONTROLS_IN_LINES)
        case Facts():
            width = max((len(name) for name, _ in block.items), default=0)
            for name, value in block.items:
                yield f"{harmless(name):<{width}}{GAP}{harmless(shown(value))}".rstrip()
        case Table():
            yield from _plain_table(block)
        case _:
            assert_never(block)


def _plain_table(table: Table) -> Iterator[str]:
    columns = table.headed
    rows = [[harmless(column.name if column.verbatim else column.name.upper()) for column in columns]]
    rows += [[harmless(shown(cell)) for cell in row] for row in table.rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    for row in rows:
        cells = (
            cell.rjust(width) if column.align == "right" else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        )
        yield GAP.join(cells).rstrip()
    if table.caption:
        yield harmless(table.caption)


def rich_blocks(blocks: Sequence[Block], width: int) -> Iterator[Any]:
    """The blocks as rich renderables, an empty line between two of them but not after a heading.

    Args:
        blocks: what to show.
        width: of the terminal, in columns.
    """
    previous: Block | None = None
    for block in blocks:
        if previous is not None and not isinstance(previous, Heading):
            yield ""
        yield _rich(block, width)
        previous = block


def _rich(block: Block, width: int) -> Any:
    from rich.text import Text as RichText

    match block:
        case Heading(text):
            return RichText(harmless(text), style="bold")
        case Text():
            return RichText("\n".join(line.translate(CONTROLS_IN_LINES) for line in block.each))
        case Facts():
            return _rich_facts(block)
        case Table():
            return _rich_table(block, width)
        case _:
            assert_never(block)


def _rich_facts(facts: Facts) -> Any:
    from rich.table import Table as RichTable
    from rich.text import Text as RichText

    grid = RichTable.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts.items:
        grid.add_row(RichText(harmless(name)), RichText(harmless(shown(value))))
    return grid


def _rich_table(table: Table, width: int) -> Any:
    """A table; one that is too wide folds its widest text, and if that is not enough shows a record a row."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text as RichText

    rows = [[harmless(shown(cell)) for cell in row] for row in table.rows]
    folding = _folding(table, rows, width)
    if folding is None:
        return _records(table, rows)
    grid = RichTable(
        box=box.SIMPLE_HEAD,
        header_style="bold",
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
        caption=RichText(harmless(table.caption), style="dim") if table.caption else None,
        caption_justify="left",
    )
    for number, column in enumerate(table.headed):
        grid.add_column(
            RichText(harmless(column.name)),
            justify=column.align,
            style=column.style,
            no_wrap=number != folding,
            overflow="fold",
        )
    for row in rows:
        grid.add_row(*map(RichText, row))
    return grid


def _folding(table: Table, rows: Sequence[Sequence[str]], width: int) -> int | None:
    """The column that may fold so that the table fits: -1 when none has to, None when none is enough."""
    columns = table.headed
    widths = [max(len(text) for text in (c.name, *(row[i] for row in rows))) for i, c in enumerate(columns)]
    excess = sum(widths) + len(GAP) * (len(columns) - 1) - width
    if excess <= 0:
        return -1
    texts = [i for i, column in enumerate(columns) if column.align == "left"]
    widest = max(texts, key=lambda i: widths[i], default=None)
    if widest is None or widths[widest] - excess < max(NARROWEST, len(columns[widest].name)):
        return None
    return widest


def _records(table: Table, rows: Sequence[Sequence[str]]) -> Any:
    """Each row as names with their values, an empty line between two rows."""
    from rich.console import Group
    from rich.text import Text as RichText

    names = [column.name for column in table.headed]
    parts: list[Any] = []
    for row in rows:
        parts += [_rich_facts(Facts(tuple(zip(names, row, strict=True)))), ""]
    if table.caption:
        parts.append(RichText(harmless(table.caption), style="dim"))
    return Group(*(parts if table.caption else parts[:-1]))

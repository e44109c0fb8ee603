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
NARROWEST = 16  # letters; a sentence folded into less is a ladder
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
    """A table; one that is too wide folds its texts, and if that is not enough shows a record a row."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text as RichText

    rows = [[harmless(shown(cell)) for cell in row] for row in table.rows]
    folded = _folded(table, rows, width)
    if folded is None:
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
            no_wrap=number not in folded,
            width=folded.get(number),
            overflow="fold",
        )
    for row in rows:
        grid.add_row(*map(RichText, row))
    return grid


def _folded(table: Table, rows: Sequence[Sequence[str]], width: int) -> dict[int, int] | None:
    """The columns that fold so that the table fits, with their new widths; None when that is not enough.

    The widest text gives way first; a short one to half of its length, a long one to NARROWEST letters, and
    none to less than its longest word: numbers and words are never broken.
    """
    columns = table.headed
    cells = [(c.name, *(row[i] for row in rows)) for i, c in enumerate(columns)]
    widths = [max(map(len, texts)) for texts in cells]
    least = list(widths)
    for i, texts in enumerate(cells):
        if columns[i].align == "left":
            word = max(len(word) for text in texts for word in (text.split() or [""]))
            least[i] = min(widths[i], max(word, min(NARROWEST, widths[i] // 2 + 1)))
    folded: dict[int, int] = {}
    for _ in columns:
        excess = sum(widths) + len(GAP) * (len(columns) - 1) - width
        if excess <= 0:
            return folded
        widest = max(range(len(columns)), key=lambda i: (widths[i] > least[i], widths[i]))
        if widths[widest] == least[widest]:
            return None
        widths[widest] = folded[widest] = max(least[widest], widths[widest] - excess)
    return folded if sum(widths) + len(GAP) * (len(columns) - 1) <= width else None


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

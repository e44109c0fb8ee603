"""Plain text is for grep, cut and awk: aligned, complete, without a single escape sequence."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console as RichConsole

from qfund.console import Column, Facts, Heading, Table, Text
from qfund.console.layout import harmless, plain_lines, rich_blocks

TABLE = Table(
    ("symbol", Column("close", "right"), "note"),
    (("AAPL", 1234.5, "first"), ("F", 9.99, None)),
    caption="two rows",
)


def test_columns_are_aligned_and_parted_by_two_spaces():
    assert list(plain_lines((TABLE,))) == [
        "SYMBOL     CLOSE  NOTE",
        "AAPL    1,234.50  first",
        "F           9.99  –",
        "two rows",
    ]


def test_a_heading_that_is_an_id_is_not_put_in_capitals():
    table = Table(("metric", Column("dc71c316e684", "right", verbatim=True)), (("cagr", "13.1%"),))
    assert next(plain_lines((table,))) == "METRIC  dc71c316e684"


def test_blocks_are_parted_by_an_empty_line_but_a_heading_belongs_to_what_follows():
    blocks = (Heading("Prices"), Text("one"), Facts({"a": 1, "long name": "x"}))
    assert list(plain_lines(blocks)) == ["Prices", "one", "", "a          1", "long name  x"]


def test_an_empty_table_still_has_its_heading():
    assert list(plain_lines((Table(("a", "b"), ()),))) == ["A  B"]


def test_long_cells_are_never_cut_or_wrapped():
    line = list(plain_lines((Table(("a", "b"), (("x" * 500, "y"),)),)))[1]
    assert line == "x" * 500 + "  y"


@given(st.text())
def test_nothing_in_the_data_is_obeyed_by_a_terminal(text):
    said = harmless(text)
    assert len(said) == len(text)
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in said)


def test_an_escape_sequence_in_a_cell_is_shown_not_sent():
    lines = list(plain_lines((Table(("a",), (("\x1b[31mred\nnext",),)), Text("\x1b]0;title\x07\tb"))))
    assert not any("\x1b" in line or "\x07" in line for line in lines)
    assert lines[1] == "\ufffd[31mred\ufffdnext"
    assert lines[-1].endswith("\tb")


def drawn(table: Table, width: int) -> list[str]:
    screen = io.StringIO()
    console = RichConsole(file=screen, width=width)
    for renderable in rich_blocks((table,), width):
        console.print(renderable)
    return [line.rstrip() for line in screen.getvalue().splitlines()]


WIDE = Table(
    ("symbol", Column("close", "right"), "why"),
    (("AAPL", 1234.5, "because it was split seven for one"), ("F", 9.99, None)),
    caption="two rows",
)


def test_a_terminal_that_is_wide_enough_shows_a_line_a_row():
    assert drawn(WIDE, 80) == [
        "symbol     close  why",
        "────────────────────────────────────────────────────",
        "AAPL    1,234.50  because it was split seven for one",
        "F           9.99  –",
        "two rows",
    ]


def test_a_narrower_one_folds_the_widest_text_alone():
    lines = drawn(WIDE, 40)
    assert max(map(len, lines)) <= 40
    assert lines[2].startswith("AAPL    1,234.50  because it")
    assert lines[3].strip().startswith("seven for one")


def test_several_short_texts_fold_before_a_record_takes_a_row_each():
    """12 + 6 + 24 + 16 letters and three gaps are 64; at 49 the period and the time take two lines each."""
    table = Table(
        ("run", Column("return", "right"), "period", "ran"),
        (("dc71c316e684", "172.3%", "2005-01-03 to 2013-03-01", "2026-11-27 11:12"),),
    )
    lines = drawn(table, 49)
    assert lines[2].split() == ["dc71c316e684", "172.3%", "2005-01-03", "to", "2026-11-27"]
    assert lines[3].split() == ["2013-03-01", "11:12"]
    assert max(map(len, lines)) <= 49


def test_a_very_narrow_one_shows_a_record_a_row():
    assert drawn(WIDE, 30) == [
        "symbol  AAPL",
        "close   1,234.50",
        "why     because it was split",
        "        seven for one",
        "",
        "symbol  F",
        "close   9.99",
        "why     –",
        "",
        "two rows",
    ]


@given(st.integers(min_value=20, max_value=120))
def test_whatever_the_width_no_number_is_broken(width):
    assert any("1,234.50" in line for line in drawn(WIDE, width))

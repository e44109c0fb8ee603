"""Away from a terminal, progress is a handful of lines, however many steps there are."""

from __future__ import annotations

import pytest

from qfund.console.progress import Lines


def lines_of(total: int | None, steps: list[int]) -> list[str]:
    written: list[str] = []
    with Lines(written.append, "Fetching", total) as progress:
        for n in steps:
            progress.advance(n, note=f"+{n}")
    return written


def test_a_line_at_each_quarter():
    assert lines_of(8, [1] * 8) == [
        "Fetching (8) ...",
        "Fetching: 25% 2/8 +1",
        "Fetching: 50% 4/8 +1",
        "Fetching: 75% 6/8 +1",
        "Fetching: 100% 8/8 +1",
    ]


@pytest.mark.parametrize("total", [1, 2, 3, 5, 1000])
def test_never_more_than_five_lines_and_the_last_tells_the_end(total):
    written = lines_of(total, [1] * total)
    assert len(written) <= 5
    assert f"{total:,}/{total:,}" in written[-1]
    assert len(set(written)) == len(written)


def test_an_early_end_says_where_it_stopped():
    assert lines_of(100, [30, 5])[-1] == "Fetching: 35% 35/100 +5"


def test_nothing_to_do_is_said_once():
    assert lines_of(0, []) == ["Fetching (0) ..."]


def test_an_unknown_total_is_counted():
    assert lines_of(None, [10, 10]) == ["Fetching ...", "Fetching: 20 +10"]

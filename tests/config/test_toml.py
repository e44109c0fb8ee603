"""A value is found with its line; a broken file is told with line and column, and left alone."""

from __future__ import annotations

import pytest

from qfund.config.toml import Entry, read
from qfund.errors import ConfigError

FILE = '''\
# a comment = 1
[store]
url = "env:DB"

[backtest]
cash = 5
"costs" = """
cash = 7
"""
nested = { a = 1, b = { c = 2 } }
[deep.er]
x.y = 1
[empty]
[[many]]
z = 1
'''


def test_tables_become_dotted_keys_with_their_lines(tmp_path):
    path = tmp_path / "qfund.toml"
    path.write_text(FILE)
    assert read(path, "qfund.toml") == [
        Entry("store.url", "env:DB", "qfund.toml:3"),
        Entry("backtest.cash", 5, "qfund.toml:6"),
        Entry("backtest.costs", "cash = 7\n", "qfund.toml:7"),
        Entry("backtest.nested.a", 1, "qfund.toml:10"),
        Entry("backtest.nested.b.c", 2, "qfund.toml:10"),
        Entry("deep.er.x.y", 1, "qfund.toml:12"),
        Entry("empty", {}, "qfund.toml:13"),
        Entry("many", [{"z": 1}], "qfund.toml:14"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [("[store]\nurl = \n", 2, 7), ("a = 1\na = 2\n", 2, 6), ('x = "open', 1, 10), ("[store\n", 1, 7)],
)
def test_a_broken_file_is_told_with_line_and_column_and_left_alone(tmp_path, text, line, column):
    path = tmp_path / "qfund.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"^qfund.toml:{line}:{column} is not valid TOML: ") as caught:
        read(path, "qfund.toml")
    assert caught.value.exit_code == 3
    assert caught.value.details == {"file": "qfund.toml", "line": line, "column": column}
    assert path.read_text() == text


def test_what_cannot_be_read_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"none.toml cannot be read: No such file or directory"):
        read(tmp_path / "none.toml", "none.toml")
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory"):
        read(tmp_path, "folder")
    (tmp_path / "latin.toml").write_bytes(b'a = "\xe9"')
    with pytest.raises(ConfigError, match=r"latin.toml is not UTF-8 text \(byte 5\)"):
        read(tmp_path / "latin.toml", "latin.toml")

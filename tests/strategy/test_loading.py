"""A file becomes a strategy, or an error that says what is wrong at which line."""

import os
import sys
from textwrap import dedent

import pytest

from qfund.errors import NotFoundError, UsageError
from qfund.strategy.loading import load

GOOD = """
    from qfund import Strategy, param

    class Good(Strategy):
        '''Does nothing.'''
        fast: int = param(10, low=1)
        share: float = param(0.5)

        def targets(self, bars):
            return bars.close * 0
"""


@pytest.fixture
def write(tmp_path):
    def written(text: str, name: str = "good.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        return path

    return written


def refused(path) -> UsageError:
    with pytest.raises(UsageError) as caught:
        load(path)
    assert caught.value.exit_code == 2
    assert caught.value.fix
    return caught.value


def test_a_file_gives_its_class_its_text_and_a_hash(write):
    path = write(GOOD)
    loaded = load(path)

    assert (loaded.name, loaded.path, loaded.source) == ("Good", path, path.read_text())
    assert len(loaded.code_sha256) == 64
    assert load(str(path)).code_sha256 == loaded.code_sha256


def test_words_become_typed_parameters(write):
    made = load(write(GOOD)).make({"fast": "3", "share": "1"})

    assert made.params == {"fast": 3, "share": 1.0}
    assert load(write(GOOD)).make().fast == 10
    assert load(write(GOOD)).make({"fast": 4}).fast == 4


@pytest.mark.parametrize(
    ("params", "code", "words"),
    [
        ({"fasd": "3"}, "UNKNOWN_PARAMETER", "Did you mean fast?"),
        ({"fast": "x"}, "PARAMETER_TYPE", "must be a whole number, got 'x'"),
        ({"fast": "0"}, "PARAMETER_RANGE", "at least 1"),
    ],
)
def test_wrong_parameters_say_where_to_look(write, params, code, words):
    path = write(GOOD)
    with pytest.raises(UsageError, match=words.replace("?", r"\?")) as caught:
        load(path).make(params)

    assert (caught.value.code, caught.value.fix) == (code, f"qfund strategy show {path}")


def test_a_strategy_may_refuse_a_combination_itself(write):
    path = write("""
        from qfund import Strategy, param

        class Picky(Strategy):
            fast: int = param(10)

            def __init__(self, **params):
                super().__init__(**params)
                if self.fast > 20:
                    raise ValueError("fast must stay below slow")

            def targets(self, bars):
                return bars.close
    """)

    with pytest.raises(UsageError, match=r"fast must stay below slow \(good.py:10\)") as caught:
        load(path).make({"fast": "30"})
    assert caught.value.code == "PARAMETERS_REFUSED"


def test_a_changed_file_is_seen_at_once_and_has_another_hash(write):
    first = load(write(GOOD))
    second = load(write(GOOD.replace("10", "20")))  # same size, perhaps within the same second

    assert (first.make().fast, second.make().fast) == (10, 20)
    assert first.code_sha256 != second.code_sha256


def test_neighbours_are_importable_counted_and_forgotten(write):
    path = write("import levels\nimport deep.more\n" + dedent(GOOD).replace("10,", "levels.FAST,"))
    write("FAST = 7", "levels.py")
    write("", "deep/__init__.py")
    write("from levels import FAST", "deep/more.py")
    write("FAST = 1", "unused.py")
    before = (list(sys.path), set(sys.modules))
    loaded = load(path)

    assert loaded.make().fast == 7
    assert loaded.neighbours == ("deep/__init__.py", "deep/more.py", "levels.py")
    assert not {"levels", "deep", "deep.more"} & set(sys.modules)
    assert sys.path == before[0]
    assert not list(path.parent.rglob("__pycache__"))

    write("FAST = 8", "levels.py")
    again = load(path)
    assert again.make().fast == 8
    assert again.code_sha256 != loaded.code_sha256
    write("FAST = 2", "unused.py")
    assert load(path).code_sha256 == again.code_sha256


def test_equal_names_in_two_folders_do_not_meet(write):
    text = "from levels import FAST\n" + dedent(GOOD).replace("10,", "FAST,")
    one, other = write(text, "a/good.py"), write(text, "b/good.py")
    write("FAST = 1", "a/levels.py")
    write("FAST = 2", "b/levels.py")

    assert [load(path).make().fast for path in (one, other, one)] == [1, 2, 1]


def test_what_was_imported_under_a_neighbours_name_stays(write, monkeypatch, tmp_path):
    write("FAST = 1", "levels_kept.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    import levels_kept  # type: ignore[import-not-found]

    load(write("import levels_kept\n" + dedent(GOOD)))

    assert sys.modules["levels_kept"] is levels_kept
    del sys.modules["levels_kept"]


def test_string_annotations_and_dataclasses_work(write):
    loaded = load(
        write("""
        from __future__ import annotations
        from dataclasses import dataclass, field
        from qfund import Strategy, param

        @dataclass
        class Levels:
            high: float = field(default=1.0)

        class Quoted(Strategy):
            fast: int = param(10)
            share: float = param(1)

            def targets(self, bars):
                return bars.close * Levels().high
    """)
    )

    assert loaded.make().params == {"fast": 10, "share": 1.0}


def test_a_files_own_annotations_are_not_turned_into_strings(write):
    # The loader's own `from __future__ import annotations` must not leak into the user's file.
    loaded = load(write(GOOD))

    assert loaded.cls.__annotations__ == {"fast": int, "share": float}


TWO = """
    from qfund import Strategy

    class One(Strategy):
        def targets(self, bars):
            return bars.close

    class Two(One):
        pass
"""


def test_two_strategies_are_named_and_either_can_be_chosen(write):
    path = write(TWO, "two.py")
    error = refused(path)

    assert error.code == "STRATEGY_SEVERAL"
    assert "One, Two" in error.message
    assert load(f"{path}:Two").name == "Two"
    assert load(f"{path}:Two").path == path
    with pytest.raises(NotFoundError, match=r"no strategy named Tow\. Did you mean Two\?"):
        load(f"{path}:Tow")


def test_an_abstract_or_private_parent_is_no_second_strategy(write):
    path = write("""
        from qfund import Strategy

        class Parent(Strategy):
            share = 0.5

        class _Shared(Parent):
            def targets(self, bars):
                return bars.close

        class Child(_Shared):
            pass

        Alias = Child
    """)

    assert load(path).name == "Child"
    assert load(f"{path}:_Shared").name == "_Shared"


def test_imported_strategies_do_not_count(write):
    write(GOOD, "parent.py")
    assert load(write("from parent import Good\nclass Mine(Good): pass\n", "child.py")).name == "Mine"
    assert refused(write("from parent import Good\n", "only.py")).code == "STRATEGY_NONE"


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("def f(:\n", "STRATEGY_SYNTAX", "does not parse at good.py:1: invalid syntax: def f(:"),
        ("if True:\nx = 1\n", "STRATEGY_SYNTAX", "good.py:2: expected an indented block"),
        (
            "import nowhere_at_all\n",
            "STRATEGY_IMPORT",
            "imports 'nowhere_at_all', which is not there (good.py:1",
        ),
        ("from qfund import Strat\n", "STRATEGY_IMPORT", "cannot import name 'Strat'"),
        ("from . import levels\n", "STRATEGY_IMPORT", "import a neighbour by its plain name"),
        (
            "x = 1\ny = x / 0\n",
            "STRATEGY_FAILS",
            "ZeroDivisionError: division by zero (good.py:2: y = x / 0)",
        ),
        ("import sys\nsys.exit(3)\n", "STRATEGY_FAILS", "ends the program with exit(3) (good.py:2"),
        ("x = 1\n", "STRATEGY_NONE", "holds no strategy"),
        (
            "class A:\n    def targets(self, bars): ...\n",
            "STRATEGY_NONE",
            "A has targets, but does not extend",
        ),
        (
            "from qfund import Strategy\nclass A(Strategy):\n    pass\n",
            "STRATEGY_WITHOUT_TARGETS",
            "A in",
        ),
        (
            "from qfund import Strategy, param\nclass A(Strategy):\n    n: int = param('x')\n",
            "STRATEGY_PARAMETER",
            "'n' is declared wrongly: Parameter 'n' must be a whole number, got 'x' (good.py:2",
        ),
    ],
)
def test_each_fault_of_a_file_has_its_own_code_and_line(write, text, code, words):
    before = set(sys.modules)
    error = refused(write(text))

    assert error.code == code
    assert words in error.message
    assert "Traceback" not in error.message
    assert not {name for name in set(sys.modules) - before if name.startswith("_qfund_strategy")} or code in {
        "STRATEGY_NONE",
        "STRATEGY_WITHOUT_TARGETS",
    }


def test_a_fault_in_a_neighbour_names_the_neighbour(write):
    write("x = 1\nimport json\njson.loads('{')\n", "levels.py")
    error = refused(write("import levels\n"))

    assert "levels.py:3" in error.message

    write("def f(:\n", "levels.py")
    assert "levels.py:1" in refused(write("import levels\n")).message


def test_a_mistyped_neighbour_is_suggested(write):
    write("", "levels.py")

    assert refused(write("import level\n")).fix == "import levels"


def test_a_missing_file_names_the_nearest(write, tmp_path):
    path = write(GOOD)
    with pytest.raises(NotFoundError) as caught:
        load(tmp_path / "goood.py")

    assert caught.value.code == "STRATEGY_FILE_MISSING"
    assert f"Did you mean {path}?" in caught.value.message
    with pytest.raises(NotFoundError, match="There are "):
        load(tmp_path / "zzz.py")


def test_a_missing_file_looks_into_the_folder_of_strategies(write, tmp_path, monkeypatch):
    write(GOOD, "strategies/sma_cross.py")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(NotFoundError, match=r"Did you mean strategies/sma_cross\.py\?"):
        load("sma_cros")
    monkeypatch.chdir(tmp_path / "strategies")
    with pytest.raises(NotFoundError) as caught:
        load("nowhere/my-first.py")
    assert caught.value.fix == "qfund strategy new my_first"


def test_a_folder_or_another_kind_of_file_is_refused(write, tmp_path):
    assert "is a folder" in refused(tmp_path).message
    assert "not a Python file" in refused(write(GOOD, "good.txt")).message


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "odd.py"
    path.write_bytes(b"x = '\xff'\n")

    assert refused(path).code == "STRATEGY_UNREADABLE"
    path.write_bytes(b"# coding: nowhere\n")
    assert refused(path).code == "STRATEGY_UNREADABLE"
    path.write_bytes(b"x = '\0'\n")
    assert refused(path).code in {"STRATEGY_SYNTAX", "STRATEGY_FAILS"}


def test_other_encodings_and_line_ends_load(tmp_path):
    path = tmp_path / "odd.py"
    text = "# coding: latin-1\n" + dedent(GOOD).replace("Does nothing", "Tut nichts, für immer")
    path.write_bytes(text.replace("\n", "\r\n").encode("latin-1"))

    assert load(path).cls.describe()["summary"] == "Tut nichts, für immer."


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_refused(write):
    path = write(GOOD)
    path.chmod(0)

    assert refused(path).code == "STRATEGY_UNREADABLE"

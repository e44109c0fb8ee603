"""Strategies are listed with the broken ones among them, and a new one overwrites nothing."""

import pytest

from qfund.errors import NotFoundError, RefusedError, UpstreamError, UsageError
from qfund.strategy.files import found, write_new
from qfund.strategy.loading import load


def test_a_new_file_loads(tmp_path):
    path = write_new(tmp_path / "strategies", "MyFirst", "sma_cross", overwrite=False)

    assert path == tmp_path / "strategies" / "my_first.py"
    assert load(path).name == "MyFirst"


def test_a_file_that_is_there_is_kept_unless_told_otherwise(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("# my work\n")

    with pytest.raises(RefusedError, match=r"mine\.py is there already and is kept") as caught:
        write_new(tmp_path, "mine", "sma_cross", overwrite=False)
    assert caught.value.exit_code == 6
    assert path.read_text() == "# my work\n"
    write_new(tmp_path, "mine", "sma_cross", overwrite=True)
    assert "class Mine" in path.read_text()


def test_nothing_is_made_for_a_wrong_name_or_template(tmp_path):
    folder = tmp_path / "strategies"
    with pytest.raises(UsageError):
        write_new(folder, "1x", "sma_cross", overwrite=False)
    with pytest.raises(NotFoundError):
        write_new(folder, "x", "nothing", overwrite=False)
    assert not folder.exists()


def test_a_file_in_the_folders_place_is_refused(tmp_path):
    (tmp_path / "strategies").write_text("")

    with pytest.raises(RefusedError, match="is a file"):
        write_new(tmp_path / "strategies", "x", "sma_cross", overwrite=False)


def test_a_folder_in_the_files_place_is_told(tmp_path):
    (tmp_path / "x.py").mkdir()

    with pytest.raises(UpstreamError, match="cannot be written"):
        write_new(tmp_path, "x", "sma_cross", overwrite=True)


def test_every_file_is_a_row_and_a_broken_one_hides_no_other(tmp_path):
    write_new(tmp_path, "good", "momentum", overwrite=False)
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "_draft.py").write_text("def f(:\n")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "two.py").write_text(
        "from qfund import Strategy\n"
        "class A(Strategy):\n    def targets(self, bars): return bars.close\n"
        "class B(A): pass\n"
    )
    rows = [
        (one.path.name, one.loaded and one.loaded.name, one.error and one.error.code)
        for one in found(tmp_path)
    ]

    assert rows == [
        ("broken.py", None, "STRATEGY_SYNTAX"),
        ("good.py", "Good", None),
        ("two.py:A", "A", None),
        ("two.py:B", "B", None),
    ]


def test_a_folder_that_is_not_there_has_none(tmp_path):
    assert list(found(tmp_path / "nowhere")) == []

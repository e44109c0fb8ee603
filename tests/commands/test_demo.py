"""`qfund demo` does the whole job in one folder, twice if asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.program import run


@pytest.mark.slow
def test_the_demo_works_twice_and_leaves_a_report(tmp_path: Path) -> None:
    first, second = run("demo", "--json", cwd=tmp_path), run("demo", cwd=tmp_path)
    assert first.code == 0, first.err
    assert second.code == 0, second.err
    steps = first.document["data"]["steps"]
    assert [step["schema"] for step in steps] == [
        "qfund.init/1",
        "qfund.ingest/1",
        "qfund.data.status/1",
        "qfund.backtest/1",
    ]
    report = tmp_path / "demo/reports/demo.html"
    assert first.document["data"]["report"] == str(report)
    assert steps[-1]["data"]["run_id"] in report.read_text(encoding="utf-8")
    assert steps[-1]["data"]["run_id"] in second.out
    assert str(report) in second.out


def test_a_demo_folder_that_is_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("")
    ran = run("demo", cwd=tmp_path)
    assert ran.code == 3
    assert "qfund demo FOLDER" in ran.err


def test_a_step_that_fails_ends_the_demo_with_its_code(tmp_path: Path) -> None:
    ran = run("demo", "--json", cwd=tmp_path, env={"QFUND__STORE__URL": "mysql://nowhere/x"})
    assert ran.code == 3
    assert ran.document["errors"][0]["code"] == "DEMO"
    assert "qfund ingest" in ran.document["errors"][0]["message"]

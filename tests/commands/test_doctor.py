"""Every check is made, each failure says what mends it, and the worst sets the exit code."""

from __future__ import annotations

import pytest

CHECKS = [
    "python",
    "clock",
    "configuration",
    "state folder",
    "free disk",
    "database",
    "vendors",
    "calendar",
    "engine",
]


def states(ran) -> dict[str, str]:
    return {check["name"]: check["state"] for check in ran.document["data"]["checks"]}


def test_a_machine_that_can_do_the_work_passes_every_check(qfund, store_url):
    ran = qfund("doctor", "--json", QFUND__STORE__URL=store_url)
    assert ran.code == 0, ran.out
    assert states(ran) == dict.fromkeys(CHECKS, "ok")


def test_outside_of_a_project_the_database_is_tried_without_a_trace(qfund, project):
    ran = qfund("doctor")
    assert ran.code == 0, ran.err
    assert "tried in a temporary folder" in ran.out
    assert list(project.iterdir()) == []


def test_a_database_that_does_not_answer_is_13_with_its_fix_and_without_the_password(qfund):
    ran = qfund("doctor", "--json", QFUND__STORE__URL="postgresql://fund:geheim@127.0.0.1:1/fund")
    assert ran.code == 13
    assert states(ran)["database"] == "failed"
    assert states(ran)["engine"] == "ok"
    (error,) = ran.document["errors"]
    assert error["fix"]
    assert "geheim" not in ran.out + ran.err


def test_a_broken_configuration_is_3_told_once_and_what_needs_it_is_not_tried(qfund, project):
    (project / "qfund.toml").write_text("[backtest]\ncash = 'x'\n")
    ran = qfund("doctor", "--json")
    assert ran.code == 3
    assert len(ran.document["errors"]) == 1
    assert states(ran) == {
        "python": "ok",
        "clock": "ok",
        "configuration": "failed",
        "state folder": "not tried",
        "free disk": "not tried",
        "database": "not tried",
        "vendors": "ok",
        "calendar": "not tried",
        "engine": "ok",
    }


def test_an_unknown_calendar_is_told_beside_the_rest(qfund, store_url):
    ran = qfund("doctor", QFUND__STORE__URL=store_url, QFUND__BACKTEST__CALENDAR="XNYSE")
    assert ran.code == 3
    assert "backtest.calendar: There is no exchange calendar named 'XNYSE'. Did you mean XNYS" in ran.err
    assert "calendar       failed  see below" in ran.out


@pytest.mark.slow
def test_full_compares_the_engines_answers_with_vectorbts_own(qfund, store_url):
    ran = qfund("doctor", "--full", "--json", QFUND__STORE__URL=store_url)
    assert ran.code == 0, ran.out
    assert states(ran)["engine's answers"] == "ok"

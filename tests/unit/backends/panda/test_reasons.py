from __future__ import annotations

from typing import Any

import pytest

from snakemake_executor_plugin_grid.backends.panda.reasons import (
    EXIT,
    PILOT,
    RUN_GEN,
    SERVER,
    Explained,
    explain,
)


def job(**errors: Any) -> dict[str, Any]:
    """Return a description with the values that a job of panda-server 1.0.4 has by default."""
    parts = ("pilot", "exe", "sup", "ddm", "brokerage", "jobDispatcher", "taskBuffer")
    codes: dict[str, Any] = {f"{part}ErrorCode": 0 for part in parts}
    diagnoses: dict[str, Any] = {f"{part}ErrorDiag": None for part in parts}
    return {"jobStatus": "failed", "transExitCode": None, **codes, **diagnoses, **errors}


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ({"pilotErrorCode": 1150, "pilotErrorDiag": "Looping job killed by pilot"}, "loop"),
        ({"pilotErrorCode": 1212}, "mem_mb"),
        ({"pilotErrorCode": 1223}, "mem_mb"),
        ({"pilotErrorCode": 1235}, "mem_mb"),
        ({"pilotErrorCode": 1213}, "runtime"),
        ({"pilotErrorCode": 1204}, "runtime"),
        ({"pilotErrorCode": 1104}, "disk_mb"),
        ({"pilotErrorCode": 1205}, "somebody killed"),
        ({"pilotErrorCode": 1144}, "somebody killed"),
        ({"pilotErrorCode": 1360}, "grid_panda_container"),
        ({"pilotErrorCode": 1328}, "SIGSEGV"),
        ({"pilotErrorCode": 1305, "transExitCode": "1"}, "exit code 1 "),
        ({"pilotErrorCode": 1305, "exeErrorCode": 2}, "exit code 2 "),
        ({"pilotErrorCode": 1103, "transExitCode": 126}, "exit code 126 "),
        ({"pilotErrorCode": 9999, "transExitCode": 3}, "exit code 3 "),
        ({"transExitCode": "1"}, "exit code 1 "),
        ({"transExitCode": 139}, "exit code 139 (SIGSEGV)"),
        ({"transExitCode": 255}, "exit code 255 "),
        ({"transExitCode": "137"}, "mem_mb"),
        ({"taskBufferErrorCode": 100, "taskBufferErrorDiag": "killed by Ada"}, "somebody killed"),
    ],
)
def test_what_the_payload_or_a_person_has_done(errors: dict[str, Any], said: str) -> None:
    found = explain(job(**errors))
    assert said in found.text
    assert not found.infrastructure


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ({"pilotErrorCode": 1098}, "ran full"),
        ({"pilotErrorCode": 1305, "transExitCode": 127}, "no Python 3.9"),
        ({"pilotErrorCode": 1305, "transExitCode": 74}, "its report to the store"),
        ({"pilotErrorCode": 1099}, "input"),
        ({"pilotErrorCode": 1137}, "output"),
        ({"pilotErrorCode": 1201}, "batch system"),
        ({"pilotErrorCode": 1163}, "credentials"),
        ({"pilotErrorCode": 1246}, "sandbox"),
        ({"pilotErrorCode": 1335, "transExitCode": 1}, "sandbox"),
        ({"pilotErrorCode": 1384}, "container"),
        ({"pilotErrorCode": 1103}, "input"),
        ({"transExitCode": "143"}, "damaged"),
        ({"transExitCode": 146, "pilotErrorCode": 1305}, "could not get the job's sandbox"),
        ({"transExitCode": 3, "pilotErrorCode": 1305, "exeErrorCode": 5303}, "could not get"),
        ({"exeErrorCode": 5309}, "damaged"),
        (
            {"jobDispatcherErrorCode": 100, "jobDispatcherErrorDiag": "lost heartbeat : 2026"},
            "not been heard of",
        ),
        ({"jobDispatcherErrorCode": 102}, "not been heard of again"),
        ({"supErrorCode": 2, "supErrorDiag": "worker already failed"}, "worker on the site"),
        ({"ddmErrorCode": 200, "ddmErrorDiag": "AdderPlugin failure"}, "without a word"),
        ({"taskBufferErrorCode": 102, "taskBufferErrorDiag": "expired in activated"}, "queue"),
        ({"taskBufferErrorCode": 100, "taskBufferErrorDiag": "reassigned by JEDI"}, "server ended"),
        ({"taskBufferErrorCode": 100, "taskBufferErrorDiag": "killed by jedi"}, "server ended"),
        ({"pilotErrorCode": 9999, "pilotErrorDiag": "Novel"}, "PanDA says: pilot 9999: Novel"),
        ({"brokerageErrorCode": 7, "brokerageErrorDiag": "no site"}, "brokerage 7: no site"),
        ({"taskBufferErrorDiag": "set failed"}, "set failed"),
    ],
)
def test_faults_of_the_infrastructure(errors: dict[str, Any], said: str) -> None:
    found = explain(job(**errors))
    assert said in found.text
    assert found.infrastructure


def test_who_was_killed_has_not_been_failed_by_the_site() -> None:
    """The pilot takes a kill that it was told of for the batch system's."""
    killed = {"taskBufferErrorCode": 100, "taskBufferErrorDiag": "killed by Ada Lovelace"}
    found = explain(job(pilotErrorCode=1201, **killed))
    assert found.text.startswith("somebody killed the job (PanDA: pilot 1201; ")
    assert not found.infrastructure


def test_who_was_killed_a_moment_ago_has_no_code_yet() -> None:
    found = explain(job(taskBufferErrorCode=0, taskBufferErrorDiag="killed by Ada Lovelace"))
    assert found.text == "somebody killed the job (PanDA: taskBuffer: killed by Ada Lovelace)"
    assert not found.infrastructure


def test_the_words_and_numbers_of_panda_are_kept() -> None:
    found = explain(
        job(
            pilotErrorCode=1305,
            pilotErrorDiag="Failed to execute\n payload:oops",
            exeErrorCode=1,
            exeErrorDiag="NULL",
            transExitCode="1",
        )
    )
    assert found.text == (
        "the payload ended with exit code 1 (PanDA: pilot 1305: Failed to execute payload:oops; "
        "exe 1; exit code 1)"
    )


def test_a_job_without_a_reason_blames_nobody() -> None:
    assert explain({}) == Explained("")
    assert explain(job()) == Explained("")
    nothing = job(pilotErrorCode="NULL", transExitCode="NULL", exeErrorDiag="NULL", supErrorCode=[])
    assert explain(nothing) == Explained("")


def test_words_are_of_bearable_length() -> None:
    assert len(explain(job(pilotErrorCode=1305, pilotErrorDiag="word " * 500)).text) < 500


def test_every_code_has_words_and_no_table_hides_another() -> None:
    for code, expected in PILOT.items():
        found = explain(job(pilotErrorCode=code))
        assert found == Explained(f"{expected.text} (PanDA: pilot {code})", expected.infrastructure)
    for code, expected in RUN_GEN.items():
        assert explain(job(exeErrorCode=code)).text.startswith(expected.text)
        assert code > 5300
    for code, expected in EXIT.items():
        assert explain(job(transExitCode=str(code))).text.startswith(expected.text)
    for name, table in SERVER.items():
        for code, expected in table.items():
            assert explain(job(**{name: code})).text.startswith(expected.text)

from __future__ import annotations

import json
import os
import tracemalloc

import pytest

from snakemake_executor_plugin_grid.journal.records import Phase
from snakemake_executor_plugin_grid.model.errors import CredentialsError, TransientError
from tests.unit.console.worker_logs import failed_rule
from tests.unit.journal.test_reader import Past, past

from .commands import FakeBackend, call

__all__ = ["past"]


def run_with(past: Past, *samples: str) -> None:
    past.run("run1")
    for number, sample in enumerate(samples, start=1):
        past.job(f"a-{number}", sample=sample, grid_id=f"{number}")
        past.put(f"a-{number}", sent=float(number))


def test_what_came_back_is_printed_without_a_server(past: Past, backend: FakeBackend) -> None:
    run_with(past, "a", "b")
    past.journal.ended("a-1", Phase.FAILED)
    past.put("a-1", running=1000.0, ended=1300.0)
    log = past.log("a-1", "one\ntwo [red]\nthree")
    past.log("a-2", "other\n")
    result = call(past, "logs", "align", "sample=a")
    assert result.output == (
        f"==> align (sample=a), dirac job 1, attempt 1, failed after 5 min: {log}\n"
        "one\ntwo [red]\nthree\n"
    )
    assert backend.made == []


def test_the_last_job_comes_first(past: Past) -> None:
    run_with(past, "a", "b")
    past.log("a-1", "of a\n")
    past.log("a-2", "of b\n")
    lines = call(past, "logs", "align").output.splitlines()
    assert (lines[1], lines[3]) == ("of b", "of a")


def test_the_tail(past: Past) -> None:
    run_with(past, "a")
    past.log("a-1", "".join(f"line {number}\n" for number in range(1000)))
    assert call(past, "logs", "1", "--tail", "2").output.splitlines()[1:] == [
        *("line 998", "line 999"),
    ]


def test_the_words_of_snakemake_are_left_out_unless_all_is_wanted(past: Past) -> None:
    run_with(past, "a")
    past.log("a-1", failed_rule(3, "one\ntwo\n"))
    assert call(past, "logs", "align").output.splitlines()[1:] == ["one", "two"]
    assert call(past, "logs", "align", "--tail", "1").output.splitlines()[1:] == ["two"]
    whole = call(past, "logs", "align", "--whole").output
    assert failed_rule(3, "one\ntwo\n") in whole


def test_the_logs_of_the_rule_come_first(past: Past) -> None:
    run_with(past, "a")
    past.log("a-1", failed_rule(3, "printed\n"))
    report = json.dumps({"logs": ["logs/a.log", "logs/gone.log"]})
    past.journal.ended("a-1", Phase.FAILED, "payload failed: exit status 3", report)
    (past.directory / "logs").mkdir()
    (past.directory / "logs" / "a.log").write_text("fit\nfailed\n")
    assert call(past, "logs", "align", "--tail", "1").output.splitlines()[1:] == [
        "payload failed: exit status 3",
        "--> logs/a.log",
        "failed",
        "--> logs/gone.log: not here any more",
        "--> output of the job",
        "printed",
    ]


def test_a_log_that_a_later_attempt_has_replaced(past: Past) -> None:
    run_with(past, "a", "a")
    (past.directory / "a.log").write_text("of the second\n")
    for number in (2, 1):  # their files are replaced in the order of their ends
        past.log(f"a-{number}", "")
        past.journal.ended(f"a-{number}", Phase.FAILED, "", json.dumps({"logs": ["a.log"]}))
        past.put(f"a-{number}", finished=float(number))
    output = call(past, "logs", "align", "--all").output
    assert output.count("of the second\n") == 1
    assert "--> a.log: replaced" in output


@pytest.mark.parametrize("origin", ["a-1", ""])  # resubmitted; retried by Snakemake
def test_a_failed_attempt_is_shown_while_the_next_one_waits(past: Past, origin: str) -> None:
    run_with(past, "a")
    past.log("a-1", "why it failed\n")
    past.journal.ended("a-1", Phase.FAILED, "exit status 3")
    past.job("a-1.1", origin=origin)
    past.put("a-1.1", sent=2.0)
    result = call(past, "logs", "align")
    assert result.exit_code == 0
    assert "why it failed" in result.output
    assert "a-1.1, attempt 1, waiting" in result.output
    past.log("a-1.1", "second\n")
    past.journal.ended("a-1.1", Phase.SUCCEEDED)
    assert "why it failed" not in call(past, "logs", "align").output


def test_bytes_that_are_no_text(past: Past) -> None:
    run_with(past, "a")
    past.log("a-1", "").write_bytes(b"\xff\xfeend\n")
    result = call(past, "logs", "align")
    assert result.exit_code == 0
    assert "end" in result.output


def test_output_does_not_command_the_terminal(past: Past, backend: FakeBackend) -> None:
    run_with(past, "a", "b")
    hostile = "a\tb\x1b]0;title\x07\x1b[2J\x9bc\n"
    past.log("a-1", hostile)
    backend.texts = {"2": hostile}
    for number in ("1", "2"):
        output = call(past, "logs", number).output
        assert "a\tb" in output
        assert not {"\x1b", "\x07", "\x9b"} & set(output)


def test_only_the_last_submission_unless_all_are_wanted(past: Past) -> None:
    run_with(past, "a")
    past.job("a-1.1", grid_id="9", origin="a-1")
    past.log("a-1", "first\n")
    past.log("a-1.1", "second\n")
    assert "first" not in call(past, "logs", "align").output
    both = call(past, "logs", "align", "--all").output
    assert both.index("second") < both.index("first")


def test_many_jobs(past: Past) -> None:
    run_with(past, *"abcdefg")
    for number in range(1, 8):
        past.log(f"a-{number}", f"text {number}\n")
    few = call(past, "logs", "align").output
    assert "text 3" in few
    assert "text 2" not in few
    assert "and 2 more jobs (--all shows them)" in few
    assert "text 1" in call(past, "logs", "align", "--all").output


def test_the_server_is_asked_where_nothing_came_back(past: Past, backend: FakeBackend) -> None:
    run_with(past, "a", "b", "c")
    past.log("a-1", "from here\n")
    backend.jobs = {"a-2": "2"}
    backend.texts = {"2": "from there\nand on\n", "3": "by its id\n"}
    result = call(past, "logs", "align", "--tail", "1")
    assert result.exit_code == 0
    assert "from the server\nand on\n" in result.output
    assert "from there" not in result.output
    assert "from the server\nby its id\n" in result.output, "the server may not know its name"
    assert "from here" in result.output
    assert backend.called("find") == [["a-2", "a-3"]]
    assert backend.called("logs") == [["3"], ["2"]]
    assert backend.closed == 1


def test_the_server_may_be_asked_all_the_same(past: Past, backend: FakeBackend) -> None:
    run_with(past, "a")
    past.log("a-1", "from here\n")
    backend.texts = {"1": "from there\n"}
    result = call(past, "logs", "align", "--server")
    assert "from there" in result.output
    assert "from here" not in result.output
    past.journal.ended("a-1", Phase.SUCCEEDED)
    backend.texts.clear()
    assert "none, the server has no output\n" in call(past, "logs", "1", "--server").output


def test_no_output_anywhere(past: Past, backend: FakeBackend) -> None:
    past.run("run1")
    past.job("a-1", sample="a")
    past.job("a-2", sample="b", grid_id="2")
    past.job("a-3", sample="c")
    past.journal.ended("a-3", Phase.FAILED, "refused: too large")
    result = call(past, "logs", "align")
    assert result.exit_code == 1
    assert "a-1, attempt 1, waiting: none, it was never submitted" in result.output
    assert "dirac job 2, attempt 1, queued: none, there is no output yet" in result.output
    assert "a-3, attempt 1, failed: none, refused: too large" in result.output
    assert backend.called("logs") == [["2"]]


@pytest.mark.parametrize("place", ["make", "check_credentials", "find", "logs"])
def test_a_server_that_does_not_answer(past: Past, backend: FakeBackend, place: str) -> None:
    run_with(past, "a", "b")
    past.log("a-1", "from here\n")
    backend.errors[place] = (
        TransientError("no answer") if place == "find" else CredentialsError("no answer, no proxy")
    )
    result = call(past, "logs", "align")
    assert result.exit_code == 0
    assert "queued: none, no answer" in result.output
    assert "from here" in result.output


def test_an_unknown_rule(past: Past, backend: FakeBackend) -> None:
    run_with(past, "a")
    result = call(past, "logs", "algin")
    assert result.exit_code == 1
    assert "Its rules are align" in result.output
    assert call(past, "logs").exit_code == 2
    assert backend.made == []


@pytest.mark.parametrize("tail", [[], ["--tail", "2"]])
def test_huge_whole_log_does_not_fill_the_memory(past: Past, tail: list[str]) -> None:
    run_with(past, "a")
    log = past.log("a-1", "begin\n")
    os.truncate(log, 40 << 20)  # a hole
    with log.open("a") as stream:
        stream.write("\nend\n")
    tracemalloc.start()
    lines = call(past, "logs", "align", "--whole", *tail).output.splitlines()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert lines[-1] == "end"
    assert tail or lines[1] == "begin"
    assert peak < 40 << 20


def test_names_of_logs_do_not_reach_the_terminal_as_they_are(past: Past) -> None:
    run_with(past, "a")
    past.log("a-1", "printed\n")
    names = ["logs/\x1b[2Jgone\nfake.log", "\x1b[2Jlog"]
    (past.directory / names[1]).write_text("of the rule\n")
    past.journal.ended("a-1", Phase.FAILED, "\x1b[2Jdetail", json.dumps({"logs": names}))
    output = call(past, "logs", "align").output
    assert "\x1b" not in output
    assert "--> logs/gone fake.log: not here" in output
    assert "--> log\nof the rule\n" in output

"""The last line of a run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from snakemake_executor_plugin_grid.console.last_words import LastWords, Tally


def always(_: object) -> bool:
    return True


def tally(succeeded: int, *failed: str) -> Tally:
    """Return a tally of jobs; those that have failed are of rule `simulate`."""
    made = Tally()
    jobs = [f"job-{number}" for number in range(succeeded)]
    made.began([*jobs, *failed])
    for job in jobs:
        made.succeeded(job)
    for job in failed:
        cause = "payload failed: exit status 3"
        made.failed(job, "simulate", {"run": job}, cause, has_log=True)
    return made


def test_a_run_that_has_succeeded() -> None:
    assert tally(27).summary(always) == "27 of 27 jobs succeeded."


def test_a_run_without_jobs_needs_no_words() -> None:
    assert Tally().summary(always) == ""


def test_a_failure_is_named_with_its_log() -> None:
    assert tally(26, "4").summary(always) == (
        "26 of 27 jobs succeeded, 1 failed for good: simulate (run=4), "
        "payload failed: exit status 3. snakemake-grid logs simulate run=4"
    )


def test_of_several_failures_the_first_is_named() -> None:
    words = tally(1, "4", "5").summary(always)
    assert "1 of 3 jobs succeeded, 2 failed for good, the first: simulate (run=4)" in words


def test_attempts_are_no_jobs() -> None:
    made = tally(1, "4")
    made.began(["4"])
    made.succeeded("4")
    assert made.summary(always) == "2 of 2 jobs succeeded."


def test_what_a_job_failed_of_before_it_was_tried_again_is_not_said() -> None:
    made = tally(1, "4")
    made.returned("4")
    assert not made.has_failed("4")
    assert made.came_back == 1


def test_a_job_that_is_to_be_tried_again_has_not_failed_for_good() -> None:
    assert tally(1, "4").summary(lambda _: False) == "1 of 2 jobs succeeded."


def test_the_command_for_the_log_can_be_pasted_into_a_shell() -> None:
    made = Tally()
    made.failed("a", "sort", {"what": "two words", "n": "1"}, "no", has_log=True)
    assert made.failures(always).endswith("snakemake-grid logs sort 'what=two words' n=1")
    made.failed("a", "sort", {}, "not submitted.", has_log=False)
    assert made.failures(always) == "1 failed for good: sort, not submitted."


@pytest.mark.parametrize(
    ("imported", "printed"), [("pass", "grid: first\nSnakemake\n"), ("import snakemake.cli", None)]
)
def test_the_words_come_after_those_of_snakemake(imported: str, printed: str | None) -> None:
    code = f"""
{imported}
import sys
from snakemake_executor_plugin_grid.console.last_words import LastWords
words = LastWords()
words.leave("first")
print("Snakemake", file=sys.stderr)
"""
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stderr == (printed or "Snakemake\ngrid: first\n")


def test_the_words_are_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    words = LastWords()
    words._text = "once"
    words.print()
    words.print()
    assert capsys.readouterr().err == "grid: once\n"

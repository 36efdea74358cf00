from __future__ import annotations

import json
import subprocess

import pytest

from snakemake_executor_plugin_grid.backends.dirac.reasons import REASONS, explain
from snakemake_executor_plugin_grid.backends.dirac.states import GRACE, STATES, Settling, job_status
from snakemake_executor_plugin_grid.model.state import UNKNOWN, JobState, JobStatus

from .dirac_parser import python

# JobStatus.JOB_STATES of DIRAC 9.1.22.
ALL_STATES = [
    *("Submitting", "Received", "Checking", "Scouting", "Staging", "Waiting", "Matched"),
    *("Rescheduled", "Running", "Stalled", "Completing", "Done", "Completed", "Failed"),
    *("Deleted", "Killed"),
]
# The constants of JobMinorStatus of DIRAC 9.1.22.
ALL_MINORS = [
    "Application",
    "Application not found",
    "Application thread failed",
    "Application thread did not complete",
    "Application Finished Successfully",
    "Application Finished With Errors",
    "Downloading InputSandbox",
    "Downloading InputSandbox LFN(s)",
    "Failed Downloading InputSandbox",
    "Failed Downloading InputSandbox LFN(s)",
    "Failed sending requests",
    "Execution Complete",
    "Exception During Execution",
    "Going to reschedule job",
    "Job Rescheduled",
    "Input Data Resolution",
    "Pilot Agent Submission",
    "Pending Requests",
    "Requests done",
    "Job has reached the CPU limit of the queue",
    "Job has exceeded maximum wall clock time",
    "Job Initialization",
    "Job has insufficient disk space to continue",
    "Job Wrapper Initialization",
    "JobWrapper execution",
    "Marked for termination",
    "Received Kill signal",
    "Resolving Output Sandbox",
    "Job stalled: pilot not running",
    "Uploading Output Sandbox",
    "Output Sandbox Uploaded",
    "Uploading Output Data",
    "Uploading Outputs",
    "Output Data Uploaded",
    "Watchdog identified this job as stalled",
    "Illegal Job JDL",
    "Input Data Not Available",
    "No candidate sites available",
]


def test_every_state_of_dirac_is_mapped() -> None:
    assert set(STATES) == set(ALL_STATES)
    assert all(state is not JobState.UNKNOWN for state in STATES.values())


@pytest.mark.parametrize("minor", ALL_MINORS)
def test_every_minor_status_of_dirac_is_explained(minor: str) -> None:
    reason = explain(minor, "Unknown")
    assert reason is not None
    assert len(reason.text) > 5


def test_the_dirac_that_is_installed_has_no_others() -> None:
    program = """
import json
from DIRAC.WorkloadManagementSystem.Client import JobMinorStatus, JobStatus
minors = [value for name, value in vars(JobMinorStatus).items() if name.isupper()]
print(json.dumps([JobStatus.JOB_STATES, minors]))
"""
    done = subprocess.run([python(), "-c", program], capture_output=True, text=True, check=True)
    states, minors = json.loads(done.stdout)
    assert set(states) == set(STATES)
    assert len(minors) > 30
    assert [minor for minor in minors if explain(minor, "") is None] == []


def test_fragments_are_lower_case_and_none_hides_another() -> None:
    for fragment, reason in REASONS.items():
        assert fragment == fragment.casefold()
        assert explain(fragment.upper(), "") == reason


@pytest.mark.parametrize("status", ["Received", "Rescheduled", "Checking", "Waiting", "Matched"])
def test_jobs_that_wait_or_go_back_are_queued(status: str) -> None:
    seen = job_status(status, "Job Rescheduled", "Unknown", "ANY")
    assert seen == JobStatus(JobState.QUEUED, "was put back into the queue")


def test_a_job_that_waits_after_a_fault_of_the_site_has_not_failed() -> None:
    seen = job_status("Rescheduled", "Downloading InputSandbox", "")
    assert seen == JobStatus(JobState.QUEUED, "Downloading InputSandbox")


def test_stalled_jobs_run_and_say_so() -> None:
    seen = job_status("Stalled", "Application", "Unknown", "LCG.Site.ch")
    assert seen.state is JobState.RUNNING
    assert "no sign of life" in seen.detail
    assert seen.site == "LCG.Site.ch"


def test_a_new_status_is_unknown_by_its_name() -> None:
    seen = job_status("Hibernating", "Application", "")
    assert seen == JobStatus(JobState.UNKNOWN, "Hibernating")
    assert not seen.state.ended


@pytest.mark.parametrize("value", [None, 7, b"Done", [], {}])
def test_values_that_are_no_text_break_nothing(value: object) -> None:
    assert job_status(value, value, value, value) == UNKNOWN
    assert job_status("Done", value, value, value) == JobStatus(JobState.DONE)
    assert job_status("Failed", value, value, value).detail == "DIRAC gives no reason for Failed"


@pytest.mark.parametrize(
    ("minor", "application"),
    [
        ("Job stalled: pilot not running", "Unknown"),
        ("Stalling for more than 40500 sec", "Unknown"),
        ("Maximum of reschedulings reached", "Failed Downloading InputSandbox "),
        ("Bulk transaction confirmation", "Unknown"),
        ("Job has insufficient disk space to continue", ""),
        ("Job exceeded maximum load average", ""),
        ("Exception During Execution", ""),
        ("JobWrapper execution", ""),
        ("Application not found", ""),
        ("Application Finished With Errors", "Unknown"),
        ("Uploading Output Data", ""),
        ("Failed sending requests", ""),
        ("Payload failed", ""),
        ("Matcher did not return JDL", ""),
        ("InputData optimizer", "Failed to instantiate DataManager for vo testvo"),
    ],
)
def test_faults_of_the_infrastructure(minor: str, application: str) -> None:
    seen = job_status("Failed", minor, application, "LCG.Site.ch")
    assert seen.state is JobState.FAILED
    assert seen.infrastructure
    assert f"(DIRAC: {minor}" in seen.detail


def test_a_job_that_dirac_puts_back_into_the_queue_is_the_sites_fault() -> None:
    """It would run again after its success, when an upload has failed."""
    seen = job_status("Checking", "Job Rescheduled", "On Hold: after rescheduling 1")
    assert seen.state is JobState.FAILED
    assert seen.infrastructure


@pytest.mark.parametrize(
    ("minor", "application", "said"),
    [
        ("Job has reached the CPU limit of the queue", "", "runtime"),
        ("Job has exceeded maximum wall clock time", "", "runtime"),
        ("Job has exceeded maximum CPU time limit", "", "runtime"),
        ("Watchdog identified this job as stalled", "", "processor time"),
        ("InputData optimizer", "Input data not available", "input data is missing"),
        ("InputData optimizer", "No candidate sites available", "grid_site"),
        ("JobScheduling optimizer", "Impossible InputData * Site requirements", "grid_site"),
        ("JobSanity optimizer", "Whatever it may be", "Whatever it may be"),
        ("Error in JDL syntax", "", "grid_jdl"),
        ("Something new", "", "Something new"),
    ],
)
def test_what_is_up_to_the_user(minor: str, application: str, said: str) -> None:
    seen = job_status("Failed", minor, application)
    assert seen.state is JobState.FAILED
    assert not seen.infrastructure
    assert said in seen.detail


def test_a_job_killed_while_it_ran_is_cancelled() -> None:
    seen = job_status("Failed", "Received Kill signal", "Unknown")
    assert seen.state is JobState.CANCELLED
    assert not seen.infrastructure
    assert seen.detail.startswith("somebody killed the job while it ran")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def look(settling: Settling, status: str, minor: str = "") -> JobState:
    return settling.settle("7", status, job_status(status, minor, "")).state


def test_killed_counts_when_it_lasts() -> None:
    clock = Clock()
    settling = Settling(clock=clock)
    assert look(settling, "Killed") is JobState.RUNNING
    clock.now += GRACE["Killed"] - 1
    assert look(settling, "Killed") is JobState.RUNNING
    clock.now += 1
    assert look(settling, "Killed") is JobState.CANCELLED


def test_killed_that_goes_back_begins_anew() -> None:
    clock = Clock()
    settling = Settling(clock=clock)
    assert look(settling, "Killed") is JobState.RUNNING
    clock.now += 50
    assert look(settling, "Running") is JobState.RUNNING
    clock.now += 50
    assert look(settling, "Killed") is JobState.RUNNING
    assert look(settling, "Failed", "Received Kill signal") is JobState.CANCELLED


def test_completed_is_waited_for_and_then_taken_for_done() -> None:
    clock = Clock()
    settling = Settling(clock=clock)
    assert look(settling, "Completed", "Pending Requests") is JobState.RUNNING
    assert look(settling, "Done") is JobState.DONE
    assert look(settling, "Completed", "Pending Requests") is JobState.RUNNING
    clock.now += GRACE["Completed"]
    assert look(settling, "Completed", "Pending Requests") is JobState.DONE


def test_the_time_in_one_state_does_not_count_for_another() -> None:
    clock = Clock()
    settling = Settling(clock=clock)
    look(settling, "Completed")
    clock.now += GRACE["Killed"]
    assert look(settling, "Killed") is JobState.RUNNING


def test_each_job_has_its_own_time_and_may_be_forgotten() -> None:
    clock = Clock()
    settling = Settling(clock=clock)
    status = job_status("Killed", "", "")
    settling.settle("1", "Killed", status)
    clock.now += GRACE["Killed"]
    assert settling.settle("2", "Killed", status).state is JobState.RUNNING
    settling.forget(["1"])
    assert settling.settle("1", "Killed", status).state is JobState.RUNNING
    assert settling.settle("2", None, UNKNOWN) == UNKNOWN

"""Maps PanDA's states of tasks, files and jobs to those of this package (panda-server 1.0.4).

A payload is an input file of its task. Some states are misleading: a task is ``finished`` if some
of its payloads have failed; the file of a failed payload is ``ready`` again, even if there is no
other attempt; and a file is ``running`` as soon as there is a job, though no pilot may ever come
for it. While its task goes on, only the job tells.
"""

from __future__ import annotations

import html
import re

from ...model.state import JobState, JobStatus

TASK_STATES = {
    "waiting": JobState.QUEUED,  # registered for JEDI, which has not taken it yet
    "registered": JobState.QUEUED,
    "staging": JobState.QUEUED,
    "staged": JobState.QUEUED,
    "defined": JobState.QUEUED,
    "assigning": JobState.QUEUED,
    "topreprocess": JobState.QUEUED,
    "preprocessing": JobState.QUEUED,
    "ready": JobState.QUEUED,
    "pending": JobState.QUEUED,  # JEDI tries again by itself: see waiting_advice
    "throttled": JobState.QUEUED,
    "toretry": JobState.QUEUED,
    "toincexec": JobState.QUEUED,
    "rerefine": JobState.QUEUED,
    "toreassign": JobState.QUEUED,
    "reassigning": JobState.QUEUED,
    "scouting": JobState.RUNNING,
    "scouted": JobState.RUNNING,
    "running": JobState.RUNNING,
    "merging": JobState.RUNNING,
    "prepared": JobState.RUNNING,  # all payloads have ended, the task has not
    "finishing": JobState.RUNNING,
    "passed": JobState.RUNNING,
    "aborting": JobState.RUNNING,
    "toabort": JobState.RUNNING,
    "tobroken": JobState.RUNNING,
    "paused": JobState.HELD,
    "exhausted": JobState.HELD,
    "done": JobState.DONE,
    "finished": JobState.FAILED,  # partly: what is not finished will not be
    "failed": JobState.FAILED,
    "broken": JobState.FAILED,
    "aborted": JobState.CANCELLED,
}
"""States of the payloads of a task that have not ended by themselves, by the task's state."""

FILE_STATES = {
    "ready": JobState.QUEUED,
    "pending": JobState.QUEUED,
    "staging": JobState.QUEUED,
    "picked": JobState.QUEUED,
    "running": JobState.AT_SITE,  # there is a job, for which there need be no pilot
    "merging": JobState.RUNNING,
    "finished": JobState.DONE,
    # JEDI 1.0.4 gives none of these to a payload's file, only to files that are in datasets.
    "failed": JobState.FAILED,
    "missing": JobState.FAILED,
    "lost": JobState.FAILED,
    "skipped": JobState.FAILED,
    "cancelled": JobState.CANCELLED,
}

JOB_STATES = {
    "pending": JobState.QUEUED,
    "waiting": JobState.QUEUED,
    "defined": JobState.QUEUED,
    "assigned": JobState.QUEUED,
    "throttled": JobState.QUEUED,
    "activated": JobState.AT_SITE,  # waits for a pilot
    "sent": JobState.AT_SITE,  # a pilot has it
    "starting": JobState.AT_SITE,
    "stagein": JobState.RUNNING,
    "running": JobState.RUNNING,
    "stageout": JobState.RUNNING,
    "holding": JobState.RUNNING,  # the pilot's last word is being looked at
    "transferring": JobState.RUNNING,
    "merging": JobState.RUNNING,
    "finished": JobState.DONE,
    "failed": JobState.FAILED,
    "closed": JobState.FAILED,  # by the server, mostly to go elsewhere: that takes an attempt
    "cancelled": JobState.CANCELLED,
}

_UNSUCCESSFUL = (JobState.FAILED, JobState.CANCELLED)
_WORDS = {
    "pending": "JEDI has found no place for its task yet, and goes on looking",
    "throttled": "the server holds its task back for a while",
    "paused": "its task is paused, until somebody with the production role resumes it",
    "exhausted": "its task is exhausted and does not go on by itself",
    "finishing": "its task is being finished: what does not run will not",
    "passed": "its task is being finished: what does not run will not",
    "aborting": "its task is being killed",
    "toabort": "its task is being killed",
    "tobroken": "its task is broken",
    "finished": "its task has ended without it",
    "failed": "its task has failed",
    "broken": "its task is broken: JEDI cannot process it",
    "aborted": "somebody killed its task",
}
_LONGEST = 600
_LINK = re.compile(r"""<a\s[^>]*href\s*=\s*["']?([^"'\s>]+)[^>]*>(.*?)</a\s*>""", re.I | re.S)
_TAG = re.compile(r"</?[a-z][^>]*>|<!--.*?-->", re.I | re.S)
# For the server's own monitoring.
_MARKS = re.compile(r"#(?:ATM|KV)\b|\baction=\w+")
_BROKERAGE = ("no candidate", "brokerage", "candidates became full", "unknown site")


def payload_status(
    task_state: str,
    file_status: str | None,
    detail: str = "",
    site: str = "",
    infrastructure: bool = False,
    job_status: str = "",
) -> JobStatus:
    """Return the state of a payload by what the server knows.

    Ask for the state of the task before its files: those of a task that has ended do not change.

    Args:
        task_state: Of its task. An unknown state ends no job.
        file_status: Of its input file, None if the server does not name it.
        detail: In words, from ``reasons.explain`` or the task's dialog.
        site: Of its job.
        infrastructure: Whether the job, if it has failed, was failed by a site or the system.
        job_status: Of the last job of the payload, if it was asked for: only this tells whether a
            pilot has it and, of a task that goes on, that it has failed.
    """
    file = FILE_STATES.get(file_status) if file_status is not None else None
    task = TASK_STATES.get(task_state)
    job = JOB_STATES.get(job_status)
    if file is JobState.DONE:
        return JobStatus(JobState.DONE, detail, site)
    if file in _UNSUCCESSFUL:
        said = detail or f"PanDA says that its input file is {file_status}"
        return _ended(file, said, site, infrastructure)
    # There is a new attempt.
    goes_on = file in (JobState.AT_SITE, JobState.RUNNING) or file_status == "picked"
    if job in _UNSUCCESSFUL and not goes_on and task is not JobState.DONE:
        said = detail or f"PanDA gives no reason for {job_status}"
        return _ended(job, said, site, infrastructure)
    words = detail or _WORDS.get(task_state, "")
    if task is None:
        return JobStatus(JobState.UNKNOWN, detail or f"its task is {task_state}", site)
    if task.ended:
        # Whatever the site did, it is not to blame for a task that JEDI cannot process.
        return _ended(task, words, site, infrastructure and task_state != "broken")
    if task is JobState.HELD or (task is JobState.QUEUED and file_status is None):
        return JobStatus(task, words, site)
    if file is None:
        said = "PanDA does not name it" if file_status is None else f"its file is {file_status}"
        return JobStatus(JobState.UNKNOWN, detail or said, site)
    if file is JobState.AT_SITE and is_at_work(job_status):
        file = JobState.RUNNING
    return JobStatus(file, words, site)


def has_job(file_status: str) -> bool:
    """Return whether a payload has a job that has not ended, by the state of its file."""
    return FILE_STATES.get(file_status) is JobState.AT_SITE


def is_at_work(job_status: str) -> bool:
    """Return whether a pilot has begun with a job: it runs, or has just been finished."""
    return JOB_STATES.get(job_status) in (JobState.RUNNING, JobState.DONE)


def _ended(state: JobState, detail: str, site: str, infrastructure: bool) -> JobStatus:
    return JobStatus(state, detail, site, infrastructure and state is JobState.FAILED)


def waiting_advice(task_state: str, task_id: int, error_dialog: str) -> str:
    """Return, in one sentence, why a task does not go on and what to do.

    Args:
        task_state: Its state.
        task_id: Its ``jediTaskID``.
        error_dialog: Its ``errorDialog``, which may hold HTML.

    Returns:
        Nothing for a task that neither waits for a person or a site nor gives a reason for its end.
    """
    said = plain(error_dialog)
    why = f": {said}" if said else ""
    task = f"PanDA task {task_id}"
    if task_state == "exhausted":
        # The server takes `retry` of such a task from the production role only.
        return (
            f"{task} is exhausted and does not go on by itself{why}; pbook -c 'finish({task_id})' "
            "ends it, so that its unfinished jobs count as failed, or somebody with the production "
            f"role lets it go on by pbook -c 'retry({task_id})'"
        )
    if task_state == "paused":
        return (
            f"{task} is paused{why}; somebody with the production role lets it go on by "
            f"pbook -c 'resume({task_id})'"
        )
    if not said:
        return ""
    if task_state in ("pending", "assigning"):
        hint = ""
        if any(word in said.casefold() for word in _BROKERAGE):
            hint = (
                "; see the sites that its jobs may use (grid_site, grid_banned_sites), and the "
                "cores, memory, disk and runtime that they ask for"
            )
        return f"{task} waits for a site{why}{hint}"
    if task_state == "throttled":
        return f"{task} is held back by the server for a while{why}"
    if task_state in ("broken", "tobroken", "failed", "aborted"):
        return f"{task} is {task_state}{why}"
    return ""


def plain(dialog: str) -> str:
    """Return an ``errorDialog`` as one line of plain text; links are kept in brackets."""
    text = html.unescape(_TAG.sub(" ", _LINK.sub(r"\2 (\1)", dialog)))
    line = " ".join(_MARKS.sub(" ", text).split()).rstrip(" .;:")
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"

"""What a user can do about a failed job, as far as its report and its logs show it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from ..snakemake_api.output import lacks_storage_plugin
from ..worker import report as reports
from ..worker.report import Report
from .format import listed
from .job_logs import JobLogs

Maker = Callable[[str], str]
"""Returns the job that left a file undeclared, by the file's path; empty if none is known."""

_MISSING = ("No such file or directory", "FileNotFoundError", "MissingInput")
_PATH = re.compile(r"""[^\s'":,;()]+""")
_KILLED = ("killed by SIGKILL", "exit status 137 ")
_ENVIRON = re.compile(r'File "[^"]*\bos(?:\.py)?>?", line \d+, in __getitem__')
_KEY_ERROR = re.compile(r"KeyError(?:: | in (?:rule \S+ in )?file .*\n)'(\w+)'")
_ADVICE = {
    re.compile(r"No module named '?snakemake\b"): (
        "the python of the worker has no Snakemake: --grid-runtime wheels sends it"
    ),
    re.compile(r"No module named '?([\w.]+)"): (
        "Python on the worker has no module {}. If it is a file of the workflow, send it by "
        "--grid-include. Else send the package by --grid-runtime wheels with "
        "--grid-runtime-packages, make it available by --grid-runtime-setup, or give the rule a "
        "container:"
    ),
    re.compile(r"fatal: not a git repository|InvalidGitRepositoryError"): (
        "the folder .git does not travel: run git on the submit host, and pass what it prints "
        "by --config or in a file of the workflow"
    ),
    re.compile(r"\bmodule: (?:command )?not found"): (
        "the worker has no environment modules: make the command module available by "
        "--grid-runtime-setup, choose another site by --grid-site, or use conda: or container: "
        "instead of envmodules:"
    ),
    re.compile(r"(?m)(?:^|: )([^\s:]+): (?:command )?not found$"): (
        "the worker has no {}: choose a site that has it by --grid-site, make it available by "
        "--grid-runtime-setup, give the rule a container:, or, if it is a file of the workflow, "
        "declare it as input"
    ),
}


def hint(report: Report, workdir: Path, logs: JobLogs, made_by: Maker) -> str:
    """Return what a user can do about a failed job, empty if that is not known.

    Args:
        report: The job's own.
        workdir: Of the workflow.
        logs: What the job left to read.
        made_by: Names the job that left a file undeclared.
    """
    if report.reason == reports.OUTPUT_MISSING:
        return _about_outputs(report, logs)
    if report.reason != reports.PAYLOAD_FAILED:
        return ""
    text = logs.text
    if re.search(rf"(?<![\w./-]){re.escape(str(workdir))}(?![\w.-])", text):
        return (
            f"its output mentions {workdir}, which exists on the submit host only: use paths "
            "relative to the working directory"
        )
    if lacks_storage_plugin(text):
        return (
            "the worker's Snakemake lacks a storage plugin, or has another version of it: ship "
            "it by --grid-runtime wheels, or install it where --grid-runtime-setup or "
            "--grid-runtime-image finds Snakemake"
        )
    if _ENVIRON.search(text) and (key := _KEY_ERROR.search(text)):
        return (
            f"the environment variable {key[1]} is not set on the worker: name it under envvars: "
            "in the Snakefile, and its value travels with the jobs"
        )
    for pattern, advice in _ADVICE.items():
        if found := pattern.search(text):
            return advice.format(*found.groups())
    if any(sign in text for sign in _MISSING):
        return _about_missing_files(text, logs.output.folder, made_by)
    if logs.output.ending.startswith(_KILLED):
        return (
            "the memory limit of a node is a common cause of SIGKILL: request more by the "
            "resource mem_mb"
        )
    return ""


def _about_outputs(report: Report, logs: JobLogs) -> str:
    """Explain outputs that a job did not make."""
    # If Snakemake has failed, it may not have come to all rules of a group.
    names = logs.output.names if report.exit_code == 0 else ()
    for path in (name.partition("/")[2] for name in report.missing):
        if names and not any(name == path or name.endswith(f"/{path}") for name in names):
            return (
                f"on the worker, the outputs of the rule are called {listed(names)}: names must "
                "not change from one evaluation of the workflow to the next, as they do with "
                "times, random numbers, host names, or the order of a set"
            )
    made = [name.partition("/")[2] for name in report.undeclared]
    return f"files it made that no rule names: {listed(made)}" if made else ""


def _about_missing_files(text: str, folder: str, made_by: Maker) -> str:
    """Explain files that a job misses."""
    lines = [line for line in text.splitlines() if any(sign in line for sign in _MISSING)]
    for word in dict.fromkeys(_PATH.findall("\n".join(lines))):
        path = word.removeprefix(f"{folder}/")
        if maker := made_by(path):
            return (
                f"{path} was made by {maker}, but is no output of it, so no other job gets it: "
                "declare it as output there and as input here, or its folder by directory()"
            )
    return (
        "if the rule reads the missing file without declaring it, make it an input, or add "
        "--grid-include FILE"
    )

"""Jobs and their sandboxes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .output_sandbox import unpack
from .replies import value_of


def create(jdl: str) -> list[int]:
    """Create the jobs of a parametric JDL; they do not run before they are confirmed."""
    from DIRAC.WorkloadManagementSystem.Client.JobManagerClient import JobManagerClient

    ids = value_of(JobManagerClient().submitJob(jdl))
    return [int(number) for number in (ids if isinstance(ids, list) else [ids])]


def confirm(ids: Sequence[int]) -> None:
    """Let created jobs run; may be repeated."""
    from DIRAC.WorkloadManagementSystem.Client.JobManagerClient import JobManagerClient

    value_of(JobManagerClient().confirmBulkSubmission(list(ids)))


def jobs_of(group: str) -> list[tuple[int, str, str, str]]:
    """Return id, name, status and minor status of the jobs of a job group."""
    monitoring = _monitoring()
    ids = [int(number) for number in value_of(monitoring.getJobs({"JobGroup": group})) or []]
    if not ids:
        return []
    found = value_of(monitoring.getJobsSummary(ids))
    return [
        (
            int(number),
            str(attributes.get("JobName", "")),
            str(attributes.get("Status", "")),
            str(attributes.get("MinorStatus", "")),
        )
        for number, attributes in found.items()
    ]


def states(ids: Sequence[int]) -> dict[str, tuple[Any, Any, Any]]:
    """Return status, minor status and application status by id."""
    found = value_of(_monitoring().getJobsStates(list(ids)))
    return {
        str(number): (
            attributes.get("Status"),
            attributes.get("MinorStatus"),
            attributes.get("ApplicationStatus"),
        )
        for number, attributes in found.items()
    }


def sites(ids: Sequence[int]) -> dict[str, str]:
    """Return the sites of jobs by id."""
    found = value_of(_monitoring().getJobsSites(list(ids)))
    return {str(number): str(attributes.get("Site", "")) for number, attributes in found.items()}


def kill(ids: Sequence[int]) -> list[int]:
    """Kill jobs; return those that the server accepts as killed."""
    from DIRAC.WorkloadManagementSystem.Client.JobManagerClient import JobManagerClient

    killed = value_of(JobManagerClient().killJob(list(ids)))
    return [int(number) for number in (killed if isinstance(killed, list) else [killed])]


def history(number: int) -> list[list[str]]:
    """Return what the server logged of a job: status, minor, application status, time, source."""
    return [
        [str(field) for field in row] for row in value_of(_monitoring().getJobLoggingInfo(number))
    ]


def parameters(number: int) -> dict[str, str]:
    """Return the parameters of a job, if the server keeps them."""
    found = value_of(_monitoring().getJobParameters(number)) or {}
    return {key: str(value) for key, value in (found.get(number) or {}).items()}


def upload_sandbox(paths: Sequence[str]) -> str:
    """Upload files as one sandbox; return its ``SB:`` address."""
    from DIRAC.WorkloadManagementSystem.Client.SandboxStoreClient import SandboxStoreClient

    return str(value_of(SandboxStoreClient().uploadFilesAsSandbox(list(paths))))


def fetch_sandbox(number: int, folder: str) -> list[str]:
    """Download the newest output sandbox of a job, and unpack its files.

    Returns:
        Their names; none if there is no sandbox (DIRAC makes none of empty files alone).
    """
    from DIRAC.WorkloadManagementSystem.Client.SandboxStoreClient import SandboxStoreClient

    reply = SandboxStoreClient().downloadSandboxForJob(number, "Output", folder, unpack=False)
    if not reply["OK"] and "No Output sandbox found" in reply["Message"]:
        return []
    archives = [Path(archive) for archive in value_of(reply)]
    try:
        return unpack(archives[-1], Path(folder))
    finally:
        for path in archives:
            shutil.rmtree(path.parent, ignore_errors=True)


def _monitoring() -> Any:
    from DIRAC.WorkloadManagementSystem.Client.JobMonitoringClient import JobMonitoringClient

    return JobMonitoringClient()

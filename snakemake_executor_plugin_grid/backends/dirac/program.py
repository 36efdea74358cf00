"""The DIRAC client, in a separate process.

Run by path with the Python that has DIRAC, so it imports nothing of this package but the loop in
``client_process/serve.py`` and ``output_sandbox.py``. An error is ``{"message": …, "errno": …,
"exception": …}``. What DIRAC prints (its logger writes everything to stdout, errors included; seen
with 9.1.22) goes to the log.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_HANDSHAKE = ("SSLError(", "SSLVerificationError(", "NoCertificate(")
_HANDSHAKE_PAUSES = (0.1, 0.3, 0.9)
_WMS = "/Systems/WorkloadManagement"
_MEBIBYTE = 1 << 20
_ABSENT = ("No such file or directory", "Directory not found", "does not exist")


class ReplyError(Exception):
    """DIRAC has answered S_ERROR."""

    def __init__(self, reply: dict[str, Any]) -> None:
        super().__init__(str(reply.get("Message") or "no message"))
        self.errno = int(reply.get("Errno") or 0)


def value_of(reply: Any) -> Any:
    """Return the value of a reply: the one place where replies are checked.

    Raises:
        ReplyError: The reply is an error, or no reply of DIRAC's at all.
    """
    if not isinstance(reply, dict) or "OK" not in reply:
        raise ReplyError({"Message": f"Server is not available: unexpected answer {reply!r:.200}"})
    if not reply["OK"]:
        raise ReplyError(reply)
    return reply.get("Value")


def _each(reply: Any) -> dict[str, str]:
    """Return the failures of a bulk reply, by subject."""
    return {str(key): str(why) for key, why in value_of(reply).get("Failed", {}).items()}


# The calls. The first one imports DIRAC, which takes seconds.


def start() -> dict[str, Any]:
    """Read the configuration; return the limits that it sets."""
    import DIRAC

    _check_expiry()
    DIRAC.initialize()
    from DIRAC import gConfig

    return {
        "version": DIRAC.version,
        "server": gConfig.getValue("/DIRAC/Configuration/MasterServer", ""),
        "max_parametric": gConfig.getValue(f"{_WMS}/Services/JobManager/MaxParametricJobs", 20),
        "sandbox_limit": _MEBIBYTE
        * gConfig.getValue(f"{_WMS}/Services/SandboxStore/MaxSandboxSizeMiB", 10),
        "output_limit": gConfig.getValue(f"{_WMS}/JobWrapper/OutputSandboxLimit", 10 * _MEBIBYTE),
        "job_limits": _job_limits(),
    }


def _job_limits() -> dict[str, int]:
    """Return the bounds of job descriptions that hold for this VO.

    Where an installation has several VOs, JobManager 9.1 looks at the defaults alone, and the job
    database at those of the VO: both have to be kept.
    """
    from DIRAC import gConfig
    from DIRAC.ConfigurationSystem.Client.Helpers.CSGlobals import getVO
    from DIRAC.ConfigurationSystem.Client.Helpers.Operations import Operations

    def value(option: str, default: int, choose: Callable[..., int]) -> int:
        own = int(Operations().getValue(f"JobDescription/{option}", default))
        path = f"/Operations/Defaults/JobDescription/{option}"
        return own if getVO() else choose(own, int(gConfig.getValue(path, default)))

    return {
        "min_cpu_time": value("MinCPUTime", 100, max),
        "max_cpu_time": value("MaxCPUTime", 500_000, min),
        "max_priority": value("MaxPriority", 10, min),
        "max_processors": value("MaxNumberOfProcessors", 1024, min),
    }


def _check_expiry() -> None:
    """Report an expired proxy: a server may only close the connection."""
    from DIRAC.Core.Security.Locations import getProxyLocation
    from DIRAC.Core.Security.X509Chain import X509Chain

    path, chain = getProxyLocation(), X509Chain()
    if path and chain.loadProxyFromFile(path)["OK"] and value_of(chain.hasExpired()):
        raise ReplyError({"Message": f"the proxy in {path} has expired"})


def proxy() -> dict[str, Any]:
    """Return the facts of the proxy on disk; it is read each time."""
    from DIRAC.Core.Security.ProxyInfo import getProxyInfo

    info = value_of(getProxyInfo(disableVOMS=True))
    return {
        "path": str(info.get("path", "")),
        "seconds_left": float(info.get("secondsLeft", 0)),
        "limited": bool(info.get("isLimitedProxy")),
        "group": info.get("group") or "",
        "properties": list(info.get("groupProperties") or []),
        "user": info.get("username") or "",
        "vo": info.get("VO") or "",
    }


def storage_elements() -> list[str]:
    """Return the names of the storage elements that the configuration has."""
    from DIRAC import gConfig

    return list(value_of(gConfig.getSections("/Resources/StorageElements")))


def active_sites() -> list[str]:
    """Return the names of the sites that take jobs.

    WMSAdministrator's site mask is for operators only (DIRAC 9.1.22).
    """
    from DIRAC.ResourceStatusSystem.Client.SiteStatus import SiteStatus

    return list(value_of(SiteStatus().getUsableSites()))


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
    from output_sandbox import unpack  # type: ignore[import-not-found]

    reply = SandboxStoreClient().downloadSandboxForJob(number, "Output", folder, unpack=False)
    if not reply["OK"] and "No Output sandbox found" in reply["Message"]:
        return []
    archives = [Path(archive) for archive in value_of(reply)]
    try:
        names: list[str] = unpack(archives[-1], Path(folder))
        return names
    finally:
        for path in archives:
            shutil.rmtree(path.parent, ignore_errors=True)


def sizes(lfns: Sequence[str]) -> dict[str, int | None]:
    """Return the size of each file in the file catalog, None if it is not registered."""
    from DIRAC.Resources.Catalog.FileCatalog import FileCatalog

    found: dict[str, int | None] = dict.fromkeys(lfns)
    reply = value_of(FileCatalog().getFileMetadata(list(lfns)))
    for lfn, why in reply["Failed"].items():
        if "No such file" not in str(why):
            raise ReplyError({"Message": f"{lfn}: {why}"})
    for lfn, metadata in reply["Successful"].items():
        found[lfn] = int(metadata["Size"])
    return found


def put(lfn: str, path: str, storage_element: str) -> None:
    """Upload a file and register it."""
    failed = _each(_data().putAndRegister(lfn, path, storage_element))
    if failed:
        raise ReplyError({"Message": f"{lfn}: {failed[lfn]}"})


def get(lfn: str, folder: str) -> str:
    """Download a file from any of its replicas; return its path."""
    reply = _data().getFile([lfn], destinationDir=folder)
    failed = _each(reply)
    if failed:
        raise ReplyError({"Message": f"{lfn}: {failed[lfn]}"})
    return str(Path(folder) / lfn.rpartition("/")[2])


def listing(folders: Sequence[str]) -> list[str]:
    """Return the LFNs of the files in folders of the file catalog; missing folders have none."""
    from DIRAC.Resources.Catalog.FileCatalog import FileCatalog

    reply = value_of(FileCatalog().listDirectory(list(folders)))
    for folder, why in reply["Failed"].items():
        if not any(words in str(why) for words in _ABSENT):
            raise ReplyError({"Message": f"{folder}: {why}"})
    return [str(lfn) for found in reply["Successful"].values() for lfn in found.get("Files", {})]


def remove(lfns: Sequence[str]) -> dict[str, str]:
    """Remove files and all their replicas; return those that are still there, and why."""
    failed = _each(_data().removeFile(list(lfns)))
    return {lfn: why for lfn, why in failed.items() if "No such file" not in why}


def remnants(lfns: Sequence[str], elements: Sequence[str]) -> dict[str, str]:
    """Return the storage elements of files that the file catalog does not have."""
    from DIRAC.Resources.Storage.StorageElement import StorageElement

    found = {}
    for element in elements:
        reply = value_of(StorageElement(element).exists(list(lfns)))
        found.update({lfn: element for lfn, there in reply["Successful"].items() if there})
    return found


def purge(lfns: Sequence[str], element: str) -> dict[str, str]:
    """Remove such files; return those that are still there, and why."""
    from DIRAC.Resources.Storage.StorageElement import StorageElement

    return _each(StorageElement(element).removeFile(list(lfns)))


CALLS: dict[str, Callable[..., Any]] = {
    call.__name__: call
    for call in (
        start,
        proxy,
        storage_elements,
        active_sites,
        create,
        confirm,
        jobs_of,
        states,
        sites,
        kill,
        history,
        parameters,
        upload_sandbox,
        fetch_sandbox,
        sizes,
        put,
        get,
        listing,
        remove,
        remnants,
        purge,
    )
}


def _monitoring() -> Any:
    from DIRAC.WorkloadManagementSystem.Client.JobMonitoringClient import JobMonitoringClient

    return JobMonitoringClient()


def _data() -> Any:
    from DIRAC.DataManagementSystem.Client.DataManager import DataManager

    return DataManager()


def _call(call: Callable[..., Any], args: Sequence[Any]) -> Any:
    """Make a call; repeat it if the TLS handshake fails, as then nothing was sent.

    About one in a thousand does (seen with M2Crypto 0.51), and DIRAC itself does not try again.
    """
    for pause in _HANDSHAKE_PAUSES:
        try:
            return call(*args)
        except ReplyError as error:
            message = str(error)
            if "Can't connect to" not in message or not any(s in message for s in _HANDSHAKE):
                raise
        time.sleep(pause)
    return call(*args)


def _answer(name: str, args: Sequence[Any]) -> Any:
    return _call(CALLS[name], args)


def _error(error: BaseException) -> dict[str, Any]:
    # That of an SErrorException, whose text is the whole reply.
    reply = getattr(error, "result", None) or {}
    return {
        "message": str(reply.get("Message") or error) or type(error).__name__,
        "errno": reply.get("Errno") or getattr(error, "errno", 0) or 0,
        "exception": "" if isinstance(error, ReplyError) else type(error).__name__,
    }


if __name__ == "__main__":
    # Run by path, where the package may not be installed.
    here = Path(__file__).parent
    sys.path += [str(here), str(here.parents[1] / "client_process")]
    from serve import serve  # type: ignore[import-not-found]

    serve(_answer, _error)

"""The installation: its configuration, its version, its sites, and the proxy of the user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .replies import ReplyError, value_of

_MEBIBYTE = 1 << 20


def start() -> dict[str, Any]:
    """Read the configuration; return the limits that it sets."""
    import DIRAC

    if not hasattr(DIRAC, "initialize"):
        raise ReplyError({"Message": f"version {DIRAC.version} of the client is too old"})
    _check_expiry()
    DIRAC.initialize()
    from DIRAC import gConfig
    from DIRAC.ConfigurationSystem.Client.Helpers.Resources import getSites
    from DIRAC.ConfigurationSystem.Client.PathFinder import getServiceSection

    # Before DIRAC 9, the instance of the system is a level of the path.
    services = getServiceSection("WorkloadManagement/JobManager").rpartition("/")[0]
    system = services.rpartition("/")[0]
    return {
        "version": DIRAC.version,
        "server": gConfig.getValue("/DIRAC/Configuration/MasterServer", ""),
        "max_parametric": gConfig.getValue(f"{services}/JobManager/MaxParametricJobs", 20),
        "sandbox_limit": _MEBIBYTE
        * gConfig.getValue(f"{services}/SandboxStore/MaxSandboxSizeMiB", 10),
        "output_limit": gConfig.getValue(f"{system}/JobWrapper/OutputSandboxLimit", 10 * _MEBIBYTE),
        "job_limits": _job_limits(),
        "sites": list(getSites().get("Value") or ()),
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
        "max_input_data": value("MaxInputData", 500, min),
    }


def _check_expiry() -> None:
    """Report an expired proxy: a server may only close the connection."""
    from DIRAC.Core.Security.Locations import getProxyLocation
    from DIRAC.Core.Security.X509Chain import X509Chain

    path, chain = getProxyLocation(), X509Chain()
    if path and chain.loadProxyFromFile(path)["OK"] and value_of(chain.hasExpired()):
        raise ReplyError({"Message": f"the proxy in {path} has expired"})


def server_version() -> str:
    """Return the version of the server that takes jobs.

    A client that finds none in the configuration, as that is of an older version, asks the
    configuration server instead.
    """
    from DIRAC.ConfigurationSystem.Client.ConfigurationClient import ConfigurationClient
    from DIRAC.WorkloadManagementSystem.Client.JobManagerClient import JobManagerClient

    reply = JobManagerClient().ping()
    if not reply["OK"] and "URL for service" in reply["Message"]:
        reply = ConfigurationClient(url=_configuration_server()).ping()
    return str(value_of(reply).get("version") or "")


def _configuration_server() -> str:
    from DIRAC import gConfig

    servers = gConfig.getValue("/DIRAC/Configuration/Servers", [])
    return str(gConfig.getValue("/DIRAC/Configuration/MasterServer", "") or servers[0])


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
        "vo": info.get("VO") or _vo_of(info.get("group")),
    }


def _vo_of(group: str | None) -> str:
    """Return the VO of a group, which DIRAC 8 does not tell with the proxy."""
    from DIRAC.ConfigurationSystem.Client.Helpers.Registry import getVOForGroup

    return str(getVOForGroup(group) or "") if group else ""


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

"""Makes PanDA task parameters from jobs and options, by pure functions."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ...model.errors import PermanentError
from ...model.job import JobSpec, words
from ..packaging import START_SCRIPT
from .rse_sites import RseSites, data_sites

PFN_LIMIT = 4000
"""Characters that the parameters of one job may have (JEDI, panda-server 1.0.4)."""
SITE_LIMIT = 60
"""Characters of ``site`` (column of JEDI_TASKS in the PostgreSQL schema of PanDA)."""
_ATLAS = "atlas"
_THESE, _OTHERS = "^({})$", "^(?!({})$)"
_RAM_SHARE = 0.9
_STAGING_S = 1200
_FORBIDDEN = re.compile(r"[$*+?|()\\^\s/]")
"""Not allowed in names of tasks: the server takes them for patterns when it looks for a name."""
_OURS = frozenset(
    {
        *("taskName", "uniqueTaskName", "pfnList", "nFiles", "nFilesPerJob", "noInput"),
        *("jobParameters", "sourceURL", "useSecrets"),
    }
)
"""Parameters that the user cannot set, as jobs are found by them."""


@dataclass(frozen=True)
class Options:
    """Options of the run that go into task parameters.

    Attributes:
        vo: Virtual organisation, as the server names it.
        label: ``prodSourceLabel``.
        working_group: ``workingGroup``, empty for none.
        cloud: ``cloud``, empty for that of the working group.
        processing_type: ``processingType``.
        sites: Where jobs may run, empty for anywhere.
        banned_sites: Where they must not.
        platform: ``architecture``, empty for any.
        priority: ``taskPriority``, None for the server's own.
        container: ``container_name``, empty for none.
        transformation: ``transPath``, empty for the server's own runGen.
        user: Of the token or proxy; names of tasks begin with it.
        extra: Further parameters, as JSON text.
        rse_sites: The sites near each storage element of Rucio; jobs go to their inputs.
    """

    vo: str
    label: str = "user"
    working_group: str = ""
    cloud: str = ""
    processing_type: str = "snakemake-grid"
    sites: tuple[str, ...] = ()
    banned_sites: tuple[str, ...] = ()
    platform: str = ""
    priority: int | None = None
    container: str = ""
    transformation: str = ""
    user: str = ""
    extra: str = ""
    rse_sites: RseSites = field(default_factory=dict)


def shape(spec: JobSpec, options: Options, avoid: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return the parameters that jobs of one task have in common.

    JEDI of panda-server 1.0.4 ends a task as ``broken`` that has no ``architecture``,
    ``transUses``, ``transHome`` or ``processingType``, which may hold anything.

    Args:
        spec: A job.
        options: Of the run; the job's own resources override them.
        avoid: Sites on which it should not run.

    Raises:
        PermanentError: A value cannot be used: names the resource or option.
    """
    own = spec.overrides
    parameters: dict[str, Any] = {
        "vo": options.vo,
        "prodSourceLabel": options.label,
        "processingType": options.processing_type,
        "architecture": own.get("platform", options.platform),
        "transUses": "",
        "transHome": "",
        "taskPriority": _priority(own.get("priority", options.priority)),
        # One attempt per task: the run itself sends jobs again that a site has failed.
        "maxAttempt": 1,
        "disableAutoRetry": 1,
        "skipScout": True,
        "noEmail": True,
        **_resources(spec),
    }
    optional: dict[str, Any] = {
        "workingGroup": options.working_group,
        "cloud": options.cloud,
        "transPath": options.transformation,
        "container_name": own.get("panda_container", options.container),
    }
    parameters |= {key: value for key, value in optional.items() if value}
    extra = read_extra(own.get("panda_task", options.extra))
    if "maxAttempt" in extra:
        del parameters["disableAutoRetry"]  # with it there is one attempt, whatever maxAttempt is
    return parameters | _sites(spec, options, avoid) | extra


def task(
    shape: Mapping[str, Any],
    name: str,
    jobs: Sequence[str],
    sandbox: str,
    cache: str,
    *,
    secrets: bool = False,
) -> dict[str, Any]:
    """Return the parameters of a task.

    Each job is one string of ``pfnList``, which the server puts into the parameters of one job
    for ``${IN/L}``, and by which it names that job's input file.

    Args:
        shape: What its jobs have in common.
        name: Unique name: the server refuses a second task of the same name.
        jobs: Names of the jobs.
        sandbox: File in the cache, with what the jobs start from.
        cache: URL of the server that has it.
        secrets: Whether the jobs get the user's secrets from the server.

    Raises:
        PermanentError: The parameters of a job are too long.
    """
    command = quote(f"sh {START_SCRIPT} ", safe="")
    constants = [
        '-j "" --sourceURL ${SURL}',
        "-r .",
        f"-a {sandbox}",
        f'-p "{command}${{IN/L}}"',
    ]
    longest = len(" ".join(constants).replace("${SURL}", cache)) + max(map(len, jobs))
    if longest > PFN_LIMIT:
        raise PermanentError(f"the parameters of a job have {longest} characters, of {PFN_LIMIT}")
    parameters = {
        **shape,
        "taskName": name,
        "uniqueTaskName": True,
        "noInput": True,
        "pfnList": list(jobs),
        "nFiles": len(jobs),
        "nFilesPerJob": 1,
        "sourceURL": cache,
        "jobParameters": [{"type": "constant", "value": value} for value in constants],
    }
    if secrets:
        parameters["useSecrets"] = True
    return parameters


def task_name(user: str, run: str, jobs: Sequence[str]) -> str:
    """Return the name of the task of some jobs: the same for the same jobs.

    Args:
        user: Its owner.
        run: Unique id of the run.
        jobs: Unique names of the jobs.
    """
    digest = hashlib.sha256("\n".join(sorted(jobs)).encode()).hexdigest()[:16]
    owner = _FORBIDDEN.sub("_", user) or "me"
    return f"user.{owner}.snakemake.{run}.{digest}"


def attempts(shape: Mapping[str, Any]) -> int:
    """Return how often each job of a shape may fail on the server."""
    return 1 if "disableAutoRetry" in shape else int(shape["maxAttempt"])


def near_inputs(spec: JobSpec, options: Options, avoid: frozenset[str]) -> tuple[str, ...]:
    """Return the sites that have the most of a job's inputs on the grid, of those it may use.

    None if the rule has its own ``grid_site``, or if no such site has any: any site will do then.
    Of many sites those are left out for which the server has no room.
    """
    own = spec.overrides
    if "site" in own:
        return ()
    banned = words(own["banned_sites"]) if "banned_sites" in own else options.banned_sites

    def allowed(site: str) -> bool:
        return site not in {*banned, *avoid} and (not options.sites or site in options.sites)

    found = data_sites(spec, options.rse_sites, allowed)
    while options.vo != _ATLAS and len(found) > 1 and len(_joined(_THESE, found)) > SITE_LIMIT:
        found.pop()
    return tuple(found)


def _sites(spec: JobSpec, options: Options, avoid: frozenset[str]) -> dict[str, Any]:
    """Return where a job may run.

    The broker for ATLAS (``AtlasAnalJobBroker``, panda-server 1.0.4) goes by lists of sites. That
    for all others (``GenJobBroker``) knows none, only ``site``: a name, or else a pattern that is
    looked for in names. It does not ask whether such a site is online and has the cores and the
    memory, but there has to be a pilot.

    Raises:
        PermanentError: There is no site left, or there are too many for the second.
    """
    own = spec.overrides
    sites = words(own["site"]) if "site" in own else options.sites
    sites = near_inputs(spec, options, avoid) or sites
    banned = words(own["banned_sites"]) if "banned_sites" in own else options.banned_sites
    if sites:
        left = [site for site in sites if site not in banned]
        if not left:
            raise PermanentError(
                f"all sites of --grid-site ({', '.join(sites)}) are among --grid-banned-sites"
            )
        # A site to avoid is better than none.
        left = [site for site in left if site not in avoid] or left
        if len(left) == 1:
            return {"site": left[0]}
        if options.vo == _ATLAS:
            return {"includedSite": left}
        return {"site": _pattern(_THESE, left, "--grid-site, resource grid_site")}
    if options.vo == _ATLAS:
        excluded = sorted({*banned, *avoid})
        return {"excludedSite": excluded} if excluded else {}
    shunned = list(banned)
    for site in sorted(avoid.difference(banned)):
        if len(_joined(_OTHERS, [*shunned, site])) <= SITE_LIMIT:
            shunned.append(site)
    what = "--grid-banned-sites, resource grid_banned_sites"
    return {"site": _pattern(_OTHERS, shunned, what)} if shunned else {}


def _joined(form: str, sites: Sequence[str]) -> str:
    return form.format("|".join(re.escape(site).replace(r"\-", "-") for site in sites))


def _pattern(form: str, sites: Sequence[str], what: str) -> str:
    text = _joined(form, sites)
    if len(text) > SITE_LIMIT:
        raise PermanentError(
            f"{what}: the names of these {len(sites)} sites are too long for PanDA, which has "
            f"{SITE_LIMIT} characters for them; name fewer"
        )
    return text


def _resources(spec: JobSpec) -> dict[str, Any]:
    """Return the requirements of a job.

    JEDI (panda-server 1.0.4) gives a job 0.9 of ``ramCount``. Neither ``walltime``, which is for
    the choice of a site, nor ``maxWalltime``, in hours, reaches it: without ``cpuTime`` its limit
    is the site's own, else ``baseWalltime`` and what ``cpuTime`` comes to at the site, which is
    nothing here (``getJobMaxWalltime``). All are given, with time for staging; the worker keeps to
    the limit by itself.
    """
    resources = spec.resources
    found: dict[str, Any] = {"coreCount": resources.processors}
    if resources.memory_mb is not None:
        found |= {"ramCount": math.ceil(resources.memory_mb / _RAM_SHARE), "ramUnit": "MB"}
    if resources.disk_mb is not None:
        found |= {"workDiskCount": resources.disk_mb, "workDiskUnit": "MB"}
    if resources.runtime_s is not None:
        seconds = math.ceil(resources.runtime_s) + _STAGING_S
        found |= {
            "walltime": seconds,
            "maxWalltime": math.ceil(seconds / 3600),
            "baseWalltime": seconds,
            "cpuTime": 0,
            "cpuTimeUnit": "HS06sPerEventFixed",
        }
    return found


def _priority(value: object) -> int:
    if value is None:
        return 900
    try:
        return int(str(value))
    except ValueError:
        raise PermanentError(
            f"--grid-priority, resource grid_priority: has to be a number, not {value!r}"
        ) from None


def read_extra(text: str) -> dict[str, Any]:
    """Return further parameters, as the user gives them.

    Raises:
        PermanentError: They are no JSON object, or would break what the jobs need.
    """
    if not text:
        return {}
    what = "--grid-panda-task, resource grid_panda_task"
    try:
        found = json.loads(text)
    except ValueError as error:
        raise PermanentError(f"{what}: is no JSON ({error}): {text!r}") from None
    if not isinstance(found, dict):
        raise PermanentError(f'{what}: has to be a JSON object, as in {{"campaign": "x"}}')
    taken = sorted(_OURS & found.keys())
    if taken:
        raise PermanentError(f"{what}: {', '.join(taken)} cannot be set; take it away")
    most = found.get("maxAttempt", 1)
    if type(most) is not int or most < 1:
        raise PermanentError(f"{what}: maxAttempt has to be 1 or more, not {most!r}")
    return found

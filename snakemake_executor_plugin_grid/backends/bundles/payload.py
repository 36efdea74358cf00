"""Makes the payload of a bundle from those of its jobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from ...model.job import JobSpec, Resources
from ...model.names import JobName
from ...worker.description import Job
from ...worker.environment import STORE_TOKEN
from ...worker.runtime import Runtime
from ..base import Payload

_LONGEST_RULE = 35


def bundle_name(names: Sequence[str]) -> str:
    """Return the unique name of a bundle: that of its first job, with the number of jobs.

    Args:
        names: Of its jobs. No job is in two bundles.
    """
    first = JobName.parse(names[0])
    rule, run, number = first.first.rsplit("-", 2)
    name = f"{rule[:_LONGEST_RULE]}_x{len(names)}-{run}-{number}"
    return str(JobName(name, first.resubmissions))


def bundle_payload(
    name: str,
    members: Sequence[Payload],
    resources: Resources,
    side_by_side: int,
    *,
    inbox: Callable[[str], str] | None,
    cancel_list: str,
) -> Payload:
    """Return the payload of a bundle.

    Args:
        name: Its unique name.
        members: Its jobs, which ask for the same.
        resources: What the bundle asks for.
        side_by_side: How many of the jobs run at a time.
        inbox: Returns the URL to which a job sends its own report; None if all reports come with
            that of the bundle.
        cancel_list: URL of the list of jobs that the worker does not begin; empty if there is none.
    """
    first = members[0]
    descriptions: list[dict[str, Any]] = [json.loads(one.description) for one in members]
    environment = {
        one.spec.name: json.dumps(dict(one.spec.environment))
        for one in members
        if one.spec.environment
    }
    tokens = [one.spec.environment.get(STORE_TOKEN) for one in members]
    if token := next(filter(None, tokens), ""):
        environment[STORE_TOKEN] = token
    for description in descriptions:
        if inbox is not None:
            description["report_to"] = description["report_to"] or inbox(description["name"])
        elif description["log_limit"] is not None:  # all logs go into one sandbox
            description["log_limit"] //= len(members)
    common = descriptions[0]
    blobs = tuple({blob.digest: blob for one in members for blob in one.blobs}.values())
    job = Job(
        name=name,
        command="",
        nesting=(),
        blobs=blobs,
        outputs=(),
        runtime=Runtime("inherit"),
        compression=common["compression"],
        deliver=common["deliver"] if inbox is None else "",
        deliver_limit=common["deliver_limit"],
        deliver_hint=common["deliver_hint"],
        members=tuple(descriptions),
        side_by_side=side_by_side,
        reports_apart=inbox is not None,
        cancel_list=cancel_list,
    )
    spec = JobSpec(
        name=name,
        rule=first.spec.rule,
        wildcards=(("jobs", str(len(members))),),
        jobid=first.spec.jobid,
        attempt=first.spec.attempt,
        command="",
        inputs=(),
        shared=frozenset(),
        outputs=(),
        placeholders=(),
        resources=resources,
        environment=environment,
        overrides=first.spec.overrides,
    )
    return Payload(spec, job.dumps(), blobs, first.worker, first.avoid)

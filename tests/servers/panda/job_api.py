"""``/api/v1/job``: pandaserver/api/v1/job_api.py of panda-server 1.0.4."""

from __future__ import annotations

from typing import Any

from tests.servers.panda import describe

from .api import Answer, Call, answer, endpoint

_MOST = 5500


def _describe(call: Call, numbers: list[int]) -> list[dict[str, Any] | None]:
    store = call.world.store
    return [
        describe.job(job, store.tasks[job.task]) if (job := store.jobs.get(number)) else None
        for number in numbers[:_MOST]
    ]


@endpoint("job/get_description")
def get_description(call: Call, job_ids: list[int]) -> Answer:
    return answer(True, data=_describe(call, job_ids))


@endpoint("job/get_description_incl_archive")
def get_description_incl_archive(call: Call, job_ids: list[int]) -> Answer:
    return answer(True, data=_describe(call, job_ids))


@endpoint("job/kill", "POST")
def kill(
    call: Call, job_ids: list[int], code: int | None = None, use_email_as_id: bool = False
) -> Answer:
    return answer(True, data=[_kill(call, number) for number in job_ids])


def _kill(call: Call, number: int) -> bool:
    job = call.world.store.jobs.get(number)
    # Without a force code, not even the production role may kill user jobs of others.
    if job is None or job.user != call.caller.name:
        return False
    return call.world.sites.kill(job, call.caller.name)

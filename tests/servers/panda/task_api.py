"""``/api/v1/task``: pandaserver/api/v1/task_api.py of panda-server 1.0.4."""

from __future__ import annotations

import json
import random
import re
import time
from typing import Any

from tests.servers.panda import describe

from .api import Answer, Call, answer, endpoint
from .model import FINAL_TASK, Task

_NOT_FOUND = "Task not found"
_ACTIVE = ("registered", "defined", "ready", "scouting", "running", "paused", "throttled")
_REEXECUTED = ("finished", "failed", "aborted", "done", "exhausted")
# Parameters that a submission of a known name may change (insertTaskParamsPanda, shortened).
_CHANGEABLE = (
    *("site", "cloud", "includedSite", "excludedSite", "cliParams", "nFiles", "nEvents"),
    *("fixedSandbox", "currentPriority", "ramCount", "nFilesPerJob", "maxWalltime"),
)
# Task attributes that a filter may name.
_REGEX = re.compile(r"[\^$*+?\\|()]")


@endpoint("task/submit", "POST")
def submit(call: Call, task_parameters: dict[str, Any], parent_tid: int | None = None) -> Answer:
    code, message, number = _insert(call, dict(task_parameters), parent_tid)
    return answer(True, message, number) if code in (0, 3) else answer(False, message, code)


def _insert(
    call: Call, parameters: dict[str, Any], parent: int | None, *, retried: bool = False
) -> tuple[int, str, int | None]:
    """Register a task: the codes of insertTaskParamsPanda in task_event_module.py."""
    store, user, production = call.world.store, call.caller.name, call.caller.production
    if not production or "userName" not in parameters:
        parameters["userName"] = user
    if not production or "taskType" not in parameters:
        parameters.update(taskType="anal", taskPriority=1000)
    if not {"taskName", "prodSourceLabel", "vo"} <= parameters.keys():
        return 4, "failed to register task", None
    owner = parameters["userName"]
    most = call.world.settings.max_active_tasks
    active = sum(task.user == owner and task.status in _ACTIVE for task in store.tasks.values())
    if most is not None and active > most:
        return 10, f"Too many active tasks for {owner} {active}>{most}", None
    unique = parameters.get("uniqueTaskName") is True or retried
    if parameters["taskType"] == "anal" and unique and (old := _namesake(call, parameters)):
        return _resubmitted(call, old, parameters, retried)
    number = store.next_number("task", random.randint(1, 3))  # noqa: S311 - no secret
    now = time.time()
    task = Task(number, owner, parameters, now, parent=parent)
    store.tasks[number] = task
    store.touch(task)
    return 0, f"succeeded. new jediTaskID={number}", number


def _namesake(call: Call, parameters: dict[str, Any]) -> Task | None:
    """Return the last task with the same name of the same user."""
    keys = ("vo", "prodSourceLabel", "userName", "taskName")
    same = [
        task
        for task in call.world.store.tasks.values()
        if all(task.parameters.get(key) == parameters.get(key) for key in keys)
    ]
    return max(same, key=lambda task: task.number, default=None)


def _resubmitted(
    call: Call, old: Task, parameters: dict[str, Any], retried: bool
) -> tuple[int, str, int | None]:
    if not old.known:
        text = f"jediTaskID={old.number} is already queued for outDS={old.name}. "
        return 1, text + "You cannot submit duplicated tasks. ", None
    running = old.status in ("running", "scouting", "pending")
    changeable = retried and running and parameters["prodSourceLabel"] == "user"
    if old.status not in _REEXECUTED and not changeable:
        text = f"jediTaskID={old.number} is in the {old.status} state for outDS={old.name}. "
        text += "You can re-submit the task with new parameters for the same or another input "
        return 2, text + "once it goes into finished/failed/done. ", None
    new = {key: parameters[key] for key in _CHANGEABLE if key in parameters}
    if changeable:
        old.parameters.update(new)
        call.world.store.touch(old)
        text = f"{old.status}. new tasks params have been set to jediTaskID={old.number}. "
        return 5, text, old.number
    old.new_parameters = new
    call.world.machine.send(old, "incexec")
    text = f"reactivation accepted. jediTaskID={old.number} (currently in {old.status} state) "
    return 3, text + "will be re-executed with old and/or new input", old.number


# Commands.


def _command(call: Call, number: int, command: str, *, soft: bool = False) -> tuple[int, str]:
    """Note a command: the codes of sendCommandTaskPanda in task_event_module.py."""
    task = call.world.task(number)
    if task is None:
        return 2, f"jediTaskID={number} not found"
    allowed, reason = _is_allowed(command, task.status, call.caller.production)
    if not allowed:
        text = f"Command rejected: the {command} command is not accepted if the task is in "
        retriable = task.status in ("running", "scouting", "pending")
        if command == "retry" and retriable and task.parameters["prodSourceLabel"] == "user":
            return 5, task.status
        return 4, f"{text}{task.status} status {reason}"
    call.world.machine.send(task, command, soft=soft)
    text = f"command={command} is registered for task ID {number}. will be executed "
    return 0, text + "in a few minutes"


def _is_allowed(command: str, status: str, production: bool) -> tuple[bool, str]:
    match command:
        case "kill" | "finish":
            ending = FINAL_TASK | {"prepared", "toabort", "aborting"}
            return status not in ending, ""
        case "retry":
            if status == "exhausted" and not production:
                return False, "and production role is missing"
            return status in ("finished", "failed", "exhausted"), ""
        case "incexec":
            return status in _REEXECUTED, ""
        case "pause":
            return status not in FINAL_TASK | {"paused"}, ""
        case _:
            return status in ("paused", "throttled", "staging"), ""


def _commanded(call: Call, number: int, command: str, *, soft: bool = False) -> Answer:
    code, message = _command(call, number, command, soft=soft)
    return answer(code == 0, message, code)


@endpoint("task/kill", "POST", owner=True)
def kill(call: Call, task_id: int, broadcast: bool = False) -> Answer:
    return _commanded(call, task_id, "kill")


@endpoint("task/finish", "POST", owner=True)
def finish(call: Call, task_id: int, soft: bool = False, broadcast: bool = False) -> Answer:
    return _commanded(call, task_id, "finish", soft=soft)


@endpoint("task/pause", "POST", production=True)
def pause(call: Call, task_id: int) -> Answer:
    return _commanded(call, task_id, "pause")


@endpoint("task/resume", "POST", production=True)
def resume(call: Call, task_id: int) -> Answer:
    return _commanded(call, task_id, "resume")


@endpoint("task/reload_input", "POST")
def reload_input(call: Call, task_id: int, ignore_hard_exhausted: bool = False) -> Answer:
    return _commanded(call, task_id, "incexec")


@endpoint("task/retry", "POST", owner=True)
def retry(
    call: Call,
    task_id: int,
    new_parameters: dict[str, Any] | str | None = None,
    no_child_retry: bool = False,
) -> Answer:
    if new_parameters:
        new = json.loads(new_parameters) if isinstance(new_parameters, str) else new_parameters
        task = call.world.task(task_id)
        if task is None:
            return answer(True, "new parameter conversion failed", 1)
        code, message, _ = _insert(call, task.parameters | new, None, retried=True)
    else:
        code, message = _command(call, task_id, "retry")
    if code == 5:
        task = call.world.store.tasks[task_id]
        call.world.machine.grant(task, 5)
        code = 3 if new_parameters else 0
        message = f"retry has been triggered for failed jobs while the task is still {message}"
    # As in the real API: success, whatever the code.
    return answer(True, message, code)


@endpoint("task/increase_attempts", "POST", production=True)
def increase_attempts(call: Call, task_id: int, increase: int) -> Answer:
    if increase < 0:
        return answer(False, f"increase must be a positive integer, got {increase}")
    task = call.world.task(task_id)
    if task is None:
        return answer(False, f"jediTaskID={task_id} not found", 1)
    good = ["running", "scouting", "ready"]
    if task.status not in good and task.old_status not in good:
        text = f"command rejected since status={task.status} or oldStatus={task.old_status} "
        return answer(False, f"{text}not in {good}", 2)
    given, again = call.world.machine.grant(task, increase)
    return answer(True, f"increased attemptNr for {given} inputs ({again} reactivated)", 0)


@endpoint("task/reactivate", "POST", production=True)
def reactivate(
    call: Call, task_id: int, keep_attempt_nr: bool = False, trigger_job_generation: bool = False
) -> Answer:
    task = call.world.task(task_id)
    count = 0
    if task is not None:
        call.world.machine.reset(task)
        task.become("ready")
        count = len(task.files)
    return answer(True, f"updated {count} inputs and task {task_id} was reactivated ", 0)


# Queries.


@endpoint("task/get_status", "GET")
def get_status(call: Call, task_id: Any) -> Answer:
    try:
        task = call.world.task(int(task_id))
    except ValueError:
        return answer(False, "jediTaskID must be an integer")
    return answer(True, data=task.status) if task else answer(False, _NOT_FOUND)


@endpoint("task/get_details", "GET")
def get_details(
    call: Call, task_id: int, include_parameters: bool = False, include_status: bool = False
) -> Answer:
    task = call.world.task(task_id)
    if task is None and (include_status or include_parameters):
        return answer(False, "Task not found or error retrieving the details")
    found = describe.details(task, call.world.store.jobs)
    if task and include_status:
        found["status"] = task.status
    if task and include_parameters:
        found["cliParams"] = task.parameters.get("cliParams", "")
    return answer(True, data=found)


@endpoint("task/get_detailed_info", "GET")
def get_detailed_info(call: Call, task_id: int) -> Answer:
    task = call.world.task(task_id)
    if task is None:
        return answer(False, "Task not found or error retrieving task info")
    return answer(True, data=describe.task(task))


@endpoint("task/get_tasks_detailed_info_since", "GET")
def get_tasks_detailed_info_since(
    call: Call, since: str | None = None, filters: str | None = None, n_tasks: int = 500
) -> Answer:
    wanted = {"userName": call.caller.name}
    if filters:
        try:
            given = json.loads(filters)
        except ValueError:
            return answer(False, "filters is not valid JSON")
        if not isinstance(given, dict):
            return answer(False, "filters must be a JSON object")
        wanted |= given
    found = []
    for task in call.world.store.tasks.values():
        if not task.known:
            continue
        told = describe.task(task)
        if since and str(told["modificationTime"]) < since:
            continue
        if all(_matches(told, field, value) for field, value in wanted.items()):
            found.append(told)
    return answer(True, data=found[:n_tasks])


def _matches(told: dict[str, Any], field: str, value: str) -> bool:
    if field not in told:
        return True
    if _REGEX.search(value):
        return re.search(value, str(told[field])) is not None
    return str(told[field]) == value


@endpoint("task/get_task_parameters", "GET", secure=False)
def get_task_parameters(call: Call, task_id: int) -> Answer:
    task = call.world.task(task_id)
    return answer(True, data=task.parameters) if task else answer(False, _NOT_FOUND)


@endpoint("task/get_datasets_and_files", "GET")
def get_datasets_and_files(
    call: Call,
    task_id: Any,
    dataset_types: list[str] = ["input", "pseudo_input"],  # noqa: B006 - never changed
    dataset_only: bool = False,
) -> Answer:
    try:
        task = call.world.task(int(task_id))
    except ValueError:
        return answer(False, "Database exception while gathering files")
    if task is None or not task.dataset or "pseudo_input" not in dataset_types:
        return answer(False, "No data found for the task")
    files = [
        {"lfn": file.lfn, "scope": None, "id": file.number, "status": file.status}
        for file in task.files
    ]
    dataset = {"name": "pseudo_dataset", "id": task.dataset}
    return answer(True, data=[{"dataset": dataset, "files": files}])


@endpoint("task/get_job_ids", "GET")
def get_job_ids(call: Call, task_id: int) -> Answer:
    jobs = call.world.store.jobs.values()
    found = [job.number for job in jobs if job.task == task_id]
    random.shuffle(found)  # a UNION has no order
    return answer(True, data=found)


@endpoint("task/get_job_descriptions", "GET")
def get_job_descriptions(call: Call, task_id: int, unsuccessful_only: bool = False) -> Answer:
    store = call.world.store
    bad = ("failed", "cancelled", "closed")
    found = [
        describe.job(job, store.tasks[task_id], extra=True)
        for job in store.jobs.values()
        if job.task == task_id and (not unsuccessful_only or job.status in bad)
    ]
    random.shuffle(found)
    return answer(True, data=found)

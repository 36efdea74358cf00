"""The PanDA client, in a separate process.

Run by path with the Python that has panda-client, so it imports nothing of this package but the
loop in ``process/serve.py``. It works in the folder that has the files to upload: the limit of the
cache depends on names without a folder (panda-client 2.2.0 sends the path as it is given).

An error is ``{"code": …, "message": …, "exception": …}``. Most calls of panda-client 2.2.0 answer
``(255, None)`` alike for a server that is down, a bad token and an unknown id, so the code and the
text are those of the HTTP answer: 0 for one that came, the HTTP status for a refusal, 1 for none.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_TASKS_BY_NAME = 10
_last = threading.local()
_SECRET_TRIES = 5
_secrets_lock = threading.Lock()
_cache_lock = threading.Lock()  # putFile changes globals of its module


class CallError(Exception):
    """A call has failed.

    Attributes:
        code: Of the HTTP answer: see above.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


_import_lock = threading.Lock()


def _client() -> Any:
    with _import_lock:
        return _imported()


@functools.cache
def _imported() -> Any:
    """Import panda-client; what it sends and gets is noted, and it never asks the user.

    Raises:
        CallError: It is another panda-client than this was written for.
    """
    from pandaclient import Client, PandaToolsPkgInfo

    http: Any = getattr(Client, "_HttpClient", None)
    if not (hasattr(http, "_send") and hasattr(http, "get_id_token")):
        version = getattr(PandaToolsPkgInfo, "release_version", "of unknown version")
        raise CallError(
            -1, f"panda-client {version} cannot be used; install one of 2.0.7 or later, below 3"
        )
    send = http._send

    def noting(self: Any, *args: Any, **kwargs: Any) -> tuple[int, Any]:
        _last.answer = send(self, *args, **kwargs)
        return _last.answer  # type: ignore[no-any-return]

    http._send = noting
    _login().take_care()
    return Client


@contextlib.contextmanager
def _noted() -> Iterator[None]:
    _last.answer = None
    try:
        yield
    except SystemExit as error:
        raise CallError(-1, f"panda-client has exited with {error.code!r}") from error


def _envelope() -> dict[str, Any]:
    """Check and return the last answer; the only place that checks answers.

    Raises:
        CallError: There is none, or it is an error.
    """
    code, content = _last.answer or (1, "nothing was sent")
    text = content.decode(errors="replace") if isinstance(content, bytes) else str(content)
    if code != 0:
        raise CallError(code, text)
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or "success" not in answer:
        raise CallError(1, f"unexpected answer: {text[:200]!r}")
    return answer


def _data(name: str, *args: Any, **kwargs: Any) -> Any:
    """Call a function of panda-client; return the data of the answer.

    Raises:
        CallError: The server has refused it, or there is no answer.
    """
    client = _client()
    with _noted():
        getattr(client, name)(*args, **kwargs)
    answer = _envelope()
    if not answer["success"]:
        raise CallError(0, str(answer.get("message") or f"no reason given ({answer.get('data')})"))
    return answer.get("data")


# The calls. The first one imports panda-client.


def start() -> dict[str, Any]:
    """Return what is known without a server."""
    from pandaclient import PandaToolsPkgInfo

    client = _client()
    # Without PANDACACHE_URL the client uses the cache of CERN, also with other servers.
    known = "PANDACACHE_URL" in os.environ or "PANDA_URL_SSL" not in os.environ
    base = urlsplit(client.baseURLCSRVSSL if known else client.baseURLSSL)
    return {
        "version": str(PandaToolsPkgInfo.release_version),
        "server": client.baseURLSSL,
        "cache": f"{base.scheme}://{base.netloc}",
        "cache_server": known,
    }


def refresh() -> None:
    """Let the client refresh its token if less than five minutes are left."""
    client = _client()
    with _noted():
        client._HttpClient().get_id_token()


def hello() -> str:
    """Ask whether the server is alive."""
    client = _client()
    with _noted():
        client.hello()
    answer = _envelope()
    if not answer["success"]:
        raise CallError(1, str(answer.get("message")))
    return str(answer.get("message") or "")


def tasks_named(name: str) -> list[dict[str, Any]]:
    """Return the user's tasks of a name, the newest first; needs a valid token."""
    found = _data(
        "get_tasks_detailed_info_since", filters={"taskName": name}, n_tasks=_TASKS_BY_NAME
    )
    keys = ("jediTaskID", "taskName", "status")
    tasks = [{key: task.get(key) for key in keys} for task in found or ()]
    # A server without this filter would return all tasks.
    named = [task for task in tasks if task["taskName"] == name]
    return sorted(named, key=lambda task: -int(task["jediTaskID"]))


def submit(parameters: dict[str, Any]) -> dict[str, Any]:
    """Submit a task; return the unchanged answer, also of a refusal: its code tells why."""
    client = _client()
    with _noted():
        client.insertTaskParams(parameters)
    return _envelope()


def status(task: int) -> str:
    """Return the state of a task."""
    return str(_data("getTaskStatus", task))


def files(task: int) -> list[Any]:
    """Return the datasets of a task and the files in them."""
    return list(_data("get_files_in_datasets", task) or ())


def details(task: int) -> dict[str, Any]:
    """Return the useful part of what the server knows of a task."""
    found = _data("get_task_details_json", task) or {}
    keys = ("jediTaskID", "taskName", "status", "errorDialog", "site", "cloud", "workingGroup")
    return {key: found.get(key) for key in keys}


def failed_jobs(task: int) -> list[dict[str, Any]]:
    """Return the descriptions of the jobs of a task that have failed."""
    return list(_data("get_job_descriptions", task, unsuccessful_only=True) or ())


def job_ids(task: int) -> list[int]:
    """Return the PandaIDs of all jobs of a task, in no order."""
    return list(_data("getPandaIDsWithTaskID", task) or ())


def describe_jobs(ids: Sequence[int]) -> list[dict[str, Any] | None]:
    """Return the descriptions of jobs, None for unknown ones: takes the server 35 ms each."""
    return list(_data("getJobStatus", list(ids)) or ())


def kill_task(task: int) -> None:
    """Kill a task."""
    _data("killTask", task)


def kill_jobs(ids: Sequence[int]) -> list[bool]:
    """Kill jobs; return of each whether that was accepted."""
    return [bool(done) for done in _data("killJobs", list(ids))]


def upload(folder: str, name: str) -> str:
    """Put a file into the cache. The process that makes this call makes no other.

    Returns:
        What the server says when it has one of that name, which is never replaced; else nothing.
    """
    client = _client()
    use_cache = bool(start()["cache_server"])
    with _cache_lock:
        home = Path.cwd()
        os.chdir(folder)
        try:
            with _noted():
                client.putFile(name, useCacheSrv=use_cache)
        finally:
            os.chdir(home)  # paths of the user's are relative to it; the folder will be removed
        answer = _envelope()
    message = str(answer.get("message") or "")
    if answer["success"]:
        return ""
    if "cannot overwrite" in message:
        return message
    raise CallError(0, message)


def set_secret(key: str, value: str | None) -> None:
    """Give the server a secret, which jobs that ask for secrets get; None removes it.

    For that the server reads all secrets of the user and writes all, without a lock (panda-server
    1.0.4, ``set_user_secret``): of two changes at a time one may undo the other. So there is one at
    a time here, and for the sake of other runs of the user the outcome is looked at.
    """
    with _secrets_lock:
        for _ in range(_SECRET_TRIES):
            _data("set_user_secret", key, value)
            if json.loads(_data("get_user_secrets") or "{}").get(key) == value:
                return
    raise CallError(1, "the server has lost a secret: something else changes them all the time")


def idds_submit(parameters: dict[str, Any], name: str) -> str:
    """Submit a task as a request to iDDS; return the id of the request.

    iDDS submits the task by its own account; that has the production role, with which the owner
    of a task is who the task says (panda-server 1.0.4).
    """
    owner, *_ = _client().get_user_name_from_token()
    return str(_idds("submit", parameters | ({"userName": owner} if owner else {}), name))


def idds_tasks(requests: Sequence[str]) -> dict[str, Any]:
    """Return of each request its state, and the id of its task once it has one."""
    return dict(_idds("tasks", list(requests)))


def idds_abort(requests: Sequence[str]) -> list[str]:
    """Abort requests; return those for which that was accepted."""
    return list(_idds("abort", list(requests)))


def idds_find(names: Sequence[str]) -> dict[str, str]:
    """Return requests by their names."""
    return dict(_idds("find", list(names)))


def _idds(name: str, *args: Any) -> Any:
    import idds_route  # type: ignore[import-not-found]

    _client()
    with _noted():
        try:
            return getattr(idds_route, name)(*args)
        except idds_route.RequestError as error:
            code = _last.answer[0] if _last.answer else 1
            raise CallError(code or error.code, str(error)) from error


def _login() -> Any:
    import login  # type: ignore[import-not-found]

    return login


CALLS: dict[str, Callable[..., Any]] = {
    call.__name__: call
    for call in (
        start,
        refresh,
        hello,
        tasks_named,
        submit,
        status,
        files,
        details,
        failed_jobs,
        job_ids,
        describe_jobs,
        kill_task,
        kill_jobs,
        upload,
        set_secret,
        idds_submit,
        idds_tasks,
        idds_abort,
        idds_find,
    )
}


def _answer(name: str, args: Sequence[Any]) -> Any:
    return CALLS[name](*args)


def _error(error: BaseException) -> dict[str, Any]:
    known = isinstance(error, CallError)
    return {
        "code": getattr(error, "code", -1) if known else -1,
        "message": str(error) or type(error).__name__,
        "exception": "" if known else type(error).__name__,
    }


if __name__ == "__main__":
    os.umask(0o077)  # the client writes tokens
    # Run by path, where the package may not be installed; this folder is found first.
    sys.path.append(str(Path(__file__).parents[2] / "client_process"))
    from serve import serve  # type: ignore[import-not-found]

    serve(_answer, _error)

"""Requests to iDDS, through the relay of a PanDA server.

Imported by ``program.py``, in a Python that has the packages panda-client 2.2 and idds-atlas 2.6;
imports nothing of this package. Not named ``idds``: ``program.py`` is run by path, so that its
folder comes first where Python looks for the package of that name.

A request is one Workflow with one Work that has the parameters of one PanDA task, which iDDS
submits to PanDA as they are (idds-atlas 2.6.21): the id of that task, once there is one, is all
that is needed to follow the jobs without iDDS.

The relay makes one of two clients of iDDS (panda-server 1.0.4). ``submit`` and ``abort`` are
commands of the ClientManager, which makes the request from a Workflow, and logs in as the server is
set up to. The look-ups are commands of the plain Client, whose errors do not come disguised as
answers; it has only the proxy of the server, and where there is none the ClientManager is asked.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

NOT_ANSWERED = 1
REFUSED = 0

_NO_PROXY = "Cannot find a valid x509 proxy"
_UNNAMED = "no reason given"
_LONGEST = 1000
_lock = threading.Lock()


class RequestError(Exception):
    """A command has failed.

    Attributes:
        code: `REFUSED` by the relay or by iDDS, or `NOT_ANSWERED` at all.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message[:_LONGEST])
        self.code = code


def submit(task_parameters: dict[str, Any], name: str) -> str:
    """Submit a task as a request.

    A name may be used again, and then is that of two requests: see `find`.

    Args:
        task_parameters: Of the PanDA task. iDDS submits it by its own account, so that the owner
            is the one in ``userName``, if the server lets iDDS act for others.
        name: Of the request; letters, digits and ``._-`` only.

    Returns:
        The id of the request: a number.

    Raises:
        RequestError: It was refused, or nobody knows.
    """
    from idds.atlas.workflowv2.atlaspandawork import ATLASPandaWork
    from idds.workflowv2.workflow import Workflow

    work = ATLASPandaWork(task_parameters=task_parameters)
    errors = work.get_errors()
    if errors:  # it logs them, and goes on
        raise RequestError(REFUSED, f"idds does not understand the task: {_innermost(errors)}")
    workflow = Workflow(name=name)
    workflow.add_work(work)
    request = _call("submit", workflow, use_dataset_name=False, manager=True)
    if not isinstance(request, int):
        raise RequestError(REFUSED, f"there is no id in the answer: {request!r:.200}")
    return str(request)


def tasks(request_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Look at requests, which takes a call for each.

    Returns:
        By the id of the request ``status``, a name of ``idds.common.constants.RequestStatus``,
        ``task_id`` of PanDA, None if it has none yet, and ``errors``, empty if there are none.
        Requests that iDDS does not know are left out.

    Raises:
        RequestError: One could not be looked at.
    """
    found = {}
    for request in request_ids:
        # Without an id the server would return everybody's.
        rows = _look_up("get_requests", request_id=int(request), with_detail=True)
        if rows:
            found[request] = {
                "status": _name(rows[0].get("status")),
                "task_id": _task_id(rows),
                "errors": "; ".join(_texts(rows[0].get("errors"))),
            }
    return found


def abort(request_ids: Sequence[str]) -> list[str]:
    """Abort requests and their tasks.

    Returns:
        Those for which iDDS has accepted it; it follows some seconds later. Why the others were
        refused is printed.

    Raises:
        RequestError: There was no answer for one; all can be aborted again.
    """
    accepted = []
    for request in request_ids:
        try:
            _call("abort", request_id=int(request), manager=True)
        except RequestError as error:
            if error.code != REFUSED:
                raise
            print(f"iDDS does not abort request {request}: {error}")
        else:
            accepted.append(request)
    return accepted


def find(names: Sequence[str]) -> dict[str, str]:
    """Return the ids of requests by their names, one of each; none of those that are not there.

    Raises:
        RequestError: One could not be looked for.
    """
    found = {}
    for name in names:
        # The server takes it for a pattern, so that there may be others.
        requests = _look_up("get_request_id_by_name", name=name)
        if name in requests:
            found[name] = str(requests[name])
    return found


def _look_up(command: str, **arguments: Any) -> Any:
    try:
        return _call(command, manager=False, **arguments)
    except RequestError as error:
        if _NO_PROXY not in str(error):
            raise
    return _call(command, manager=True, **arguments)


def _call(command: str, *arguments: Any, manager: bool, **named: Any) -> Any:
    """Send a command; return the value of the answer."""
    from idds.common.utils import json_dumps, json_loads
    from pandaclient import idds_api

    with _lock:  # get_api changes the one object that it returns; what comes out of it has copies
        # Without compression panda-client 2.2.0 sends what no server understands.
        api = idds_api.get_api(json_dumps, compress=True, manager=manager, loader=json_loads)
        send = getattr(api, command)
    return _value(send(*arguments, **named))


def _value(answer: Any) -> Any:
    """Return the value in an answer, which comes in layers.

    They are panda-client's ``(0, …)`` or ``(255, message)``, the relay's ``[True, …]`` or
    ``[False, message]``, and within it the ClientManager's ``[False, message]`` or the server's
    ``[[0, …]]`` or ``[[-1, {"message": …}]]`` (idds-client and idds-server 2.6.21).
    """
    code, value = answer
    if code != 0:
        raise RequestError(NOT_ANSWERED, _innermost(value))
    if not _is_pair(value) or not isinstance(value[0], bool):
        raise RequestError(NOT_ANSWERED, f"unexpected answer: {value!r:.200}")
    while _is_pair(value) and value[0] is True:
        value = value[1]
    verdict = value[0] if isinstance(value, list) and len(value) == 1 else value
    if _is_pair(verdict) and (verdict[0] is False or verdict[0] == -1):
        raise RequestError(REFUSED, _innermost(verdict[1]))
    if value is None or isinstance(value, str):  # no command used here has such a result
        raise RequestError(REFUSED, _innermost(value))
    return value


def _is_pair(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2


def _innermost(message: Any) -> str:
    """Return the text in a message: iDDS wraps it in lists and dictionaries."""
    return "; ".join(dict.fromkeys(_texts(message))) or _UNNAMED


def _texts(message: Any) -> list[str]:
    if isinstance(message, bytes):
        message = message.decode(errors="replace")
    if isinstance(message, dict):
        message = list(message.values())
    if isinstance(message, (list, tuple)):
        return [text for part in message for text in _texts(part)]
    return [message.strip()] if isinstance(message, str) and message.strip() else []


def _name(status: Any) -> str:
    """Return the name of a status, which is an enumeration of idds."""
    return str(getattr(status, "name", status))


def _task_id(rows: Sequence[dict[str, Any]]) -> int | None:
    """Return the task of the newest processing that has one.

    The ``workload_id`` of a request is none, and that of its transform may be the request's.
    """
    processings = [row for row in rows if row.get("processing_workload_id")]
    if not processings:
        return None
    newest = max(processings, key=lambda row: int(row.get("processing_id") or 0))
    return int(newest["processing_workload_id"])

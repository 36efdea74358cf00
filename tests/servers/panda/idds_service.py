"""iDDS behind a PanDA server: the relay, the REST server and the agents, in one process.

Run as ``python -I idds_service.py FOLDER SECONDS`` by a Python that has idds-atlas, idds-client and
panda-client: their code is used at both ends.

- Real: what decodes a command (``json_loads``), the ClientManager or Client that carries it out
  over HTTP, the Workflow and Work that come out, and the Work's own way to submit a PanDA task, to
  follow it and to kill it, with panda-client.
- As ``relay_idds_command`` in pandaserver/userinterface/UserIF.py of panda-server 1.0.4:
  `relayed`.
- As idds-server 2.6.21 (idds/rest/v1/requests.py, idds/orm/requests.py): addresses, answers and
  the columns of requests, of which only those that somebody may want are here.
- Stand-in: the requests are in a JSON file, and one loop does what the agents Clerk, Transformer
  and Carrier do (idds/agents), within tenths of a second where these take tens of seconds.
"""

from __future__ import annotations

import fnmatch
import json
import os
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from idds.client.client import Client
from idds.client.clientmanager import ClientManager
from idds.common.constants import ProcessingStatus, RequestStatus, TransformStatus
from idds.common.utils import date_to_str, json_dumps, json_loads

MAX_SUBMISSIONS = 3
LENGTHS = {"name": 255, "username": 20}
STATEMENT = "[SQL: INSERT INTO requests (scope, name, username) VALUES (...)]"
FINAL = (
    RequestStatus.Finished,
    RequestStatus.SubFinished,
    RequestStatus.Failed,
    RequestStatus.Cancelled,
)
ENDED = {
    ProcessingStatus.Finished: RequestStatus.Finished,
    ProcessingStatus.SubFinished: RequestStatus.SubFinished,
    ProcessingStatus.Failed: RequestStatus.Failed,
}


def relayed(user: str, fields: dict[str, Any]) -> str:
    """Run a command; return the answer of the relay.

    Args:
        user: Caller, by the name on the PanDA server.
        fields: Fields of the request: ``command_name``, ``args``, ``kwargs``, ``manager``.
    """
    name, _, host = fields["command_name"].partition("+")
    try:
        host = host or os.environ["IDDS_HOST"]
        client = ClientManager(host) if str(fields.get("manager")) == "True" else Client(host)
        if not hasattr(client, name):
            return json.dumps((False, f"{name} is not a command of iDDS {type(client).__name__}"))
        args = json_loads(fields.get("args") or "[]")
        kwargs = json_loads(fields.get("kwargs") or "{}")
        client.set_original_user(user_name=user)
        result = getattr(client, name)(*args, **kwargs)
        try:
            return json.dumps((True, result))
        except Exception:  # it contains enumerations
            return str(json_dumps((True, result)))
    except Exception as error:
        traceback.print_exc()
        return json.dumps((False, f"failed to execute command with {error}"))


@dataclass
class Request:
    """A request with its only transform, which has one processing."""

    number: int
    properties: dict[str, Any]
    status: Any = RequestStatus.New
    transform_status: Any = None
    processing_status: Any = None
    task: int | None = None
    errors: dict[str, Any] | None = None
    work: Any = None
    processing: dict[str, Any] = field(default_factory=dict)
    submissions: int = 0
    abort: bool = False
    created: str = field(default_factory=lambda: date_to_str(datetime.now()))

    def columns(self, *, detail: bool) -> dict[str, Any]:
        """Return the row of this request; with detail, also the rows joined to it."""
        row = {
            "request_id": self.number,
            "scope": self.properties.get("scope"),
            "name": self.properties.get("name"),
            "requester": self.properties.get("requester"),
            "request_type": self.properties.get("request_type"),
            "username": self.properties.get("username"),
            "workload_id": self.properties.get("workload_id"),
            "status": self.status,
            "created_at": self.created,
            "errors": self.errors,
        }
        if not detail:
            return row
        begun = self.work is not None
        processed = bool(self.processing)
        return row | {
            "transform_id": self.number * 10 if begun else None,
            "transform_workload_id": self.task,
            "transform_status": self.transform_status,
            "processing_id": self.number * 100 if processed else None,
            "processing_workload_id": self.task,
            "processing_status": self.processing_status,
        }


class Agents:
    """All requests and their progress; changes are saved before they are answered."""

    def __init__(self, file: Path, tick: float) -> None:
        self._file = file
        self._tick = tick
        self._lock = threading.RLock()
        self.requests: dict[int, Request] = {}
        if file.exists():
            for saved in json_loads(file.read_text()):
                request = Request(**saved)
                self.requests[request.number] = request

    def add(self, properties: dict[str, Any]) -> int:
        """Add a request in the format of the ClientManager; return its id."""
        with self._lock:
            number = len(self.requests) + 1
            self.requests[number] = Request(number, properties)
            self.save()
        return number

    def save(self) -> None:
        """Save all requests."""
        with self._lock:
            new = self._file.with_suffix(".new")
            new.write_text(json_dumps([vars(request) for request in self.requests.values()]))
            new.replace(self._file)

    def run(self) -> None:
        """Update all requests periodically."""
        while True:
            for request in list(self.requests.values()):
                if request.status not in FINAL:
                    with self._lock:
                        self._look_at(request)
            time.sleep(self._tick)

    def _look_at(self, request: Request) -> None:
        before = (request.status, request.processing_status, request.task)
        try:
            self._advance(request)
        except Exception as error:
            traceback.print_exc()
            request.errors = {"update_err": {"msg": str(error)[:200]}}
            request.status = RequestStatus.Failed
        if before != (request.status, request.processing_status, request.task):
            self.save()

    def _advance(self, request: Request) -> None:
        if request.abort and request.status != RequestStatus.Cancelling:
            request.status = RequestStatus.Cancelling
            if request.task:
                request.work.abort_processing(request.processing)
        elif request.status == RequestStatus.New:
            workflow = request.properties["request_metadata"]["workflow"]
            (request.work,) = workflow.get_new_works()
            request.status = RequestStatus.Transforming
            request.transform_status = TransformStatus.Transforming
        elif not request.task:
            if request.status == RequestStatus.Cancelling:
                # Lost, as seen of idds 2.6.21 with agents that poll every few seconds.
                request.abort = False
                begun = request.work is not None
                request.status = RequestStatus.Transforming if begun else RequestStatus.New
            else:
                self._submit(request)
        else:
            self._poll(request)

    def _submit(self, request: Request) -> None:
        if not request.processing:
            made = request.work.create_processing()
            request.processing = {
                "processing_id": request.number * 100,
                "workload_id": None,
                "processing_metadata": {"processing": made},
            }
            request.processing_status = ProcessingStatus.New
        done, request.task, _ = request.work.submit_processing(request.processing)
        request.submissions += 1
        if done:
            request.processing_status = ProcessingStatus.Submitting
        elif request.submissions == MAX_SUBMISSIONS:
            request.processing_status = ProcessingStatus.Failed
            request.transform_status = TransformStatus.Failed
            request.status = RequestStatus.Failed

    def _poll(self, request: Request) -> None:
        request.processing_status, *_ = request.work.poll_panda_task(request.processing)
        if request.processing_status in ENDED:
            # As seen of idds 2.6.21 after an abort.
            request.status = (
                RequestStatus.Failed if request.abort else ENDED[request.processing_status]
            )
            request.transform_status = TransformStatus[request.status.name]


class Handler(BaseHTTPRequestHandler):
    """The REST server, and ``/relay`` for the PanDA server."""

    agents: Agents

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/relay":
            asked = json.loads(body)
            return self._send(200, relayed(asked["user"], asked["fields"]))
        properties = json_loads(body)
        for column, length in LENGTHS.items():
            if len(properties.get(column) or "") > length:
                # The message of SQLAlchemy with PostgreSQL.
                why = f"value too long for type character varying({length})\n\n{STATEMENT}"
                return self._send(500, "", {"ExceptionClass": "DatabaseException", "why": why})
        return self._send(200, json_dumps({"request_id": self.agents.add(properties)}))

    def do_GET(self) -> None:
        match self.path.split("/")[1:]:
            case ["request", "name", name]:
                pattern = unquote(name).replace("*", "%").replace("?", "[?]")
                pattern = pattern.replace("[", "[[]").replace("%", "*").replace("_", "?")
                found = {
                    str(request.properties["name"]): request.number
                    for request in self.agents.requests.values()
                    if fnmatch.fnmatchcase(str(request.properties["name"]), pattern)
                }
                self._send(200, json_dumps(found))
            case ["request", number, _, detail, _, transform, processing]:
                more = "True" in (detail, transform, processing)
                rows = [request.columns(detail=more) for request in self._chosen(number)]
                self._send(200, json_dumps(rows))
            case _:
                self._send(404, "<title>404 Not Found</title>")

    def do_PUT(self) -> None:
        match self.path.split("/")[1:]:
            case ["request", "abort", number, _]:
                self._send(200, json_dumps([self._abort(number)]))
            case _:
                self._send(404, "<title>404 Not Found</title>")

    def _abort(self, number: str) -> tuple[int, dict[str, Any]]:
        user = self.headers.get("X-IDDS-Auth-Username-Original")
        chosen = self._chosen(number)
        message = "Command registered successfully" if chosen else "No match requests"
        for request in chosen:
            if request.properties.get("username") not in (None, user):
                chosen = []
                message = f"User {user} has no permission to update request {number}"
            elif request.status in FINAL:
                request.errors = {"extra_msg": "Request is already terminated. Cannot be aborted"}
            else:
                request.abort = True
                self.agents.save()
        code = 0 if chosen else -1
        return code, {"status": code, "message": message}

    def _chosen(self, number: str) -> list[Request]:
        if number == "null":
            return list(self.agents.requests.values())
        found = self.agents.requests.get(int(number))
        return [found] if found else []

    def _send(self, code: int, text: str, error: dict[str, str] | None = None) -> None:
        self.send_response(code)
        if error:
            self.send_header("ExceptionClass", error["ExceptionClass"])
            self.send_header("ExceptionMessage", json.dumps({"msg": error["why"]}))
        body = text.encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(folder: Path, tick: float) -> None:
    """Write the address to ``idds.url``, and serve until the pipe at stdin is closed."""
    Handler.agents = Agents(folder / "idds.json", tick)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    os.environ["IDDS_HOST"] = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=Handler.agents.run, daemon=True).start()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    new = folder / "idds.url.new"
    new.write_text(os.environ["IDDS_HOST"])
    new.replace(folder / "idds.url")
    sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))

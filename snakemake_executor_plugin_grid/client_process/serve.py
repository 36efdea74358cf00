"""The loop of a client process: requests come in as lines of JSON, answers go out.

It runs in the Python that has the client library, so it imports nothing of this package. The
output of the library goes to stderr, which is a log file.

A request is ``{"id": …, "call": name, "args": […]}``. An answer is ``{"id": …, "value": …}`` or
``{"id": …, "error": {…}}``; lines ``{"id": …, "moved": bytes}`` may precede it.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
import threading
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

THREADS = 64

_asked = threading.local()


def teller() -> Callable[[int], None]:
    """Return a function that reports, from any thread, how many bytes this call has moved.

    Must be called in the thread of the call.
    """
    tell: Callable[[int], None] = _asked.tell
    return tell


def import_calls(folder: Path, package: str) -> Any:
    """Import the module ``calls`` of a program, whose own package may not be installed.

    Args:
        folder: Of the program's modules.
        package: Name by which they find each other.
    """
    module = types.ModuleType(package)
    module.__path__ = [str(folder)]
    sys.modules[package] = module
    return importlib.import_module(f"{package}.calls")


def serve(answer: Callable[[str, list[Any]], Any], error: Callable[[BaseException], Any]) -> None:
    """Serve until the other side closes the pipe.

    Args:
        answer: Makes a call, by name and arguments.
        error: Returns the description of an error for the other side.
    """
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # the log must be complete before a crash
    lock = threading.Lock()

    def send(line: str) -> None:
        with lock:
            replies.write(line + "\n")
            replies.flush()

    def reply(request: dict[str, Any]) -> None:
        try:
            number = request["id"]
            _asked.tell = lambda moved: send(json.dumps({"id": number, "moved": moved}))
            result = {"id": request["id"], "value": answer(request["call"], request["args"])}
            line = json.dumps(result, default=str)
        except BaseException as raised:  # SystemExit included: the library may ask for it
            line = json.dumps({"id": request["id"], "error": error(raised)}, default=str)
        send(line)

    pool = ThreadPoolExecutor(THREADS)
    for line in sys.stdin:
        pool.submit(reply, json.loads(line))
    os._exit(0)  # also if threads hang in connections

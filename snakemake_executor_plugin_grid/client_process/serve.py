"""The other side of a client process: requests come in as lines of JSON, answers go out.

Runs in the Python that has the client library, so it imports nothing of this package. What the
library prints goes to stderr, which is the project's log.

A request is ``{"id": …, "call": name, "args": […]}``. An answer is ``{"id": …, "value": …}`` or
``{"id": …, "error": {…}}``; before it may come lines ``{"id": …, "moved": bytes}``.
"""

from __future__ import annotations

import io
import json
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

THREADS = 64

_asked = threading.local()


def teller() -> Callable[[int], None]:
    """Return what tells the other side, from any thread, how many bytes the present call has moved.

    To be called in the thread of the call.
    """
    tell: Callable[[int], None] = _asked.tell
    return tell


def serve(answer: Callable[[str, list[Any]], Any], error: Callable[[BaseException], Any]) -> None:
    """Serve until the other side closes the pipe.

    Args:
        answer: Makes a call, by name and arguments.
        error: Returns what an error is to the other side.
    """
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # the log has to tell what was before a crash
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
    os._exit(0)  # whatever still hangs in a connection

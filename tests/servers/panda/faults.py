"""Faults on demand, latency, and a log of the requests. A real server has none of this."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

KINDS = ("status", "lost", "closed", "garbage", "hang", "refuse", "slow")
# Requests of payloads are counted separately.
PILOT = "runGen"
_ADMIN = "/admin/"


@dataclass
class Fault:
    """A fault, and the requests that it affects.

    Attributes:
        kind: ``status``: answered with that status, nothing else done. ``closed``: the connection
            is closed and nothing done. ``lost``: done, then the connection is closed. ``garbage``:
            done, the answer's body is not what it should be. ``hang``: nothing is done and no
            answer comes for ``seconds``. ``slow``: it takes ``seconds`` longer. ``refuse``: as if
            the token were refused.
        path: A regular expression that is searched for in the path.
        times: Number of requests that it affects; None for all.
        skip: Number of requests that it lets pass first.
        status: For ``status``.
        seconds: For ``hang`` and ``slow``.
        body: For ``garbage``.
    """

    kind: str
    path: str = ""
    times: int | None = 1
    skip: int = 0
    status: int = 503
    seconds: float = 600
    body: str = "<html>not the answer</html>"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind={self.kind!r}: it is one of {', '.join(KINDS)}")
        re.compile(self.path)


@dataclass
class Log:
    """The requests so far.

    Attributes:
        counts: Requests for each path, without the query; those of payloads as "runGen <path>".
        received: Bytes of the requests' bodies for each path.
        sent: Bytes of the answers' bodies for each path.
        times: Of each request in turn, as they end: path as in ``counts``, when it came and when
            it was answered, in seconds since the epoch.
    """

    counts: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    times: list[tuple[str, float, float]] = field(default_factory=list)


class FaultyApp:
    """Wraps an ASGI app; the pages below ``/admin/`` have no faults and are not counted."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._faults: dict[int, Fault] = {}
        self._numbers = itertools.count(1)
        self.latency = 0.0
        self.log = Log()

    def add(self, **values: Any) -> int:
        """Add a fault (see `Fault`); return its number."""
        number = next(self._numbers)
        self._faults[number] = Fault(**values)
        return number

    def clear(self) -> None:
        """Remove all faults and the latency."""
        self._faults.clear()
        self.latency = 0

    def describe(self) -> dict[int, dict[str, Any]]:
        return {number: asdict(fault) for number, fault in self._faults.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_ADMIN):
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        name = path
        if dict(scope["headers"]).get(b"user-agent", b"").startswith(PILOT.encode()):
            name = f"{PILOT} {path}"
        self.log.counts[name] += 1
        came = time.time()

        async def counted_receive() -> Message:
            message = await receive()
            self.log.received[name] += len(message.get("body", b""))
            return message

        async def counted_send(message: Message) -> None:
            self.log.sent[name] += len(message.get("body", b""))
            await send(message)

        fault = self._take(path)
        if self.latency:
            await asyncio.sleep(self.latency)
        try:
            if fault is None:
                await self._app(scope, counted_receive, counted_send)
            else:
                await self._spoil(fault, scope, counted_receive, counted_send, send)
        finally:
            self.log.times.append((name, came, time.time()))

    def _take(self, path: str) -> Fault | None:
        for number, fault in list(self._faults.items()):
            if not re.search(fault.path, path):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    del self._faults[number]
            return fault
        return None

    async def _spoil(
        self, fault: Fault, scope: Scope, receive: Receive, send: Send, outermost: Send
    ) -> None:
        match fault.kind:
            case "slow":
                await asyncio.sleep(fault.seconds)
                await self._app(scope, receive, send)
            case "hang":
                await asyncio.sleep(fault.seconds)
                _close(outermost)
            case "closed":
                await _read(receive)
                _close(outermost)
            case "lost":
                await self._app(scope, receive, _forget)
                _close(outermost)
            case "garbage":
                await self._app(scope, receive, _forget)
                await _answer(send, 200, fault.body)
            case "refuse":
                await _read(receive)
                text = "ERROR : Token authentication failed. Invalid token. Signature has expired"
                await _answer(send, 403, text)
            case _:
                await _read(receive)
                await _answer(send, fault.status, "Service Unavailable")


async def _read(receive: Receive) -> None:
    while (await receive()).get("more_body"):
        pass


async def _forget(message: Message) -> None:
    """Discard an answer."""


async def _answer(send: Send, status: int, text: str) -> None:
    body = text.encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _close(send: Send) -> None:
    # ASGI cannot express this; uvicorn's `send` is a method of the object with the connection.
    send.__self__.transport.abort()  # type: ignore[attr-defined]

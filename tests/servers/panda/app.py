"""The web application: the API, the cache, the relay, the issuer and the stand-in's own pages."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from importlib import import_module
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.servers.panda import admin, api, job_api, other_api, task_api  # noqa: F401 - they register themselves

from .faults import FaultyApp
from .settings import Settings
from .tokens import RefusedError
from .world import RelayedCommand, World


def make_app(settings: Settings) -> FaultyApp:
    """Make the application of a server.

    Its ``state.world`` is the server's `World`; ``state.world.idds`` answers relayed commands.
    """
    world = World(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(world.run())
        try:
            yield
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            world.store.close()

    app = Starlette(
        routes=[
            Route("/api/v1/{module}/{name}", api.serve, methods=["GET", "POST"]),
            Route("/cache/{name}", _cached, methods=["GET", "HEAD"]),
            Route("/server/panda/relay_idds_command", _relay, methods=["GET", "POST"]),
            *world.pages.routes,
            *admin.routes,
        ],
        lifespan=lifespan,
    )
    app.state.world = world
    wrapped = FaultyApp(app)
    app.state.faults = wrapped
    if settings.idds:
        module, _, name = settings.idds.partition(":")
        world.idds = getattr(import_module(module), name)(world)
    return wrapped


async def _cached(request: Request) -> Response:
    path = request.app.state.world.settings.cache / request.path_params["name"]
    if not path.is_file():
        return PlainTextResponse("not found", 404)
    return FileResponse(path)


async def _relay(request: Request) -> Response:
    """Take an iDDS command (pandaserver/userinterface/UserIF.py and server/panda.py, 1.0.4)."""
    world: World = request.app.state.world
    try:
        caller = api.identify(world, request)
    except RefusedError as error:
        return api.refusal(f"Token authentication failed. {error}")
    body = await request.body()
    try:
        if request.headers.get("content-type") == "application/json":
            given = json.loads(gzip.decompress(body))  # whatever the Content-Encoding says
        elif request.method == "GET":
            given = dict(parse_qsl(request.url.query))
        else:
            given = {}  # a form without a content type, as panda-client sends it, is not read
        command = given["command_name"]
    except (gzip.BadGzipFile, EOFError, zlib.error, ValueError) as error:
        return PlainTextResponse(str(error), 500)
    except KeyError:
        text = "relay_idds_command() missing 1 required positional argument: 'command_name'"
        return PlainTextResponse(text, 500)
    if not caller.name:
        return PlainTextResponse(json.dumps([False, api.NO_TLS]))
    if world.idds is None:
        # A real one, whose iDDS client has no configuration.
        text = "failed to execute command with No section: 'rest'"
        return PlainTextResponse(json.dumps([False, text]))
    answer = await world.idds(
        RelayedCommand(
            user=caller.name,
            command_name=command,
            args=given.get("args"),
            kwargs=given.get("kwargs"),
            manager=_is_true(given.get("manager")),
            json_outputs=_is_true(given.get("json_outputs")),
        )
    )
    return PlainTextResponse(answer)


def _is_true(value: object) -> bool:
    return value in (True, "True", "true")

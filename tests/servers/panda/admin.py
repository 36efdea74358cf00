"""Pages below ``/admin/``, by which tests set faults and inspect the server.

A real server has no such pages.
"""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .faults import FaultyApp
from .pilot import SiteFault
from .world import World


async def _fault(request: Request) -> Response:
    faults: FaultyApp = request.app.state.faults
    return JSONResponse(faults.add(**await request.json()))


async def _clear(request: Request) -> Response:
    faults: FaultyApp = request.app.state.faults
    faults.clear()
    request.app.state.world.sites.faults.clear()
    return JSONResponse(None)


async def _latency(request: Request) -> Response:
    request.app.state.faults.latency = (await request.json())["seconds"]
    return JSONResponse(None)


async def _site(request: Request) -> Response:
    """Make a site faulty (see `SiteFault`); without a kind, repair it."""
    given = await request.json()
    sites = request.app.state.world.sites
    name = given.pop("site")
    if given.get("kind"):
        sites.faults[name] = SiteFault(**given)
    else:
        sites.faults.pop(name, None)
    return JSONResponse(None)


async def _requests(request: Request) -> Response:
    return JSONResponse(vars(request.app.state.faults.log))


async def _forget_requests(request: Request) -> Response:
    for counter in vars(request.app.state.faults.log).values():
        counter.clear()
    return JSONResponse(None)


async def _tasks(request: Request) -> Response:
    return JSONResponse([asdict(task) for task in request.app.state.world.store.tasks.values()])


async def _jobs(request: Request) -> Response:
    return JSONResponse([asdict(job) for job in request.app.state.world.store.jobs.values()])


async def _set_task(request: Request) -> Response:
    """Put a task into a state, with a reason; its running jobs continue."""
    given = await request.json()
    world: World = request.app.state.world
    task = world.store.tasks[given["task"]]
    task.become(given["status"], given.get("error"))
    world.store.touch(task)
    world.store.flush()
    return JSONResponse(None)


async def _pause(request: Request) -> Response:
    """Pause all tasks and jobs, or resume them."""
    request.app.state.world.paused = (await request.json())["paused"]
    return JSONResponse(None)


async def _vanish(request: Request) -> Response:
    """Let the worker nodes of some jobs go down."""
    world: World = request.app.state.world
    for number in (await request.json())["jobs"]:
        world.sites.vanish(world.store.jobs[number])
    return JSONResponse(None)


async def _oidc(request: Request) -> Response:
    pages = request.app.state.world.pages
    for name, value in (await request.json()).items():
        if name not in ("approved", "denied", "lifetime"):
            return JSONResponse(f"there is no {name}", 400)
        setattr(pages, name, value)
    return JSONResponse(None)


async def _refresh_token(request: Request) -> Response:
    pages = request.app.state.world.pages
    return JSONResponse(pages.refresh_token((await request.json())["user"]))


routes = [
    Route("/admin/fault", _fault, methods=["POST"]),
    Route("/admin/clear", _clear, methods=["POST"]),
    Route("/admin/latency", _latency, methods=["POST"]),
    Route("/admin/site", _site, methods=["POST"]),
    Route("/admin/requests", _requests),
    Route("/admin/requests", _forget_requests, methods=["DELETE"]),
    Route("/admin/tasks", _tasks),
    Route("/admin/jobs", _jobs),
    Route("/admin/task", _set_task, methods=["POST"]),
    Route("/admin/pause", _pause, methods=["POST"]),
    Route("/admin/vanish", _vanish, methods=["POST"]),
    Route("/admin/oidc", _oidc, methods=["POST"]),
    Route("/admin/refresh_token", _refresh_token, methods=["POST"]),
]

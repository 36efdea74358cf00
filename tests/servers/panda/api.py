"""How ``/api/v1`` reads requests and answers them.

Source: pandaserver/server/panda.py and pandaserver/api/v1/common.py of panda-server 1.0.4: the
envelope with HTTP 200 for a refusal too, 403 and 500 as text, arguments checked by their types.
"""

from __future__ import annotations

import asyncio
import gzip
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args, get_origin
from urllib.parse import parse_qsl

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from .tokens import Caller, RefusedError
from .world import World

NO_TLS = "SSL secure connection is required"
NO_ROLE = "production or pilot role required"
NOT_OWNER = "not the task owner or no production role"

# The server makes several queries for each job.
_DESCRIBING = (
    *("task/get_job_descriptions", "job/get_description", "job/get_description_incl_archive"),
)

Answer = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """The context of a request, which an endpoint gets besides its arguments."""

    world: World
    caller: Caller
    length: int


def answer(success: bool, message: str = "", data: object = None) -> Answer:
    return {"success": success, "message": message, "data": data}


@dataclass(frozen=True)
class Endpoint:
    """A function of the API, and the rules for calling it."""

    function: Callable[..., Answer]
    method: str | None
    secure: bool
    production: bool
    owner: bool


ENDPOINTS: dict[str, Endpoint] = {}


def endpoint(
    path: str,
    method: str | None = None,
    *,
    secure: bool = True,
    production: bool = False,
    owner: bool = False,
) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Register a function of the API.

    Args:
        path: ``module/name``.
        method: The only HTTP method that is allowed; None for any.
        secure: Whether the caller needs a token.
        production: Whether the caller needs the production role.
        owner: Whether the caller must own ``task_id`` or have the production role.
    """

    def register(function: Callable[..., Answer]) -> Callable[..., Answer]:
        ENDPOINTS[path] = Endpoint(function, method, secure, production, owner)
        return function

    return register


def refusal(text: str, status: int = 403) -> Response:
    return PlainTextResponse(f"ERROR : {text}", status)


def identify(world: World, request: Request) -> Caller:
    """Return the caller of a request; without a token it has no name.

    Raises:
        RefusedError: The token is not accepted.
    """
    given = request.headers.get("authorization")
    if given is None:
        return Caller()
    words = given.split()
    if len(words) < 2:
        raise RefusedError("Failed to instantiate request object. list index out of range")
    return world.issuer.caller(words[1], request.headers.get("origin"))


async def serve(request: Request) -> Response:
    """Answer a request to ``/api/v1/<module>/<name>``."""
    world: World = request.app.state.world
    name = request.path_params["name"]
    path = f"{request.path_params['module']}/{name}"
    if path not in ENDPOINTS:
        return refusal(f"method {name} is forbidden")
    try:
        caller = identify(world, request)
    except RefusedError as error:
        return refusal(f"Token authentication failed. {error}")
    try:
        arguments = await _arguments(request)
    except json.JSONDecodeError as error:
        return refusal(f"received invalid JSON : {error}", 500)
    length = int(request.headers.get("content-length", 0))
    call = Call(world, caller, length)
    result = _call(ENDPOINTS[path], call, request.method, arguments)
    world.store.flush()  # saved before the answer is sent
    if path in _DESCRIBING and isinstance(result["data"], list):
        await asyncio.sleep(world.settings.delays.description * len(result["data"]))
    wanted = (request.headers.get("content-type"), request.headers.get("accept"))
    if "application/json" in wanted:
        return PlainTextResponse(json.dumps(result, default=_encode))
    return PlainTextResponse(str(result))


async def _arguments(request: Request) -> dict[str, Any]:
    if request.method in ("GET", "HEAD"):
        values: dict[str, list[str]] = {}
        for key, value in parse_qsl(request.url.query, keep_blank_values=True):
            values.setdefault(key, []).append(value)
        return {key: found[0] if len(found) == 1 else found for key, found in values.items()}
    if request.headers.get("content-type") == "application/json":
        body = await request.body()
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        loaded: dict[str, Any] = json.loads(body)
        return loaded
    # Not closed by `async with`: the endpoint reads the file.
    form = await request.form(max_part_size=1 << 20)
    found_form: dict[str, Any] = {}
    for field, given in form.items():
        found_form[field] = (
            (given.filename, await given.read()) if isinstance(given, UploadFile) else given
        )
    await form.close()
    return found_form


def _call(entry: Endpoint, call: Call, method: str, arguments: Mapping[str, Any]) -> Answer:
    if entry.secure and not call.caller.name:
        return answer(False, NO_TLS)
    if entry.production and not call.caller.production:
        return answer(False, NO_ROLE)
    if entry.method and entry.method != method:
        return answer(False, f"expecting {entry.method}, received {method}")
    signature = inspect.signature(entry.function, eval_str=True)
    try:
        bound = signature.bind(call, **arguments)
    except TypeError as error:
        return answer(False, f"Argument error: {error}")
    for name, value in list(bound.arguments.items())[1:]:
        parameter = signature.parameters[name]
        if parameter.annotation is Any or value == parameter.default:
            continue
        try:
            bound.arguments[name] = (
                _cast(value, parameter) if method == "GET" else _checked(name, value, parameter)
            )
        except ValueError:
            wanted = getattr(parameter.annotation, "__name__", str(parameter.annotation))
            return answer(
                False,
                f"Type error: '{name}' with value '{value}' could not be casted to type "
                f"{wanted} from {type(value).__name__}.",
            )
        except TypeError as error:
            return answer(False, f"Type error: {error}")
    if entry.owner and not call.caller.production:
        task = call.world.task(bound.arguments["task_id"])
        # A task that JEDI does not know yet has no owner.
        if task is None or task.user != call.caller.name:
            return answer(False, NOT_OWNER)
    return entry.function(*bound.args, **bound.kwargs)


def _cast(value: Any, parameter: inspect.Parameter) -> Any:
    """Convert a value of a query to the type of the endpoint's argument."""
    wanted = parameter.annotation
    if value == "None" and parameter.default is None:
        return None
    if get_origin(wanted) is list:
        items = [value] if isinstance(value, str) else value
        return [int(float(item)) for item in items] if get_args(wanted)[0] is int else items
    if wanted is bool:
        return value.lower() in ("true", "1")
    if wanted is int:
        return int(float(value))
    return value


def _checked(name: str, value: Any, parameter: inspect.Parameter) -> Any:
    wanted = parameter.annotation
    origin = get_origin(wanted)
    kinds = (
        (origin,)
        if isinstance(origin, type) and origin in (list, dict, tuple)
        else get_args(wanted)
    )
    kinds = tuple(get_origin(kind) or kind for kind in kinds) or (wanted,)
    if not isinstance(value, kinds):
        names = " | ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"'{name}' must be of type {names}, got {type(value).__name__}.")
    if origin is list and not all(isinstance(item, get_args(wanted)[0]) for item in value):
        raise TypeError(f"All elements in '{name}' must be {get_args(wanted)[0].__name__}.")
    return value


def stamp(seconds: float | None) -> datetime | None:
    """Return a time in the server's format: UTC, without a time zone."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def _encode(value: object) -> object:
    if isinstance(value, datetime):
        return {"__datetime__": value.isoformat()}
    raise TypeError(f"Type not serializable for {value} ({type(value)})")

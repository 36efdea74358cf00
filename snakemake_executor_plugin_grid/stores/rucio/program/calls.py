"""The calls that the other side may ask for, by name.

An error is ``{"exception": …, "bases": […], "message": …, "auth": …}``: the names of its class and
of the classes above that, and how the client authenticates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import blobs, connection, moving, names, registering

CALLS: dict[str, Callable[..., Any]] = {
    call.__name__: call
    for call in (
        # The first one imports rucio-clients.
        names.start,
        names.whoami,
        names.metadata,
        names.replicas,
        names.contents,
        names.matching,
        names.expire,
        moving.download,
        moving.upload,
        registering.write_urls,
        registering.register,
        blobs.blob_urls,
        blobs.blobs,
        blobs.registration,
        blobs.renewal,
    )
}


def answer(name: str, args: Sequence[Any]) -> Any:
    """Make a call."""
    return CALLS[name](*args)


def error_fields(error: BaseException) -> dict[str, Any]:
    """Return what the other side is told of an error; the thread starts afresh."""
    connection.forget()
    return {
        "exception": type(error).__name__,
        "bases": [kind.__name__ for kind in type(error).__mro__[1:-1]],
        "message": str(error) or type(error).__name__,
        "auth": connection.auth_type(),
    }

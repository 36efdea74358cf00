"""The calls that the other side may ask for, by name.

An error is ``{"message": …, "errno": …, "exception": …}``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from . import catalog, files, installation, jobs, placement
from .replies import ReplyError

CALLS: dict[str, Callable[..., Any]] = {
    call.__name__: call
    for call in (
        # The first one imports DIRAC, which takes seconds.
        installation.start,
        installation.server_version,
        installation.proxy,
        installation.storage_elements,
        installation.active_sites,
        jobs.create,
        jobs.confirm,
        jobs.jobs_of,
        jobs.states,
        jobs.sites,
        jobs.kill,
        jobs.history,
        jobs.parameters,
        jobs.upload_sandbox,
        jobs.fetch_sandbox,
        placement.input_sites,
        files.sizes,
        files.put,
        files.get,
        files.listing,
        files.remove,
        files.remnants,
        files.purge,
        catalog.look_up_files,
        catalog.find_replicas,
        catalog.list_folder,
        catalog.find_files,
        catalog.store_file,
        catalog.remove_files,
    )
}
_HANDSHAKE = ("SSLError(", "SSLVerificationError(", "NoCertificate(")
_HANDSHAKE_PAUSES = (0.1, 0.3, 0.9)


def answer(name: str, args: Sequence[Any]) -> Any:
    """Make a call; repeat it if the TLS handshake fails, as then nothing was sent.

    About one in a thousand does (seen with M2Crypto 0.51), and DIRAC itself does not try again.
    """
    call = CALLS[name]
    for pause in _HANDSHAKE_PAUSES:
        try:
            return call(*args)
        except ReplyError as error:
            message = str(error)
            if "Can't connect to" not in message or not any(s in message for s in _HANDSHAKE):
                raise
        time.sleep(pause)
    return call(*args)


def error_fields(error: BaseException) -> dict[str, Any]:
    """Return what the other side is told of an error."""
    # That of an SErrorException, whose text is the whole reply.
    reply = getattr(error, "result", None) or {}
    return {
        "message": str(reply.get("Message") or error) or type(error).__name__,
        "errno": reply.get("Errno") or getattr(error, "errno", 0) or 0,
        "exception": "" if isinstance(error, ReplyError) else type(error).__name__,
    }

"""What DIRAC answers: values, or errors."""

from __future__ import annotations

from typing import Any


class ReplyError(Exception):
    """DIRAC has answered S_ERROR."""

    def __init__(self, reply: dict[str, Any]) -> None:
        super().__init__(str(reply.get("Message") or "no message"))
        self.errno = int(reply.get("Errno") or 0)


def value_of(reply: Any) -> Any:
    """Return the value of a reply: the one place where replies are checked.

    Raises:
        ReplyError: The reply is an error, or no reply of DIRAC's at all.
    """
    if not isinstance(reply, dict) or "OK" not in reply:
        raise ReplyError({"Message": f"Server is not available: unexpected answer {reply!r:.200}"})
    if not reply["OK"]:
        raise ReplyError(reply)
    return reply.get("Value")


def failures(reply: Any) -> dict[str, str]:
    """Return the failures of a bulk reply, by subject."""
    return {str(key): str(why) for key, why in value_of(reply).get("Failed", {}).items()}

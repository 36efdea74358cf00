"""Errors of this package. The user reads their text."""

from __future__ import annotations

from ..worker.interruption import InterruptionError


class GridError(Exception):
    """An error for the user: the text says what is wrong and what to do."""


class PermanentError(GridError):
    """The same request will fail again: the request or the setup has to change."""


class TransientError(GridError):
    """The same request may succeed later: a server is down or busy, a connection broke."""


class UnreachableError(TransientError):
    """A server cannot be reached.

    Attributes:
        cause: Its address and the reason, such as "host:8443: connection refused"; may be empty.
    """

    def __init__(self, text: str, cause: str = "") -> None:
        """Describe it by a whole sentence, and by the cause alone."""
        super().__init__(text)
        self.cause = cause


class CredentialsError(GridError):
    """A proxy or token is missing or has expired: the text says what to run."""


class MissingError(PermanentError):
    """The requested thing does not exist."""


class FileChangedError(GridError):
    """A file changed or vanished while it was being stored."""


class DiskFullError(GridError):
    """A disk of the submit host is full, or cannot be written now for another reason."""


class EndingError(GridError, InterruptionError):
    """The run ends before this is done; the next run does it. Nothing has failed."""

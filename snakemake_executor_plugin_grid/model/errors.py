"""Errors of this package. Their text is what the person at the terminal reads."""

from __future__ import annotations


class GridError(Exception):
    """Something went wrong that the user can understand: the text says what and what to do."""


class PermanentError(GridError):
    """Trying again is of no use: the request itself, or the set-up, has to change."""


class TransientError(GridError):
    """May pass by itself: a server that is down or busy, a connection that broke."""


class CredentialsError(GridError):
    """A proxy or token is missing or has expired: the text says what to run."""


class MissingError(PermanentError):
    """What was asked for is not there."""


class DiskFullError(GridError):
    """There is no room on a disk of the submit host: passes when somebody makes some."""


class EndingError(GridError):
    """The run ends before this was done: it is left to the next run, and nothing has failed."""

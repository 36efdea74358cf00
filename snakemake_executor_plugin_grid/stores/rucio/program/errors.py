"""Errors that are found here, rather than by Rucio."""

from __future__ import annotations


class CallError(Exception):
    """A call has failed, for a reason found here."""


class TakenError(CallError):
    """A name is taken for something else, and names in Rucio are never given to other content."""


class MovingError(CallError):
    """A file could not be moved; the text has the reason of each attempt."""


class DamagedError(CallError):
    """A file arrived damaged from each of its replicas."""

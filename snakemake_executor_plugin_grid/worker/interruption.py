"""Lets a process end its loops over the blocks of files, which may otherwise take hours."""

from __future__ import annotations

from collections.abc import Callable


class InterruptionError(Exception):
    """A loop has ended early because the process wants that. Nothing is wrong with the file."""


def _go_on() -> None:
    """Do nothing: on a worker node such loops run to their end."""


_look = _go_on


def between_blocks() -> None:
    """Called between two blocks of a file that is read, written or sent.

    Raises:
        InterruptionError: The process wants the loop to end; nothing half-written is left in place.
    """
    _look()


def interrupt_by(look: Callable[[], None] = _go_on) -> None:
    """Set what all threads of this process call between two blocks.

    Args:
        look: Raises an `InterruptionError` to end the loops; others may be taken for damage.
    """
    global _look
    _look = look

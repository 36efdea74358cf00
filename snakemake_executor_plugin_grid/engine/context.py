"""What submission, recovery and completion share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..backends.base import Backend
from ..journal.writer import Journal
from ..resilience.clock import Clock
from ..resilience.outages import Outages
from ..stores import Stores


@dataclass(frozen=True)
class RunContext:
    """Backend, stores, journal and helpers of a run.

    Attributes:
        backend: Runs the jobs.
        stores: Where files go and come from.
        journal: Records every effect.
        outages: Waits for servers and disks.
        clock: Tells the time.
        say: Shows a line to the user.
    """

    backend: Backend
    stores: Stores
    journal: Journal
    outages: Outages
    clock: Clock
    say: Callable[[str], None]

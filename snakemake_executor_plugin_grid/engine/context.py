"""What submission, recovery and completion share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec

from ..backends.base import Backend
from ..journal.write_queue import Write
from ..journal.writer import Journal
from ..resilience.clock import Clock
from ..resilience.outages import Outages
from ..stores import Stores

P = ParamSpec("P")


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

    async def record(self, note: Callable[P, Write], *args: P.args, **kwargs: P.kwargs) -> None:
        """Note something in the journal, and return when it is on disk; wait for room if need be.

        Args:
            note: Method of the journal.
            args: For it.
            kwargs: For it.
        """

        async def attempt() -> None:
            await note(*args, **kwargs)

        await self.outages.retry_when_disk_full(attempt)

"""The state of a server process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .model import Store, Task
from .oidc import IssuerPages
from .pilot import Sites
from .settings import Settings
from .tasks import Machine
from .tokens import Issuer


@dataclass(frozen=True)
class RelayedCommand:
    """A call of ``/server/panda/relay_idds_command``.

    Attributes:
        user: Name of the caller.
        command_name: Method of the iDDS client, optionally with ``+host``.
        args: JSON text of a list, None if there are none.
        kwargs: JSON text of a dictionary, None if there are none.
        manager: Whether the method is one of the ClientManager.
        json_outputs: Whether the manager's answer is to be JSON.
    """

    user: str
    command_name: str
    args: str | None
    kwargs: str | None
    manager: bool
    json_outputs: bool


# Returns the answer's body: JSON text of a pair (succeeded, result or message).
Relay = Callable[[RelayedCommand], Awaitable[str]]


class World:
    """The parts of a server process. Only the thread of the event loop uses them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        settings.cache.mkdir(parents=True, exist_ok=True)
        self.store = Store(settings.folder / "state.sqlite")
        self.issuer = Issuer(settings.folder / "keys", settings.url)
        self.pages = IssuerPages(self.issuer, self.store, settings.url)
        self.sites = Sites(settings, self.store)
        self.machine = Machine(settings, self.store, self.sites)
        self.idds: Relay | None = None
        self.paused = False

    def task(self, number: int) -> Task | None:
        """Return a task if JEDI knows it."""
        found = self.store.tasks.get(number)
        return found if found and found.known else None

    async def run(self) -> None:
        """Advance tasks and jobs until cancelled, except while ``paused`` is set."""
        while True:
            if not self.paused:
                self.machine.tick()
            await asyncio.sleep(self.settings.delays.tick)

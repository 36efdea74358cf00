"""Outages of servers that fail when a test says so."""

from __future__ import annotations

import asyncio

from snakemake_executor_plugin_grid.model.errors import CredentialsError, TransientError
from snakemake_executor_plugin_grid.resilience.outages import Outages
from tests.unit.clock import VirtualClock

EXPIRED = CredentialsError("the proxy has expired; run 'renew'.")
DOWN = TransientError("connection refused")


class Server:
    """Does what the test says, try by try; then it works."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.tries = 0

    async def call(self) -> str:
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


class Run:
    """Outages with a proxy that the test changes, and all that they say."""

    def __init__(self, limit: float = 3600.0) -> None:
        self.said: list[str] = []
        self.proxy = Server()
        self.warning = ""
        self.clock = VirtualClock()
        self.outages = Outages("dirac", limit, self._check, self.said.append, self.clock)

    async def speaks(self) -> None:
        """Wait until something was said."""
        while not self.said:  # noqa: ASYNC110 - nothing tells when something was said
            await asyncio.sleep(0)

    async def _check(self) -> str:
        await self.proxy.call()
        return self.warning

"""A run's patience with servers that fail when a test says so."""

from __future__ import annotations

from snakemake_executor_plugin_grid.model.errors import CredentialsError, TransientError
from snakemake_executor_plugin_grid.resilience.outages import Patience

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
    """Patience with a proxy that the test changes, and all that it says."""

    def __init__(self, limit: float = 60.0) -> None:
        self.said: list[str] = []
        self.proxy = Server()
        self.warning = ""
        self.patience = Patience("dirac", limit, self._check, self.said.append)

    async def _check(self) -> str:
        await self.proxy.call()
        return self.warning

"""The sites of a DIRAC server that take jobs."""

from __future__ import annotations

from ...model.job import JobSpec, words
from .client import Client
from .jdl import Options


class Sites:
    """Knows which sites a job can avoid: not all that may run it."""

    def __init__(self, client: Client, options: Options) -> None:
        """Ask the server only when it is needed.

        Args:
            client: Of the installation.
            options: Of the run.
        """
        self._client = client
        self._options = options
        self._active: frozenset[str] | None = None

    async def avoidable(self, spec: JobSpec, avoid: frozenset[str]) -> frozenset[str]:
        """Return the sites to avoid; none if no other site would be left.

        DIRAC 9.1.22 fails jobs that may run nowhere.

        Args:
            spec: The job.
            avoid: Sites that it should avoid if it can.
        """
        if self._active is None:
            self._active = frozenset(await self._client.call("active_sites"))
        own = spec.overrides
        never = words(own["banned_sites"]) if "banned_sites" in own else self._options.banned_sites
        asked = words(own["site"]) if "site" in own else self._options.sites
        usable = self._active.intersection(asked) or self._active
        return avoid if usable - avoid - set(never) else frozenset()

"""Lists in the store, from which workers of bundles see which jobs are not to begin.

A worker reads the list of its bundle before it begins a job. If the job is on it, the worker sends
a report that says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Collection
from pathlib import Path

from ...console import error_log
from ...model.errors import GridError
from ...model.untrusted import UntrustedError
from ...resilience.threads import in_thread
from ...stores.base import PrivateFiles

_MOST_BYTES = 16 << 20
_AT_A_TIME = 8


class CancelLists:
    """One file for each bundle, a JSON array of names."""

    def __init__(self, store: PrivateFiles, folder: Path) -> None:
        """Write nothing yet.

        Args:
            store: Keeps the lists.
            folder: For temporary files.
        """
        self._store = store
        self._folder = folder
        self._slots = asyncio.Semaphore(_AT_A_TIME)
        self._adding = asyncio.Lock()

    async def begin(self, bundle: str) -> str:
        """Store an empty list; return the URL from which a worker reads it.

        Raises:
            TransientError: The store does not answer.
        """
        async with self._slots:
            return await in_thread(self._write, bundle, ())

    async def add(self, bundle: str, jobs: Collection[str]) -> set[str]:
        """Add jobs to a list; return all jobs on it.

        Raises:
            TransientError: The store does not answer.
            OSError: A temporary file cannot be written.
        """
        async with self._adding:
            return await in_thread(self._add, bundle, jobs)

    async def remove(self, bundle: str) -> None:
        """Remove a list, if the store answers; otherwise ``snakemake-grid clean`` does it."""
        with contextlib.suppress(GridError):
            await in_thread(self._store.withdraw, [_name(bundle)])

    def _add(self, bundle: str, jobs: Collection[str]) -> set[str]:
        listed = self._read(bundle) | {*jobs}
        self._write(bundle, listed)
        return listed

    def _read(self, bundle: str) -> set[str]:
        path = self._folder / _name(bundle)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if self._store.fetch_posted(path.name, path, _MOST_BYTES):
                return set(map(str, json.loads(path.read_text())))
        except (UntrustedError, ValueError, TypeError) as error:
            error_log.write(f"the cancelled jobs of bundle {bundle}", error)
        finally:
            path.unlink(missing_ok=True)
        return set()

    def _write(self, bundle: str, jobs: Collection[str]) -> str:
        return self._store.post_text(_name(bundle), json.dumps(sorted(jobs)), self._folder)


def _name(bundle: str) -> str:
    return f"{bundle}.cancelled.json"

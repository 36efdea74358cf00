"""Starts the workers of a local site: as new processes, or as forks of a warm process."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from ...worker.description import JOB_FILE, WORKER_LOG
from . import config as names
from .config import Config
from .isolation import hide
from .warm_process import WarmProcess


class Starter:
    """Starts workers, each in a new session."""

    def __init__(self, folder: Path, config: Config) -> None:
        """Start nothing yet.

        Args:
            folder: Of the site.
            config: Its settings.
        """
        self._folder = folder
        self._config = config
        self._reaping: set[asyncio.Task[int]] = set()
        self._warm = WarmProcess(folder, config, snakemake=False)
        self._warm_snakemake = WarmProcess(folder, config, snakemake=True)

    async def start(self, folder: Path) -> int:
        """Start the worker of a job.

        Args:
            folder: The job's sandbox.

        Returns:
            The id of its process, which the kernel or this class reaps.

        Raises:
            OSError: It cannot be started.
        """
        if self._config.warm:
            warm = self._warm_snakemake if _needs_snakemake(folder) else self._warm
            pid = await warm.fork(folder)
            if pid is not None:
                return pid
        return await self._start_cold(folder)

    async def _start_cold(self, folder: Path) -> int:
        hidden, kept = self._config.hidden, [Path(path) for path in self._config.kept]

        def isolate() -> None:
            if hidden:
                hide(Path(hidden), kept)

        with (folder / WORKER_LOG).open("ab") as stream:
            process = await asyncio.create_subprocess_exec(
                self._config.python,
                *("-S", "-I"),  # it starts in half the time
                str(self._folder / names.WORKER_FILE),
                str(folder),
                cwd=folder,
                env=self._config.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                preexec_fn=isolate,
            )
        task = asyncio.create_task(process.wait())
        self._reaping.add(task)
        task.add_done_callback(self._reaping.discard)
        return process.pid

    async def warm_up(self) -> None:
        """Start the warm process for decided jobs, if that is enabled, before the first job."""
        if self._config.warm:
            await self._warm.start()

    async def close(self) -> None:
        """End the warm processes; workers go on."""
        await self._warm.close()
        await self._warm_snakemake.close()


def _needs_snakemake(folder: Path) -> bool:
    """Return whether the job of a sandbox runs Snakemake."""
    try:
        job = json.loads((folder / JOB_FILE).read_text())
        return any(one["decision"] is None for one in job["members"] or [job])
    except (OSError, ValueError, KeyError, TypeError):
        return True  # the worker tells what is wrong with it

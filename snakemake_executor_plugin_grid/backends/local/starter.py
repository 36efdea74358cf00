"""Starts the workers of a local site: as new processes, or as forks of a warm process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from pathlib import Path

from . import config as names
from .config import Config
from .isolation import hide

log = logging.getLogger("snakemake-grid-site")

_RESTART_WARM = 2
# This package may be where only the controller's PYTHONPATH finds it, and the interpreter may have
# another version of it. Its folder does not come first in sys.path: what else is there could take
# the place of modules of the standard library.
_WARM = f"""
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
sys.path.append(sys.argv[1])
spec = PathFinder.find_spec({__package__.partition(".")[0]!r}, [sys.argv[1]])
sys.modules[spec.name] = package = module_from_spec(spec)
spec.loader.exec_module(package)
import {__package__}.warm as warm
warm.main(Path(sys.argv[2]))
"""
_PACKAGES = str(Path(__file__).parents[3])


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
        self._warm: asyncio.subprocess.Process | None = None
        self._warm_lock = asyncio.Lock()
        self._warm_starts = 0

    async def start(self, folder: Path) -> int:
        """Start the worker of a job.

        Args:
            folder: The job's sandbox.

        Returns:
            The id of its process, which the kernel or this class reaps.

        Raises:
            OSError: It cannot be started.
        """
        if self._config.warm and self._warm_starts <= _RESTART_WARM:
            pid = await self._fork_warm(folder)
            if pid is not None:
                return pid
        return await self._start_cold(folder)

    async def _start_cold(self, folder: Path) -> int:
        hidden, kept = self._config.hidden, [Path(path) for path in self._config.kept]

        def isolate() -> None:
            if hidden:
                hide(Path(hidden), kept)

        with (folder / "worker.log").open("ab") as stream:
            process = await asyncio.create_subprocess_exec(
                self._config.python,
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

    async def _fork_warm(self, folder: Path) -> int | None:
        """Let the warm process fork a worker; return None if it cannot."""
        async with self._warm_lock:
            process = self._warm
            if process is None or process.returncode is not None:
                await self._launch_warm()
                process = self._warm
            if process is None or process.stdin is None or process.stdout is None:
                return None
            try:
                process.stdin.write(json.dumps({"folder": str(folder)}).encode() + b"\n")
                await process.stdin.drain()
                # If it hangs, there must be time left for a start without it.
                reply = await asyncio.wait_for(
                    process.stdout.readline(), self._config.start_limit / 2
                )
                return process_id(json.loads(reply)["pid"])
            except (ConnectionError, TimeoutError, LookupError, TypeError, ValueError) as error:
                log.warning("the warm process failed: %r", error)
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                return None

    async def warm_up(self) -> None:
        """Start the warm process, if it is enabled, before the first job."""
        async with self._warm_lock:
            if self._config.warm and self._warm is None:
                await self._launch_warm()

    async def close(self) -> None:
        """End the warm process; workers go on."""
        if self._warm is not None and self._warm.returncode is None:
            self._warm.kill()
            await self._warm.wait()

    def _interpreter(self) -> str:
        """Return the program that a new worker would find as ``python``."""
        python = Path(self._config.python).with_name("python")
        return str(python) if python.exists() else sys.executable

    async def _launch_warm(self) -> None:
        self._warm_starts += 1
        if self._warm_starts > _RESTART_WARM:
            log.warning("the warm process does not stay alive: starting workers afresh")
            self._warm = None
            return
        with (self._folder / names.LOG_FILE).open("ab") as stream:
            self._warm = await asyncio.create_subprocess_exec(
                self._interpreter(),
                "-c",
                _WARM,
                _PACKAGES,
                str(self._folder),
                cwd=self._folder,
                env=self._config.environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stream,
                start_new_session=True,
            )


def process_id(value: object) -> int:
    """Return the id of a process that may be killed: 0, 1 and negative ones stand for many.

    Raises:
        ValueError: It is none.
    """
    if type(value) is not int or value <= 1:
        raise ValueError(f"{value!r:.100} is no id of a process")
    return value

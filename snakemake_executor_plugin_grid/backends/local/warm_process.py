"""A process that has imported what workers need, and forks one for each job."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from pathlib import Path

from . import config as names
from .config import Config

log = logging.getLogger("snakemake-grid-site")

_RESTARTS = 2
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
warm.main(Path(sys.argv[2]), snakemake=sys.argv[3] == "snakemake")
"""
_PACKAGES = str(Path(__file__).parents[3])


class WarmProcess:
    """Starts the process, talks to it, and replaces it if it dies or hangs."""

    def __init__(self, folder: Path, config: Config, *, snakemake: bool) -> None:
        """Start nothing yet.

        Args:
            folder: Of the site.
            config: Its settings.
            snakemake: Whether it imports Snakemake, too.
        """
        self._folder = folder
        self._config = config
        self._snakemake = snakemake
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()
        self._starts = 0

    async def start(self) -> None:
        """Start it, if it has not been started."""
        async with self._lock:
            if self._process is None and not self._given_up:
                await self._launch()

    async def fork(self, folder: Path) -> int | None:
        """Let it fork the worker of a job; return its process id, None if that fails.

        Args:
            folder: The job's sandbox.
        """
        async with self._lock:
            process = self._process
            if (process is None or process.returncode is not None) and not self._given_up:
                await self._launch()
                process = self._process
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

    async def close(self) -> None:
        """End it; workers go on."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    @property
    def _given_up(self) -> bool:
        return self._starts > _RESTARTS

    async def _launch(self) -> None:
        self._starts += 1
        if self._given_up:
            log.warning("the warm process does not stay alive: starting workers afresh")
            self._process = None
            return
        with (self._folder / names.LOG_FILE).open("ab") as stream:
            self._process = await asyncio.create_subprocess_exec(
                self._interpreter(),
                *("-c", _WARM, _PACKAGES, str(self._folder)),
                "snakemake" if self._snakemake else "worker",
                cwd=self._folder,
                env=self._config.environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stream,
                start_new_session=True,
            )

    def _interpreter(self) -> str:
        """Return the program that a new worker would find as ``python``."""
        python = Path(self._config.python).with_name("python")
        return str(python) if python.exists() else sys.executable


def process_id(value: object) -> int:
    """Return the id of a process that may be killed: 0, 1 and negative ones stand for many.

    Raises:
        ValueError: It is none.
    """
    if type(value) is not int or value <= 1:
        raise ValueError(f"{value!r:.100} is no id of a process")
    return value

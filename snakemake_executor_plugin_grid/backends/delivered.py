"""Fetches the report and the log that a worker has sent to the store."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ..model.report import MOST_BYTES
from ..model.untrusted import UntrustedError
from ..resilience.calls import retry_async
from ..resilience.threads import in_thread
from ..stores.base import PrivateFiles
from ..worker.description import LOG_FILE, REPORT_FILE
from ..worker.transfer.errors import PassingError

_REPORT_PAUSES = (0.5, 2.0)
_LARGEST_LOG = 1 << 30


async def fetch_report(store: PrivateFiles, job: str, folder: Path) -> bool:
    """Fetch the report of a job into a folder; return whether it exists.

    Raises:
        UntrustedError: It is too large.
        TransientError: The store does not answer.
    """

    async def attempt() -> None:
        target = folder / REPORT_FILE
        if not await in_thread(store.fetch_file, job, REPORT_FILE, target, MOST_BYTES):
            raise PassingError("the report is missing")  # stores may show files late

    try:
        await retry_async(attempt, _REPORT_PAUSES, PassingError, asyncio.sleep)
    except PassingError:
        return False
    return True


async def fetch_log(store: PrivateFiles, job: str, folder: Path) -> bool:
    """Fetch the log of a job into a folder; return whether it exists.

    Raises:
        TransientError: The store does not answer.
    """
    target = folder / LOG_FILE
    try:
        return await in_thread(store.fetch_file, job, LOG_FILE, target, _LARGEST_LOG)
    except UntrustedError as error:  # the outputs may be good
        await asyncio.to_thread(target.write_text, f"not fetched: {error}\n")
        return True

"""What carries jobs through, put together once for a run."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..backends.base import Backend
from ..journal.writer import Journal
from ..resilience.outages import Outages
from ..staging.paths import Layout
from ..staging.upload import Upload
from ..stores import Stores
from .landing import Landing


@dataclass(frozen=True)
class Parts:
    """What a controller is put together from.

    Attributes:
        backend: Runs the jobs.
        stores: Through which files travel.
        journal: Notes every effect.
        layout: Of the submit host.
        upload: Stages in.
        landing: Stages out.
        pool: Threads for what blocks.
        worker: The worker program.
        folder: Of this package below the working directory.
        keep_incomplete: Whether outputs of failed jobs come back.
        large_file: Bytes from which on a file travels alone.
        compression: Of tarballs.
        lost_limit: Seconds after which a job that the backend does not name is given up.
        retries: How often a job is sent again that the infrastructure has failed.
        outages: Waits for the backend.
        say: Shows a line to the user.
    """

    backend: Backend
    stores: Stores
    journal: Journal
    layout: Layout
    upload: Upload
    landing: Landing
    pool: ThreadPoolExecutor
    worker: Path
    folder: Path
    keep_incomplete: bool
    large_file: int
    compression: str
    lost_limit: float
    retries: int
    outages: Outages
    say: Callable[[str], None]

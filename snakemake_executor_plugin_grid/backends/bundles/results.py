"""Brings back reports and logs of single jobs of a bundle.

They come in one of two ways: each job sends its own to the store when it ends, or all of them come
with the results of the bundle, as the system's output sandbox has no other way.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path

from ...console import error_log
from ...console.job_logs import read_text
from ...model.errors import PermanentError
from ...model.report import MOST_BYTES, load_report
from ...model.untrusted import UntrustedError, copy_untrusted, is_regular, path_below
from ...resilience.threads import in_thread
from ...stores import Stores
from ...stores.base import PrivateFiles
from ...worker.archive.member import TarballError
from ...worker.archive.unpack import unpack
from ...worker.description import DELIVERY_FOLDER, LOG_FILE, REPORT_FILE
from ...worker.report import SUCCESS
from ..base import Backend
from ..delivered import fetch_log, fetch_report
from ..packaging import copy_results, read_logs

_AT_A_TIME = 8  # questions to the store


class MemberResults(ABC):
    """Where the results of single jobs are."""

    @abstractmethod
    async def reported(self, bundles: Sequence[Sequence[str]], side_by_side: int) -> set[str]:
        """Return the jobs of running bundles whose reports are there.

        Args:
            bundles: The jobs of each whose reports were not there, in their order.
            side_by_side: How many jobs of a bundle run at a time.
        """

    @abstractmethod
    async def collect(self, bundle: str, bundle_id: str, jobs: Collection[str]) -> set[str]:
        """Return the jobs of a bundle that has ended whose reports are there.

        Args:
            bundle: Name of the bundle.
            bundle_id: Its id.
            jobs: Its jobs.

        Raises:
            TransientError: The server does not answer.
        """

    @abstractmethod
    async def retrieve(self, bundle: str, bundle_id: str, job: str, folder: Path) -> None:
        """Copy the report and the log of a job into a folder, if they exist."""

    @abstractmethod
    async def logs(self, bundle: str, job: str) -> str:
        """Return the output of a job that is known so far."""

    async def forget(self, bundle: str) -> None:
        """Release what is kept for a bundle."""
        return


class ReportsInStore(MemberResults):
    """Each job sends its report to the store."""

    def __init__(self, store: PrivateFiles, folder: Path) -> None:
        """Fetch nothing yet.

        Args:
            store: Takes the reports.
            folder: For temporary files.
        """
        self.store = store
        self._folder = folder

    async def reported(self, bundles: Sequence[Sequence[str]], side_by_side: int) -> set[str]:
        """Ask for the jobs that should be the next to end."""
        slots = asyncio.Semaphore(_AT_A_TIME)

        async def of(jobs: Sequence[str]) -> set[str]:
            async with slots:
                return await in_thread(self._reported, jobs, side_by_side)

        answers = await asyncio.gather(*map(of, bundles), return_exceptions=True)
        found = [one for one in answers if not isinstance(one, BaseException)]
        errors = [one for one in answers if isinstance(one, BaseException)]
        if errors and not found:
            raise errors[0]
        return set().union(*found)

    async def collect(self, bundle: str, bundle_id: str, jobs: Collection[str]) -> set[str]:
        """Ask for all of them."""
        return await in_thread(self._reported, jobs, len(jobs))

    def _reported(self, jobs: Collection[str], side_by_side: int) -> set[str]:
        found: set[str] = set()
        missing = 0
        for job in jobs:
            if self._is_reported(job):
                found.add(job)
                continue
            missing += 1
            if missing == side_by_side:
                break
        return found

    def _is_reported(self, job: str) -> bool:
        target = self._folder / f"{job}.report"
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            return self.store.fetch_file(job, REPORT_FILE, target, MOST_BYTES)
        except UntrustedError:
            return True  # whoever fetches it says what is wrong
        finally:
            target.unlink(missing_ok=True)

    async def retrieve(self, bundle: str, bundle_id: str, job: str, folder: Path) -> None:
        """Fetch both from the store."""
        await fetch_report(self.store, job, folder)
        await fetch_log(self.store, job, folder)

    async def logs(self, bundle: str, job: str) -> str:
        """Fetch the log."""
        with tempfile.TemporaryDirectory() as folder:
            await fetch_log(self.store, job, Path(folder))
            return await asyncio.to_thread(read_text, Path(folder) / LOG_FILE)


class ReportsInSandbox(MemberResults):
    """The reports of all jobs are outputs of their bundle, and come when it has ended."""

    def __init__(self, backend: Backend, folder: Path) -> None:
        """Fetch nothing yet.

        Args:
            backend: Has the bundles.
            folder: Gets their results.
        """
        self._backend = backend
        self._folder = folder
        self._locks: dict[str, asyncio.Lock] = {}

    async def reported(self, bundles: Sequence[Sequence[str]], side_by_side: int) -> set[str]:
        """Return nothing."""
        return set()

    async def collect(self, bundle: str, bundle_id: str, jobs: Collection[str]) -> set[str]:
        """Fetch the results of the bundle, once."""
        folder = await self._fetch(bundle, bundle_id)
        return await in_thread(_whole, bundle, folder, jobs)

    async def _fetch(self, bundle: str, bundle_id: str) -> Path:
        folder = path_below(self._folder, bundle)
        async with self._locks.setdefault(bundle, asyncio.Lock()):
            if not await asyncio.to_thread((folder / "members").is_dir):
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
                await asyncio.to_thread(folder.mkdir, parents=True)
                await self._backend.retrieve(bundle_id, folder)
                await in_thread(_unpack, bundle, folder)
        return folder

    async def retrieve(self, bundle: str, bundle_id: str, job: str, folder: Path) -> None:
        """Copy report, log and outputs."""
        await in_thread(_copy, await self._fetch(bundle, bundle_id), job, folder)

    async def logs(self, bundle: str, job: str) -> str:
        """Read the log, if it was fetched."""
        return await asyncio.to_thread(read_logs, _of(path_below(self._folder, bundle), job))

    async def forget(self, bundle: str) -> None:
        """Remove what was fetched."""
        self._locks.pop(bundle, None)
        await asyncio.to_thread(shutil.rmtree, path_below(self._folder, bundle), ignore_errors=True)


def results_of(backend: Backend, stores: Stores, folder: Path) -> MemberResults | None:
    """Return where reports of single jobs are found; None if there is no way for them."""
    if isinstance(stores.results, PrivateFiles):
        return ReportsInStore(stores.results, folder)
    if backend.brings_files and stores.results.by_system:
        return ReportsInSandbox(backend, folder)
    return None


def _of(folder: Path, job: str) -> Path:
    return path_below(folder / "members", job)


def _whole(bundle: str, folder: Path, jobs: Collection[str]) -> set[str]:
    """Return the jobs whose reports are there.

    Of a bundle that has failed, DIRAC stores no outputs on a storage element.
    """
    found = {job for job in jobs if is_regular(_of(folder, job) / REPORT_FILE)}
    try:
        if load_report(folder / REPORT_FILE).reason == SUCCESS:
            return found
    except (OSError, UntrustedError):
        pass
    return {job for job in found if _has_outputs(folder, job)}


def _has_outputs(folder: Path, job: str) -> bool:
    try:
        digests = load_report(_of(folder, job) / REPORT_FILE).blobs
    except (OSError, UntrustedError):
        return True  # whoever reads it says what is wrong
    return all(is_regular(path_below(folder / DELIVERY_FOLDER, digest)) for digest in digests)


def _unpack(bundle: str, folder: Path) -> None:
    """Unpack reports and logs of the jobs; damaged ones count as missing."""
    part = folder / "part"
    part.mkdir()
    try:
        report = load_report(folder / REPORT_FILE)
        if report.name != bundle:
            raise UntrustedError(f"it is that of job {report.name}")
        for digest in report.blobs:
            items = [item for item in report.returned if item.blob == digest]
            archive = path_below(folder / DELIVERY_FOLDER, digest)
            if any(item.raw for item in items):  # a long log
                name = items[0].member.name.partition("/")[2]
                path_below(part, name).parent.mkdir(exist_ok=True)
                copy_untrusted(archive, path_below(part, name))
            elif items:
                unpack(
                    archive,
                    {"work": part},
                    digest=digest,
                    compression=_compression(archive),
                    manifest={item.member.name: item.member for item in items},
                    follow=False,
                )
    except FileNotFoundError:
        pass  # it ended before it could report
    except (UntrustedError, TarballError, ValueError) as error:
        error_log.write(f"the results of bundle {bundle}", PermanentError(str(error)))
    part.replace(folder / "members")


def _compression(archive: Path) -> str:
    with archive.open("rb") as stream:
        start = stream.read(4)
    if start.startswith(b"\x1f\x8b"):
        return "gzip"
    return "zstd" if start == b"\x28\xb5\x2f\xfd" else "none"


def _copy(fetched: Path, job: str, folder: Path) -> None:
    source = _of(fetched, job)
    if not source.is_dir() or source.is_symlink():
        return
    copy_results(source, folder)
    try:
        digests = load_report(source / REPORT_FILE).blobs
    except (OSError, UntrustedError):
        return  # whoever reads the copy says so
    (folder / DELIVERY_FOLDER).mkdir(exist_ok=True)
    for digest in digests:
        with contextlib.suppress(FileNotFoundError):
            copy_untrusted(
                path_below(fetched / DELIVERY_FOLDER, digest), folder / DELIVERY_FOLDER / digest
            )

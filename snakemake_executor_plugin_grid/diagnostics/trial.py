"""All checks, in the order of the steps of a run."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ..backends.base import Backend
from ..backends.registry import equip
from ..cli.workflow import open_database, run_is_on
from ..journal.catalog import Catalog
from ..journal.database import FOLDER, Database
from ..resilience.calls import with_timeout
from ..settings.options import ExecutorSettings
from ..settings.validate import check as check_settings
from ..stores import Store
from .findings import Findings, Told
from .hello import check_job
from .host import check_directory, check_lock, check_room, check_snakemake_lock, check_versions
from .server import OPTIONS, SERVER, check_backend
from .storing import check_store

DIRECTORY = "directory"
STORE = "store"
_CLOSING = 10.0


class Trial:
    """The checks of one directory and one set of options.

    They work in a separate folder, so that an active run is not disturbed.
    """

    def __init__(
        self,
        findings: Findings,
        settings: ExecutorSettings,
        workdir: Path,
        scratch: Path,
        database: Database,
        note: Callable[[str], None],
    ) -> None:
        """Prepare the checks.

        Args:
            findings: Takes the results.
            settings: Options of the run.
            workdir: Working directory of the workflow.
            scratch: A new folder.
            database: A new database.
            note: Shows the progress of a long check.
        """
        self._findings = findings
        self._settings = settings
        self._workdir = workdir
        self._scratch = scratch
        self._database = database
        self._note = note
        self._equipment: tuple[Backend, Store] | None = None

    async def make(self, *, submit: bool, minutes: float) -> None:
        """Run all checks.

        Args:
            submit: Whether to submit a job.
            minutes: Time limit of the job.
        """
        findings, workdir = self._findings, self._workdir
        await findings.attempt(OPTIONS, self._options)
        await findings.attempt("versions", partial(asyncio.to_thread, check_versions))
        await findings.attempt(DIRECTORY, partial(asyncio.to_thread, check_directory, workdir))
        await findings.attempt("disk", partial(asyncio.to_thread, check_room, workdir), DIRECTORY)
        running = run_is_on(workdir / FOLDER)
        for name, check in (("lock", check_lock), ("Snakemake's lock", check_snakemake_lock)):
            call = partial(asyncio.to_thread, check, workdir, running)
            await findings.attempt(name, call, DIRECTORY)
        await self._outside(submit=submit, minutes=minutes)

    async def _options(self) -> Told:
        """Check the options, and create backend and store as a run does."""
        settings, scratch, database = self._settings, self._scratch, self._database
        check_settings(settings, self._workdir)
        workdir = scratch / "workdir"
        workdir.mkdir()
        backend, store, outages = equip(
            settings, workdir, scratch / "grid", database, Catalog(database), lambda _: None
        )
        outages.use_loop(asyncio.get_running_loop())
        outages.stop()  # the user waits for the result: no waiting for a server
        self._equipment = backend, store
        shown = settings.backend
        if settings.backend == "dirac" and settings.dirac_mode == "local":
            shown = "dirac in local mode"
        return Told(f"backend {shown}, store {settings.store or 'of the backend'}")

    async def _outside(self, *, submit: bool, minutes: float) -> None:
        findings, settings = self._findings, self._settings
        if self._equipment is None:
            for name in (SERVER, STORE):
                await findings.attempt(name, _never, OPTIONS)
        else:
            backend, store = self._equipment
            try:
                await check_backend(findings, settings, backend, self._workdir, self._scratch)
                needs = () if self._independent() else (SERVER,)
                await findings.attempt(
                    STORE, partial(check_store, settings, backend, store, self._scratch), *needs
                )
            finally:
                with contextlib.suppress(Exception):
                    await with_timeout(backend.close(), _CLOSING)
        if submit:
            with _terminable():
                call = partial(check_job, settings, minutes, self._note)
                await findings.attempt("job", call, SERVER, STORE)

    def _independent(self) -> bool:
        """Return whether the store works without the backend."""
        return self._settings.store is not None and not self._settings.store.startswith("lfn:")


async def _never() -> Told:
    raise AssertionError("options were not checked")


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM cancel the job as Ctrl-C does."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is not None:
        with contextlib.suppress(RuntimeError, ValueError):  # not in the main thread
            loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        with contextlib.suppress(RuntimeError, ValueError):
            loop.remove_signal_handler(signal.SIGTERM)


def try_all(
    findings: Findings,
    settings: ExecutorSettings,
    workdir: Path,
    note: Callable[[str], None],
    *,
    submit: bool = False,
    minutes: float = 60.0,
) -> None:
    """Run all checks; see ``Trial``."""
    with contextlib.ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="grid-check-", ignore_cleanup_errors=True)
        scratch = Path(stack.enter_context(temporary))
        database = stack.enter_context(open_database(scratch))
        trial = Trial(findings, settings, workdir, scratch, database, note)
        asyncio.run(trial.make(submit=submit, minutes=minutes))

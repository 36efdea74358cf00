"""All checks, in the order of the steps of a run."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ..backends.diagnostics import SERVER, Told
from ..backends.kind import BackendSetup
from ..backends.registry import check_options, for_backend, make_backend
from ..journal.catalog import Catalog
from ..journal.database import FOLDER, Database, open_database
from ..journal.lock import is_locked
from ..model.backend_names import backend_names
from ..resilience.calls import with_timeout
from ..settings.options import ExecutorSettings
from .findings import Findings
from .hello import check_job
from .host import check_directory, check_lock, check_room, check_snakemake_lock, check_versions
from .storing import check_stores

OPTIONS = "options"
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
        open_journal: Callable[[Path], Database],
        note: Callable[[str], None],
    ) -> None:
        """Prepare the checks.

        Args:
            findings: Takes the results.
            settings: Options of the run.
            workdir: Working directory of the workflow.
            scratch: A new folder.
            open_journal: Makes a database in a folder.
            note: Shows the progress of a long check.
        """
        self._findings = findings
        self._settings = settings
        self._workdir = workdir
        self._scratch = scratch
        self._open_journal = open_journal
        self._note = note
        self._setups: dict[str, BackendSetup] = {}

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
        running = is_locked(workdir / FOLDER)
        for name, check in (("lock", check_lock), ("Snakemake's lock", check_snakemake_lock)):
            call = partial(asyncio.to_thread, check, workdir, running)
            await findings.attempt(name, call, DIRECTORY)
        await self._outside(submit=submit, minutes=minutes)

    async def _options(self) -> Told:
        """Check the options, and create backend and store as a run does."""
        settings, scratch = self._settings, self._scratch
        notes = check_options(settings, self._workdir)
        workdir = scratch / "workdir"
        workdir.mkdir()
        for name in backend_names(settings.backend):
            folder, own = scratch / "grid" / name, for_backend(settings, name)
            database = self._open_journal(folder)  # the check of one store forgets what it made
            setup = make_backend(own, workdir, folder, database, Catalog(database), lambda _: None)
            setup.outages.use_loop(asyncio.get_running_loop())
            setup.outages.stop()  # the user waits for the result: no waiting for a server
            self._setups[name] = setup
        shown = settings.backend
        if settings.backend == "dirac" and settings.dirac_mode == "local":
            shown = "dirac in local mode"
        text = f"backend {shown}, store {settings.store or 'of the backend'}"
        return Told("\n".join([text, *notes]), warning=bool(notes))

    async def _outside(self, *, submit: bool, minutes: float) -> None:
        names = backend_names(self._settings.backend)
        for name in names:
            # Each backend has findings of its own.
            prefix = f"{name}: " if len(names) > 1 else ""
            await self._try_backend(name, prefix)
            if submit:
                settings = for_backend(self._settings, name)
                with _terminable():
                    call = partial(check_job, settings, minutes, self._note)
                    needs = (f"{prefix}{SERVER}", f"{prefix}{STORE}")
                    await self._findings.attempt(f"{prefix}job", call, *needs)

    async def _try_backend(self, name: str, prefix: str) -> None:
        findings, settings, setup = self._findings, self._settings, self._setups.get(name)
        if setup is None:
            for finding in (SERVER, STORE):
                await findings.attempt(f"{prefix}{finding}", _never, OPTIONS)
            return
        scratch = self._scratch / "empty" / name if prefix else self._scratch
        scratch.mkdir(parents=True, exist_ok=True)
        try:
            for one in setup.diagnostics(self._workdir, scratch):
                needs = tuple(f"{prefix}{need}" for need in one.needs) or (OPTIONS,)
                await findings.attempt(f"{prefix}{one.name}", one.check, *needs)
            separate = settings.store is not None and setup.try_store is None
            call = partial(check_stores, settings.store or "", setup, scratch)
            await findings.attempt(
                f"{prefix}{STORE}", call, *(() if separate else (f"{prefix}{SERVER}",))
            )
        finally:
            with contextlib.suppress(Exception):
                await with_timeout(setup.backend.close(), _CLOSING)


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

        def open_journal(folder: Path) -> Database:
            folder.mkdir(parents=True)
            return stack.enter_context(open_database(folder))

        trial = Trial(findings, settings, workdir, scratch, open_journal, note)
        asyncio.run(trial.make(submit=submit, minutes=minutes))

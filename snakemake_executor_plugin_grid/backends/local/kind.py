"""The local backend as one of the backends: its options, and how it is made."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ...settings.choices import ISOLATIONS
from ...settings.options import ExecutorSettings
from ...settings.validate import bad_choices, bad_numbers, bad_programs
from ..diagnostics import NO_JOB, SERVER, Diagnostic, Told
from ..kind import BackendKind, BackendSetup, Workspace

if TYPE_CHECKING:
    from .backend import LocalBackend


class LocalKind(BackendKind):
    """A small grid site on this machine."""

    name = "local"
    options = ("local_dir", "local_cores", "local_mem_mb", "local_python")
    without_effect = ("site", "banned_sites")

    def problems(self, settings: ExecutorSettings, workdir: Path) -> list[str]:
        """Check the folder and the sizes of the site."""
        problems = bad_choices(settings, local_isolation=ISOLATIONS)
        problems += bad_numbers(settings, local_cores=1, local_mem_mb=1)
        problems += bad_programs(settings, "local_python")
        folder = settings.local_dir
        if folder is not None and folder.resolve().is_relative_to(workdir.resolve()):
            problems.append(
                f"--grid-local-dir {folder}: is below the working directory, which jobs must not "
                "see; choose a folder elsewhere."
            )
        return problems

    def make(self, settings: ExecutorSettings, workspace: Workspace) -> BackendSetup:
        """Make the backend, for the site that has the jobs of the last run if there is one."""
        from ...journal.writer import Journal
        from ...stores import Stores
        from .backend import LocalBackend

        endpoint = Journal(workspace.database, "", self.name).last_endpoint()
        backend = LocalBackend(
            settings, workspace.workdir, guest=workspace.guest, endpoint=endpoint
        )
        outages = workspace.outages_of(settings, backend)
        store = workspace.open_store(settings, outages, backend.store_folder)
        diagnose = partial(_diagnose, backend, settings)
        return BackendSetup(backend, Stores(store, store), outages, diagnose)

    def why_unreachable(self, settings: ExecutorSettings, host: str) -> str:
        """Refuse on other hosts: the site is on that of the run."""
        if host != socket.gethostname():
            return f"local: its jobs run on {host}; only commands on that host can ask for them."
        return ""


def _diagnose(
    backend: LocalBackend, settings: ExecutorSettings, workdir: Path, _: Path
) -> Sequence[Diagnostic]:
    return (Diagnostic(SERVER, partial(_check_site, backend, settings, workdir)),)


async def _check_site(backend: LocalBackend, settings: ExecutorSettings, workdir: Path) -> Told:
    """Start a site and ask for an unknown job; look whether jobs can be isolated."""
    from .backend import LocalBackend

    await backend.check()
    await backend.find([NO_JOB])
    # For the workflow's directory; a site that is active for it is left alone.
    config = LocalBackend(settings, workdir, guest=True).config
    text = f"a local site starts, for {config.cores} processor(s) and {config.mem_mb} MB"
    if config.hidden:
        return Told(f"{text}; its jobs do not see {workdir}")
    asked = settings.local_isolation == "off"
    why = "as --grid-local-isolation off says" if asked else "as the kernel hides nothing here"
    return Told(f"{text}; its jobs see {workdir}, {why}")


KIND = LocalKind()

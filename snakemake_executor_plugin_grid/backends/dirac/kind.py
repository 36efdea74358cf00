"""DIRAC as one of the backends: its options, and how it is made."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

from ...journal.catalog import Catalog
from ...journal.database import Database
from ...settings.choices import DIRAC_INPUTS, DIRAC_MODES
from ...settings.options import ExecutorSettings
from ...settings.validate import bad_choices, bad_pythons
from ...stores.inventory import Inventory
from ..kind import BackendKind, BackendSetup, Workspace

_SCHEME = "lfn"


class DiracKind(BackendKind):
    """A DIRAC server, or DIRAC's local mode."""

    name = "dirac"
    options = (
        *("tags", "job_type", "jdl", "dirac_python", "dirac_storage_element"),
        *("platform", "priority"),
    )
    store_schemes = (_SCHEME,)
    client = "the DIRAC client"

    def problems(self, settings: ExecutorSettings, workdir: Path) -> list[str]:
        """Check what goes together with storage elements and with the local mode."""
        problems = bad_choices(settings, dirac_mode=DIRAC_MODES, dirac_inputs=DIRAC_INPUTS)
        problems += bad_pythons(settings, "dirac_python")
        remote = (settings.store or "").startswith(f"{_SCHEME}:")
        if remote and settings.backend != self.name:
            problems.append("--grid-store lfn:…: needs --grid-backend dirac.")
        elif remote and not settings.dirac_storage_element:
            problems.append("--grid-store lfn:…: needs --grid-dirac-storage-element as well.")
        if settings.dirac_storage_element and settings.store and not remote:
            problems.append(
                "--grid-dirac-storage-element: files would go through --grid-store "
                f"{settings.store} instead; remove one of the two."
            )
        on_server = settings.backend == self.name and settings.dirac_mode == "server"
        stored = settings.dirac_storage_element or settings.store
        if on_server and settings.runtime == "wheels" and not stored:
            problems.append(
                "--grid-runtime wheels: the packages do not fit into a sandbox of DIRAC; give "
                "--grid-dirac-storage-element as well."
            )
        if settings.dirac_mode == "local":
            problems += _problems_of_local_mode(settings)
        if not 0 < settings.dirac_cpu_power < math.inf:
            problems.append(
                f"--grid-dirac-cpu-power: has to be more than 0, not {settings.dirac_cpu_power:g}."
            )
        return problems

    def why_alone(self, settings: ExecutorSettings) -> str:
        """Refuse others beside the local mode, which uses no store."""
        if settings.dirac_mode == "local":
            return "--grid-dirac-mode local: cannot be one of several backends."
        return ""

    def make(self, settings: ExecutorSettings, workspace: Workspace) -> BackendSetup:
        """Make the backend for a server, or that for the local mode."""
        from .factory import make, make_local_mode

        return (make_local_mode if settings.dirac_mode == "local" else make)(settings, workspace)

    def why_unreachable(self, settings: ExecutorSettings, host: str) -> str:
        """Refuse for the local mode: its jobs end with the run."""
        if settings.dirac_mode == "local":
            return "dirac-local: only the run itself knows its jobs, which end with it."
        return ""

    @contextlib.contextmanager
    def open_inventory(
        self, catalog: Catalog, database: Database, folder: Path, python: Path
    ) -> Iterator[Inventory | None]:
        """Return what finds files on storage elements, if the workflow has put any there."""
        urls = (*catalog.locations(), *catalog.stores())
        if not any(url.startswith(f"{_SCHEME}:") for url in urls):
            yield None
            return
        from .inventory import open_inventory

        with open_inventory(catalog, database, folder, python) as inventory:
            yield inventory


def _problems_of_local_mode(settings: ExecutorSettings) -> list[str]:
    problems = [
        f"{option}: jobs of --grid-dirac-mode local end with the run, and cannot be left."
        for option, given in (
            ("--grid-detach", settings.detach),
            ("--grid-on-interrupt keep", settings.on_interrupt == "keep"),
        )
        if given
    ]
    if settings.dirac_storage_element:
        problems.append(
            "--grid-dirac-mode local: uses no storage element; remove --grid-dirac-storage-element."
        )
    if settings.store:
        problems.append("--grid-dirac-mode local: uses no store; remove --grid-store.")
    return problems


KIND = DiracKind()

"""PanDA as one of the backends: its options, and how it is made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...console.format import sentence
from ...model.errors import PermanentError
from ...settings.choices import PANDA_ROUTES, PANDA_SECRETS
from ...settings.options import ExecutorSettings
from ...settings.validate import bad_choices, bad_pythons
from ..kind import BackendKind, BackendSetup, Workspace


class PandaKind(BackendKind):
    """A PanDA server."""

    name = "panda"
    options = (
        *("panda_python", "panda_vo", "panda_working_group", "panda_cloud"),
        *("panda_transformation", "panda_container", "panda_task", "panda_monitor"),
        "panda_rse_sites",
        *("platform", "priority"),
    )
    client = "panda-client"

    def problems(self, settings: ExecutorSettings, workdir: Path) -> list[str]:
        """Check that there is a store, and the further task parameters."""
        problems = bad_choices(settings, panda_route=PANDA_ROUTES, panda_secrets=PANDA_SECRETS)
        problems += bad_pythons(settings, "panda_python")
        if settings.backend == self.name and settings.store is None and not settings.describe:
            problems.append(
                "--grid-store: PanDA needs one for the outputs of jobs; give a URL that you and "
                "the worker nodes can reach, such as file:///eos/…, s3://…, root://… or davs://…."
            )
        return problems + [sentence(error) for error in _refused(settings)]

    def make(self, settings: ExecutorSettings, workspace: Workspace) -> BackendSetup:
        """Make the backend."""
        from .factory import make

        return make(settings, workspace)


def _refused(settings: ExecutorSettings) -> Iterator[PermanentError]:
    """Yield what is wrong with options that are read as a whole."""
    from .rse_sites import read_rse_sites
    from .task import read_extra

    try:
        read_extra(settings.panda_task or "")
    except PermanentError as error:
        yield error
    try:
        if settings.panda_rse_sites is not None:
            read_rse_sites(settings.panda_rse_sites)
    except PermanentError as error:
        yield error


KIND = PandaKind()

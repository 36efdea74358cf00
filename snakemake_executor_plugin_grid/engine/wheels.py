"""Ships Python packages to worker nodes that do not have them: Snakemake, and those asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..settings.options import ExecutorSettings
from ..snakemake_api.workflow import WorkflowApi
from ..worker.description import Blob
from ..worker.runtime import Runtime
from .multi_controller import AnyController


class WheelShipper:
    """Stores the packages once for each version of Python."""

    def __init__(
        self,
        settings: ExecutorSettings,
        workflow_api: WorkflowApi,
        controller: AnyController,
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        """Ship nothing yet.

        Args:
            settings: Options of the run.
            workflow_api: Snakemake's workflow.
            controller: Stores the packages.
            folder: Of this package below the working directory.
            say: Shows a line to the user.
        """
        self._settings = settings
        self._workflow_api = workflow_api
        self._controller = controller
        self._folder = folder
        self._say = say
        self._blobs: dict[tuple[str, ...], Blob] = {}

    def ship(self, runtime: Runtime, *, snakemake: bool) -> Blob:
        """Store the packages for a runtime, if they are not stored yet.

        After a checkpoint the workflow may use more storage plugins than before.

        Args:
            runtime: Names the version of Python.
            snakemake: Whether Snakemake runs there: decided jobs get ``--grid-runtime-packages``
                only.
        """
        plugins = self._workflow_api.storage_plugins() if snakemake else []
        key = (runtime.python, str(snakemake), *plugins)
        if key not in self._blobs:
            from ..staging.wheels import WheelsSpec, build, default_packages

            settings = self._settings
            extra = tuple(settings.runtime_packages)
            spec = WheelsSpec(
                python=runtime.python,
                platform=settings.runtime_platform or "",
                packages=default_packages(extra, plugins) if snakemake else extra,
            )
            folder = build(spec, self._folder / "runtime", progress=self._say)
            self._blobs[key] = self._controller.call(self._controller.send_runtime(folder))
        return self._blobs[key]

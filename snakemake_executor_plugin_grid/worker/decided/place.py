"""Where a job runs: its folders, its runtime, and the environment of its commands."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..description import WORKDIR
from ..records import dataclass, field
from ..runtime import Runtime
from .decision import TMPDIR, Step, variable_mark
from .marks import fill_path

RUNTIME = "runtime"
"""Folder, in that of the job, for the packages of a runtime of kind ``wheels``."""
GRID_PYTHON = "GRID_PYTHON"
"""Variable with the Python for which these packages are."""
_THREADS = (
    *("OMP_NUM_THREADS", "GOTO_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    *("MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"),
)
_TMPDIRS = ("TMPDIR", "TMP", "TEMPDIR", "TEMP")


@dataclass(frozen=True)
class Place:
    """Where a job runs.

    Attributes:
        name: Of the job; the variable ``SNAKEMAKE_GRID_JOB`` has it.
        scratch: Folder of the job, absolute.
        cwd: The working directory, below it.
        env: The environment of the payload.
        runtime: The job's runtime.
        declared: Variables that ``envvars:`` names, with their values on the submit host.
    """

    name: str
    scratch: str
    cwd: str
    env: Mapping[str, str]
    runtime: Runtime
    declared: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Folders of programs."""
        return self.env.get("PATH", os.defpath)

    @property
    def in_container(self) -> bool:
        """Whether commands run in the image of the whole job."""
        return self.runtime.kind == "container"

    @property
    def wheels_python(self) -> str:
        """Path of the Python for which packages were sent; empty if none were."""
        return self.env.get(GRID_PYTHON, "") if self.runtime.kind == "wheels" else ""

    def values(self, step: Step) -> dict[str, str]:
        """Return the values of the marks for a step, without script and Python."""
        values = {WORKDIR: self.cwd}
        values[TMPDIR] = fill_path(step.tmpdir, values) or self.env.get("TMPDIR", "/tmp")  # noqa: S108
        values.update((variable_mark(name), value) for name, value in self.declared.items())
        return values

    def environment(self, step: Step) -> dict[str, str]:
        """Return the environment of the commands of a step, as in ``snakemake/shell.py`` 9.27."""
        tmpdir = self.values(step)[TMPDIR]
        env = dict(self.env)
        if self.wheels_python and step.container is not None:
            # The packages are for a Python of the node; that of the image may be another.
            folders = env.pop("PYTHONPATH", "").split(os.pathsep)
            if rest := [one for one in folders if one != f"{self.scratch}/{RUNTIME}"]:
                env["PYTHONPATH"] = os.pathsep.join(rest)
        return {
            **env,
            **dict.fromkeys(_THREADS, str(step.threads)),
            **dict.fromkeys(_TMPDIRS, tmpdir),
        }

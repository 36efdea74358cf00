"""Where a job runs: its folders, its runtime, and the environment of its commands."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..description import WORKDIR
from ..records import dataclass
from ..runtime import Runtime, RuntimeMissing
from .decision import TMPDIR, Step
from .errors import lacking
from .marks import fill_path
from .search import find_python

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
    """

    name: str
    scratch: str
    cwd: str
    env: Mapping[str, str]
    runtime: Runtime

    @property
    def path(self) -> str:
        """Folders of programs."""
        return self.env.get("PATH", os.defpath)

    @property
    def in_container(self) -> bool:
        """Whether commands run in the image of the whole job."""
        return self.runtime.kind == "container"

    @property
    def python(self) -> str:
        """Path of the Python that runs Python scripts; packages that travel fit one version only.

        Raises:
            StepError: The node has none.
        """
        if self.runtime.kind != "wheels":
            return find_python(self.path)
        from .. import interpreter

        try:
            return interpreter.find_python("wheels", path=self.path, wanted=self.runtime.python)
        except RuntimeMissing as error:
            raise lacking(str(error)) from error

    def values(self, step: Step) -> dict[str, str]:
        """Return the values of the marks for a step, without script and Python."""
        values = {WORKDIR: self.cwd}
        values[TMPDIR] = fill_path(step.tmpdir, values) or self.env.get("TMPDIR", "/tmp")  # noqa: S108
        return values

    def environment(self, step: Step) -> dict[str, str]:
        """Return the environment of the commands of a step, as in ``snakemake/shell.py`` 9.27."""
        tmpdir = self.values(step)[TMPDIR]
        return {
            **self.env,
            **dict.fromkeys(_THREADS, str(step.threads)),
            **dict.fromkeys(_TMPDIRS, tmpdir),
        }

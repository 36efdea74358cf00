"""The results of deciding a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...worker.decided.decision import Decision


@dataclass(frozen=True)
class Decided:
    """A job that runs without Snakemake on the worker.

    Attributes:
        decision: What the worker does.
        environment: Variables that the workflow has set for its jobs (``os.environ[…] = …`` in a
            Snakefile); they may be secrets, so they are in no decision.
        files: Files that the job needs besides its inputs: scripts, what lies beside them, files of
            ``workflow.source_path``, image files. Path on the worker, relative to the working
            directory, by which the job finds it; absolute path on the submit host.
        undeclared: Those of `files` that a command or a param of a script names, but no rule
            declares.
        large: Files that are named like that and too large to be sent.
        packages: Python packages outside the standard library that the ``params`` or ``config`` of
            a script need on the worker node, such as ``numpy``.
    """

    decision: Decision
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    undeclared: tuple[str, ...] = ()
    large: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


class Unsupported(Exception):  # noqa: N818 - not an error: such a job needs Snakemake
    """The job cannot be decided; the text says why, as in "it has run:"."""


class NotYet(Unsupported):
    """The job depends on files that are not there yet, so that it may be decided later."""

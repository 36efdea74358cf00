"""Commands of scripts, notebooks, wrappers and template engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...worker.decided.decision import Command
from .decided import Unsupported
from .paths import Paths


@dataclass(frozen=True)
class Rendered:
    """A command that stands for a call of Snakemake.

    Attributes:
        command: What the worker runs.
        files: Files that it needs besides inputs: path on the worker, relative to the working
            directory; absolute path on the submit host.
        packages: Python packages that it needs on the worker node.
    """

    command: Command
    files: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()


def render(kind: str, args: tuple[Any, ...], job: Any, paths: Paths) -> Rendered:
    """Return the command for a call that a rule makes.

    Args:
        kind: Name of the function of Snakemake: ``script``, ``notebook``, ``wrapper``,
            ``render_template`` or ``cwl``.
        args: Its arguments.
        job: ``snakemake.jobs.Job``.
        paths: Translates paths, and collects the files of the source cache.

    Raises:
        Unsupported: Only Snakemake can do it.
    """
    raise Unsupported(f"it has {kind}:")

"""The command that stands for a call of Snakemake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ....worker.decided.decision import Command


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

"""Starts Snakemake as ``python -m snakemake`` does, with the comparison."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Sequence

from .placeholders import Placeholders
from .watch import watch


def main(folder: str, argv: Sequence[str]) -> None:
    """Run Snakemake; does not return.

    Args:
        folder: See `watch`. Python put it in front of ``sys.path``, as it runs this folder.
        argv: Arguments of Python: ``-m snakemake`` and those of Snakemake.
    """
    sys.path.remove(folder)
    if not sys.flags.safe_path:
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    Placeholders(folder).restore()
    watch(folder)
    sys.argv = ["snakemake", *argv[2:]]
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)

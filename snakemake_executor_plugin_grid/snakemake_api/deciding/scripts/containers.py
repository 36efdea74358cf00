"""Snakemake's classes for the values of jobs, which have moved between its versions."""

from __future__ import annotations

import sys

from snakemake.script import Snakemake

MODULE: str = Snakemake.__module__
"""``snakemake.iocontainers`` of 9.27; ``snakemake.io.container`` of 9.17."""
FILE = str(sys.modules[MODULE].__file__)

Namedlist = sys.modules[MODULE].Namedlist
OutputFiles = sys.modules[MODULE].OutputFiles

__all__ = ["FILE", "MODULE", "Namedlist", "OutputFiles", "Snakemake"]

"""Stands in for Snakemake on nodes without it: what scripts import, no more."""

import sys

from grid_script import Finder

__version__ = "0"

sys.meta_path.append(Finder)

from snakemake.shell import shell  # noqa: E402, F401 - as Snakemake does

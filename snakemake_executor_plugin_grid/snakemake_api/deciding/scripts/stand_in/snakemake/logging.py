"""Stands in for ``snakemake.logging``: the logger, which has no handler in scripts."""

import logging

from grid_script import lacks

__getattr__ = lacks(__name__)

logger = logging.getLogger(__name__)

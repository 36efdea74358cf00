"""Stands in for ``snakemake.exceptions``."""

from grid_script import lacks

__getattr__ = lacks(__name__)


class WorkflowError(Exception):
    """An error that needs no traceback."""

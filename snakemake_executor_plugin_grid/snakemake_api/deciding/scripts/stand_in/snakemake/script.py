"""Stands in for ``snakemake.script``, from which scripts import the class for its type."""

from grid_script import lacks

from snakemake.iocontainers import Snakemake  # noqa: F401

__getattr__ = lacks(__name__)

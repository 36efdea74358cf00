"""Functions for Snakefiles."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import queries
from .provider import StorageProvider


def list_files(folder: str) -> list[str]:
    """Return the files in a folder of a catalog and below, or those of a dataset of Rucio.

    For a Snakefile, where it is read::

        from snakemake_storage_plugin_grid import list_files
        rule all:
            input: storage.grid(list_files("rucio://data25/run3.physics"))

    The options are those of the provider that the Snakefile has made, or else the variables.

    Args:
        folder: Such as ``lfn:/vo/prod/run3`` or ``rucio://scope/dataset``.

    Raises:
        WorkflowError: The catalog does not answer, or there is no such catalog.
    """
    provider, name = _provider(), queries.normalized(folder).rstrip("/")
    return provider.answer(f"files in {name}", lambda: provider.data(name).catalog.listing(name))


def find_files(folder: str, metadata: Mapping[str, Any]) -> list[str]:
    """Return the files below a folder of DIRAC's catalog that have some metadata.

    For a Snakefile, where it is read::

        from snakemake_storage_plugin_grid import find_files
        FILES = find_files("lfn:/vo/prod", {"run": {">=": 300}, "stream": "muon"})
        rule all:
            input: storage.grid(FILES)

    The options are those of the provider that the Snakefile has made, or else the variables.

    Args:
        folder: Such as ``lfn:/vo/prod``.
        metadata: A value for each field, or operators of DIRAC (``=``, ``!=``, ``>``, ``>=``,
            ``<``, ``<=``, ``in``) with their values.

    Raises:
        WorkflowError: The catalog does not answer, or has no metadata.
    """
    provider = _provider()

    def ask() -> list[str]:
        from snakemake_executor_plugin_grid.backends.dirac.file_catalog import DiracCatalog
        from snakemake_executor_plugin_grid.model.errors import PermanentError

        persistent = provider.data(folder).catalog
        catalog = persistent.catalog
        if not isinstance(catalog, DiracCatalog):
            raise PermanentError(f"{folder}: files are found by metadata in DIRAC's catalog only.")
        return persistent.retry(lambda: catalog.find(queries.normalized(folder), metadata))

    return provider.answer(f"files in {folder} with {dict(metadata)}", ask)


def _provider() -> StorageProvider:
    """Return the provider that was made last, or one with the options of variables."""
    if StorageProvider.latest is None:
        prefix = Path(".snakemake") / "storage" / "grid"
        return StorageProvider(prefix, logging.getLogger(__name__))
    return StorageProvider.latest

"""Snakemake storage plugin ``grid``: files in the file catalogs of the grid, by their names.

Snakemake imports this at each start, also for workflows without such files: it imports nothing but
the standard library and the interface of storage plugins until it is used.
"""

from .helpers import find_files, list_files
from .objects import StorageObject
from .provider import StorageProvider
from .settings import StorageProviderSettings

__all__ = [
    "StorageObject",
    "StorageProvider",
    "StorageProviderSettings",
    "find_files",
    "list_files",
]

"""Stands in for ``snakemake.io``: what `Namedlist` needs."""

from grid_script import lacks

__getattr__ = lacks(__name__)


class _IOFile(str):
    """No script has one: paths are plain texts."""

    storage_object = None


def strip_wildcard_constraints(pattern: str) -> str:
    """Fail: scripts have no wildcards to fill in."""
    return str(__getattr__("strip_wildcard_constraints"))

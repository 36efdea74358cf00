"""Snakemake's own lock of a working directory."""

from __future__ import annotations

from pathlib import Path

LOCKS = Path(".snakemake") / "locks"


def lock_files(workdir: Path) -> list[Path]:
    """Return the files of the lock, none if the directory is not locked."""
    return sorted((workdir / LOCKS).glob("*.lock"))

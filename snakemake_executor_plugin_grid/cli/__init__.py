"""``snakemake-grid``: looks after what runs have left, and needs no Snakemake for it."""

from __future__ import annotations

from .main import main

__all__ = ["main"]

"""The ``snakemake-grid`` command; most of its commands work without Snakemake."""

from __future__ import annotations

from .main import main

__all__ = ["main"]

"""Tests of Snakemake's suite that fail through the grid executor, each with its reason."""

from __future__ import annotations

KNOWN: dict[str, str] = {}

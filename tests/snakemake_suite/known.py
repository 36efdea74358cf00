"""Tests of Snakemake's suite that fail through the grid executor, or are not run, and why."""

from __future__ import annotations

LEFT_OUT = {
    "test_persistence_backend_db_run_directive_concurrency": "It tries the metadata database with "
    "a hundred jobs that are Python code: minutes, and nothing of it concerns jobs on the grid.",
}

KNOWN: dict[str, str] = {}

"""A working directory, and what is collected from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.planning import sources
from snakemake_executor_plugin_grid.planning.sources import Filters, Sources, WorkflowFiles
from snakemake_executor_plugin_grid.staging.paths import Layout

FILES = ("declared", "parsed", "folders", "products", "inputs")


class Home:
    """A working directory, and what is collected from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, *names: str, size: int = 1) -> None:
        for name in names:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * size)

    def collect(self, **values: Any) -> Sources:
        files: dict[str, Any] = {
            "declared": frozenset(),
            "parsed": {},
            "folders": (),
            "products": set(),
            "inputs": set(),
        }
        filters: dict[str, Any] = {
            "include": (),
            "exclude": (),
            "file_limit": 100,
            "total_limit": 1000,
        }
        for key, value in values.items():
            (files if key in FILES else filters)[key] = value
        return sources.collect(Layout(self.folder), WorkflowFiles(**files), Filters(**filters))

    def names(self, **values: Any) -> set[str]:
        return set(self.collect(**values).entries)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    folder = tmp_path / "home"
    folder.mkdir()
    return Home(folder)

"""The workflows by which Snakemake tests any executor plugin."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from snakemake.common.tests import TestWorkflowsLocalStorageBase

from snakemake_executor_plugin_grid import ExecutorSettings
from tests.conftest import processes_below

pytestmark = pytest.mark.workflow


class TestGrid(TestWorkflowsLocalStorageBase):
    __test__ = True
    latency_wait = 2

    @pytest.fixture(autouse=True)
    def _site(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        self.site = tmp_path / "site"
        monkeypatch.chdir(tmp_path)  # Snakemake changes it
        yield
        for process in processes_below(tmp_path):
            os.kill(process, 9)
        logs = list(tmp_path.glob("*/.snakemake/grid/logs/**/*.log"))
        assert logs, "no job has run on the grid"

    def get_executor(self) -> str:
        return "grid"

    def get_executor_settings(self) -> ExecutorSettings:
        return ExecutorSettings(local_dir=self.site, local_isolation="require")

"""Snakemake's lock of a directory: breaks when it moves."""

from __future__ import annotations

from pathlib import Path

from snakemake_executor_plugin_grid.snakemake_api.locks import LOCKS, lock_files

from .conftest import Build


def test_a_lock_is_seen_until_it_is_released(build: Build, tmp_path: Path) -> None:
    assert lock_files(tmp_path) == []
    persistence = build().workflow.persistence
    assert lock_files(tmp_path) == []
    kind = type(persistence)  # past the option not to lock
    with kind.lock(persistence):
        files = lock_files(tmp_path)
        assert {path.parent for path in files} == {tmp_path / LOCKS}
        assert len(files) == 2, "of inputs and outputs"
    kind.unlock(persistence)
    assert lock_files(tmp_path) == []

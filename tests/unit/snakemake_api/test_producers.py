"""What a storage provider knows of the workflow for which it is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.snakemake_api.producers import is_made, workflow_being_parsed
from snakemake_storage_plugin_grid.provider import StorageProvider
from tests.unit.snakemake_api.dags import made

SNAKEFILE = """
rule nothing:
    output: "nothing.txt"
    shell: "touch {output}"
rule one:
    input: storage.grid("lfn:/vo/in.txt")
    output: storage.grid("lfn:/vo/{n}.out")
    log: storage.grid("lfn:/vo/{n}.log")
    shell: "cp {input} {output}"
"""


def test_a_provider_knows_its_workflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    with made(tmp_path / "Snakefile") as workflow:
        assert StorageProvider.latest is not None
        left = StorageProvider.latest._left
        assert left is not None
        assert left._workflow is workflow
        assert is_made(workflow, ".snakemake/storage/grid/lfn/vo/x.out")
        assert not is_made(workflow, ".snakemake/storage/grid/lfn/vo/in.txt")


def test_elsewhere_there_is_no_workflow() -> None:
    assert workflow_being_parsed() is None

"""The example workflow on a PanDA server, whose nodes have no Snakemake."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Project
from tests.nodes import node_with_packages, with_path
from tests.workflows.test_example import run_example

pytestmark = [pytest.mark.panda, pytest.mark.workflow, pytest.mark.slow]


def test_nodes_have_the_packages_of_the_scripts(project: Project, tmp_path: Path) -> None:
    path = node_with_packages(tmp_path / "node")
    run_example(project, "--profile", "profiles/local", *with_path(path))


def test_nodes_have_a_python_only(project: Project) -> None:
    run_example(project, "--profile", "profiles/panda")
    packages = project.folder / ".snakemake" / "grid" / "runtime"
    (made,) = packages.iterdir()
    assert (made / "numpy").is_dir()
    assert not [path.name for path in made.iterdir() if "snakemake" in path.name]

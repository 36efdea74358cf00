"""The example workflow, as its README runs it, with jobs that see nothing but their tarballs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.workflow

EXAMPLE = Path(__file__).parents[2] / "example_workflow"


def test_the_example_fits_the_mass_of_the_z_boson(project: Project) -> None:
    run_example(project, "--profile", "profiles/local")


def run_example(project: Project, *options: str) -> str:
    """Run the example without Snakemake on the nodes, and look at its results.

    Args:
        project: In an empty directory.
        options: Name a profile of the example, and say how nodes get the packages of its scripts.

    Returns:
        What Snakemake has printed.
    """
    for module in ("iminuit", "matplotlib", "uproot", "skhep_testdata"):
        pytest.importorskip(module)
    for part in ("config", "profiles", "workflow"):
        shutil.copytree(EXAMPLE / part, project.folder / part)
    output = project.run(*options, "--grid-decide", "always", timeout=600).succeeded().output
    mass = json.loads(project.read("results/fit.json"))["mass"]
    # The world average is 91.19 GeV; these few events, uncorrected, give less.
    assert mass["value"] == pytest.approx(90.77, abs=0.05)
    assert mass["error"] == pytest.approx(0.14, abs=0.03)
    assert "Z mass: 90.77 ± 0.14 GeV from 500 events" in output
    assert (project.folder / "results/z_mass.png").read_bytes().startswith(b"\x89PNG")
    assert list((project.folder / "logs").rglob("*.log"))
    assert list((project.folder / "benchmarks").rglob("*.tsv"))
    return output

"""Runs the tests of a module twice: jobs decided on the submit host, and by Snakemake there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import Project, Site, local_site


@pytest.fixture(params=["auto", "never"], ids=["decided", "snakemake"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """Return where jobs run, with an option for how."""
    made = local_site(tmp_path / "site")
    return replace(made, options=(*made.options, "--grid-decide", request.param))


def is_decided(project: Project) -> bool:
    """Return whether the jobs of a project run without Snakemake."""
    return project.site.options[-1] == "auto"

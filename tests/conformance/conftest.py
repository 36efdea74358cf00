"""The backends of the conformance set, and its fixtures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import MakeProject, Project, Site
from tests.faults import Scene
from tests.servers.dirac.fixture import dirac_server
from tests.servers.panda.fixture import panda_server

from .backend import Backend
from .dirac import Dirac
from .directory import Directory
from .local import Local
from .panda import Panda

__all__ = ["dirac_server", "panda_server"]

BACKENDS: tuple[type[Backend], ...] = (
    Local,
    Directory,
    Panda,
    Dirac,
)
"""Each has a marker of its name: ``pytest tests/conformance -m panda``."""


def marks_of(kind: type[Backend]) -> list[pytest.MarkDecorator]:
    """Return the marks of a backend's tests; those of an example run in test-all only."""
    return [getattr(pytest.mark, kind.name), *([pytest.mark.slow] if kind.is_example else [])]


@pytest.fixture(
    params=[pytest.param(kind, id=kind.name, marks=marks_of(kind)) for kind in BACKENDS]
)
def backend(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Backend]:
    """Return each of the backends, with a server that runs."""
    kind: type[Backend] = request.param
    for name in kind.unset:
        monkeypatch.delenv(name, raising=False)
    made = kind(tmp_path, request)
    yield made
    made.close()


@pytest.fixture
def site(backend: Backend) -> Site:
    """Return where the jobs run; those that need Snakemake there are refused."""
    site = backend.site
    bundles: tuple[str, ...] = ()
    if size := os.environ.get("GRID_TEST_BUNDLE"):
        # Side by side, as jobs of some tests wait for each other; the nodes have four processors.
        bundles = ("--grid-bundle", size, "--grid-bundle-processors", "4", "--jobs", size)
    return replace(site, options=(*site.options, "--grid-decide", "always", *bundles))


@pytest.fixture
def project(make_project: MakeProject, backend: Backend) -> Iterator[Project]:
    """Return a project in an empty directory, which jobs cannot see."""
    made = make_project("project")
    backend.prepare(made)
    with backend.hidden(made.folder):
        yield made
        made.end()  # before the server loses what it is asked


@pytest.fixture
def scene(project: Project, tmp_path: Path) -> Scene:
    """Return the project, and marks of what its jobs really do."""
    return Scene(project, tmp_path)


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """Return the file for which jobs wait."""
    return tmp_path / "go"

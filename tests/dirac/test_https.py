"""Core cases on a DIRAC server whose services speak HTTPS."""
# ruff: noqa: F401, F811 - what is imported is collected, with the server of this module

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.conftest import backend, go, project, scene, site
from tests.conformance.dirac import Dirac
from tests.conformance.test_faults import test_an_outage_is_waited_out
from tests.conformance.test_workflows import (
    test_a_chain_with_log_and_benchmark,
    test_a_failed_job_brings_its_logs_and_no_outputs,
)
from tests.conftest import Project
from tests.servers.dirac.fixture import virtual_environment
from tests.servers.dirac.server import DiracServer

from .test_dirac import (
    jobs,
    tag,
    test_120_jobs_are_two_submissions_and_an_interrupt_kills_all,
    test_a_chain_through_a_storage_element,
    test_credentials_that_will_not_do,
)
from .test_grid_jobs import Catalog, catalog
from .test_grid_jobs import test_intermediates_stay_on_the_grid as _intermediates

pytestmark = [
    pytest.mark.dirac,
    pytest.mark.workflow,
    pytest.mark.xdist_group("https"),  # in one process, so that there is one server
    pytest.mark.parametrize("backend", [Dirac], indirect=True),
]


@pytest.fixture(scope="module")
def dirac_server() -> Iterator[DiracServer]:
    venv = virtual_environment()
    folder = Path(tempfile.mkdtemp(prefix="https-"))  # a socket's path must be short
    server = DiracServer.create(folder, venv, https=True)
    try:
        server.up()
        yield server
    finally:
        server.remove()


@pytest.mark.slow
def test_intermediates_stay_on_the_grid(project: Project, catalog: Catalog) -> None:
    _intermediates(project, catalog)

"""Outputs in Rucio that are made again with equal content: Snakemake does not run them for ever."""

from __future__ import annotations

import os
import secrets
import time

import pytest

from tests.command import SNAKEMAKE
from tests.conftest import Finished, Project, finish
from tests.servers.rucio.server import UNSET, RucioServer
from tests.servers.rucio.settings import SCOPE, WEB

from .conftest import OpenCatalog

pytestmark = [pytest.mark.rucio, pytest.mark.xdist_group("rucio"), pytest.mark.workflow]

RULE = """
rule make:
    input: "in.txt"
    output: storage.grid("NAME")
    shell: "wc -c < {input} > {output}"
"""


def without_executor(project: Project, *args: str) -> Finished:
    command = [*SNAKEMAKE, "--cores", "1", "--nocolor", *args]
    return finish(project._start(command, project.folder), 240)


@pytest.mark.parametrize("executor", [True, False])
def test_a_file_that_is_made_again_is_new(
    project: Project,
    rucio_server: RucioServer,
    open_catalog: OpenCatalog,
    executor: bool,
) -> None:
    for name in UNSET:
        project.environment.pop(name, None)
    project.environment.update(rucio_server.environment())
    run = project.run if executor else lambda *args: without_executor(project, *args)
    # As if the input were large: of small ones Snakemake knows whether they have changed.
    options = ("--storage-grid-rucio-rse", WEB, "--max-checksum-file-size", "0")
    name = f"rucio://{SCOPE}/remade-{secrets.token_hex(4)}/out.txt"
    project.put("Snakefile", RULE.replace("NAME", name))
    project.put("in.txt", "one\n")
    run(*options).succeeded()
    catalog = open_catalog(rse=WEB)
    first = catalog.facts([name])[name]
    if executor:  # which does not replace a file that is there
        catalog.remove([name])
    time.sleep(11)  # more than clocks may differ
    os.utime(project.put("in.txt", "two\n"))
    assert "1 of 1 steps" in run(*options).succeeded().output
    assert catalog.facts([name])[name] == first, "Rucio keeps the time"
    again = run(*options).succeeded()
    assert "Nothing to be done" in again.output

"""Workflows whose intermediates stay on the grid: in a catalog, or on a storage server.

The server is reached from all nodes, with a token that travels with the jobs; a catalog only on the
backends that say so.
"""

from __future__ import annotations

import pytest

from tests.conftest import Project
from tests.servers.stores.fixtures import webdav
from tests.servers.stores.webdav import TOKEN, WebDavServer

from .backend import Backend

__all__ = ["webdav"]

pytestmark = pytest.mark.workflow

CHAIN = """
RUN = "{folder}"
rule all:
    input: "sum.txt"
rule make:
    output: storage.grid(RUN + "/raw/{{n}}.txt")
    log: "logs/{{n}}.log"
    shell: "seq {{wildcards.n}} >{{output}}; echo made >{{log}}"
rule select:
    input: storage.grid(RUN + "/raw/{{n}}.txt")
    output: storage.grid(temp(RUN + "/sel/{{n}}.txt"))
    shell: "head -n 2 {{input}} >{{output}}"
rule sum:
    input: [storage.grid(f"{{RUN}}/sel/{{n}}.txt") for n in (3, 4)]
    output: "sum.txt"
    shell: "cat {{input}} >{{output}}"
"""


def test_intermediates_stay_in_a_catalog(project: Project, backend: Backend) -> None:
    folder, options = backend.grid_data(project)
    run(project, folder, options)


def test_intermediates_stay_on_a_server(
    project: Project, backend: Backend, webdav: WebDavServer
) -> None:
    token = project.put("token", TOKEN)  # where jobs do not see it
    run(project, f"{webdav.url}/run", ("--grid-store-token", str(token)))
    assert webdav.files() == {"run/raw/3.txt": 6, "run/raw/4.txt": 8}


def run(project: Project, folder: str, options: tuple[str, ...]) -> None:
    """Run workflows.

    Args:
        project: Is empty.
        folder: Where the intermediates stay.
        options: That this needs.
    """
    project.put("Snakefile", CHAIN.format(folder=folder))
    project.run(*options).succeeded()
    assert project.read("sum.txt") == "1\n2\n1\n2\n"
    assert project.read("logs/3.log") == "made\n"
    assert not list((project.folder / ".snakemake" / "storage").rglob("*.txt"))
    assert "Nothing to be done" in project.run(*options).succeeded().output
    # The temporary files were removed, the others are inputs of the next workflow.
    project.put(
        "Snakefile",
        f"""
rule again:
    input: storage.grid("{folder}/raw/3.txt")
    output: "again.txt"
    shell: "wc -l <{{input}} >{{output}}"
""",
    )
    project.run(*options).succeeded()
    assert project.read("again.txt").strip() == "3"
    project.put(
        "Snakefile",
        f"""
rule gone:
    input: storage.grid("{folder}/sel/3.txt")
    output: "gone.txt"
    shell: "cp {{input}} {{output}}"
""",
    )
    assert "MissingInputException" in project.run(*options).failed().output

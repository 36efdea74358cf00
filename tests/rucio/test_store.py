"""Workflows whose files travel through a store in Rucio, on a real server."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass

import pytest

from tests.conftest import Project
from tests.servers.rucio.server import UNSET, RucioServer
from tests.servers.rucio.settings import ROOT, SCOPE, WEB

pytestmark = [pytest.mark.rucio, pytest.mark.xdist_group("rucio"), pytest.mark.workflow]

LARGE = ("--grid-large-file", "100000")
WORKFLOW = """
rule all:
    input: "out/sum.txt"
rule grow:
    input: "large.bin", "small.txt"
    output: "out/grown.bin", "out/note.txt"
    shell: "cat {input} > {output[0]}; echo grown > {output[1]}"
rule sum:
    input: "out/grown.bin", "out/note.txt"
    output: "out/sum.txt"
    shell: "cat {input[1]} > {output}; wc -c < {input[0]} >> {output}"
"""
_ROWS = """
names = list(client.list_dids(args[0], [{"name": args[1] + "/*"}], did_type="file"))
rows = client.get_metadata_bulk([{"scope": args[0], "name": name} for name in names])
print(json.dumps({row["name"]: str(row["expired_at"]) for row in rows}))
"""
_LIFETIME = """
for name in args[1]:
    client.set_metadata(args[0], name, "lifetime", args[2])
"""


@dataclass
class Store:
    """A store of one test.

    Attributes:
        server: Behind it.
        rse: Storage element.
        prefix: Of its names.
    """

    server: RucioServer
    rse: str
    prefix: str

    @property
    def url(self) -> str:
        return f"rucio://{SCOPE}/{self.prefix}"

    @property
    def options(self) -> tuple[str, ...]:
        return ("--grid-store", f"{self.url}?rse={self.rse}&lifetime=4d", *LARGE)

    def names(self) -> dict[str, str]:
        """Return the end of each name that Rucio has."""
        text = self.server.client(_ROWS, SCOPE, self.prefix)
        found: dict[str, str] = json.loads(text)
        return {name.removeprefix(f"{self.prefix}/"): end for name, end in found.items()}

    def end(self, seconds: int) -> None:
        """Let the lifetime of all names end in some seconds."""
        names = [f"{self.prefix}/{name}" for name in self.names()]
        self.server.client(_LIFETIME, SCOPE, names, seconds)

    def files(self) -> dict[str, int]:
        """Return what is on the storage element, by its name without the server's folders."""
        found = self.server.files(self.rse)
        return {
            name.partition(f"{self.prefix}/")[2]: size
            for name, size in found.items()
            if f"/{self.prefix}/" in name
        }


@pytest.fixture(params=[WEB, ROOT])
def store(request: pytest.FixtureRequest, rucio_server: RucioServer, project: Project) -> Store:
    return store_of(rucio_server, project, request.param)


@pytest.fixture
def web(rucio_server: RucioServer, project: Project) -> Store:
    return store_of(rucio_server, project, WEB)


def store_of(server: RucioServer, project: Project, rse: str) -> Store:
    for name in UNSET:
        project.environment.pop(name, None)
    project.environment.update(server.environment())
    return Store(server, rse, f"store-{secrets.token_hex(4)}")


def fill(project: Project) -> None:
    project.put("Snakefile", WORKFLOW)
    (project.folder / "large.bin").write_bytes(os.urandom(1 << 20))
    project.put("small.txt", "small\n")


def test_files_go_there_and_back_once_and_can_be_removed(project: Project, store: Store) -> None:
    fill(project)
    project.run(*store.options).succeeded()
    assert project.read("out/sum.txt") == f"grown\n{(1 << 20) + 6}\n"
    first, files = store.names(), store.files()
    assert len(first) >= 4  # the large file, small inputs, the probe, what sum took from grow
    assert set(first) == set(files), "nothing is there of which Rucio does not know"
    assert "None" not in first.values()
    project.run(*store.options, "--forceall").succeeded()
    again = store.names()
    assert {name: again[name] for name in first} == first, "nothing was uploaded or kept longer"
    removed = project.grid("clean", "--yes")
    assert removed.code == 0, removed.output
    store.server.expire()
    assert store.files() == {}
    assert "any more" in project.grid("clean", "--yes").output

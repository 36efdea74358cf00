"""Files in the file catalog of a real DIRAC server, and workflows that name them."""

from __future__ import annotations

import secrets
import subprocess
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.grid_data import catalogs
from snakemake_executor_plugin_grid.grid_data.catalogs import DataSettings, GridData, open_data
from snakemake_executor_plugin_grid.model.errors import MissingError, PermanentError
from tests.conftest import Project
from tests.grid_storage import chain_of, run_without_executor
from tests.servers.dirac.server import UNSET, DiracServer

from .faults import Scene

pytestmark = pytest.mark.dirac
of_outages = pytest.mark.xdist_group("dirac-outages")

_SCRIPT = """
import json, sys
import DIRAC
DIRAC.initialize()
from DIRAC.Resources.Catalog.FileCatalog import FileCatalog
from DIRAC.DataManagementSystem.Client.DataManager import DataManager
catalog, data = FileCatalog(), DataManager()
lfn = sys.argv[1]
reply = {code}
assert reply["OK"], reply
assert not (isinstance(reply["Value"], dict) and reply["Value"].get("Failed")), reply
"""


class Grid:
    """The catalog of a server, as one run of a workflow has it.

    Attributes:
        base: A folder of its own, such as ``lfn:/testvo/user/c/ciuser/…``.
    """

    def __init__(self, server: DiracServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.said: list[str] = []
        self.base = f"lfn:/testvo/user/c/ciuser/data-{secrets.token_hex(5)}"

    def data(self, element: str = "SE-1") -> GridData:
        settings = DataSettings(self.server.settings.python, element)
        return open_data("lfn", settings, self.said.append)

    def name(self, name: str) -> str:
        return f"{self.base}/{name}"

    def put(self, name: str, text: str = "text", element: str = "SE-1") -> str:
        path = self.folder / "source"
        path.write_text(text)
        self.data(element).catalog.put(self.name(name), path)
        return self.name(name)

    def dirac(self, code: str, name: str) -> None:
        """Evaluate an expression with ``catalog``, ``data`` and ``lfn`` in DIRAC's Python."""
        command = [str(self.server.settings.python), "-c", _SCRIPT.replace("{code}", code)]
        done = subprocess.run(
            [*command, name.removeprefix("lfn:")],
            env=self.server.client_environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def bytes_of(self, name: str, element: str = "SE-1") -> list[Path]:
        """Return where a storage element has a file."""
        leaf = name.rpartition("/")[2]
        folder = name.removeprefix("lfn:").rpartition("/")[0]
        found = self.server.settings.storage(element).rglob(leaf)
        return [path for path in found if str(path.parent).endswith(folder)]


def opened(server: DiracServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Grid:
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    return Grid(server, folder)


@pytest.fixture
def grid(
    dirac_server: DiracServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Grid]:
    yield opened(dirac_server, tmp_path, monkeypatch)
    catalogs.close_all()


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_facts_of_a_file(grid: Grid, monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    monkeypatch.setenv("TZ", zone)
    begun = time.time()
    name = grid.put("a")
    facts = grid.data().catalog.facts([name, grid.name("absent"), grid.base])
    assert facts[grid.name("absent")] is None
    assert facts[grid.base] is None, "a folder is no file"
    found = facts[name]
    assert found is not None
    assert (found.size, found.adler32) == (4, f"{zlib.adler32(b'text'):08x}")
    assert int(begun) <= found.mtime <= time.time()


def test_changes_of_metadata_are_no_new_content(grid: Grid) -> None:
    name = grid.put("a")
    catalog = grid.data().catalog
    before = catalog.facts([name])
    time.sleep(2)
    grid.dirac("catalog.changePathMode({lfn: 0o700})", name)
    grid.dirac("catalog.setMetadata(lfn, {'word': 'muon'})", name)
    grid.dirac("data.replicateAndRegister(lfn, 'SE-2')", name)
    assert catalog.facts([name]) == before
    assert catalog.replicas([name]) == {name: {"SE-1": "", "SE-2": ""}}


def test_a_file_is_replaced_and_is_newer_then(grid: Grid) -> None:
    name = grid.put("a", "old")
    catalog = grid.data("SE-2").catalog
    (old,) = catalog.facts([name]).values()
    time.sleep(1.1)
    grid.put("a", "new", "SE-2")
    (new,) = catalog.facts([name]).values()
    assert old is not None
    assert new is not None
    assert new.mtime > old.mtime
    assert catalog.replicas([name])[name].keys() == {"SE-2"}
    assert not grid.bytes_of(name)
    catalog.get(name, grid.folder / "copy")
    assert (grid.folder / "copy").read_text() == "new"


def test_an_entry_without_bytes(grid: Grid) -> None:
    name = grid.name("empty")
    entry = "{'PFN': lfn, 'Size': 0, 'SE': 'SE-1', 'GUID': '', 'Checksum': '00000001'}"
    grid.dirac(f"catalog.addFile({{lfn: {entry}}})", name)
    (facts,) = grid.data().catalog.facts([name]).values()
    assert facts is not None
    assert facts.size == 0
    grid.data().catalog.get(name, grid.folder / "copy")
    assert (grid.folder / "copy").read_bytes() == b""


def test_what_cannot_be_fetched_or_stored(grid: Grid) -> None:
    catalog = grid.data().catalog
    with pytest.raises(MissingError):
        catalog.get(grid.name("absent"), grid.folder / "copy")
    (grid.folder / "empty").touch()
    with pytest.raises(PermanentError, match="no empty files"):
        catalog.put(grid.name("empty"), grid.folder / "empty")
    with pytest.raises(PermanentError, match="must start with VO name"):
        catalog.put("lfn:/another/vo", grid.folder / "source" if grid.put("a") else Path())


def test_a_damaged_file_is_not_fetched(grid: Grid) -> None:
    name = grid.put("a")
    for path in grid.bytes_of(name):
        path.write_text("TEXT")
    catalog = grid.data().catalog
    with pytest.raises(PermanentError, match=r"is damaged: .*checksum"):
        catalog.get(name, grid.folder / "copy")
    assert not (grid.folder / "copy").exists()


def test_folders_and_metadata(grid: Grid) -> None:
    names = [grid.put(name) for name in ("a", "sub/b", "sub/deep/c")]
    catalog: Any = grid.data().catalog.catalog
    assert catalog.listing(grid.base) == names
    assert catalog.listing(grid.name("absent")) == []
    field = f"run{secrets.token_hex(3)}"
    grid.dirac(f"catalog.addMetadataField('{field}', 'int', '-d')", grid.base)
    grid.dirac(f"catalog.setMetadata(lfn, {{'{field}': 7}})", grid.name("sub"))
    assert catalog.find(grid.base, {field: {">=": 7}}) == names[1:]
    assert catalog.find(grid.base, {field: 8}) == []


def test_files_are_removed_in_bulk(grid: Grid) -> None:
    names = [grid.put(str(n)) for n in range(5)]
    data = grid.data()
    for name in names:
        assert data.lookup.facts(name)
        data.removals.remove(name)
    data.removals.flush()
    assert set(data.catalog.facts(names).values()) == {None}
    assert not any(map(grid.bytes_of, names))
    assert data.catalog.remove(names) == {}, "what is gone is removed"


def test_a_replica_of_which_the_catalog_does_not_know_is_removed(grid: Grid) -> None:
    name = grid.put("a")
    grid.dirac("catalog.removeFile(lfn)", name)
    assert grid.bytes_of(name)
    assert grid.data().catalog.remove([name]) == {}
    assert not grid.bytes_of(name)


def test_an_entry_whose_bytes_are_gone_is_removed(grid: Grid) -> None:
    name = grid.put("a")
    for path in grid.bytes_of(name):
        path.unlink()
    assert grid.data().catalog.remove([name]) == {}
    assert grid.data().catalog.facts([name]) == {name: None}


def test_a_thousand_names_are_one_call(grid: Grid) -> None:
    name = grid.put("a")
    data = grid.data()
    names = [grid.name(f"absent-{n}") for n in range(999)]
    data.lookup.register([*names, name])
    begun = time.monotonic()
    assert data.lookup.facts(name)
    assert not any(data.lookup.facts(one) for one in names)
    assert data.lookup.calls == 1
    assert time.monotonic() - begun < 10


# Workflows


@pytest.mark.workflow
def test_a_chain_whose_intermediate_files_are_on_the_grid(grid: Grid, project: Project) -> None:
    for number in range(3):
        grid.put(f"in/{number}.txt", f"file {number}\n")
    project.put("Snakefile", chain_of(grid.name("in"), grid.name("run"), 3))
    python = grid.server.settings.python
    run_without_executor(project, python).succeeded()
    assert project.read("sum.txt") == "FILE 0\nFILE 1\nFILE 2\n"
    assert len(grid.data().catalog.listing(grid.base)) == 3, "temporary files are gone"
    again = run_without_executor(project, python, TZ="America/New_York").succeeded()
    assert "Nothing to be done" in again.output

    grid.dirac("data.removeFile([lfn])", grid.name("in/1.txt"))
    (project.folder / "sum.txt").unlink()
    run = run_without_executor(project, python).failed()
    assert "MissingInputException" in run.output
    assert grid.name("in/1.txt") in run.output


@pytest.mark.workflow
def test_an_unchanged_snakefile_and_wildcards_of_a_folder(grid: Grid, project: Project) -> None:
    for number in (4, 7):
        grid.put(f"in/{number}.txt", f"file {number}\n")
    project.put(
        "Snakefile",
        """
NUMBERS = glob_wildcards(storage.grid("BASE/in/{n}.txt")).n
rule all:
    input: "results/all.txt"
rule all_of_them:
    input: expand("in/{n}.txt", n=NUMBERS)
    output: "results/all.txt"
    shell: "cat {input} > {output}"
""".replace("BASE", grid.base),
    )
    python = grid.server.settings.python
    default = ("--default-storage-provider", "grid", "--default-storage-prefix", grid.base)
    run_without_executor(project, python, *default).succeeded()
    name = grid.name("results/all.txt")
    grid.data().catalog.get(name, grid.folder / "copy")
    assert (grid.folder / "copy").read_text() == "file 4\nfile 7\n"
    again = run_without_executor(project, python, *default).succeeded()
    assert "Nothing to be done" in again.output


@pytest.mark.workflow
def test_the_options_of_the_executor_are_enough(grid: Grid, project: Project) -> None:
    grid.put("in/0.txt", "file 0\n")
    project.put("Snakefile", chain_of(grid.name("in"), grid.name("run"), 1))
    project.environment["SNAKEMAKE_GRID_DIRAC_PYTHON"] = ""  # but --grid-dirac-python is given
    project.run("--grid-dirac-storage-element", "SE-1").succeeded()
    assert project.read("sum.txt") == "FILE 0\n"
    assert grid.data().catalog.listing(grid.base) == [grid.name("in/0.txt")]


# Faults


@pytest.fixture
def fragile(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Grid]:
    """Return the catalog of a server that may be broken."""
    yield opened(scene.server, tmp_path, monkeypatch)
    catalogs.close_all()


@pytest.mark.slow
@pytest.mark.workflow
@of_outages
def test_a_server_that_is_away_is_an_error_that_says_so(fragile: Grid, scene: Scene) -> None:
    fragile.put("in/0.txt")
    project = scene.project
    project.put("Snakefile", chain_of(fragile.name("in"), fragile.name("run"), 1))
    scene.server.kill("services")
    run = run_without_executor(project, scene.server.settings.python).failed()
    assert "does not answer" in run.output
    assert "Missing" not in run.output


@pytest.mark.slow
@pytest.mark.workflow
@of_outages
def test_what_cannot_be_removed_is_left_to_clean(fragile: Grid, scene: Scene) -> None:
    names = [fragile.put(str(n)) for n in range(3)]
    data = fragile.data()
    scene.server.kill("SE-1")
    for name in names:
        data.removals.remove(name)
    data.removals.flush()
    assert any("could not be removed" in line for line in fragile.said), fragile.said
    scene.server.start("SE-1")
    project = Project(fragile.folder, scene.project.site)
    cleaned = project.grid("clean", "--yes").succeeded()
    assert "3 files" in cleaned.output, cleaned.output
    assert not any(map(fragile.bytes_of, names))
    assert set(data.catalog.facts(names).values()) == {None}

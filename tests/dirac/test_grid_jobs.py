"""Jobs on a real DIRAC server whose inputs and outputs are in its file catalog."""

from __future__ import annotations

import json
import secrets
import subprocess
import uuid
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import MakeProject, Project, local_site
from tests.faults import Running
from tests.servers.dirac.server import DiracServer
from tests.servers.dirac.settings import LOCAL_SITE, PARKED_SITE, SECOND_SITE

pytestmark = [pytest.mark.dirac, pytest.mark.workflow]

STORAGE = ("--storage-grid-storage-element", "SE-1")
ANYWHERE = ("--grid-banned-sites", PARKED_SITE)
"""Takes the place of the option by which other tests keep to one site."""

MOST_INPUT_DATA = 499
"""DIRAC 9 refuses 500, the default of MaxInputData."""
_ADD = """
import json, sys
import DIRAC
DIRAC.initialize()
from DIRAC.Resources.Catalog.FileCatalog import FileCatalog
reply = FileCatalog().addFile(json.load(sys.stdin))
assert reply["OK"] and not reply["Value"]["Failed"], reply
"""


class Catalog:
    """A folder of its own in the catalog of the server."""

    def __init__(self, server: DiracServer) -> None:
        self.server = server
        self.tag = f"t{secrets.token_hex(5)}"
        self.folder = f"/testvo/user/c/ciuser/{self.tag}"

    @property
    def root(self) -> str:
        return f"lfn:{self.folder}"

    def put(self, name: str, text: str, folder: Path, element: str = "SE-1") -> None:
        path = folder / "to-upload"
        path.write_text(text)
        self.server.command("dirac-dms-add-file", f"{self.folder}/{name}", str(path), element)

    def add(self, files: Mapping[str, str], element: str = "SE-1") -> None:
        """Put many small files there: a client would need a third of a second for each."""
        top = self.server.settings.storage(element) / self.folder.lstrip("/")
        top.mkdir(parents=True)
        entries = {}
        for name, text in files.items():
            (top / name).write_text(text)
            lfn, adler32 = f"{self.folder}/{name}", f"{zlib.adler32(text.encode()):08x}"
            entries[lfn] = {
                **{"PFN": lfn, "SE": element, "GUID": str(uuid.uuid4()).upper()},
                **{"Size": len(text), "Checksum": adler32},
            }
        command = [str(self.server.settings.python), "-c", _ADD]
        subprocess.run(
            command,
            input=json.dumps(entries),
            env=self.server.client_environment(),
            text=True,
            check=True,
        )

    def files(self, element: str = "SE-1") -> dict[str, str]:
        """Return the contents of the files on a storage element."""
        top = self.server.settings.storage(element) / self.folder.lstrip("/")
        found = (path for path in sorted(top.rglob("*")) if path.is_file())
        return {str(path.relative_to(top)): path.read_text() for path in found}

    def column(self, name: str) -> list[str]:
        sql = f"SELECT {name} FROM Jobs WHERE JobName LIKE '{self.tag}%' ORDER BY JobID"  # noqa: S608
        return [row[0] for row in self.server.query(sql)]

    def input_data(self) -> list[list[str]]:
        """Return the input data of each job, in the order of submission."""
        found = []
        for number in self.column("JobID"):
            sql = f"SELECT LFN FROM InputData WHERE JobID={number} ORDER BY LFN"  # noqa: S608
            found.append([row[0].removeprefix("LFN:") for row in self.server.query(sql)])
        return found


@pytest.fixture
def catalog(dirac_server: DiracServer) -> Catalog:
    return Catalog(dirac_server)


CHAIN = """
RUN = "{root}"
rule all:
    input: "sum.txt"
rule {tag}make:
    output: storage.grid(RUN + "/raw/{{n}}.txt")
    shell: "seq {{wildcards.n}} >{{output}}"
rule {tag}select:
    input: storage.grid(RUN + "/raw/{{n}}.txt")
    output: storage.grid(temp(RUN + "/sel/{{n}}.txt"))
    shell: "head -n 2 {{input}} >{{output}}"
rule {tag}sum:
    input: [storage.grid(f"{{RUN}}/sel/{{n}}.txt") for n in (3, 4)]
    output: "sum.txt"
    shell: "cat {{input}} >{{output}}"
"""


def test_intermediates_stay_on_the_grid(project: Project, catalog: Catalog) -> None:
    project.put("Snakefile", CHAIN.format(root=catalog.root, tag=catalog.tag))
    output = project.run(*STORAGE).succeeded().output
    assert "Snakemake on the worker" not in output
    assert project.read("sum.txt") == "1\n2\n1\n2\n"
    # What is temporary was removed, and nothing has come to this host.
    assert catalog.files() == {"raw/3.txt": "1\n2\n3\n", "raw/4.txt": "1\n2\n3\n4\n"}
    assert not list((project.folder / ".snakemake" / "storage").rglob("*.txt"))
    folder = catalog.folder
    assert sorted(catalog.input_data()) == [
        *([], []),
        [f"{folder}/raw/3.txt"],
        [f"{folder}/raw/4.txt"],
        [f"{folder}/sel/3.txt", f"{folder}/sel/4.txt"],
    ]
    assert "Nothing to be done" in project.run(*STORAGE).succeeded().output


def test_a_failed_job_keeps_its_old_output(
    project: Project, catalog: Catalog, tmp_path: Path
) -> None:
    catalog.put("out.txt", "old\n", tmp_path)
    text = f"""
rule {catalog.tag}:
    output: storage.grid("{catalog.root}/out.txt")
    shell: "echo new >{{output}}; {{command}}"
"""
    project.put("Snakefile", text.replace("{command}", "exit 3"))
    failed = project.run(*STORAGE, "--forceall").failed()
    assert "exit code 3" in failed.output
    assert catalog.files() == {"out.txt": "old\n"}
    project.put("Snakefile", text.replace("{command}", "true"))
    project.run(*STORAGE, "--forceall").succeeded()
    assert catalog.files() == {"out.txt": "new\n"}


def test_an_output_with_the_old_content_is_newer_than_its_input(
    project: Project, catalog: Catalog
) -> None:
    project.put(
        "Snakefile",
        f"""
rule all:
    input: storage.grid("{catalog.root}/out.txt")
rule {catalog.tag}copy:
    input: "in.txt"
    output: storage.grid("{catalog.root}/copy.txt")
    shell: "cp {{input}} {{output}}"
rule {catalog.tag}count:
    input: storage.grid("{catalog.root}/copy.txt")
    output: storage.grid("{catalog.root}/out.txt")
    shell: "wc -l <{{input}} >{{output}}"
""",
    )
    for text in ("old", "new"):
        project.put("in.txt", f"{text}\n")
        assert "Nothing to be done" not in project.run(*STORAGE).succeeded().output
    assert "Nothing to be done" in project.run(*STORAGE).succeeded().output


def test_inputs_without_a_common_site_are_fetched(
    project: Project, catalog: Catalog, tmp_path: Path
) -> None:
    catalog.put("one/x.txt", "first\n", tmp_path, "SE-1")
    catalog.put("two/x.txt", "the second one\n", tmp_path, "SE-2")
    catalog.put("two/y.txt", "third\n", tmp_path, "SE-2")
    project.put(
        "Snakefile",
        f"""
rule {catalog.tag}:
    input: storage.grid(expand("{catalog.root}/{{n}}.txt", n=["one/x", "two/x", "two/y"]))
    output: "out.txt"
    shell: "cat {{input}} >{{output}}"
""",
    )
    project.run(*STORAGE, *ANYWHERE).succeeded()
    assert project.read("out.txt") == "first\nthe second one\nthird\n"
    assert catalog.column("Site") == [SECOND_SITE]
    assert catalog.input_data() == [[f"{catalog.folder}/two/{n}.txt" for n in "xy"]]


def test_files_of_one_name_are_two_files(
    project: Project, catalog: Catalog, tmp_path: Path
) -> None:
    for folder in "ab":
        catalog.put(f"{folder}/x.txt", f"of {folder}\n", tmp_path)
    project.put(
        "Snakefile",
        f"""
rule {catalog.tag}:
    input: storage.grid("{catalog.root}/a/x.txt"), storage.grid("{catalog.root}/b/x.txt")
    output: "out.txt"
    shell: "cat {{input}} >{{output}}"
""",
    )
    project.run(*STORAGE).succeeded()
    assert project.read("out.txt") == "of a\nof b\n"
    assert catalog.column("Site") == [LOCAL_SITE]


def test_no_job_has_more_input_data_than_the_server_takes(
    project: Project, catalog: Catalog
) -> None:
    count = MOST_INPUT_DATA + 20
    catalog.add({f"{number}.txt": "x" * (1 + (number < 20)) for number in range(count)})
    project.put(
        "Snakefile",
        f"""
rule {catalog.tag}:
    input: [storage.grid(f"{catalog.root}/{{n}}.txt") for n in range({count})]
    output: "out.txt"
    shell: "cat {{input}} | wc -c >{{output}}"
""",
    )
    run = Running(project, *STORAGE)
    # The server has looked at the input data then; the job takes a minute to fetch so many.
    run.until(lambda: catalog.column("Status") == ["Running"], 60)
    run.interrupt()
    run.process.wait(60)
    (found,) = catalog.input_data()
    assert len(found) == MOST_INPUT_DATA
    assert {f"{catalog.folder}/{number}.txt" for number in range(20)} <= set(found)  # the largest


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("directory('{}/folder')", "is a directory()"),
        ("protected('{}/x.txt')", "cannot be protected()"),
    ],
)
def test_what_cannot_be_is_refused_at_the_start(
    project: Project, catalog: Catalog, output: str, words: str
) -> None:
    project.put(
        "Snakefile",
        f"""
rule {catalog.tag}:
    output: storage.grid({output.format(catalog.root)})
    shell: "exit 1"
""",
    )
    told = project.run(*STORAGE).failed().output
    assert words in told
    assert f"rule {catalog.tag}" in told
    assert catalog.column("JobID") == []


def test_the_local_backend_fetches_and_stores(
    make_project: MakeProject, catalog: Catalog, dirac_server: DiracServer, tmp_path: Path
) -> None:
    project = make_project("local")
    project.site = local_site(tmp_path / "site")
    project.environment.update(dirac_server.environment())
    project.put("Snakefile", CHAIN.format(root=catalog.root, tag=catalog.tag))
    project.run(*STORAGE).succeeded()
    assert project.read("sum.txt") == "1\n2\n1\n2\n"
    assert sorted(catalog.files()) == ["raw/3.txt", "raw/4.txt"]

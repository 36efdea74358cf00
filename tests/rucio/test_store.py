"""Workflows whose files travel through a store in Rucio, on a real server."""

from __future__ import annotations

import datetime
import json
import os
import secrets
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.faults import eventually
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


def test_a_run_that_was_killed_goes_on(project: Project, store: Store, tmp_path: Path) -> None:
    fill(project)
    gate = tmp_path / "go"
    waits = f'"touch {tmp_path}/runs; until test -e {gate}; do sleep 0.1; done; cat '
    project.put("Snakefile", WORKFLOW.replace('"cat {input} >', f"{waits}{{input}} >"))
    process = project.start(*store.options)
    eventually((tmp_path / "runs").exists, 120)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)
    gate.touch()
    run = project.run(*store.options, "--rerun-incomplete", "--nolock").succeeded()
    assert "submitted" not in run.output or "1 job" in run.output, run.output
    assert project.read("out/sum.txt") == f"grown\n{(1 << 20) + 6}\n"
    assert set(store.names()) == set(store.files())


def test_clean_finds_what_a_run_that_was_killed_leaves(
    project: Project, store: Store, tmp_path: Path
) -> None:
    fill(project)
    project.put(
        "Snakefile", WORKFLOW.replace('"cat {input}', f'"touch {tmp_path}/runs; cat {{input}}')
    )
    process = project.start(*store.options)
    eventually((tmp_path / "runs").exists, 120)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)
    eventually(lambda: set(store.files()) - set(store.names()), 60)  # delivered after that
    removed = project.grid("clean", "--yes", "--force")
    assert removed.code == 0, removed.output
    assert set(store.names()) == set(store.files()), "only Rucio has to remove the rest"
    store.server.expire()
    assert store.files() == {}


def test_blobs_that_end_soon_are_kept_and_expired_ones_uploaded_again(
    project: Project, web: Store
) -> None:
    fill(project)
    project.run(*web.options).succeeded()
    web.end(3600)
    before = web.names()
    project.run(*web.options, "--forceall").succeeded()
    after = web.names()
    used = {name for name in before if after[name] > before[name]}
    assert len(used) >= 3
    assert all(_days(after[name]) > 3.9 for name in used)
    for removed in (False, True):  # by the daemons of Rucio
        web.end(-3600)
        if removed:
            web.server.expire()
            assert web.files() == {}
        project.run(*web.options, "--forceall").succeeded()
        assert project.read("out/sum.txt") == f"grown\n{(1 << 20) + 6}\n"
        again = {name: end for name, end in web.names().items() if _days(end) > 3.9}
        assert len(again) >= 4
        web.server.expire()
        assert set(again) <= set(web.files())


def _days(end: str) -> float:
    moment = datetime.datetime.fromisoformat(end).replace(tzinfo=datetime.UTC)
    return (moment.timestamp() - time.time()) / 86400


_FTP = """
if not any(rse["rse"] == args[0] for rse in client.list_rses()):
    client.add_rse(args[0])
    domain = {"read": 1, "write": 1, "delete": 1}
    client.add_protocol(args[0], {
        "scheme": "gsiftp", "hostname": "127.0.0.1", "port": 1, "prefix": "/", "impl":
        "rucio.rse.protocols.gfal.Default", "domains": {"lan": domain, "wan": domain}})
"""


def test_what_is_wrong_is_said_with_the_remedy(project: Project, web: Store) -> None:
    web.server.client(_FTP, "FTP_USERDISK", account="root")
    place = f"{SCOPE}/{web.prefix}"
    for url, *said in (
        (f"rucio://user.other/x?rse={WEB}", "it cannot be used", "; give a scope of yours"),
        (f"rucio://no.such/x?rse={WEB}", "it cannot be used", "; give a scope of yours"),
        (f"rucio://{place}?rse=NO_SUCH", "it cannot be used", "; give another storage element"),
        (
            f"rucio://{place}?rse=FTP_USERDISK",
            "cannot be used by davs or https or root, only by gsiftp; give",
        ),
        (f"rucio://{place}", "one storage element by ?rse=RSE"),
    ):
        checked = project.grid("check", "--grid-store", url)
        print(checked.output)
        assert checked.code == 1
        assert f"--grid-store {url.partition('?')[0]}" in checked.output.replace("\n", "")
        for text in said:
            assert text in checked.output
        assert "Traceback" not in checked.output
        assert not web.files()
    python = ("--grid-rucio-python", sys.executable)
    checked = project.grid("check", "--grid-store", web.options[1], *python)
    assert checked.code == 1
    assert "name the Python that has them by --grid-rucio-python" in checked.output
    checked = project.grid("check", "--grid-store", web.options[1])
    assert checked.code == 0, checked.output
    assert "written, read back and removed" in checked.output
    assert set(web.names()) == set(web.files())


def test_data_that_stay_in_rucio_and_a_store_there_have_one_client(
    project: Project, web: Store
) -> None:
    folder = f"{web.url}-data"
    project.put(
        "Snakefile",
        f"""
rule all:
    input: "out.txt"
rule make:
    input: "in.txt"
    output: storage.grid(temp("{folder}/made.txt"))
    shell: "cat {{input}} {{input}} > {{output}}"
rule take:
    input: storage.grid("{folder}/made.txt")
    output: "out.txt"
    shell: "cp {{input}} {{output}}"
""",
    )
    project.put("in.txt", "line\n")
    project.run(*web.options, "--storage-grid-rucio-rse", WEB).succeeded()
    assert project.read("out.txt") == "line\nline\n"
    log = (project.folder / ".snakemake" / "grid" / "rucio.log").read_text()
    assert log.count("--- 20") == 1, log

"""Files on servers without a catalog, in workflows on the local backend."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.grid_storage import RELATIVE
from tests.servers.stores.fixtures import webdav
from tests.servers.stores.flaky import flaky
from tests.servers.stores.webdav import TOKEN, WebDavServer
from tests.servers.stores.xrootd import XrootdServer, xrootd_server

__all__ = ["webdav"]

pytestmark = pytest.mark.workflow

CHAIN = """
RUN = "{folder}"
N = glob_wildcards(storage.grid(RUN + "/in/{{n}}.txt")).n
rule all:
    input: storage.grid(RUN + "/sum.txt"), "here.txt"
rule select:
    input: storage.grid(RUN + "/in/{{n}}.txt")
    output: storage.grid(temp(RUN + "/sel/{{n}}.txt"))
    log: "logs/{{n}}.log"
    shell: "head -n 1 {{input}} >{{output}}; echo done >{{log}}"
rule sum:
    input: [storage.grid(f"{{RUN}}/sel/{{n}}.txt") for n in N]
    output: storage.grid(RUN + "/sum.txt")
    shell: "cat {{input}} >{{output}}"
rule here:
    input: storage.grid(RUN + "/sum.txt")
    output: "here.txt"
    run:
        with open(output[0], "w") as stream:
            stream.write(open(input[0]).read())
"""
ONE = """
rule one:
    output: storage.grid("{url}")
    shell: "echo new >{{output}}"
"""


@pytest.fixture
def dav(webdav: WebDavServer, project: Project, tmp_path: Path) -> WebDavServer:
    token = tmp_path / "token"  # which jobs see, as on a worker node
    token.write_text(TOKEN)
    project.environment["BEARER_TOKEN_FILE"] = str(token)
    project.environment["X509_CERT_DIR"] = str(webdav.ca_folder)
    return webdav


@pytest.fixture
def root() -> Iterator[XrootdServer]:
    if find_spec("XRootD") is None:
        pytest.skip("there is no XRootD library: pip install '.[xrootd]'")
    with xrootd_server() as server:
        yield server


def fill(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    for path in (folder.parent, folder):
        path.chmod(0o777)


@pytest.mark.parametrize("kind", ["davs", "root"])
def test_intermediates_stay_on_the_server(
    project: Project, request: pytest.FixtureRequest, kind: str
) -> None:
    if kind == "davs":
        server: WebDavServer = request.getfixturevalue("dav")
        url, data = f"{server.tls_url}/run", server.data / "run"
    else:
        xrootd: XrootdServer = request.getfixturevalue("root")
        url, data = f"{xrootd.url}/run", xrootd.data("/store/run")
    fill(data / "in", a="1\n2\n", b="3\n4\n")
    project.put("Snakefile", CHAIN.format(folder=url))
    project.run().succeeded()
    assert project.read("here.txt") == (data / "sum.txt").read_text() == "1\n3\n"
    assert project.read("logs/a.log") == "done\n"
    there = {str(path.relative_to(data)) for path in data.rglob("*") if path.is_file()}
    assert {name for name in there if ".DAV" not in name} == {"in/a.txt", "in/b.txt", "sum.txt"}
    assert not list((project.folder / ".snakemake" / "storage").rglob("*.txt"))
    assert "Nothing to be done" in project.run().succeeded().output
    (data / "in" / "b.txt").write_text("5\n")
    moment = (data / "sum.txt").stat().st_mtime + 5
    os.utime(data / "in" / "b.txt", (moment, moment))
    project.run("--dry-run").succeeded()


def test_a_failed_job_leaves_the_old_file(project: Project, dav: WebDavServer) -> None:
    url = f"{dav.url}/x.txt"
    project.put("Snakefile", ONE.format(url=url))
    project.run().succeeded()
    assert (dav.data / "x.txt").read_text() == "new\n"
    broken = ONE.format(url=url).replace("echo new", "exit 1; echo newer")
    project.put("Snakefile", broken)
    for _ in range(2):
        project.run().failed()
        assert dav.files() == {"x.txt": 4}
    project.put("Snakefile", ONE.format(url=url).replace("echo new", "echo newest"))
    project.run().succeeded()
    assert dav.files() == {"x.txt": 7}


def test_the_token_of_the_option_is_used_on_both_sides(
    project: Project, dav: WebDavServer, tmp_path: Path
) -> None:
    token = project.environment.pop("BEARER_TOKEN_FILE")
    url = f"{dav.tls_url}/x.txt"
    rule_all = f'rule all:\n    input: storage.grid("{url}")\n'
    project.put("Snakefile", rule_all + ONE.format(url=url))
    failed = project.run().failed()
    assert "found neither a bearer token" in failed.output
    assert "Missing" not in failed.output
    project.run("--grid-store-token", token).succeeded()
    assert (dav.data / "x.txt").read_text() == "new\n"


def test_an_unchanged_snakefile_with_the_default_provider(
    project: Project, dav: WebDavServer
) -> None:
    project.put("Snakefile", RELATIVE)
    default = (
        *("--default-storage-provider", "grid"),
        *("--default-storage-prefix", f"{dav.tls_url}/run1"),
    )
    project.run(*default).succeeded()
    assert (dav.data / "run1/results/b.txt").read_text() == "text\n"
    assert list(dav.files()) == ["run1/results/b.txt"]
    assert "Nothing to be done" in project.run(*default).succeeded().output


def test_what_cannot_be_is_refused_with_the_name_of_the_rule(
    project: Project, dav: WebDavServer
) -> None:
    with flaky(lambda handler: handler.answer(404)) as server:
        project.put("Snakefile", ONE.format(url=f"{server.url}/x.txt"))
        failed = project.run().failed()
    assert "rule one: output http://" in failed.output
    assert "write davs://" in failed.output
    project.put(
        "Snakefile",
        f"""
rule one:
    output: storage.grid(directory("{dav.tls_url}/folder"))
    shell: "mkdir {{output}}"
""",
    )
    failed = project.run().failed()
    assert "rule one: output davs://" in failed.output
    assert "only files can be on the grid" in failed.output

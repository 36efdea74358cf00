"""The stores through which files of PanDA jobs can travel: they and the server are real ones."""

# ruff: noqa: F401 - fixtures

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import MakeProject, Project
from tests.servers.panda.client import Client
from tests.servers.panda.fixture import can_isolate
from tests.servers.panda.server import PandaServer
from tests.servers.stores.fixtures import s3, webdav
from tests.servers.stores.s3 import S3Server
from tests.servers.stores.webdav import TOKEN, WebDavServer
from tests.servers.stores.xrootd import XrootdServer
from tests.workflows.test_store_xrootd import server as xrootd

from .conftest import panda_site
from .seen import Seen, holders
from .test_secrets import MARK, SECRET, secrets_of

pytestmark = [pytest.mark.panda, pytest.mark.workflow]

LARGE = 9 << 20  # more than goes through the cache
WORKFLOW = """
envvars: "GRID_TEST_SECRET"
rule all:
    input: expand("sum{n}.txt", n=range(3))
    localrule: True
rule grow:
    input: "large.bin", "small.txt"
    output: "grown.bin"
    shell: "(cd PARENT; test ! -e project/Snakefile); cat {input} > {output}"
rule sum:
    input: "grown.bin"
    output: "sum{n}.txt"
    shell: 'wc -c < {input} > {output}; printf %s "$GRID_TEST_SECRET" | sha256sum >> {output}'
"""
SIGNATURES = ("X-Amz-Signature=", "X-Amz-Credential=", "AWSAccessKeyId=")


@dataclass
class Place:
    """A store.

    Attributes:
        url: For ``--grid-store``.
        options: That it needs besides.
        environment: Of the submit host.
        names: Returns the names of all files in it.
        worker: Shell lines that a worker node has run when jobs begin.
    """

    url: str
    names: Callable[[], set[str]]
    options: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    worker: str = ""


@pytest.fixture(params=["s3", "davs", "root"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    match request.param:
        case "s3":
            bucket: S3Server = request.getfixturevalue("s3")
            return Place(
                "s3://bucket/me",
                lambda: {name.removeprefix("me/") for name in bucket.keys("bucket")},
                environment=tuple(bucket.environment.items()),
            )
        case "davs":
            dav: WebDavServer = request.getfixturevalue("webdav")
            token = tmp_path / "private" / "token"
            token.parent.mkdir()
            token.write_text(TOKEN)
            certificates = f"X509_CERT_DIR={shlex.quote(str(dav.ca_folder))}"
            return Place(
                f"{dav.tls_url}/me",
                lambda: {name.removeprefix("me/") for name in dav.files()},
                options=("--grid-store-token", str(token)),
                environment=(("X509_CERT_DIR", str(dav.ca_folder)),),
                worker=f"export {certificates}",
            )
        case _:
            root: XrootdServer = request.getfixturevalue("xrootd")
            return Place(f"{root.url}/me", lambda: _below(root.data("/store/me")))


@pytest.fixture
def panda_server(place: Place, tmp_path: Path) -> Iterator[PandaServer]:
    """Return a server of its own, as the worker nodes of a site have what its stores need."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, program in (("python", sys.executable), ("python3", sys.executable)):
        script = programs / name
        script.write_text(f'#!/bin/sh\n{place.worker}\nexec {program} "$@"\n')
        script.chmod(0o755)
    folder = Path(tempfile.mkdtemp(prefix="panda-"))  # not below the test's, which is cleared
    server = PandaServer.create(folder / "server", programs, isolate=can_isolate())
    try:
        server.start()
        yield server
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def stored(
    make_project: MakeProject, panda_server: PandaServer, place: Place, tmp_path: Path
) -> Iterator[Project]:
    """Return a project with the workflow, which jobs cannot see."""
    made = make_project("project")
    made.site = panda_site(panda_server, place.url, *place.options)
    made.environment |= dict(place.environment)
    made.put("Snakefile", WORKFLOW.replace("PARENT", str(tmp_path)))
    made.put("small.txt", "small\n")
    (made.folder / "large.bin").write_bytes(os.urandom(LARGE))
    with panda_server.hidden(made.folder, tmp_path / "private"):
        yield made


@pytest.mark.parametrize("keeper", ["store", "server"])
def test_files_and_secrets_go_through_a_store(
    stored: Project,
    place: Place,
    panda_server: PandaServer,
    seen: Seen,
    other_tool: Client,
    keeper: str,
) -> None:
    # One that is longer than the server may keep goes through the store after all.
    secret = SECRET + "x" * (9000 if keeper == "server" else 0)
    stored.environment["GRID_TEST_SECRET"] = secret
    output = stored.run("--grid-panda-secrets", keeper).succeeded().output
    digest = hashlib.sha256(secret.encode()).hexdigest()
    expected = f"{LARGE + 6}\n{digest}  -\n"
    assert [stored.read(f"sum{n}.txt") for n in range(3)] == [expected] * 3
    names = place.names()
    assert {name.partition("/")[0] for name in names} == {"blobs", "delivered"}
    assert len([name for name in names if name.startswith("delivered/")]) == 1  # grown.bin
    cache, own = panda_server.settings.cache, stored.folder / ".snakemake"
    assert list(cache.iterdir())
    tasks = str(seen.tasks())
    for value in (*SIGNATURES, MARK, TOKEN):
        assert holders(value, [cache, own]) == [], value
        assert value not in tasks
        assert value not in output
    assert secrets_of(other_tool) == {}
    uses = {bool(task["parameters"].get("useSecrets")) for task in seen.tasks()}
    assert uses == {keeper == "server" or not place.url.startswith("root")}


def _below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}

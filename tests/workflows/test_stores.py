"""Whole workflows through remote stores, which are real servers; jobs cannot see the project."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from tests.command import Process
from tests.conftest import Project, finish
from tests.faults import eventually
from tests.servers.stores.fixtures import s3, webdav
from tests.servers.stores.s3 import S3Server
from tests.servers.stores.webdav import TOKEN, WebDavServer

__all__ = ["s3", "webdav"]

pytestmark = pytest.mark.workflow

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
    shell: "(cd ABOVE; test ! -e project/Snakefile);"
        "cat {input[1]} > {output}; wc -c < {input[0]} >> {output}"
"""


class Server(Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass
class Remote:
    """A store, and what is behind it."""

    url: str
    server: Server
    environment: dict[str, str]
    files: Callable[[], dict[str, object]]
    """Everything in the store, by name, with what changes when it is written again."""

    @property
    def options(self) -> tuple[str, ...]:
        return ("--grid-store", self.url, *LARGE)


def bucket_of(s3: S3Server) -> Remote:
    def files() -> dict[str, object]:
        pages = s3.client.get_paginator("list_objects_v2").paginate(Bucket="bucket")
        items = [item for page in pages for item in page.get("Contents", [])]
        return {item["Key"].removeprefix("me/"): item["LastModified"] for item in items}

    return Remote("s3://bucket/me", s3, s3.environment, files)


def folder_of(webdav: WebDavServer, tmp_path: Path) -> Remote:
    token = tmp_path / "token"  # which jobs see, as on a worker node
    token.write_text(TOKEN)
    environment = {"BEARER_TOKEN_FILE": str(token), "X509_CERT_DIR": str(webdav.ca_folder)}

    def files() -> dict[str, object]:
        found = webdav.data / "me"
        return {
            str(path.relative_to(found)): path.stat().st_mtime_ns
            for path in found.rglob("*")
            if path.is_file() and ".DAV" not in path.parts
        }

    return Remote(f"{webdav.tls_url}/me", webdav, environment, files)


@pytest.fixture(params=["s3", "davs"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Remote:
    if request.param == "s3":
        return bucket_of(request.getfixturevalue("s3"))
    return folder_of(request.getfixturevalue("webdav"), tmp_path)


@pytest.fixture
def dav(webdav: WebDavServer, tmp_path: Path) -> Remote:
    return folder_of(webdav, tmp_path)


def fill(project: Project, store: Remote) -> None:
    project.environment.update(store.environment)
    project.put("Snakefile", WORKFLOW.replace("ABOVE", str(project.folder.parent)))
    (project.folder / "large.bin").write_bytes(os.urandom(1 << 20))
    project.put("small.txt", "small\n")


def test_files_go_there_and_back_once_and_can_be_removed(project: Project, store: Remote) -> None:
    fill(project, store)
    first = project.run(*store.options).succeeded()
    assert project.read("out/sum.txt") == f"grown\n{(1 << 20) + 6}\n"
    stored = store.files()
    blobs = {name for name in stored if name.startswith("blobs/")}
    assert len(blobs) >= 3  # the large file, the sources, small inputs
    kept = stored.keys() - blobs
    assert len(kept) == 1, "only what the second rule took from the first one stays"
    assert kept.pop().startswith("delivered/")
    again = project.run(*store.options, "--forceall").succeeded()
    after = store.files()
    assert {name: after[name] for name in blobs} == {name: stored[name] for name in blobs}
    fresh = {name for name in after.keys() - stored.keys() if name.startswith("blobs/")}
    assert len(fresh) <= 1, "only the new note of the first rule may have gone up"
    for text in (first.output, again.output, *_texts(project.folder / ".snakemake")):
        assert "Signature" not in text
        assert TOKEN not in text
    _foreign(store)
    removed = project.grid("clean", "--yes")
    assert removed.code == 0, removed.output
    assert set(store.files()) == {"foreign.txt"}
    assert "any more" in project.grid("clean", "--yes").output


def _texts(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.read_text(errors="replace")


def _foreign(store: Remote) -> None:
    """Put a file of somebody else's there."""
    server = store.server
    if isinstance(server, S3Server):
        server.client.put_object(Bucket="bucket", Key="me/foreign.txt", Body=b"x")
    elif isinstance(server, WebDavServer):
        (server.data / "me" / "foreign.txt").write_text("x")


@pytest.mark.parametrize(
    "store", ["s3", pytest.param("davs", marks=pytest.mark.slow)], indirect=True
)
def test_a_server_that_is_down_for_a_while(project: Project, store: Remote, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    project.environment.update(store.environment)
    project.put(
        "Snakefile",
        f"""
localrules: prepare
rule all:
    input: "out.bin"
rule first:
    output: "first.txt"
    shell: "touch {{output}}"
rule prepare:
    input: "first.txt"
    output: "large.bin"
    shell: "touch {notes}/preparing; until test -e {notes}/go-1; do sleep 0.1; done;"
        " head -c 1000000 /dev/urandom > {{output}}"
rule work:
    input: "large.bin"
    output: "out.bin"
    shell: "touch {notes}/working; until test -e {notes}/go-2; do sleep 0.1; done;"
        " cp {{input}} {{output}}"
""",
    )
    process = project.start(*store.options)
    eventually(lambda: (notes / "preparing").exists())
    store.server.stop()
    (notes / "go-1").touch()
    time.sleep(6)
    assert not (notes / "working").exists()
    store.server.start()
    _wait_for(process, notes / "working")
    store.server.stop()
    (notes / "go-2").touch()
    time.sleep(4)
    store.server.start()
    output = finish(process).succeeded().output
    assert f"{store.url} does not answer" in output
    assert f"{store.url} answers again" in output
    project_file = project.folder / "large.bin"
    assert (project.folder / "out.bin").read_bytes() == project_file.read_bytes()


def _wait_for(process: Process, path: Path) -> None:
    """Wait for a file, and show the output of a run that does not come to it."""
    try:
        eventually(path.exists)
    except AssertionError:
        process.kill()
        raise AssertionError(process.output) from None


def test_what_was_damaged_in_the_store(project: Project, dav: Remote, webdav: WebDavServer) -> None:
    fill(project, dav)
    project.run(*dav.options).succeeded()
    large = next(
        path
        for path in (webdav.data / "me" / "blobs").rglob("*")
        if path.is_file() and path.stat().st_size == 1 << 20
    )
    large.write_bytes(b"cut short")
    project.run(*dav.options, "--forceall").succeeded()
    assert large.stat().st_size == 1 << 20, "it has not gone up again"
    large.write_bytes(bytes(1 << 20))
    failed = project.run(*dav.options, "--forceall").failed()
    assert "input damaged: large.bin" in failed.output.replace("work/", "")
    assert large.name in failed.output


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://nosuchbucket/me", "NoSuchBucket"),
        ("s3://", "names no host or bucket"),
        ("davs://user:word@127.0.0.1/me", "must hold no user"),
        ("gopher://host", "no store of this kind"),
    ],
)
def test_urls_that_are_no_good(project: Project, s3: S3Server, url: str, said: str) -> None:
    project.environment.update(s3.environment)
    project.put("Snakefile", 'rule all:\n    output: "a"\n    shell: "touch a"\n')
    output = project.run("--grid-store", url).failed().output
    assert said in output
    assert "--grid-store" in output
    own = [line for line in output.splitlines() if not line.strip().startswith("Command:")]
    assert ":word@" not in "".join(own)


def test_a_wrong_token(project: Project, dav: Remote, tmp_path: Path) -> None:
    fill(project, dav)
    (tmp_path / "token").write_text("wrong")
    output = project.run(*dav.options).failed().output
    assert dav.url in output
    assert "credentials" in output
    assert dav.files() == {}


def test_a_full_store(project: Project, dav: Remote, webdav: WebDavServer) -> None:
    folder = webdav.data / "me"
    folder.mkdir()
    options = "size=2m,mode=777"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"needs to mount a small file system: {mounted.stderr.strip()}")
    try:
        project.environment.update(dav.environment)
        project.put(
            "Snakefile",
            'rule all:\n    output: "a"\n    shell: "head -c 4000000 /dev/zero > a"\n',
        )
        output = project.run(*dav.options).failed().output
        assert "outputs could not be stored" in output
        assert "make room" in output
        project.put(
            "Snakefile", 'rule all:\n    input: "b"\n    output: "a"\n    shell: "cp b a"\n'
        )
        (project.folder / "b").write_bytes(bytes(4_000_000))
        assert "make room" in project.run(*dav.options).failed().output
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)

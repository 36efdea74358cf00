"""A store on an XRootD server, to which submit host and workers have nothing else in common."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.faults import Running
from tests.servers.stores.xrootd import XrootdServer, xrootd_server

pytestmark = pytest.mark.workflow

_LIMIT = 1 << 20
_SNAKEFILE = """
rule all:
    input: "length.txt"
rule double:
    input: "large.bin", "head.txt"
    output: "double.bin"
    log: "double.log"
    shell: "cat {input[1]} {input[0]} {input[0]} >{output}; pwd >{log}"
rule length:
    input: "double.bin"
    output: "length.txt"
    shell: "wc -c <{input} >{output}"
"""


@pytest.fixture
def server() -> Iterator[XrootdServer]:
    if find_spec("XRootD") is None:
        reason = "there is no XRootD library: pip install '.[xrootd]'"
        if os.environ.get("GRID_TEST_STORES_REQUIRED"):
            pytest.fail(f"GRID_TEST_STORES_REQUIRED is set, but {reason}")
        pytest.skip(reason)
    with xrootd_server() as server:
        yield server


def _files(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return the files below a folder: inode, size and time of the last change of each."""
    return {
        str(path.relative_to(folder)): (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and (stat := path.stat())
    }


def test_a_workflow_whose_files_go_through_xrootd(project: Project, server: XrootdServer) -> None:
    project.put("Snakefile", _SNAKEFILE)
    project.put("head.txt", "small\n")
    (project.folder / "large.bin").write_bytes(os.urandom(3 * _LIMIT))
    options = ("--grid-store", f"{server.url}/my files", "--grid-large-file", str(_LIMIT))

    project.run(*options).succeeded()
    assert int(project.read("length.txt")) == 2 * 3 * _LIMIT + 6
    double = (project.folder / "double.bin").read_bytes()
    assert double[6:] == (project.folder / "large.bin").read_bytes() * 2
    assert not project.read("double.log").startswith(str(project.folder))
    store = server.data("/store/my files")
    stored = _files(store)
    assert sorted(size for _, size, _ in stored.values())[-2:] == [3 * _LIMIT, 6 * _LIMIT + 6]

    for name in ("length.txt", "double.bin"):
        (project.folder / name).unlink()
    project.run(*options).succeeded()
    assert int(project.read("length.txt")) == 2 * 3 * _LIMIT + 6
    blobs = {name: what for name, what in stored.items() if name.startswith("blobs/")}
    assert blobs
    now = {name: what for name, what in _files(store).items() if name.startswith("blobs/")}
    assert now == blobs


@pytest.mark.slow  # as with S3, in test_stores.py
def test_the_server_is_away_for_a_while(project: Project, server: XrootdServer) -> None:
    project.put("Snakefile", _SNAKEFILE)
    project.put("head.txt", "small\n")
    (project.folder / "large.bin").write_bytes(os.urandom(3 * _LIMIT))
    project.environment |= {"XRD_CONNECTIONWINDOW": "2", "XRD_CONNECTIONRETRY": "1"}
    options = ("--grid-store", server.url, "--grid-large-file", str(_LIMIT))
    run = Running(project, *options)
    for rule in ("double", "length"):
        run.tells(f"\nrule {rule}:", seconds=120)
        server.stop()
        time.sleep(3)
        server.start()
    run.finish().succeeded()
    assert int(project.read("length.txt")) == 2 * 3 * _LIMIT + 6

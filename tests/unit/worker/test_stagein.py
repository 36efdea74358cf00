"""Inputs on the worker, beside what tests/unit/test_worker.py runs as a program."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from snakemake.common.configfile import load_configfile

from snakemake_executor_plugin_grid.worker.archive.listing import scan
from snakemake_executor_plugin_grid.worker.archive.pack import pack
from snakemake_executor_plugin_grid.worker.description import WORKDIR, Blob, FolderError, Job
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from snakemake_executor_plugin_grid.worker.stagein import stage_in
from snakemake_executor_plugin_grid.worker.tree import Tree


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_shipped_runtime_is_unpacked(tmp_path: Path, compression: str) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "m.py").write_text("x = 1")
    packed = pack(scan(packages, "work"), tmp_path / "a", compression=compression)
    url = (tmp_path / "a").as_uri()
    blob = Blob(packed.digest, packed.size, url, kind="runtime", compression=compression)
    job = Job("n", "c", (), (blob,), (), Runtime("inherit"))
    stage_in(job, tmp_path, Tree(tmp_path / "tree", ()), tmp_path / "runtime")
    assert (tmp_path / "runtime" / "m.py").read_text() == "x = 1"


def stage_config(tmp_path: Path, text: str, tree: Path) -> Path:
    """Stage in a configuration file, and return its path."""
    packages = tmp_path / "packages"
    packages.mkdir()
    config = packages / "config.yaml"
    config.write_bytes(text.encode())
    config.chmod(0o440)
    os.utime(config, ns=(10**18, 10**18))
    packed = pack(scan(packages, "work"), tmp_path / "a", compression="none")
    blob = Blob(packed.digest, packed.size, (tmp_path / "a").as_uri())
    files = ("work/config.yaml",)
    job = Job("n", "c", (), (blob,), (), Runtime("inherit"), marked_files=files)
    stage_in(job, tmp_path, Tree(tree, ()), tmp_path / "runtime")
    return tree / "config.yaml"


@pytest.mark.parametrize("name", ["plain", "of müller & co (1) #2: a:b -c * ! | `x` 100% <y>"])
def test_the_working_directory_is_set_in_configuration_files(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name.replace(": ", "; ").replace(" #", "#")
    text = f"a: {WORKDIR}\r\nb: '{WORKDIR}/r'\r\nc: [{WORKDIR}, \"{WORKDIR}/r\"]\r\n"
    path = stage_config(tmp_path, text, folder)
    top = str(folder)
    assert load_configfile(path) == {"a": top, "b": f"{top}/r", "c": [top, f"{top}/r"]}
    assert path.read_bytes().count(b"\r\n") == 3
    status = path.stat()
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o440, 10**18)


@pytest.mark.parametrize(
    "name", ["it's", 'a"b', "a\\b", "a: b", "a #b", "a,b", "[1]", "a\tb", "a "]
)
def test_a_path_that_needs_quotes_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FolderError, match="absolute paths of the configuration"):
        stage_config(tmp_path, f"a: {WORKDIR}/r\n", tmp_path / name)

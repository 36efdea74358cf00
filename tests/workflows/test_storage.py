"""Point 18: files of storage plugins are fetched and stored by the worker's Snakemake."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.workflow

pytest.importorskip("snakemake_storage_plugin_fs")

# The plugin calls `rsync [options] source target`, with two or three long options.
_COPY = """#!/bin/sh
while case $1 in -*) true;; *) false;; esac; do shift; done
exec cp -rL --preserve=timestamps "$1" "$2"
"""


@pytest.fixture
def depot(project: Project, tmp_path: Path) -> Path:
    """Return a folder that jobs can see, for the plugin."""
    if shutil.which("rsync") is None:
        programs = tmp_path / "programs"
        programs.mkdir()
        (programs / "rsync").write_text(_COPY)
        (programs / "rsync").chmod(0o755)
        project.environment["PATH"] = f"{programs}:{os.environ['PATH']}"
    depot = tmp_path / "depot"
    depot.mkdir()
    (depot / "in.txt").write_text("MARK-OF-THE-DEPOT\n")
    return depot


def test_18_storage_directive(project: Project, depot: Path, tmp_path: Path) -> None:
    project.put(
        "Snakefile",
        f"""
storage: provider="fs"
rule all:
    input: "last.txt"
rule first:
    input: storage.fs("{depot}/in.txt"), "plain.txt"
    output: storage.fs("{depot}/out/first.txt"), "plain_out.txt"
    shell: "cat {{input}} > {{output[0]}}; echo made > {{output[1]}}"
rule last:
    input: storage.fs("{depot}/out/first.txt"), "plain_out.txt"
    output: "last.txt"
    shell: "cat {{input}} > {{output}}"
""",
    )
    project.put("plain.txt", "plain\n")
    store = tmp_path / "store"
    store.mkdir()
    project.run("--grid-store", f"file://{store}").succeeded()
    assert (depot / "out" / "first.txt").read_text() == "MARK-OF-THE-DEPOT\nplain\n"
    assert project.read("last.txt") == "MARK-OF-THE-DEPOT\nplain\nmade\n"
    kept = [path.read_bytes() for path in store.rglob("*") if path.is_file()]
    assert any(b"plain\n" in content for content in kept)
    assert not any(b"MARK-OF-THE-DEPOT" in content for content in kept)


def test_18_default_storage_provider(project: Project, depot: Path) -> None:
    project.write(
        Snakefile="""
rule all:
    input: "out/last.txt"
rule first:
    input: "in.txt"
    output: "first.txt"
    log: "first.log"
    shell: "cp {input} {output}; echo logged > {log}"
rule last:
    input: "first.txt", local("plain.txt")
    output: "out/last.txt"
    shell: "cat {input} > {output}"
"""
    )
    project.put("plain.txt", "plain\n")
    project.run(
        "--default-storage-provider", "fs", "--default-storage-prefix", str(depot)
    ).succeeded()
    assert (depot / "first.txt").read_text() == "MARK-OF-THE-DEPOT\n"
    assert (depot / "out" / "last.txt").read_text() == "MARK-OF-THE-DEPOT\nplain\n"
    assert not (project.folder / "first.txt").exists()

"""Point 18: files of storage plugins are fetched and stored by the worker's Snakemake."""

from __future__ import annotations

import json
import os
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

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
    if project.site.backend != "panda":  # where small files travel with the job itself
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


def test_18_local_files_of_a_default_provider(project: Project, depot: Path) -> None:
    project.put(
        "Snakefile",
        """
rule all:
    input: "out.txt", local("here.txt")
rule first:
    input: "in.txt", local("plain.txt")
    output: "out.txt", local("where.txt")
    shell: "cat {input} > {output[0]}; pwd > {output[1]}"
rule second:
    input: local("where.txt")
    output: local("here.txt")
    group: "g"
    shell: "cp {input} {output}; pwd >> {output}"
""",
    )
    project.put("plain.txt", "plain\n")
    project.run(*_default(depot)).succeeded()
    assert (depot / "out.txt").read_text() == "MARK-OF-THE-DEPOT\nplain\n"
    assert not (depot / "where.txt").exists()
    assert str(project.folder) not in project.read("here.txt").splitlines()


def test_18_temp_files_groups_checkpoints_retries(project: Project, depot: Path) -> None:
    project.put(
        "Snakefile",
        """
rule all:
    input: "sum.txt", "grouped.txt", "again.txt"
checkpoint split:
    input: "in.txt"
    output: "parts/list.txt", "parts/a.txt", "parts/b.txt"
    shell: "echo a b > {output[0]}; echo A > {output[1]}; echo B > {output[2]}"
rule copy:
    input: "parts/{part}.txt"
    output: temp("copies/{part}.txt")
    shell: "cp {input} {output}"
def copies(wildcards):
    with checkpoints.split.get().output[0].open() as stream:
        return [f"copies/{part}.txt" for part in stream.read().split()]
rule sum:
    input: copies, lambda wildcards: "in.txt"
    output: "sum.txt", temp("unneeded.txt")
    shell: "cat {input} > {output[0]}; touch {output[1]}"
rule one:
    input: "in.txt"
    output: temp("one.txt")
    group: "pair"
    shell: "cp {input} {output}"
rule two:
    input: "one.txt"
    output: "grouped.txt"
    group: "pair"
    shell: "cp {input} {output}"
rule again:
    output: "again.txt"
    log: "again.log"
    retries: 1
    resources: tries=lambda wildcards, attempt: attempt
    shell: "echo {resources.tries} > {log}; [ {resources.tries} = 2 ] && cp {log} {output}"
""",
    )
    run = project.run(*_default(depot)).succeeded()
    assert run.output.count("Error in rule again") == 1
    assert (depot / "sum.txt").read_text() == "A\nB\nMARK-OF-THE-DEPOT\n"
    assert (depot / "grouped.txt").read_text() == "MARK-OF-THE-DEPOT\n"
    left = {str(path.relative_to(depot)) for path in depot.rglob("*.*") if path.is_file()}
    if Version(version("snakemake")) < Version("9.27"):  # 9.17 leaves temporary files in a storage
        left -= {"one.txt", "unneeded.txt", "copies/a.txt", "copies/b.txt"}
    assert left == {
        *("in.txt", "sum.txt", "grouped.txt", "again.txt", "again.log"),
        *("parts/list.txt", "parts/a.txt", "parts/b.txt"),
    }
    # Snakemake itself leaves what it has read for a function.
    assert {path.name for path in _local_copies(project)} <= {"list.txt"}


def test_18_the_log_of_a_failed_job_is_stored(project: Project, depot: Path) -> None:
    project.put(
        "Snakefile",
        """
rule first:
    input: "in.txt"
    output: "first.txt"
    log: "first.log"
    shell: "cp {input} {output}; echo why > {log}; exit 3"
""",
    )
    project.run(*_default(depot), "first.txt").failed()
    assert (depot / "first.log").read_text() == "why\n"
    assert not (depot / "first.txt").exists()


def test_18_copies_and_retrieval(project: Project, depot: Path) -> None:
    project.put(
        "Snakefile",
        f"""
rule first:
    input: storage.fs("{depot}/in.txt")
    output: "first.txt"
    shell: "echo {{input}} > {{output}}"
""",
    )
    project.run("first.txt", "--keep-storage-local-copies").succeeded()
    assert project.read("first.txt").startswith(".snakemake/storage/fs/")
    project.run("first.txt", "--not-retrieve-storage", "--force").succeeded()
    assert project.read("first.txt") == f"{depot}/in.txt\n"


# A plugin with settings that is installed where a test says so.
_TOY = """
from dataclasses import dataclass, field
from typing import Optional
from snakemake_interface_storage_plugins.settings import StorageProviderSettingsBase
from snakemake_storage_plugin_fs import StorageObject, StorageProvider as Plain

class StorageProvider(Plain):
    pass

@dataclass
class StorageProviderSettings(StorageProviderSettingsBase):
    level: int = field(default=1, metadata={"help": "A number."})
    key: Optional[str] = field(default=None, metadata={"help": "A secret.", "env_var": True})
"""


@pytest.fixture
def toy(project: Project, tmp_path: Path) -> Path:
    """Return the folder of a plugin that Snakemake has here and a worker has not."""
    folder = tmp_path / "packages"
    package = folder / "snakemake_storage_plugin_toy"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(_TOY)
    project.environment["PYTHONPATH"] = str(folder)
    return folder


_READ_SETTINGS = """
storage one: provider="toy"
storage two: provider="toy", level=7
rule first:
    input: storage.one("{depot}/in.txt"), storage.two("{depot}/in.txt")
    output: "read.json", storage.two("{depot}/out.txt")
    run:
        import json, pathlib
        known = workflow.storage_registry._storages
        read = {{tag: [known[tag].settings.level, known[tag].settings.key] for tag in known}}
        files = [*pathlib.Path.cwd().parents[1].iterdir(), *pathlib.Path("/proc").glob("*/cmdline")]
        seen = []
        for path in files:
            try:
                seen += [path.name] if b"VERY-" + b"SECRET" in path.read_bytes() else []
            except OSError:
                pass
        pathlib.Path(output[0]).write_text(json.dumps([read, seen]))
        pathlib.Path(output[1]).write_text("stored")
"""


def test_18_settings_reach_the_worker(
    project: Project, depot: Path, toy: Path, tmp_path: Path
) -> None:
    project.put("Snakefile", _READ_SETTINGS.format(depot=depot))
    project.environment["SNAKEMAKE_STORAGE_TOY_KEY"] = '["one::VERY-SECRET $1", "VERY-SECRET-TOO"]'
    project.run(
        *("first", "--verbose", "--storage-toy-level", "one::3", "2"),
        *("--grid-runtime-setup", f"export PYTHONPATH={toy}"),
    ).succeeded()
    read, seen = json.loads(project.read("read.json"))
    assert read["one"] == [3, "VERY-SECRET $1"]
    assert read["two"] == [7, "VERY-SECRET-TOO"]
    assert set(seen) <= {"environment.json"}
    assert (depot / "out.txt").read_text() == "stored"
    (project.folder / "read.json").unlink()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if b"VERY-SECRET" in path.read_bytes()] == []


def test_18_a_plugin_that_is_not_used_needs_not_be_there(project: Project, toy: Path) -> None:
    project.put("Snakefile", 'rule first:\n    output: "first.txt"\n    shell: "env > {output}"\n')
    project.environment["SNAKEMAKE_STORAGE_TOY_KEY"] = "VERY-SECRET"
    project.run("first", "--storage-toy-level", "2").succeeded()
    assert "VERY-SECRET" not in project.read("first.txt")


@pytest.mark.parametrize("query", ['storage.toy("{}")', 'storage.toy("{}", level=2)'])
def test_18_a_plugin_that_the_worker_lacks(
    project: Project, depot: Path, toy: Path, query: str
) -> None:
    project.put(
        "Snakefile",
        f"""
rule first:
    input: {query.format(depot / "in.txt")}
    output: "first.txt"
    shell: "touch {{output}}"
""",
    )
    options = ["--storage-toy-level", "2"] if "level" in query else []
    run = project.run("first", *options).failed()
    assert "lacks a storage plugin" in run.output
    assert "--grid-runtime wheels" in run.output
    named = "--storage-toy-level" if options else "snakemake-storage-plugin-toy is not installed"
    assert named in run.output


def _default(depot: Path) -> list[str]:
    return ["--default-storage-provider", "fs", "--default-storage-prefix", str(depot)]


def _local_copies(project: Project) -> list[Path]:
    return [path for path in (project.folder / ".snakemake/storage").rglob("*") if path.is_file()]

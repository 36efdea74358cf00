"""The storage plugin ``grid`` in workflows on this host, with a DIRAC that is a folder."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.conftest import Finished, Project
from tests.dirac_in_a_folder import DiracFolder
from tests.grid_storage import MOST_CALLS, RELATIVE, chain_of, run_without_executor

pytestmark = pytest.mark.workflow


@pytest.fixture
def dirac(tmp_path: Path) -> DiracFolder:
    return DiracFolder(tmp_path / "dirac")


def snakemake(project: Project, dirac: DiracFolder, *args: str, **variables: str) -> Finished:
    """Run Snakemake without the executor."""
    return run_without_executor(project, dirac.python, *args, **variables)


def chain(project: Project, dirac: DiracFolder, count: int) -> None:
    project.put("Snakefile", chain_of("lfn:/vo/prod", "lfn:/vo/user/u/user/run1", count))
    for number in range(count):
        dirac.add(f"lfn:/vo/prod/{number}.txt", f"file {number}\n")


def test_a_chain_whose_intermediate_files_are_on_the_grid(
    project: Project, dirac: DiracFolder
) -> None:
    chain(project, dirac, 20)
    snakemake(project, dirac).succeeded()
    assert project.read("sum.txt").splitlines() == [f"FILE {n}" for n in range(20)]
    calls = dirac.calls()
    assert calls["look_up_files"] <= MOST_CALLS, calls
    assert calls["remove_files"] <= 5, calls
    assert calls["store_file"] == 20
    assert len(dirac.names()) == 20, "temporary files are gone"
    assert not (project.folder / ".snakemake" / "storage" / "grid" / "lfn" / "vo" / "user").exists()

    again = snakemake(project, dirac).succeeded()
    assert "Nothing to be done" in again.output
    assert sum(dirac.calls().values()) <= 3


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_what_is_newer_is_known_in_each_time_zone(
    project: Project, dirac: DiracFolder, zone: str
) -> None:
    chain(project, dirac, 1)
    now = time.time()
    dirac.add("lfn:/vo/prod/0.txt", "file 0\n", now - 60)
    snakemake(project, dirac, TZ=zone).succeeded()
    again = snakemake(project, dirac, TZ=zone).succeeded()
    assert "Nothing to be done" in again.output
    os.utime(project.folder / "sum.txt", (now - 50, now - 50))
    dirac.add("lfn:/vo/prod/0.txt", "new\n", now - 40)
    snakemake(project, dirac, TZ=zone).succeeded()
    assert project.read("sum.txt") == "NEW\n"


def test_a_thousand_inputs_are_a_few_calls(project: Project, dirac: DiracFolder) -> None:
    project.put(
        "Snakefile",
        """
N = 1000
rule all:
    input: expand("out/{n}.txt", n=range(N))
    output: "all.txt"
    shell: "touch {output}"
rule one:
    input: storage.grid("lfn:/vo/prod/{n}.txt")
    output: "out/{n}.txt"
    shell: "cp {input} {output}"
""",
    )
    for number in range(1000):
        dirac.add(f"lfn:/vo/prod/{number}.txt", f"{number}\n")
    run = snakemake(project, dirac, "--dry-run", "--quiet").succeeded()
    assert "Nothing to be done" not in run.output
    assert sum(dirac.calls().values()) <= MOST_CALLS
    # The rerun of a part, where the rest is done.
    old = time.time() - 3600
    for number in range(1000):
        os.utime(project.put(f"out/{number}.txt", f"{number}\n"), (old + 1, old + 1))
    run = snakemake(project, dirac, "--dry-run", "--quiet", "--rerun-triggers", "mtime")
    run.succeeded()
    assert sum(dirac.calls().values()) <= MOST_CALLS
    dirac.add("lfn:/vo/prod/7.txt", "new", old + 60)
    run = snakemake(project, dirac, "--dry-run", "--rerun-triggers", "mtime").succeeded()
    assert "output: out/7.txt" in run.output
    assert "output: out/8.txt" not in run.output
    dirac.calls()
    for batch in ("1/2", "2/2"):
        snakemake(project, dirac, "--dry-run", "--quiet", "--batch", f"all={batch}").succeeded()
        assert sum(dirac.calls().values()) <= MOST_CALLS


def test_thousands_of_intermediate_files_are_a_few_calls(
    project: Project, dirac: DiracFolder
) -> None:
    chain(project, dirac, 1000)
    snakemake(project, dirac, "--dry-run", "--quiet").succeeded()
    assert sum(dirac.calls().values()) <= MOST_CALLS


def test_an_unchanged_snakefile_with_the_default_provider(
    project: Project, dirac: DiracFolder
) -> None:
    project.put("Snakefile", RELATIVE)
    default = (
        *("--default-storage-provider", "grid"),
        *("--default-storage-prefix", "lfn:/vo/user/u/user/run2"),
    )
    snakemake(project, dirac, *default).succeeded()
    assert dirac.names() == [
        "lfn:/vo/user/u/user/run2/logs/a.log",
        "lfn:/vo/user/u/user/run2/results/b.txt",
    ]
    again = snakemake(project, dirac, *default).succeeded()
    assert "Nothing to be done" in again.output
    forced = snakemake(project, dirac, *default, "--forceall").succeeded()
    assert "3 of 3 steps" in forced.output


def test_wildcards_of_a_folder_and_files_by_metadata(project: Project, dirac: DiracFolder) -> None:
    for number in range(3):
        dirac.add(f"lfn:/vo/prod/run{number}/data.txt", f"file {number}\n")
    project.put(
        "Snakefile",
        """
from snakemake_storage_plugin_grid import find_files, list_files
RUNS = glob_wildcards(storage.grid("lfn:/vo/prod/run{n}/data.txt")).n
rule all:
    input:
        storage.grid(expand("lfn:/vo/prod/run{n}/data.txt", n=RUNS)),
        storage.grid(find_files("lfn:/vo/prod", {"word": "file 1"})),
        storage.grid(list_files("lfn:/vo/prod")),
    output: "all.txt"
    shell: "cat {input} > {output}"
""",
    )
    snakemake(project, dirac).succeeded()
    numbers = [line.split()[1] for line in project.read("all.txt").splitlines()]
    assert sorted(numbers[:3]) == ["0", "1", "2"]
    assert numbers[3:] == ["1", "0", "1", "2"]


def test_an_absent_input_is_missing(project: Project, dirac: DiracFolder) -> None:
    chain(project, dirac, 2)
    dirac.path("lfn:/vo/prod/1.txt").unlink()
    run = snakemake(project, dirac).failed()
    assert "MissingInputException" in run.output
    assert "lfn:/vo/prod/1.txt" in run.output


def test_a_server_that_is_away_is_an_error_that_says_so(
    project: Project, dirac: DiracFolder
) -> None:
    chain(project, dirac, 2)
    dirac.away()
    run = snakemake(project, dirac).failed()
    assert "DIRAC does not answer (127.0.0.1:9197: connection refused)" in run.output
    assert "Missing" not in run.output


def test_errors_that_pass_are_not_seen(project: Project, dirac: DiracFolder) -> None:
    chain(project, dirac, 2)
    for call in ("look_up_files", "store_file", "get", "remove_files"):
        dirac.fail(call, "1604: Failed to perform operation")
    run = snakemake(project, dirac).succeeded()
    assert "1604" not in run.output
    assert len(dirac.names()) == 2


def test_queries_that_cannot_be_are_refused_with_a_reason(
    project: Project, dirac: DiracFolder
) -> None:
    project.put("Snakefile", 'rule all:\n    input: storage.grid("lfn:vo/prod/a.txt")\n')
    run = snakemake(project, dirac).failed()
    assert "an LFN has one slash after the colon" in run.output
    assert not dirac.calls()


def test_an_empty_output_is_refused_with_a_reason(project: Project, dirac: DiracFolder) -> None:
    project.put(
        "Snakefile",
        """
rule empty:
    output: storage.grid("lfn:/vo/empty.txt")
    shell: "touch {output}"
""",
    )
    run = snakemake(project, dirac).failed()
    assert "DIRAC takes no empty files" in run.output


def test_outputs_are_replaced_and_those_of_a_failed_job_are_removed(
    project: Project, dirac: DiracFolder
) -> None:
    project.put(
        "Snakefile",
        """
rule one:
    input: storage.grid("lfn:/vo/in.txt")
    output: storage.grid("lfn:/vo/out.txt")
    shell: "cp {input} {output}; grep -q good {input}"
""",
    )
    dirac.add("lfn:/vo/out.txt", "old", 1_764_400_000)
    dirac.add("lfn:/vo/in.txt", "good")
    snakemake(project, dirac).succeeded()
    assert dirac.path("lfn:/vo/out.txt").read_text() == "good"
    dirac.add("lfn:/vo/in.txt", "bad", time.time())
    os.utime(dirac.path("lfn:/vo/out.txt"), (1_764_600_000, 1_764_600_000))
    snakemake(project, dirac).failed()
    assert dirac.names() == ["lfn:/vo/in.txt"]


def test_outputs_are_deleted_in_one_call(project: Project, dirac: DiracFolder) -> None:
    project.put(
        "Snakefile",
        """
rule all:
    input: [storage.grid(f"lfn:/vo/out/{n}.txt") for n in range(50)]
rule one:
    output: storage.grid("lfn:/vo/out/{n}.txt")
    shell: "echo {wildcards.n} > {output}"
""",
    )
    for number in range(50):
        dirac.add(f"lfn:/vo/out/{number}.txt", "text")
    snakemake(project, dirac, "--delete-all-output").succeeded()
    assert not dirac.names()
    assert dirac.calls() == {"look_up_files": 1, "remove_files": 1}

"""Jobs whose files are on the grid, with a DIRAC that is a folder: what goes wrong there."""

from __future__ import annotations

from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker.grid_files.dirac import PYTHON
from tests.conftest import Project
from tests.dirac_in_a_folder import DiracFolder

pytestmark = pytest.mark.workflow

STORAGE = ("--storage-grid-storage-element", "SE-1")
ONE = """
rule one:
    output: storage.grid("lfn:/vo/x.txt")
    shell: "echo new >{output}"
"""


@pytest.fixture
def dirac(project: Project, tmp_path: Path) -> DiracFolder:
    made = DiracFolder(tmp_path / "dirac")
    project.environment[PYTHON] = str(made.python)
    return made


def test_death_between_removal_and_upload_is_no_success(
    project: Project, dirac: DiracFolder
) -> None:
    dirac.add("lfn:/vo/x.txt", "old\n")
    dirac.next_upload("die")
    project.put("Snakefile", ONE)
    failed = project.run(*STORAGE, "--forceall").failed()
    assert "lfn:/vo/x.txt: DIRAC's tools ended with exit code 9" in failed.output
    assert dirac.names() == []
    project.run(*STORAGE).succeeded()
    assert dirac.path("lfn:/vo/x.txt").read_text() == "new\n"


def test_a_worker_that_lies_is_found_out(project: Project, dirac: DiracFolder) -> None:
    dirac.next_upload("lie")
    project.put("Snakefile", ONE)
    failed = project.run(*STORAGE).failed()
    assert "it reported success, but lfn:/vo/x.txt is not there" in failed.output
    project.run(*STORAGE).succeeded()


def test_a_lie_leaves_the_old_file(project: Project, dirac: DiracFolder) -> None:
    dirac.add("lfn:/vo/x.txt", "old and longer\n")
    dirac.next_upload("lie")
    project.put("Snakefile", ONE)
    failed = project.run(*STORAGE, "--forceall").failed()
    assert "it reported 4 bytes" in failed.output
    assert dirac.path("lfn:/vo/x.txt").read_text() == "old and longer\n"


def test_jobs_with_run_know_their_files(project: Project, dirac: DiracFolder) -> None:
    for name in "ab":
        dirac.add(f"lfn:/vo/in/{name}.txt", f"{name}\n")
    project.put(
        "Snakefile",
        """
from snakemake_storage_plugin_grid import list_files
FILES = list_files("lfn:/vo/in")
NAMES = glob_wildcards(storage.grid("lfn:/vo/in/{name}.txt")).name
rule all:
    input: "all.txt"
rule twice:
    input: storage.grid("lfn:/vo/in/{name}.txt")
    output: storage.grid(temp("lfn:/vo/out/{name}.txt"))
    run:
        with open(input[0]) as source, open(output[0], "w") as target:
            target.write(source.read() * 2)
rule all_of_them:
    input: storage.grid(FILES), [storage.grid(f"lfn:/vo/out/{name}.txt") for name in NAMES]
    output: "all.txt"
    run:
        with open(output[0], "w") as target:
            for path in sorted(input, key=str):
                target.write(open(path).read())
""",
    )
    project.run(*STORAGE).succeeded()
    assert project.read("all.txt") == "a\nb\na\na\nb\nb\n"
    assert dirac.names() == ["lfn:/vo/in/a.txt", "lfn:/vo/in/b.txt"]


def test_few_questions_are_asked(project: Project, dirac: DiracFolder) -> None:
    count = 12
    for number in range(count):
        dirac.add(f"lfn:/vo/in/{number}.txt", f"{number}\n")
    project.put(
        "Snakefile",
        f"""
rule all:
    input: "sum.txt"
rule copy:
    input: storage.grid("lfn:/vo/in/{{n}}.txt")
    output: storage.grid(temp("lfn:/vo/out/{{n}}.txt"))
    shell: "cp {{input}} {{output}}"
rule sum:
    input: [storage.grid(f"lfn:/vo/out/{{n}}.txt") for n in range({count})]
    output: "sum.txt"
    shell: "cat {{input}} | wc -l >{{output}}"
""",
    )
    project.run(*STORAGE, "--jobs", str(count)).succeeded()
    assert project.read("sum.txt").strip() == str(count)
    calls = dirac.calls()
    # One for each group of jobs that end at a time, and less than one for each file.
    assert sum(calls.values()) < 2 * count, calls


@pytest.mark.parametrize(
    "broken",
    [
        ONE.replace("echo new", "exit 1; echo newer"),
        ONE.replace("echo new", "echo newer").replace(
            "shell", "resources: grid_runtime='nonsense'\n    shell"
        ),
    ],
    ids=["fails", "never runs"],
)
def test_after_a_failure_the_old_file_stays_and_is_still_due(
    project: Project, dirac: DiracFolder, broken: str
) -> None:
    project.put("Snakefile", ONE)
    project.run(*STORAGE).succeeded()
    project.put("Snakefile", broken)
    for _ in range(2):
        project.run(*STORAGE).failed()
        assert dirac.path("lfn:/vo/x.txt").read_text() == "new\n"

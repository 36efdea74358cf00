"""``--grid-describe``: what jobs would be submitted as, with no server and no effect."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from snakemake_executor_plugin_grid.journal.catalog import Catalog
from snakemake_executor_plugin_grid.journal.database import Database
from tests.conftest import Finished, Project

pytestmark = pytest.mark.workflow

WORKFLOW = """
import os
envvars: "TOKEN"
rule all:
    input: expand("out/{name}.txt", name=["a", "b"]), "grouped2.txt", "late.txt"
rule first:
    input: "in.dat"
    output: "mid/{name}.dat"
    params: token=os.environ["TOKEN"]
    threads: 3
    resources: mem_mb=2000, runtime=10, grid_site="LCG.CERN.ch"
    shell: "echo {params.token}; cp {input} {output}"
rule second:
    input: "mid/{name}.dat"
    output: "out/{name}.txt"
    resources:
        mem_mb=lambda wildcards, input: os.path.getsize(input[0]),
        grid_tags=lambda wildcards, input: open(input[0]).read()
    shell: "cp {input} {output}"
rule one:
    output: "grouped1.txt"
    group: "both"
    shell: "echo > {output}"
rule two:
    input: "grouped1.txt"
    output: "grouped2.txt"
    group: "both"
    shell: "cp {input} {output}"
rule here:
    output: "here.txt"
    localrule: True
    shell: "echo > {output}"
rule late:
    input: "here.txt"
    output: "late.txt"
    shell: "cp {input} {output}"
onstart:
    shell("touch started")
onsuccess:
    shell("touch succeeded")
"""
JOBS = [
    *("# rule first (name=a)", "# rule first (name=b)"),
    *("# group both: one -> grouped1.txt; two -> grouped2.txt", "# rule late"),
    *("# rule second (name=a)", "# rule second (name=b)"),
]
SECRET = "hunter2"
STORE = ("--grid-dirac-storage-element", "SE-1")


def start(project: Project, *args: str, backend: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake where no DIRAC is set up."""
    options = project.site.options if backend == "local" else ("--grid-backend", backend)
    process = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--executor", "grid", "--jobs", "4"),
            *(*options, "--grid-describe", *args),
        ],
        cwd=project.folder,
        env=project.env() | {"DIRACSYSCONFIG": "/nowhere", "X509_USER_PROXY": "/nowhere"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in process.stderr, process.stderr
    assert SECRET not in process.stdout + process.stderr
    return process


def describe(project: Project, *args: str, backend: str = "dirac") -> Finished:
    """Return what Snakemake wrote to stdout, or why it failed."""
    process = start(project, *args, backend=backend)
    return Finished(
        process.returncode, process.stdout if process.returncode == 0 else process.stderr
    )


WORKER = "# What the worker runs, as a script for bash:\n"


def sections(output: str) -> dict[str, str]:
    """Return the text of each job by its first line."""
    parts = re.split(r"(?m)^(?=# (?:rule|group) )", output)
    assert parts[0] == ""
    return {text.partition("\n")[0]: text for text in parts[1:]}


def script(section: str) -> str:
    """Return what the worker runs for a job."""
    return section.partition(WORKER)[2]


@pytest.fixture
def described(project: Project) -> Project:
    project.put("Snakefile", WORKFLOW)
    project.put("in.dat", "0" * 12_000_000)
    project.environment["TOKEN"] = SECRET
    return project


def test_the_jdl_of_every_job(described: Project) -> None:
    output = describe(described).succeeded().output
    found = sections(output)
    assert list(found) == JOBS
    first = found["# rule first (name=a)"]
    for line in (
        *('Site = {"LCG.CERN.ch"};', "NumberOfProcessors = 3;", "MinRAM = 2000;"),
        *("CPUTime = 6000;", 'Executable = "grid-job.sh";'),
    ):
        assert line in first
    assert "OutputData" not in output
    second = found["# rule second (name=b)"]
    assert "known only when its inputs exist: grid_tags, mem_mb" in second
    assert "<TBD>" not in output
    assert "<grid_" not in output
    names = re.findall(r'Parameters = \{"(.+)"\};', output)
    assert len(set(names)) == len(JOBS)


def test_what_the_worker_runs(described: Project) -> None:
    found = sections(describe(described).succeeded().output)
    first = script(found["# rule first (name=a)"])
    # The value of TOKEN may be a secret; who runs the script has to set it.
    assert """'set -euo pipefail;  echo '"$TOKEN"'; cp in.dat mid/a.dat'""" in first
    made = subprocess.run(
        ["bash", "-c", first],
        cwd=described.folder,
        env={**os.environ, "TOKEN": "told"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout == "told\n"
    assert (described.folder / "mid" / "a.dat").stat().st_size == 12_000_000
    group = script(found["# group both: one -> grouped1.txt; two -> grouped2.txt"])
    assert group.index("# Layer 1 of 2\n\n# Rule one, 1 thread\n") < group.index("# Rule two, ")


def test_what_is_known_only_later(project: Project) -> None:
    project.put(
        "Snakefile",
        """
rule read:
    input: "made.txt"
    output: "read.txt"
    params: lambda wildcards, input: open(input[0]).read()
    shell: "echo {params} > {output}"
rule make:
    output: "made.txt"
    run:
        open(output[0], "w").close()
""",
    )
    process = start(project, "read.txt", backend="dirac")
    assert process.returncode == 0, process.stderr
    assert list(sections(process.stdout)) == ["# rule make", "# rule read"]
    assert WORKER not in process.stdout
    assert "rule read: what it runs is known later, as " in process.stderr
    assert "rule make needs Snakemake on the worker: it has run:" in process.stderr


def test_nothing_has_happened(described: Project) -> None:
    before = sorted(path.name for path in described.folder.iterdir())
    describe(described, *STORE).succeeded()
    after = sorted(path.name for path in described.folder.iterdir())
    assert after == [".snakemake", *before]
    grid = described.folder / ".snakemake" / "grid"
    assert {path.name for path in grid.iterdir()} == {"grid.sqlite", "lock"}
    assert not described.site.folder.exists()
    for path in (described.folder / ".snakemake").rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


def test_only_what_is_asked_for(described: Project) -> None:
    output = describe(described, "out/b.txt").succeeded().output
    assert list(sections(output)) == ["# rule first (name=b)", "# rule second (name=b)"]


def test_nothing_to_be_done(described: Project) -> None:
    described.put("grouped1.txt", "")
    assert describe(described, "grouped1.txt").succeeded().output == ""


def test_storage_elements(described: Project) -> None:
    output = describe(described, *STORE, "--grid-store", "lfn:/vo/user/m/me/").succeeded().output
    first = sections(output)["# rule first (name=a)"]
    assert "# not uploaded yet: in.dat (12.0 MB)" in first
    assert 'InputData = {"LFN:/uploaded-when-submitted/in.dat"};' in first
    assert 'OutputSE = "SE-1";' in first
    assert 'OutputPath = "LFN:/vo/user/m/me/delivered/%s";' in first
    late = sections(output)["# rule late"]
    assert "# not made yet; " in late.partition("[")[0]
    assert "here.txt" in late
    assert "InputData" not in late


def test_what_is_uploaded_is_named(described: Project) -> None:
    describe(described, *STORE).succeeded()  # makes the database
    path = described.folder / "in.dat"
    with contextlib.closing(
        Database(described.folder / ".snakemake" / "grid" / "grid.sqlite")
    ) as database:
        Catalog(database).note([(str(path), path.stat(), "abc")])
        Catalog(database).note_locations([("abc", "lfn:/vo/store/blobs/ab/abc")])
    first = sections(describe(described, *STORE).succeeded().output)["# rule first (name=a)"]
    assert "not uploaded yet" not in first
    assert 'InputData = {"LFN:/vo/store/blobs/ab/abc"};' in first
    assert 'OutputPath = "LFN:/vo/user/u/user/snakemake-grid/delivered/%s";' in first


def test_an_input_that_will_be_made_anew(described: Project) -> None:
    described.put("mid/a.dat", "0" * 12_000_000)
    output = describe(described, *STORE, "--forceall", "out/a.txt").succeeded().output
    second = sections(output)["# rule second (name=a)"]
    assert "not made yet" in second
    assert "InputData" not in second


def test_what_the_local_backend_is_asked(described: Project) -> None:
    found = sections(describe(described, backend="local").succeeded().output)
    assert list(found) == JOBS
    request = json.loads(found["# rule first (name=a)"].partition("\n")[2].partition(WORKER)[0])
    assert request["cores"] == 3
    assert request["mem_mb"] == 2000
    assert request["limit"] == 600


def test_a_job_that_could_not_be_submitted(described: Project) -> None:
    failed = describe(described, "--set-resources", "late:grid_priority=77").failed()
    assert "rule late cannot be described: " in failed.output
    assert "from 0 to 10, not 77" in failed.output


def test_a_runtime_that_would_be_shipped_is_not_built(described: Project) -> None:
    wheels = ("--grid-runtime", "wheels")
    output = describe(described, *wheels, "--grid-dirac-storage-element", "SE").succeeded().output
    assert list(sections(output)) == JOBS
    assert not (described.folder / ".snakemake" / "grid" / "runtime").exists()


def test_a_wildcard_with_a_newline_stays_in_its_comment(project: Project) -> None:
    project.put(
        "Snakefile",
        r"""
rule all:
    input: "new\nline.txt"
rule one:
    output: "{name}.txt"
    wildcard_constraints: name=r"[\s\S]+"
    run:
        open(output[0], "w").close()
""",
    )
    output = describe(project).succeeded().output
    assert output.startswith("# rule one (name=new\\nline)\n[\n")


def test_nobody_reads_to_the_end(described: Project) -> None:
    command = [*described.command("--grid-describe"), "--quiet", "all"]
    process = subprocess.Popen(
        command,
        cwd=described.folder,
        env=described.env(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr:
        said = process.stderr.read()
    assert process.wait(60) == 0, said
    assert "BrokenPipe" not in said


def test_the_workflow_runs_after_all(project: Project) -> None:
    project.put("Snakefile", "rule one:\n    output: 'a.txt'\n    shell: 'echo > {output}'\n")
    describe(project, backend="local").succeeded()
    project.run().succeeded()
    assert project.read("a.txt") == "\n"


BY_HAND = """
rule all:
    input: "copied.txt", "counted.txt"
rule copy:
    input: "in.txt"
    output: "copied.txt"
    params: words=["it's", "$HOME"]
    shell: "cat {input} > {output}; printf '%s %s\\\\n' {params.words:q} >> {output}"
rule count:
    input: "copied.txt"
    output: "counted.txt"
    params: limit=3
    script: "scripts/count.py"
"""


def test_what_ran_can_be_seen_and_run_again_by_hand(project: Project) -> None:
    project.put("Snakefile", BY_HAND)
    project.put("in.txt", "given\n")
    project.put(
        "scripts/count.py",
        "from helper import count\n"
        "with open(snakemake.output[0], 'w') as made:\n"
        "    print(count(snakemake.input[0]), snakemake.params.limit, file=made)\n",
    )
    project.put("scripts/helper.py", "def count(path):\n    return len(open(path).readlines())\n")
    project.run().succeeded()
    made = {name: project.read(name) for name in ("copied.txt", "counted.txt")}
    assert made == {"copied.txt": "given\nit's $HOME\n", "counted.txt": "2 3\n"}

    page = project.grid("describe", "copy").succeeded().output
    assert "cat in.txt > copied.txt; printf" in page
    (job,) = json.loads(project.grid("describe", "--json", "copy").succeeded().output)["jobs"]
    ((step,),) = job["decision"]["layers"]
    assert step["rule"] == "copy"
    assert step["commands"][0]["text"].startswith("cat in.txt > copied.txt; ")
    assert f"describe --script {job['origin']}" in page

    copy = project.folder.parent / "a copy"
    shutil.copytree(project.folder, copy)
    for name in made:
        (copy / name).unlink()
        (project.folder / name).unlink()
    for rule in ("copy", "count"):
        text = project.grid("describe", "--script", rule).succeeded().output
        by_hand = subprocess.run(
            ["bash"], cwd=copy, input=text, capture_output=True, text=True, check=False
        )
        assert by_hand.returncode == 0, by_hand.stderr
    assert {name: (copy / name).read_text() for name in made} == made
    assert not (project.folder / "copied.txt").exists()


def test_there_is_no_script_where_snakemake_ran(project: Project) -> None:
    project.put("Snakefile", "rule one:\n    output: 'a.txt'\n    shell: 'echo > {output}'\n")
    project.run("--grid-decide", "never").succeeded()
    (job,) = json.loads(project.grid("describe", "--json", "one").succeeded().output)["jobs"]
    assert job["decision"] is None
    failed = project.grid("describe", "--script", "one").failed()
    assert "Snakemake ran on the worker" in failed.output

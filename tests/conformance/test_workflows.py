"""Workflows that run as they do on one machine, whatever the backend."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.faults import Scene, eventually, waiting_for

from .backend import Backend

pytestmark = pytest.mark.workflow

LARGE = 11 << 20
"""More than fits into a sandbox of DIRAC or the cache of PanDA."""


def test_a_chain_with_log_and_benchmark(project: Project) -> None:
    project.put("large.txt", "x" * (2 << 20))  # too large to travel with the sources
    folder = project.folder.parent  # below the working directory, paths are those of the job
    project.put(
        "Snakefile",
        f"""
rule all:
    input: "out/c.txt"
rule a:
    output: "out/a{{n}}.txt"
    log: "logs/a{{n}}.log"
    shell: "echo hi {{wildcards.n}} >{{output}}; echo logged >{{log}}"
rule c:
    input: expand("out/a{{n}}.txt", n=range(3))
    output: "out/c.txt"
    benchmark: "bench/c.tsv"
    shell:
        "cat {{input}} >{{output}}; (cd {folder}; ls -A {project.folder.name}) >>{{output}}; "
        "(python3 -m snakemake || command -v snakemake || echo no Snakemake) 2>&1 | "
        "tail -n 1 >>{{output}}"
""",
    )
    project.run().succeeded()
    # Jobs see neither the directory of the workflow nor Snakemake.
    assert project.read("out/c.txt") == "hi 0\nhi 1\nhi 2\nno Snakemake\n"
    assert project.read("logs/a2.log") == "logged\n"
    assert project.read("bench/c.tsv").startswith("s\t")


def test_files_folders_modes_and_links_go_there_and_back(project: Project) -> None:
    folder = project.folder
    project.put("in/empty.txt", "")
    (folder / "in" / "hollow" / "deep").mkdir(parents=True)
    project.put("in/tool.sh", "#!/bin/sh\necho tool\n").chmod(0o750)
    project.put("in/secret.txt", "secret\n").chmod(0o400)
    project.put("in/with space ü.txt", "odd\n")
    project.write(
        Snakefile="""
rule all:
    input: "copy", "links"
    localrule: True
rule copy:
    input: "in"
    output: directory("copy"), "empty.txt", "tool.sh", directory("hollow")
    shell:
        "cp -a {input} {output[0]}; touch {output[1]}; mkdir {output[3]}; "
        "in/tool.sh; cp -p in/tool.sh {output[2]}"
rule links:
    input: "in/tool.sh"
    output: directory("links"), inner="inner.txt", given="given.sh", outer="outer.txt"
    shell:
        "mkdir {output[0]}; echo inner >{output[0]}/file; ln -s file {output[0]}/near; "
        "ln -s nowhere {output[0]}/broken; ln -s links/file {output.inner}; "
        "ln -s {input} {output.given}; echo outer >$TMPDIR/x; ln -s $TMPDIR/x {output.outer}"
"""
    )
    project.run().succeeded()
    for path in (folder / "in").rglob("*"):
        copy = folder / "copy" / path.relative_to(folder / "in")
        assert copy.stat().st_mode == path.stat().st_mode, path
        if path.is_file():
            assert copy.read_bytes() == path.read_bytes()
    assert project.read("empty.txt") == ""
    assert (folder / "tool.sh").stat().st_mode & 0o777 == 0o750
    assert (folder / "hollow").is_dir()
    for name, target in (
        ("links/near", "file"),
        ("links/broken", "nowhere"),
        ("inner.txt", "links/file"),
        ("given.sh", "in/tool.sh"),
    ):
        assert (folder / name).readlink() == Path(target), name
    assert not (folder / "outer.txt").is_symlink()
    assert project.read("outer.txt") == "outer\n"


def test_large_files_travel_from_job_to_job(backend: Backend, project: Project) -> None:
    content = os.urandom(LARGE)
    (project.folder / "in.bin").write_bytes(content)
    project.write(
        Snakefile="""
rule use:
    input: "middle.bin", "in.bin"
    output: "out.bin"
    shell: "cmp {input}; cp {input[0]} {output}"
rule make:
    input: "in.bin"
    output: "middle.bin"
    shell: "cp {input} {output}"
"""
    )
    project.run(*backend.large).succeeded()
    assert (project.folder / "out.bin").read_bytes() == content


def test_a_group_is_one_job(project: Project) -> None:
    project.put("in/x.bin", "x" * 3000)
    project.put("in/y.bin", "y" * 4000)
    project.write(
        Snakefile="""
rule all:
    input: "c/x.txt", "b/x.txt", "c/y.txt"
    localrule: True
rule a:
    input: "in/{n}.bin"
    output: "a/{n}.txt", temp("a/{n}.tmp")
    log: "a/{n}.log"
    group: "together"
    shell: "wc -c <{input} | tee {output} >{log}"
rule b:
    input: "a/{n}.tmp", "in/{n}.bin"
    output: "b/{n}.txt", "b/{n}.only_here"
    group: "together"
    threads: 2
    benchmark: "b/{n}.tsv"
    shell: "cat {input[0]} | tee {output}"
rule c:
    input: "b/{n}.only_here"
    output: "c/{n}.txt"
    group: "together"
    shell: "cp {input} {output}; printenv SNAKEMAKE_GRID_JOB >>{output}"
"""
    )
    # The inputs are too large to travel with the sources.
    options = ("--grid-source-file-limit", "2000", "--group-components", "together=2")
    project.run(*options).succeeded()
    names = ("a/x.txt", "a/x.log", "b/x.txt", "b/x.only_here")
    assert [project.read(name) for name in names] == ["3000\n"] * 4
    assert project.read("b/y.tsv").startswith("s\t")
    size, job = project.read("c/x.txt").splitlines()
    assert (size, project.read("c/y.txt")) == ("3000", f"4000\n{job}\n")  # one job for both
    assert not (project.folder / "a" / "x.tmp").exists()


# Where the checkpoint runs, it leaves a file of a new name, and its output differs each time.
CHECKPOINT = """
rule all:
    input: "all.txt"
    localrule: True
checkpoint split:
    output: folder=directory("parts"), token="token.txt"
    shell:
        "mktemp -u XXXXXXXX >{output.token}; mkdir {output.folder}; "
        "for n in a b; do cp {output.token} {output.folder}/$n.txt; done; "
        "touch ran.$(cat {output.token})"
rule copy:
    input: "parts/{n}.txt"
    output: "copies/{n}.txt"
    shell: "cp {input} {output}"
def names(wildcards):
    from pathlib import Path
    found = checkpoints.split.get().output
    with open(found.token) as stream:
        assert stream.read().strip()
    return sorted(path.stem for path in Path(found.folder).glob("*.txt"))
rule other:  # needs nothing of the checkpoint itself
    output: "other/{n}.txt"
    shell: "touch {output}"
rule gather:
    input:
        lambda wildcards: expand("copies/{n}.txt", n=names(wildcards)),
        lambda wildcards: expand("other/{n}.txt", n=names(wildcards))
    output: "all.txt"
    params: names=names
    shell: "(echo {params.names}; cat {input}) >{output}"
"""


def test_a_checkpoint_runs_once(project: Project) -> None:
    project.write(Snakefile=CHECKPOINT)
    project.run("--grid-undeclared", "fetch").succeeded()
    token = project.read("token.txt")
    assert project.read("all.txt") == "a b\n" + 2 * token
    assert [path.name for path in project.folder.glob("ran.*")] == [f"ran.{token.strip()}"]

    # In this run the checkpoint is up to date from the start.
    (project.folder / "copies" / "a.txt").unlink()
    (project.folder / "all.txt").unlink()
    project.run("--grid-undeclared", "fetch").succeeded()
    assert project.read("all.txt") == "a b\n" + 2 * token
    assert len(list(project.folder.glob("ran.*"))) == 1


def test_missing_and_undeclared_outputs(project: Project) -> None:
    project.write(
        Snakefile="""
rule all:
    input: "good.txt", "absent.txt", "fetched.txt", "device.txt"
rule good:
    output: "good.txt"
    shell: "touch {output}; mkdir extra; touch extra/good.idx"
rule absent:
    output: "absent.txt"
    shell: "touch absent.text"
rule fetched:
    output: "fetched.txt"
    resources: grid_undeclared="fetch"
    shell:
        "touch {output}; mkdir extra .git; echo index >extra/fetched.idx; touch .git/x; "
        "ln -s extra/fetched.idx fetched.link"
rule device:  # Snakemake is content on the worker, but a device cannot come back
    output: "device.txt", "beside.txt"
    shell: "ln -s /dev/null {output[0]}; touch {output[1]}"
"""
    )
    output = project.run("--keep-going").failed().output
    assert (project.folder / "good.txt").exists()
    assert (project.folder / "fetched.txt").exists()
    assert "Error in rule absent" in output
    assert "absent.txt" in output.partition("Last lines of its output")[2]
    assert re.search(r"no rule names.*: extra/good\.idx", output)
    assert [path.name for path in (project.folder / "extra").iterdir()] == ["fetched.idx"]
    assert project.read("extra/fetched.idx") == project.read("fetched.link") == "index\n"
    assert "Error in rule device" in output
    assert "device.txt, a device" in output
    assert not (project.folder / "beside.txt").exists()


def test_a_failed_job_brings_its_logs_and_no_outputs(backend: Backend, project: Project) -> None:
    project.write(
        Snakefile="""
rule all:
    input: "out/x.txt"
rule breaks:
    output: "out/{n}.txt", directory("out/{n}.dir")
    log: "logs/{n}.log"
    benchmark: "bench/{n}.tsv"
    shell:
        "echo half >{output[0]}; mkdir {output[1]}; echo part >{output[1]}/f; "
        "echo logged >{log}; echo benched >bench/{wildcards.n}.tsv; echo last words >&2; exit 3"
"""
    )
    output = project.run("--show-failed-logs").failed().output
    assert project.read("logs/x.log") == "logged\n"
    assert project.read("bench/x.tsv") == "benched\n"
    assert not (project.folder / "out" / "x.txt").exists()
    assert not (project.folder / "out" / "x.dir").exists()
    sites = "|".join(map(re.escape, backend.sites))
    message = re.search(
        rf"rule breaks \(n=x\), {backend.name} job (\S+): .*exit code 3 \(host [^,]+, "
        rf"site ({sites})\)\.\nLast lines of logs/x\.log:\n +logged\n.*output:\n +last words\n",
        output,
    )
    assert message, output
    assert f"external_jobid: {message[1]}" in output
    told = output[message.start() :]
    # It is not drowned by what Snakemake says in the end.
    assert "Removing output files" not in told.partition("Its whole output")[0]
    whole = re.search(r"Its whole output: (\S+)", told)
    assert whole
    assert "last words\n" in project.read(whole[1])
    # --show-failed-logs prints both, each after a line with its name.
    for name, text in (("logs/x.log", "logged"), (whole[1], "last words")):
        assert re.search(rf"Logfile {re.escape(name)}:\s*=+\n(.*\n)*?.*{text}", told), told


def test_a_killed_job_brings_its_log(backend: Backend, project: Project) -> None:
    project.write(
        Snakefile="""
rule all:
    output: "half.txt"
    log: "all.log"
    shell: "echo half >{output}; echo said >{log}; kill -9 $PPID; sleep 60"
"""
    )
    output = project.run().failed().output
    assert re.search(rf"rule all, {backend.name} job \S+: .*SIGKILL", output), output
    assert project.read("all.log") == "said\n"
    assert not (project.folder / "half.txt").exists()
    assert "Removing output" not in output  # it has not come at all


def test_each_attempt_asks_for_its_own_resources(backend: Backend, project: Project) -> None:
    project.write(
        Snakefile="""
rule all:
    output: "out.txt"
    retries: 1
    resources: mem_mb=lambda wildcards, attempt: 100 * attempt
    shell: "echo {resources.mem_mb} >{output}; [ {resources.mem_mb} -gt 100 ]"
"""
    )
    output = project.run().succeeded().output
    assert project.read("out.txt") == "200\n"
    assert output.count(f"rule all, {backend.name} job") == 1
    assert output.count("mem_mb=200") == 1


MARK = "x-Qv-4711"
SECRET = f"it's-a $ecret \"{MARK}"


def test_a_secret_reaches_the_job_and_nobody_else(backend: Backend, scene: Scene, go: Path) -> None:
    project = scene.project
    project.environment["GRID_TEST_SECRET"] = SECRET
    project.put(
        "Snakefile",
        f"""
envvars: "GRID_TEST_SECRET"
rule all:
    output: "seen.txt"
    shell:
        "{scene.note("begun")}; {waiting_for(go)}; "
        "printf %s \\"$GRID_TEST_SECRET\\" | sha256sum >{{output}}"
""",
    )
    run = scene.begin("--verbose")
    run.until(lambda: scene.notes("begun"))
    descriptions = backend.descriptions(project)
    assert "all-" in descriptions, "that is no description of the job"
    assert MARK not in descriptions
    go.touch()
    output = run.finish().succeeded().output
    assert project.read("seen.txt").split()[0] == hashlib.sha256(SECRET.encode()).hexdigest()
    assert MARK not in output
    kept = [path for path in (project.folder / ".snakemake").rglob("*") if path.is_file()]
    assert "grid.sqlite" in {path.name for path in kept}
    store = [path for path in (backend.folder / "store").rglob("*") if path.is_file()]
    assert [path for path in (*kept, *store) if MARK.encode() in path.read_bytes()] == []
    eventually(lambda: not backend.active(project))

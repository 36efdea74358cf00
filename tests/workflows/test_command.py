"""Points 11 and 13: the worker's Snakemake gets what the user's Snakemake was given."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.workflow


def test_13_wildcards_with_characters_that_shells_know(project: Project) -> None:
    values = [
        *("back\\slash\\n", 'say "hi" now', "it's $HOME", "new\nline", "tab\tbed", "*", "a;b & c"),
        *("with space", "a=b:c", "`id`", "!x", "#x", "ü{", "com,ma", "'quoted'", ",-", '"'),
    ]
    project.put("values.json", json.dumps(values))
    project.put(
        "Snakefile",
        r"""
import json
values = json.load(open("values.json"))
names = [f"out/{value}.txt" for value in values]
rule all:
    input: names
rule one:
    output: "out/{value}.txt", temp("out/{value}.tmp")
    wildcard_constraints: value=r"[\s\S]+"
    run:
        for name in output:
            with open(name, "w") as out:
                out.write(wildcards.value)
""",
    )
    project.run("--jobs", "20").succeeded()
    made = {path.read_text() for path in (project.folder / "out").iterdir()}
    assert made == set(values)
    assert not list(project.folder.glob("out/*.tmp"))


def test_13_envvars_reach_the_job_and_nothing_else(project: Project) -> None:
    secret = "it's-a $ecret \"x-Qv-4711"
    project.environment["GRID_TEST_SECRET"] = secret
    project.environment["GRID_TEST_OTHER"] = "not declared"
    project.put(
        "Snakefile",
        """
import os
from pathlib import Path
envvars: "GRID_TEST_SECRET"
rule all:
    output: "seen.txt"
    run:
        secret = os.environ["GRID_TEST_SECRET"].encode()
        seen = [secret.decode(), str("GRID_TEST_OTHER" in os.environ)]
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if secret[-9:] in line.read_bytes():
                    seen.append(str(line))
            except OSError:
                pass
        sandbox = next(up for up in Path.cwd().parents if (up / "job.json").exists())
        for path in sandbox.iterdir():
            if path.is_file() and secret[-9:] in path.read_bytes():
                seen.append(f"{path.name} {path.stat().st_mode & 0o777:o}")
        Path(output[0]).write_text("\\n".join(seen))
""",
    )
    finished = project.run("--verbose").succeeded()
    assert project.read("seen.txt").splitlines() == [secret, "False", "environment.json 600"]
    assert "x-Qv-4711" not in finished.output
    kept = _files(project.folder / ".snakemake") + _files(project.site.folder)
    assert {"grid.sqlite"} < {path.name for path in kept}
    assert any(path.match("grid/logs/*/*/all-*.log") for path in kept)
    assert [path for path in kept if b"x-Qv-4711" in path.read_bytes()] == []


def test_13_threads_and_resources_on_the_worker(project: Project) -> None:
    project.put(
        "Snakefile",
        """
import json
rule all:
    output: "seen.json"
    threads: 64
    resources: mem_mb=1, word="it's"
    run:
        named = ("mem_mb", "disk_mb", "word", "other")
        seen = {name: resources.get(name) for name in named}
        with open(output[0], "w") as out:
            json.dump({**seen, "threads": threads, "cores": workflow.cores}, out)
""",
    )
    threads = (os.cpu_count() or 1) + 1  # neither what the rule says nor what this machine has
    project.run(
        *("--set-threads", f"all={threads}", "--set-resources", "all:mem_mb=77"),
        *("--default-resources", "disk_mb=33", "other='so $o'"),
        *("--grid-local-cores", str(threads)),
    ).succeeded()
    assert json.loads(project.read("seen.json")) == {
        "mem_mb": 77,
        "disk_mb": 33,
        "word": "it's",
        "other": "so $o",
        "threads": threads,
        "cores": threads,
    }


def test_13_units_of_resources_on_the_worker(project: Project) -> None:
    project.put(
        "Snakefile",
        """
rule all:
    output: "seen.txt"
    params: here=lambda wildcards, resources: resources.mem_mb
    shell: "echo {resources.mem_mb} {resources.disk_mb} > {output}"
""",
    )
    expressions = ("--default-resources", "disk=str(3 * attempt) + ' GB'", "mem_mb=5")
    project.run("--set-resources", "all:mem_mib=954 * attempt", *expressions).succeeded()
    assert project.read("seen.txt") == "1000 3000\n"


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]

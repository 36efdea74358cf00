"""How Snakemake gets to the worker, beyond what the worker finds."""

from __future__ import annotations

import os
import venv
from pathlib import Path

import pytest

from tests.conftest import ONE_TRY, Project
from tests.nodes import bare_node

pytestmark = pytest.mark.workflow

WHERE = """
rule all:
    input: "1.txt", "2.txt"
rule where:
    output: "{n}.txt"
    run:
        import sys, snakemake
        with open(output[0], "w") as out:
            print(sys.prefix, snakemake.__file__, file=out)
"""


@pytest.mark.slow
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_wheels_bring_snakemake_to_a_bare_python(
    project: Project, tmp_path: Path, compression: str
) -> None:
    bare = tmp_path / "bare"
    venv.create(bare, with_pip=False)
    project.put("Snakefile", WHERE)
    python = ("--grid-local-python", str(bare / "bin" / "python"))
    without = project.run(*ONE_TRY, *python).failed()
    assert "no Python with snakemake on the worker node" in without.output
    project.run(*python, "--grid-runtime", "wheels", "--grid-compression", compression).succeeded()
    for name in ("1.txt", "2.txt"):
        prefix, module = project.read(name).split()
        assert prefix == str(bare)
        assert "/scratch/runtime/snakemake/" in module


def test_setup_lines_run_first_and_their_failure_is_told(project: Project) -> None:
    project.put(
        "Snakefile",
        """
rule all:
    input: "good.txt", "bad.txt"
rule good:
    output: "good.txt"
    shell: "echo $GREETING > {output}"
rule bad:
    output: "bad.txt"
    resources: grid_runtime_setup=". /no/setup.sh"
    shell: "touch {output}"
""",
    )
    options = ("--grid-runtime", "setup", "--grid-runtime-setup", "export GREETING=hello")
    output = project.run(*ONE_TRY, *options, "--keep-going").failed().output
    assert project.read("good.txt") == "hello\n"
    assert f"rule bad, {project.site.backend} job" in output
    assert "no runtime: the runtime could not be set up on the worker" in output
    assert "/no/setup.sh: No such file or directory" in output


@pytest.mark.slow
def test_wheels_bring_packages_and_no_snakemake_to_decided_jobs(
    project: Project, tmp_path: Path
) -> None:
    python = bare_node(tmp_path / "bare") / "python3"
    project.put(
        "where.py",
        "import os, sys, pygments\n"
        "names = sorted(os.listdir(os.path.dirname(os.path.dirname(pygments.__file__))))\n"
        "with open(snakemake.output[0], 'w') as out:\n"
        "    print(sys.prefix, *names, file=out)\n",
    )
    project.write(
        Snakefile="""
rule all:
    input: "script.txt", "shell.txt"
rule by_script:
    output: "script.txt"
    script: "where.py"
rule by_shell:
    output: "shell.txt"
    shell: "pygmentize -V >{output}"
"""
    )
    options = ("--grid-decide", "always", "--grid-runtime", "wheels")
    packages = ("--grid-runtime-packages", "pygments")
    project.environment["PATH"] = os.defpath
    project.run("--grid-local-python", str(python), *options, *packages).succeeded()
    prefix, *names = project.read("script.txt").split()
    assert prefix == str(tmp_path / "bare")
    assert [name.partition("-")[0] for name in names] == ["bin", "pygments", "pygments"]
    assert project.read("shell.txt").startswith("Pygments version ")

"""How Snakemake gets to the worker, beyond what the worker finds."""

from __future__ import annotations

import venv
from pathlib import Path

import pytest

from tests.conftest import ONE_TRY, Project

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

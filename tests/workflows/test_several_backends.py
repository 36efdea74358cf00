"""What a run with several backends refuses, and what it would submit: no server is needed."""

from __future__ import annotations

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.workflow

BACKENDS = ("--grid-backend", "local,dirac,panda")
WORKFLOW = """
rule all:
    input: "a.txt", "b.txt", "c.txt"
rule a:
    output: "a.txt"
    shell: "touch {output}"
rule b:
    output: "b.txt"
    resources: grid_backend="dirac,panda"
    shell: "touch {output}"
rule c:
    output: "c.txt"
    resources: grid_backend="panda"
    shell: "touch {output}"
"""


def test_each_job_is_described_for_its_backend(project: Project) -> None:
    project.write(Snakefile=WORKFLOW)
    said = project.run(*BACKENDS, "--grid-describe").succeeded().output
    assert "# backend: local or else dirac or else panda" in said
    assert "# backend: dirac or else panda" in said
    assert "# backend: panda\n" in said
    for sign in ('"cores": 1', "Executable", '"taskName"'):
        assert said.count(sign) == 1, said


def test_a_run_without_a_store_is_refused(project: Project) -> None:
    project.write(Snakefile=WORKFLOW)
    said = project.run(*BACKENDS).failed().output
    assert "--grid-store: is needed with several backends: local, dirac and panda" in said


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("dirac", "resource grid_backend: is dirac, which --grid-backend local does not name"),
        ("local,dirak", "resource grid_backend: there is no 'dirak'; choose from local"),
    ],
)
def test_a_rule_that_may_run_nowhere_fails(project: Project, value: str, words: str) -> None:
    project.write(
        Snakefile=f"""
rule a:
    output: "a.txt"
    resources: grid_backend="{value}"
    shell: "touch {{output}}"
"""
    )
    assert words in project.run().failed().output


def test_the_same_workflow_runs_on_one_backend(project: Project) -> None:
    project.write(
        Snakefile="""
rule a:
    output: "a.txt"
    resources: grid_backend="dirac,local"
    shell: "touch {output}"
"""
    )
    project.run().succeeded()

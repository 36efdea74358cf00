"""Constructs of Snakefiles do on the grid what they do with the local executor, decided or not.

What is compared: names, bytes, permissions, links, the order of times, the exit code, and that
nothing is left to be done. The tables in `constructs` say where a way is expected to differ.
"""

from __future__ import annotations

import pytest

from tests.conftest import MakeProject, Project
from tests.workflows.constructs.commands import COMMANDS, SHELLS
from tests.workflows.constructs.comparison import KNOWS_DECIDE, Constructs, compare
from tests.workflows.constructs.failures import FAILURES
from tests.workflows.constructs.files import FILES
from tests.workflows.constructs.graph import GRAPH, GROUPS
from tests.workflows.constructs.parsing import PARSING
from tests.workflows.constructs.scripts import SCRIPTS

pytestmark = pytest.mark.workflow

_ALL = (COMMANDS, SHELLS, FILES, GRAPH, GROUPS, SCRIPTS, PARSING, FAILURES)


@pytest.mark.parametrize("workflow", _ALL, ids=[workflow.name for workflow in _ALL])
def test_constructs_are_the_same(make_project: MakeProject, workflow: Constructs) -> None:
    assert not (wrong := compare(make_project, workflow)), "\n".join(wrong)


@pytest.mark.skipif(not KNOWS_DECIDE, reason="this version of the plugin decides no jobs")
def test_what_would_fall_back_is_refused_on_demand(project: Project) -> None:
    project.write(
        Snakefile="""
rule all:
    input: "running.txt"
rule running:
    output: "running.txt"
    run:
        open(output[0], "w").close()
"""
    )
    refused = project.run("--grid-decide", "always").failed()
    assert "running" in refused.output
    assert "run:" in refused.output
    assert not (project.folder / "running.txt").exists()

"""Constructs of Snakefiles do on the grid what they do with the local executor, decided or not.

What is compared: names, bytes, permissions, links, the order of times, the exit code, and that
nothing is left to be done. The tables in `constructs` say where a way is expected to differ.
"""

from __future__ import annotations

import pytest

from tests.conftest import MakeProject, Project
from tests.workflows.constructs.commands import COMMANDS, SHELLS
from tests.workflows.constructs.comparison import (
    KNOWS_DECIDE,
    NEVER,
    WAYS,
    Constructs,
    compare,
)
from tests.workflows.constructs.failures import FAILURES
from tests.workflows.constructs.files import FILES
from tests.workflows.constructs.graph import GRAPH, GROUPS
from tests.workflows.constructs.parsing import PARSING
from tests.workflows.constructs.scripts import SCRIPTS

pytestmark = pytest.mark.workflow

_ALL = (COMMANDS, SHELLS, FILES, GRAPH, GROUPS, SCRIPTS, PARSING, FAILURES)


def _is_slow(workflow: Constructs, way: str) -> bool:
    """Return whether it is parsed again on workers, though that is neither usual nor the point."""
    return KNOWS_DECIDE and way == NEVER and workflow is not PARSING


_CASES = [
    pytest.param(
        *(workflow, way),
        marks=[pytest.mark.slow] if _is_slow(workflow, way) else [],
        id=f"{workflow.name}-{way}",
    )
    for workflow in _ALL
    for way in WAYS
]


@pytest.mark.parametrize(("workflow", "way"), _CASES)
def test_constructs_are_the_same(make_project: MakeProject, workflow: Constructs, way: str) -> None:
    wrong = compare(make_project, workflow, way)
    assert not wrong, "\n".join(wrong)


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

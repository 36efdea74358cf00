"""Constructs of Snakefiles do on the grid what they do with the local executor, decided or not.

What is compared: names, bytes, permissions, links, the order of times, the exit code, and that
nothing is left to be done. The tables in `constructs` say where a way is expected to differ.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from _pytest.mark import ParameterSet

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


def _ways() -> Iterator[ParameterSet]:
    for workflow in _ALL:
        for way in WAYS:
            # Parsing again is what `PARSING` is about, and what others do by default no longer.
            late = KNOWS_DECIDE and way == NEVER and workflow is not PARSING
            marks = [pytest.mark.slow] if late else []
            yield pytest.param(workflow, way, marks=marks, id=f"{workflow.name}-{way}")


@pytest.mark.parametrize(("workflow", "way"), _ways())
def test_constructs_are_the_same(make_project: MakeProject, workflow: Constructs, way: str) -> None:
    assert not (wrong := compare(make_project, workflow, way)), "\n".join(wrong)


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

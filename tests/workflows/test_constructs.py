"""Constructs of Snakefiles do on the grid what they do with the local executor, decided or not.

What is compared: names, bytes, permissions, links, the order of times, the exit code, and that
nothing is left to be done. The tables in `constructs` say where a way is expected to differ.
"""

from __future__ import annotations

import pytest

from tests.conftest import MakeProject
from tests.workflows.constructs.commands import COMMANDS, SHELLS
from tests.workflows.constructs.comparison import Constructs, compare
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

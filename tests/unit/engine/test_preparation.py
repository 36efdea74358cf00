"""Sources that other programs change while they are stored."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from snakemake_executor_plugin_grid.engine import preparation as module
from snakemake_executor_plugin_grid.engine.preparation import Preparation
from snakemake_executor_plugin_grid.model.errors import FileChangedError


def preparation(monkeypatch: pytest.MonkeyPatch, changes: int) -> tuple[Any, list[str]]:
    """Return a preparation whose sources change so often, and what it says to the user."""
    said: list[str] = []
    made: Any = Preparation.__new__(Preparation)
    made._sent, made._context = False, SimpleNamespace(say=said.append)
    left = [FileChangedError("run.log changed")] * changes

    def send() -> list[str]:
        if left:
            raise left.pop()
        return ["only the first small files"]

    made._send_sources = send
    monkeypatch.setattr(module, "_PAUSE", 0)
    return made, said


@pytest.mark.parametrize("changes", [0, 1, 9])
def test_changing_sources_are_collected_again(
    monkeypatch: pytest.MonkeyPatch, changes: int
) -> None:
    made, said = preparation(monkeypatch, changes)
    made.send_sources()
    made.send_sources()
    assert said == ["only the first small files"]


def test_a_source_that_always_changes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made, said = preparation(monkeypatch, 100)
    with pytest.raises(FileChangedError, match="log changed"):
        made.send_sources()
    assert said == []

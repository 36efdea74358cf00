from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from snakemake_executor_plugin_grid.journal.database import Database
from snakemake_executor_plugin_grid.journal.write_queue import Write


@pytest.fixture(autouse=True)
def loop_never_waits_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test in which the event loop blocks until the journal is on disk."""
    blocked: list[str] = []

    def watched(owner: type, name: str) -> None:
        function: Callable[..., Any] = getattr(owner, name)

        def call(*args: Any) -> Any:
            if threading.current_thread().name == "grid":  # the loop's
                blocked.append(f"{owner.__name__}.{name}{args[1:]}")
            return function(*args)

        monkeypatch.setattr(owner, name, call)

    watched(Write, "wait")
    watched(Database, "query")
    yield
    assert blocked == []

"""A Rucio client without a process: it answers from memory, and keeps what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from snakemake_executor_plugin_grid.stores.rucio.catalog import RucioCatalog
from snakemake_executor_plugin_grid.stores.rucio.client import RucioClient

NOW = 1_000_000.0


class FakeClient(RucioClient):
    """Answers calls by functions that a test sets.

    Attributes:
        rows: What is known of names, by scope and name.
        answers: Functions for other calls, by name.
        asked: Calls with their arguments.
    """

    def __init__(self) -> None:
        super().__init__(Path("python"), Path("log"))
        self.rows: dict[tuple[str, str], dict[str, Any]] = {}
        self.answers: dict[str, Callable[..., Any]] = {}
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    def add(self, scope: str, name: str, **others: Any) -> None:
        row = {"type": "FILE", "size": 5, "adler32": "0000000a", "created": 100.0}
        self.rows[scope, name] = {
            **{"scope": scope, "name": name, "expires": None, "lost": False},
            **row,
            **others,
        }

    def call_now(self, name: str, *args: Any, limit: float = 0) -> Any:
        self.asked.append((name, args))
        if name == "metadata":
            # As JSON has it, a file is a list.
            return [self.rows[tuple(file)] for file in args[0] if tuple(file) in self.rows]
        return self.answers[name](*args)

    def sizes(self, call: str) -> list[int]:
        """Return how many files each call of a name was for."""
        return [len(args[0]) for name, args in self.asked if name == call]


def catalog(client: FakeClient, **options: Any) -> RucioCatalog:
    return RucioCatalog(client, now=lambda: NOW, **options)


def names(count: int, scope: str = "s") -> Sequence[str]:
    return [f"rucio://{scope}/f{number}" for number in range(count)]

from __future__ import annotations

from collections.abc import Collection

import pytest

from snakemake_executor_plugin_grid.grid_data.lookup import Lookup
from snakemake_executor_plugin_grid.grid_data.write_urls import WriteUrls
from snakemake_executor_plugin_grid.model.errors import TransientError
from tests.unit.grid_data.fake_catalog import FakeCatalog

NAMES = [f"rucio://scope/{n}" for n in range(600)]


class Bench:
    def __init__(self) -> None:
        self.catalog = FakeCatalog()
        self.lookup = Lookup(self.catalog)
        self.asked: list[list[str]] = []
        self.error: Exception | None = None
        self.urls = WriteUrls(self.ask, self.lookup)

    def ask(self, names: Collection[str]) -> dict[str, str]:
        if self.error is not None:
            raise self.error
        self.asked.append(list(names))
        return {name: name.replace("rucio:", "root:") for name in names}


def test_single_questions_are_a_call_for_many() -> None:
    bench = Bench()
    bench.catalog.add("rucio://scope/input")
    bench.lookup.register(["rucio://scope/input", *NAMES])
    assert bench.lookup.facts(NAMES[0]) is None
    for name in reversed(NAMES):
        assert bench.urls.of(name) == name.replace("rucio:", "root:")
    assert sorted(map(len, bench.asked)) == [100, 250, 250]
    assert not any("rucio://scope/input" in some for some in bench.asked)


def test_an_error_is_asked_again() -> None:
    bench = Bench()
    bench.error = TransientError("busy")
    with pytest.raises(TransientError):
        bench.urls.of(NAMES[0])
    bench.error = None
    assert bench.urls.of(NAMES[0]) == "root://scope/0"

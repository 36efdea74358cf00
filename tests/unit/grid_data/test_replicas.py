from __future__ import annotations

import pytest

from snakemake_executor_plugin_grid.grid_data.lookup import Lookup
from snakemake_executor_plugin_grid.grid_data.replicas import Replicas
from snakemake_executor_plugin_grid.model.errors import TransientError
from snakemake_executor_plugin_grid.stores.file_catalog import FileFacts
from tests.unit.grid_data.fake_catalog import FakeCatalog

NAMES = [f"lfn:/vo/{n}" for n in range(1500)]


class Bench:
    def __init__(self) -> None:
        self.catalog = FakeCatalog()
        self.lookup = Lookup(self.catalog)
        self.replicas = Replicas(self.catalog, self.lookup)
        for name in NAMES:
            self.catalog.add(name)
            self.catalog.places[name] = {"SE-1": f"root://host/{name[4:]}"}
        self.lookup.register([*NAMES, "lfn:/vo/absent"])
        self.lookup.facts(NAMES[0])

    @property
    def asked(self) -> list[list[str]]:
        return self.catalog.asked("replicas")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_single_questions_are_a_call_for_a_thousand(bench: Bench) -> None:
    for name in NAMES:
        assert bench.replicas.of([name]) == {name: bench.catalog.places[name]}
    assert [len(some) for some in bench.asked] == [1000, 500]


def test_a_new_file_of_the_same_name_is_asked_for_again(bench: Bench) -> None:
    bench.replicas.of(NAMES[:1])
    bench.catalog.places[NAMES[0]] = {"SE-2": ""}
    assert "SE-1" in bench.replicas.of(NAMES[:1])[NAMES[0]]
    bench.lookup.note(NAMES[0], FileFacts(7, 6.0, ""))
    assert bench.replicas.of(NAMES[:1]) == {NAMES[0]: {"SE-2": ""}}


def test_absent_files_have_none(bench: Bench) -> None:
    assert bench.replicas.of(["lfn:/vo/absent"]) == {"lfn:/vo/absent": {}}
    assert not bench.asked


def test_an_error_is_not_the_answer_that_there_are_none(bench: Bench) -> None:
    bench.catalog.errors["replicas"] = [TransientError("1604")]
    with pytest.raises(TransientError):
        bench.replicas.of(NAMES[:1])
    assert bench.replicas.of(NAMES[:1])[NAMES[0]]

from __future__ import annotations

import itertools

import pytest

from snakemake_executor_plugin_grid.grid_data.persistent import PersistentCatalog
from snakemake_executor_plugin_grid.model.errors import (
    CredentialsError,
    PermanentError,
    TransientError,
    UnreachableError,
)
from tests.unit.grid_data.fake_catalog import FakeCatalog

NAME = "lfn:/vo/a"
DOWN = UnreachableError("DIRAC does not answer (host:9197: connection refused)")


class Bench:
    def __init__(self) -> None:
        self.fake = FakeCatalog()
        self.said: list[str] = []
        self.slept: list[float] = []
        self.catalog = PersistentCatalog(self.fake, self.said.append, self.slept.append)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_an_error_that_passes_is_none(bench: Bench) -> None:
    bench.fake.add(NAME)
    bench.fake.errors["facts"] = [TransientError("1604"), TransientError("TLS reset")]
    assert bench.catalog.facts([NAME])[NAME]
    assert len(bench.fake.calls) == 3
    assert bench.slept == [1.0, 3.0]


def test_a_server_that_never_answered_is_an_error_soon(bench: Bench) -> None:
    bench.fake.errors["facts"] = [DOWN] * 9
    with pytest.raises(UnreachableError, match="host:9197"):
        bench.catalog.facts([NAME])
    assert sum(bench.slept) < 10


def test_a_server_that_has_answered_is_waited_for_and_the_user_is_told(bench: Bench) -> None:
    bench.catalog.facts([NAME])
    bench.fake.errors["listing"] = [DOWN] * 5
    assert bench.catalog.listing("lfn:/vo") == []
    assert sum(bench.slept) > 100
    assert bench.said[0].startswith("DIRAC does not answer (host:9197: connection refused); the ")


def test_the_user_is_told_as_well_if_a_call_takes_long(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The DIRAC client itself tries several times, which takes some twenty seconds."""
    now = itertools.count(100.0, 20.0)
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    bench.fake.errors["facts"] = [DOWN]
    assert bench.catalog.facts([NAME]) == {NAME: None}
    assert len(bench.said) == 1


def test_after_the_end_of_the_run_nothing_waits_for_long(bench: Bench) -> None:
    bench.catalog.facts([NAME])
    bench.catalog.hurry()
    bench.fake.errors["facts"] = [DOWN] * 9
    with pytest.raises(UnreachableError):
        bench.catalog.facts([NAME])
    assert sum(bench.slept) < 10


@pytest.mark.parametrize("error", [PermanentError("no"), CredentialsError("expired")])
def test_other_errors_are_raised_at_once(bench: Bench, error: Exception) -> None:
    bench.fake.errors["replicas"] = [error]
    with pytest.raises(type(error)):
        bench.catalog.replicas([NAME])
    assert len(bench.fake.calls) == 1


def test_what_could_not_be_removed_is_tried_again(bench: Bench) -> None:
    names = [NAME, "lfn:/vo/b"]
    for name in names:
        bench.fake.add(name)
    bench.fake.stuck["lfn:/vo/b"] = "the storage element is busy"
    assert bench.catalog.remove(names) == {"lfn:/vo/b": "the storage element is busy"}
    assert bench.fake.asked("remove") == [names, ["lfn:/vo/b"], ["lfn:/vo/b"]]


def test_without_a_clock_of_its_own_it_does_sleep() -> None:
    fake = FakeCatalog()
    fake.errors["facts"] = [TransientError("1604")]
    catalog = PersistentCatalog(fake, print)
    catalog.hurry()
    assert catalog.facts([NAME]) == {NAME: None}

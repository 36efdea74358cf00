"""Which job is in which bundle: in memory, and on disk for the next run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.bundles.registry import BundleRegistry
from snakemake_executor_plugin_grid.journal.database import Database
from snakemake_executor_plugin_grid.model.names import member_id, split_id


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "grid.sqlite") as made:
        yield made


def test_the_next_run_knows_the_same(database: Database) -> None:
    asyncio.run(BundleRegistry(database).submitting("b", ["z", "a"]))
    again = BundleRegistry(database)
    assert again.bundles_of(["a", "z", "other"]) == {"b": ["a", "z"]}
    assert again.jobs_of("b") == ["z", "a"]  # in the order in which they begin


def test_a_bundle_is_forgotten_with_its_last_job(database: Database) -> None:
    registry = BundleRegistry(database)
    asyncio.run(registry.submitting("b", ["a", "c"]))
    assert registry.ended(["a", "unknown"]) == []
    assert registry.ended(["c", "a"]) == ["b"]
    assert registry.jobs_of("b") == []
    assert BundleRegistry(database).bundle_of("a") is None


def test_a_command_sees_what_the_run_beside_it_submits(database: Database) -> None:
    with Database(database.path, guest=True) as beside:
        command = BundleRegistry(beside)
        asyncio.run(BundleRegistry(database).submitting("b", ["a"]))
        assert command.bundle_of("a") == "b"


@pytest.mark.parametrize("bundle_id", ["12", "123:a_x5-0123abcd-1"])
def test_ids_of_jobs_in_bundles(bundle_id: str) -> None:
    assert split_id(member_id(bundle_id, "a-0123abcd-1")) == (bundle_id, "a-0123abcd-1")
    assert split_id(bundle_id) == (bundle_id, "")

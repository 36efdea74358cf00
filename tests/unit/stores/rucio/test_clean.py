"""``snakemake-grid clean`` for Rucio: stores, and outputs that could not be removed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.model.errors import PermanentError, TransientError
from snakemake_executor_plugin_grid.stores.inventory import rucio_inventories
from snakemake_executor_plugin_grid.stores.rucio import address, client
from tests.unit.cli.test_clean import Workflow

from .fake import FakeClient

LEFT = "rucio://user.me/run/left"
GONE = "rucio://user.me/run/gone"


@pytest.fixture
def workflow(tmp_path: Path) -> Iterator[Workflow]:
    made = Workflow(tmp_path / "project")
    made.catalog.note_locations([("", LEFT), ("", GONE)])
    yield made
    made.database.close()


@pytest.fixture
def rucio(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    fake = FakeClient()
    fake.add("user.me", "run/left", size=12)
    fake.add("user.me", "run/others", size=12)
    monkeypatch.setattr(client.RucioClient, "shared", lambda *_: fake)
    return fake


def test_outputs_that_could_not_be_removed(workflow: Workflow, rucio: FakeClient) -> None:
    def expire(files: list[tuple[str, str]]) -> dict[str, str]:
        for scope, name in files:
            rucio.rows[scope, name]["expires"] = 1.0
        return {}

    rucio.answers["expire"] = expire
    listed = workflow.clean()
    assert f"12  {LEFT}" in listed.output
    assert workflow.catalog.locations() == [LEFT]
    result = workflow.clean("--yes")
    assert result.exit_code == 0, result.output
    assert "Removed 1 file, 12 bytes." in result.output
    assert rucio.rows["user.me", "run/left"]["expires"] == 1.0
    assert rucio.rows["user.me", "run/others"]["expires"] is None
    assert workflow.catalog.locations() == []
    assert "has put no files" in workflow.clean("--yes").output


def test_stores_and_what_lies_beside_them(workflow: Workflow, rucio: FakeClient) -> None:
    catalog = workflow.catalog
    for url, element in (("run", "A"), ("run", "B"), ("run2", "C")):
        catalog.note_store(f"rucio://user.me/{url}", element)
    catalog.note_locations([("dd", "rucio://user.me/run/blobs/dd/dd")])
    found = rucio_inventories(catalog, workflow.database, workflow.directory)
    assert [one.name for one in found] == [
        *("rucio://user.me/run", "rucio://user.me/run", "rucio://user.me/run2", "Rucio")
    ]
    assert list(found[3].find().there) == [LEFT], "an output is no file of the store"


def test_what_rucio_does_not_let_go_stays_noted(workflow: Workflow, rucio: FakeClient) -> None:
    rucio.answers["expire"] = lambda files: {"user.me:run/left": "not yours"}
    result = workflow.clean("--yes")
    assert result.exit_code == 1
    assert f"{LEFT}: not yours" in result.output
    assert workflow.catalog.locations() == [LEFT]


def test_a_rucio_that_does_not_answer(
    workflow: Workflow, rucio: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object, **__: object) -> None:
        raise TransientError("Rucio does not answer")

    monkeypatch.setattr(rucio, "call_now", down)
    result = workflow.clean("--yes")
    assert result.exit_code == 1
    assert "Rucio does not answer" in result.output
    assert sorted(workflow.catalog.locations()) == sorted([LEFT, GONE])


def test_the_python_of_rucio(
    workflow: Workflow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: list[Path | None] = []

    def shared(python: Path | None, *_: object) -> FakeClient:
        given.append(python)
        return FakeClient()

    monkeypatch.setattr(client.RucioClient, "shared", shared)
    python = tmp_path / "python"
    python.write_text("")
    python.chmod(0o700)
    monkeypatch.setenv("SNAKEMAKE_STORAGE_GRID_RUCIO_PYTHON", str(python))
    workflow.clean()
    workflow.catalog.note_locations([("", LEFT)])
    monkeypatch.delenv("SNAKEMAKE_STORAGE_GRID_RUCIO_PYTHON")
    workflow.clean("--grid-rucio-python", str(python))
    workflow.catalog.note_locations([("", LEFT)])
    workflow.clean()
    assert given == [python, python, None]


def test_a_note_that_is_damaged_is_an_error() -> None:
    with pytest.raises(PermanentError, match="--grid-store"):
        address.known("rucio://scope/x", "no element")
